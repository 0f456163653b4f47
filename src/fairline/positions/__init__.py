"""What an account holds, what it earned, and whether it beat the closing line. Pure functions over its own records."""

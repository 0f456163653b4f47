"""What was claimed, compared with what happened."""

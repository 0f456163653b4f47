"""What can be wrong with a simulated exchange before it runs; running, it answers with the exchange's own errors."""


class SimError(Exception):
    """One line naming the cause and the remedy."""

"""Errors that prevent a simulated exchange from starting. Once it runs, it answers with the exchange's own errors."""


class SimError(Exception):
    """One line that names the cause and the remedy."""

"""Fairline's own errors; what the exchange can do wrong is `kalshi.errors`.

FairlineError          one line: what is wrong and, after a full stop, the remedy
├── UsageError         the command or call cannot be meant: thresholds, filters, formats   (exit code 2)
├── ConfigError        a setting is missing or wrong
├── InputError         a file that the user named cannot be used
├── OutputError        a result cannot be written
└── StoreError         what is kept of earlier scans cannot be read or written
"""


class FairlineError(Exception):
    """Root of the tree."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}" if self.remedy else self.message


class UsageError(FairlineError):
    """The question itself is wrong; asking it again will not help."""


class ConfigError(FairlineError):
    """A setting is missing or cannot be used."""


class InputError(FairlineError):
    """A file given as input cannot be used."""


class OutputError(FairlineError):
    """A result cannot be written where it was wanted."""


class StoreError(FairlineError):
    """What is kept of earlier scans cannot be read or written."""

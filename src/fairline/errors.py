"""Errors of Fairline itself. Errors of the exchange are in `kalshi.errors`.

FairlineError          what is wrong and, after a full stop, what to do
├── UsageError         invalid arguments: thresholds, filters, formats   (exit code 2)
├── ConfigError        a setting is missing or invalid
├── InputError         an input file cannot be used
├── OutputError        a result cannot be written
└── StoreError         stored scans cannot be read or written
"""


class FairlineError(Exception):
    """Root of the tree.

    `field` names the argument or setting at fault, such as `size` or `alerts.mine.cooldown`; the message then starts
    with "invalid size: ". Code below the command line never mentions flags: `describe` puts the caller's own name for
    the field into the message.
    """

    def __init__(self, message: str, *, remedy: str = "", field: str = "") -> None:
        self.detail = message
        self.message = f"invalid {field}: {message}" if field else message
        super().__init__(self.message)
        self.remedy = remedy
        self.field = field

    def __str__(self) -> str:
        return self.describe()

    def describe(self, name: str = "") -> str:
        """Return the message and the remedy, with `name` (such as "--size") in place of the field's name."""
        shown = name or self.field
        message = f"invalid {shown}: {self.detail}" if self.field else self.detail
        return f"{message}. {self.remedy}" if self.remedy else message


class UsageError(FairlineError):
    """The arguments are invalid; the same call will fail again."""


class ConfigError(FairlineError):
    """A setting is missing or invalid."""


class InputError(FairlineError):
    """An input file cannot be used."""


class OutputError(FairlineError):
    """A result cannot be written."""


class StoreError(FairlineError):
    """Stored scans cannot be read or written."""

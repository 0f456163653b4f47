"""The user's own files that models are built from."""

from dataclasses import dataclass
from pathlib import Path

import platformdirs

from fairline.errors import ConfigError, InputError


@dataclass(frozen=True, slots=True)
class UserFile:
    """A file of the user: its path, for messages, and its content."""

    path: Path
    content: bytes


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Where the user's files are: tables that extend the built-in ones in `config_folder`, inputs in `data_folder`.

    `exchange` is the one whose markets are priced (production, demo or a host); "" if it is not known.
    """

    config_folder: Path
    data_folder: Path
    exchange: str = ""

    def table(self, name: str) -> UserFile | None:
        """Return a file of the configuration folder, None if it does not exist. Raises `ConfigError`."""
        return read_user_file(self.config_folder / name)

    def fit_key(self, name: str) -> str:
        """Return where in the data folder a fit on this exchange's markets is: each exchange has its own."""
        if self.exchange in ("", "production"):
            return name
        return f"{self.exchange.replace(':', '-')}/{name}"

    def data(self, name: str) -> UserFile | None:
        """Return a file of the data folder, None if it does not exist. Raises `ConfigError`."""
        return read_user_file(self.data_folder / name)


def model_settings(exchange: str = "") -> ModelSettings:
    """Return the settings of this user for an exchange."""
    config, data = platformdirs.user_config_path("fairline"), platformdirs.user_data_path("fairline")
    return ModelSettings(config, data, exchange)


def check_fit(fitted_on: str, exchange: str, name: str) -> None:
    """Raise `InputError` if a fit is known to be of another exchange than the one whose markets are priced."""
    if fitted_on and exchange and fitted_on != exchange:
        raise InputError(f"{name} was fitted on {fitted_on}, not on {exchange}", remedy="Fit it on this exchange")


def read_user_file(path: Path) -> UserFile | None:
    """Return a file with its path, None if it does not exist. Raises `ConfigError`."""
    if not path.is_file():
        return None
    try:
        return UserFile(path, path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read {path} ({error.strerror})", remedy="Check its permissions") from error

"""The user's own files that models are built from."""

from dataclasses import dataclass
from pathlib import Path

import platformdirs

from fairline.errors import ConfigError


@dataclass(frozen=True, slots=True)
class UserFile:
    """A file of the user: its path, for messages, and its content."""

    path: Path
    content: bytes


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Where the user's files are: tables that extend the built-in ones in `config_folder`, inputs in `data_folder`."""

    config_folder: Path
    data_folder: Path

    def table(self, name: str) -> UserFile | None:
        """Return a file of the configuration folder, None if it does not exist. Raises `ConfigError`."""
        return read_user_file(self.config_folder / name)

    def data(self, name: str) -> UserFile | None:
        """Return a file of the data folder, None if it does not exist. Raises `ConfigError`."""
        return read_user_file(self.data_folder / name)


def model_settings() -> ModelSettings:
    """Return the settings of this user."""
    return ModelSettings(platformdirs.user_config_path("fairline"), platformdirs.user_data_path("fairline"))


def read_user_file(path: Path) -> UserFile | None:
    """Return a file with its path, None if it does not exist. Raises `ConfigError`."""
    if not path.is_file():
        return None
    try:
        return UserFile(path, path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read {path} ({error.strerror})", remedy="Check its permissions") from error

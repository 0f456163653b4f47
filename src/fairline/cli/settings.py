"""From the options of a command to settings, keys and stores."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairline.cli.terminal import note, passphrase_prompt
from fairline.errors import InputError

if TYPE_CHECKING:
    from fairline.config.settings import Settings
    from fairline.kalshi import Auth
    from fairline.store.store import Store


def read_settings(*options: Any) -> "Settings":
    """Return the settings that options, environment and fairline.toml give together. Raises `ConfigError`."""
    from fairline.config.settings import load_settings

    given: dict[str, str | None] = {}
    for part in options:
        given |= asdict(part)
    return load_settings(given)


def sign_in(settings: "Settings") -> "Auth | None":
    """Return the signing scheme; ask for a missing passphrase on a terminal."""
    from fairline.config import connect

    return connect.sign_in(settings, note, passphrase_prompt())


def open_store(settings: "Settings", folder: Path | None) -> "Store":
    """Return the existing store of a watch.

    Raises `InputError` if there is none, and `StoreError` if it holds the markets of another exchange than the one that
    was named. A store that is given by its folder alone is opened whatever its exchange is.
    """
    from fairline.config.connect import store_folder
    from fairline.store.store import Store

    exchange = store_exchange(settings, folder)
    folder = store_folder(settings, folder)
    if not (folder / "store.json").exists():
        raise InputError(f"there is no store at {folder}", remedy="Run fairline watch to create one, or give --store")
    return Store(folder, exchange)


def store_exchange(settings: "Settings", folder: Path | None) -> str:
    """Return whose store is meant; "" for a store that is given by its folder without naming an exchange."""
    is_default = settings.exchange == "production"
    return "" if folder is not None and is_default else settings.environment


def warn_about_damage(store: "Store") -> None:
    """Name the damaged files that were left out of an answer."""
    for text in store.warnings:
        note(f"fairline: {text}")

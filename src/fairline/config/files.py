"""`fairline.toml`: where it is, and its tables, validated."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import platformdirs

from fairline.config.validation import Switch, convert_table, expectations
from fairline.errors import ConfigError
from fairline.kalshi.redaction import show_value

KEY_FIELDS = ("key_id", "key_file", "key_text")
"""The fields that make up a key. They come from one place together."""
TABLES = ("scan", "watch", "receivers", "alerts", "keys")
"""Tables of the file that are not about the exchange. Other rooms read them."""
_SECRETS = ("key_text", "passphrase")


class ExchangeTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The settings of an exchange and its key: at the top of the file, or in a profile."""

    exchange: str = ""
    key_id: str = ""
    key_file: str = ""
    auth: str = ""
    member_id: str = ""
    use_server_time: Switch = Switch("")

    def set_values(self) -> dict[str, str]:
        """Return the settings that the table contains."""
        return {name: str(value) for name, value in msgspec.structs.asdict(self).items() if value}


@dataclass(frozen=True, slots=True)
class Profile:
    """The settings of the chosen profile, or those outside any profile."""

    name: str = ""
    values: dict[str, str] = field(default_factory=dict)
    is_local: bool = False
    """Whether they come from a file in the current folder, which may have come with somebody else's project."""


def config_files() -> tuple[Path, ...]:
    """Return where `fairline.toml` can be: the current folder, then the user's configuration folder."""
    return Path("fairline.toml"), platformdirs.user_config_path("fairline") / "fairline.toml"


def read_tables(files: tuple[Path, ...] | None = None) -> tuple[Path | None, dict[str, dict[str, Any]]]:
    """Return the first of the files that exists, and its tables named in `TABLES`. Raises `ConfigError`."""
    path, content = _read_toml(config_files() if files is None else files)
    tables = {name: content.get(name, {}) for name in TABLES}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(f"invalid {name} in {path}: expected a table", remedy=f"For example [{name}]")
    return path, tables


def read_profile(files: tuple[Path, ...], wanted: str) -> Profile:
    """Return the wanted profile, else the file's default profile, else the settings outside any profile.

    A profile does not inherit exchange and key from outside: they belong together. Raises `ConfigError`.
    """
    path, content = _read_toml(files)
    if path is None:
        if wanted:
            raise ConfigError(
                f"there is no fairline.toml with a profile {show_value(wanted)}", remedy="See docs/authentication.md"
            )
        return Profile()
    content = {key: value for key, value in content.items() if key not in TABLES}
    profiles, default = content.pop("profiles", {}), content.pop("profile", "")
    if not isinstance(default, str):
        raise ConfigError(f"invalid profile in {path}: expected text", remedy="Put it in quotes")
    if not isinstance(profiles, dict) or not all(isinstance(table, dict) for table in profiles.values()):
        raise ConfigError(f"invalid profiles in {path}: expected tables", remedy="For example [profiles.live]")
    outside = _exchange_table(content, str(path))
    name = wanted or default
    if not name:
        return Profile("", outside, is_local(path))
    if name not in profiles:
        known = ", ".join(profiles) or "none"
        raise ConfigError(f"there is no profile {show_value(name)} in {path}", remedy=f"Profiles: {known}")
    shared = {key: value for key, value in outside.items() if key not in (*KEY_FIELDS, "exchange")}
    values = shared | _exchange_table(profiles[name], f"[profiles.{name}] of {path}")
    return Profile(name, values, is_local(path))


def is_local(path: Path) -> bool:
    """Return whether a file is in the current folder, so that it may have come with another project."""
    return path.resolve().parent == Path.cwd() and path.resolve() != config_files()[1].resolve()


def _exchange_table(table: object, where: str) -> dict[str, str]:
    if isinstance(table, dict):
        secret = next((key for key in table if key in _SECRETS), "")
        if secret:
            known = ", ".join(expectations(ExchangeTable))
            raise ConfigError(f"{secret} in {where} is a secret", remedy=f"Keep it out of the file; it takes {known}")
    return convert_table(table, ExchangeTable, where).set_values()


def _read_toml(files: tuple[Path, ...]) -> tuple[Path | None, dict[str, Any]]:
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        return None, {}
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read {path} ({error})", remedy="Correct or remove it") from error

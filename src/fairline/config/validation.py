"""Validate TOML tables with msgspec; errors name file, table and key, and say what is expected but never the value."""

import difflib
import re
import typing
from datetime import timedelta
from typing import Annotated, Any, Self, TypeVar, get_args, get_origin
from zoneinfo import ZoneInfo

import msgspec

from fairline.errors import ConfigError, UsageError
from fairline.kalshi.redaction import show_value
from fairline.text import parse_duration

_Table = TypeVar("_Table", bound=msgspec.Struct)
_KEY = re.compile(r"at `(?:key` in `)?\$\.(\w+)")


class Duration(timedelta):
    """A length of time that settings write as `90m`, `12h` or `7d`."""

    @classmethod
    def parse(cls, value: object) -> Self:
        """Raises `ValueError` unless the value is a duration."""
        try:
            return cls(seconds=parse_duration(str(value)).total_seconds())
        except UsageError as error:
            raise ValueError(str(error)) from error


class ZoneName(str):
    """The IANA name of a time zone, such as `America/New_York`."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Raises `ValueError` unless the time zone database has the zone."""
        try:
            return cls(ZoneInfo(str(value)).key)
        except (KeyError, OSError) as error:
            raise ValueError(f"{show_value(value)} is not a time zone") from error


class Switch(str):
    """Yes or no, as `true`, `false` or text; `yes` or empty."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Raises `ValueError` unless the value is a switch."""
        text = str(value).lower()
        if text in ("", "0", "no", "false", "off"):
            return cls("")
        if text in ("1", "yes", "true", "on"):
            return cls("yes")
        raise ValueError("expected true or false")


def convert_table(table: object, kind: type[_Table], where: str) -> _Table:
    """Return a TOML table as a struct. Raises `ConfigError`.

    `where` names table and file in errors, such as `[watch] of fairline.toml`. The `description` in a field's
    `msgspec.Meta` is what errors say was expected. Field types with a class method `parse` are read by it.
    """
    expected = expectations(kind)
    if not isinstance(table, dict):
        raise ConfigError(f"invalid {where}: expected a table", remedy="See docs/running.md")
    for key in table:
        if key not in expected:
            raise unknown_key(key, where, list(expected))
    try:
        return msgspec.convert(table, kind, dec_hook=_parse)
    except msgspec.ValidationError as error:
        match = _KEY.search(str(error))
        if match is None:
            raise ConfigError(f"invalid {where}: {error}", remedy="See docs/running.md") from error
        raise ConfigError(f"invalid {match[1]} in {where}: expected {expected[match[1]]}") from error


def unknown_key(key: str, where: str, expected: list[str], remedy: str = "") -> ConfigError:
    """Return the error about a key that is not expected, with the one that was probably meant."""
    close = difflib.get_close_matches(key, expected, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    remedy = remedy or f"Expected one of: {', '.join(expected)}"
    return ConfigError(f"unknown key {show_value(key)} in {where}", remedy=hint + remedy)


def expectations(kind: type[msgspec.Struct]) -> dict[str, str]:
    """Return what each key of a struct expects, in the order of its fields."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {name: _describe(hints[name]) for name in kind.__struct_fields__}


def _describe(hint: Any) -> str:
    if get_origin(hint) is not Annotated:
        return getattr(hint, "__name__", str(hint))
    return next((part.description for part in get_args(hint)[1:] if part.description), str(hint))


def _parse(kind: Any, value: object) -> object:
    return kind.parse(value)

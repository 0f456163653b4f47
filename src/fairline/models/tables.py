"""Load tables of facts: the built-in TOML file of a name, extended by the user's file of the same name."""

import tomllib
from collections.abc import Callable
from importlib.resources import files
from typing import Any, TypeVar

import msgspec

from fairline.config.model_settings import UserFile
from fairline.errors import ConfigError

Row = TypeVar("Row", bound=msgspec.Struct)
Raw = dict[str, Any]
Merge = Callable[[Raw, Raw], Raw]


def load_table(
    package: str,
    name: str,
    row: type[Row],
    *,
    key: str = "name",
    user: UserFile | None = None,
    merge: Merge | None = None,
) -> dict[str, Row]:
    """Return the rows of a built-in table and of the user's, by name; the user's rows take precedence.

    `key` is the field of `row` that holds the name. `merge` combines a built-in row with the user's of the same name;
    without it the user's row replaces the built-in one. Raises `ConfigError`, naming the file and row.
    """
    built_in: dict[str, Raw] = tomllib.loads(files(package).joinpath(name).read_text(encoding="utf-8"))
    own = {} if user is None else _parse(user)
    rows = {row_name: _convert(raw, row, key, row_name, name) for row_name, raw in built_in.items()}
    for row_name, raw in own.items():
        path = str(user.path) if user else name
        if not isinstance(raw, dict):
            raise ConfigError(f"{path}: {row_name} is not a table", remedy="See docs/models.md")
        combined = merge(built_in[row_name], raw) if merge and row_name in built_in else raw
        rows[row_name] = _convert(combined, row, key, row_name, path)
    return rows


def _parse(user: UserFile) -> dict[str, Any]:
    try:
        return tomllib.loads(user.content.decode("utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{user.path} is not valid TOML ({error})", remedy="Correct or remove it") from error


def _convert(raw: Raw, row: type[Row], key: str, name: str, path: str) -> Row:
    try:
        return msgspec.convert(raw | {key: name}, type=row)
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigError(f"{path}: {name}: {error}", remedy="See docs/models.md") from error

"""Defaults for options from the tables `[scan]` and `[watch]` of `fairline.toml`. The command line wins over them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App, Token

if TYPE_CHECKING:
    from cyclopts import ArgumentCollection
    from cyclopts.argument import Argument

_TABLES: dict[tuple[str, ...], str] = {("scan",): "scan", ("explain",): "scan", ("watch",): "watch"}
"""Commands and the tables of their defaults."""
_MODELS = {"models", "probabilities", "model"}
"""Models given in one of these ways replace those of the file."""
_ONE_RUN = {"output", "record", "plan", "columns"}
_CONNECTION = "Exchange and key"


def fill_from_file(_: App, commands: Sequence[str], arguments: "ArgumentCollection") -> None:
    """Give the options that were not typed the values of the file. Raises `ConfigError` that names file and key."""
    name = _TABLES.get(tuple(commands), "")
    path, table = _read_table(name) if name else (None, {})
    if path is None or not table:
        return
    options = {argument.name.lstrip("-").replace("-", "_"): argument for argument in arguments if _may_be_set(argument)}
    typed = {argument.field_info.name for argument in arguments if argument.tokens}
    if typed & _MODELS:
        typed |= _MODELS
    for key, value in table.items():
        if key not in options:
            _refuse_unknown(commands[0], name, key, list(options), path)
        elif not (options[key].tokens or key in typed):
            _set_option(options[key], key, value, f"[{name}] of {path}", path)


def _read_table(name: str) -> tuple[Path | None, dict[str, Any]]:
    from fairline.config.files import read_tables

    path, tables = read_tables()
    elsewhere = _keys_read_elsewhere(name) if tables[name] else []
    return path, {key: value for key, value in tables[name].items() if key not in elsewhere}


def _may_be_set(argument: "Argument") -> bool:
    """Return whether the file may set it: not which exchange is asked with which key, nor what concerns one run."""
    groups: Any = argument.parameter.group
    is_connection = any(group.name == _CONNECTION for group in groups)
    return argument.name.startswith("--") and argument.field_info.name not in _ONE_RUN and not is_connection


def _keys_read_elsewhere(name: str) -> list[str]:
    if name != "watch":
        return []
    from fairline.config.validation import expectations
    from fairline.watch.settings import WatchTable

    return list(expectations(WatchTable))


def _refuse_unknown(command: str, name: str, key: str, known: list[str], path: Path) -> None:
    if command != name:
        return  # an option of the command that the table is named for
    from fairline.config.validation import unknown_key

    expected = sorted([*known, *_keys_read_elsewhere(name)])
    raise unknown_key(key, f"[{name}] of {path}", expected, f"See fairline {name} --help")


def _set_option(argument: "Argument", key: str, value: Any, where: str, path: Path) -> None:
    from fairline.config.files import is_local
    from fairline.errors import ConfigError

    takes_many = argument.token_count()[1]
    if isinstance(value, dict) or (isinstance(value, list) and not takes_many):
        raise ConfigError(f"invalid {key} in {where}: expected {'values' if takes_many else 'one value'}")
    if key == "model" and is_local(path) and ".py" in str(value):
        raise ConfigError(
            f"invalid model in {where}: a file in the current folder must not name code to run",
            remedy="Give the model on the command line",
        )
    for index, part in enumerate(value if isinstance(value, list) else [value]):
        argument.append(Token(keyword=f"{key} in {where}", value=str(part), index=index))

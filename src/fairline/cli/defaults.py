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
    name = _TABLES.get(tuple(commands))
    if name is None:
        return
    from fairline.config.files import read_tables

    path, tables = read_tables()
    table = dict(tables[name])
    if path is None or not table:
        return
    for key in _keys_read_elsewhere(name):
        table.pop(key, None)
    known = {argument.name.lstrip("-").replace("-", "_"): argument for argument in arguments if _may_be_set(argument)}
    typed = {argument.field_info.name for argument in arguments if argument.tokens}
    for key, value in table.items():
        if key not in known:
            _refuse_unknown(commands[0], name, key, list(known), path)
        elif not (key in typed or known[key].tokens or (key in _MODELS and typed & _MODELS)):
            _check(known[key], key, value, f"[{name}] of {path}", path)
            values = value if isinstance(value, list) else [value]
            for index, one in enumerate(values):
                known[key].append(Token(keyword=f"{key} in [{name}] of {path}", value=str(one), index=index))


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


def _check(argument: "Argument", key: str, value: Any, where: str, path: Path) -> None:
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

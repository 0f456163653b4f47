"""Who plays: leagues, their teams by the exchange's code, and the names that others give them (`teams.toml`)."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import platformdirs
import polars as pl

from fairline.errors import ConfigError

FILE = "teams.toml"


@dataclass(frozen=True, slots=True)
class League:
    """Teams by code, with the names that are theirs and no other's; see `teams.toml`."""

    name: str
    series: str
    home: str
    ties: bool = False
    odds: str = ""
    teams: Mapping[str, list[str]] = field(default_factory=dict)
    targets: Mapping[str, str] = field(default_factory=dict)


def leagues(path: Path | None = None) -> dict[str, League]:
    """The leagues that come along, with what a file of one's own adds to them. Raises `ConfigError`.

    Without a path that is `teams.toml` in the user's configuration folder, if there is one.
    """
    own = platformdirs.user_config_path("fairline") / FILE if path is None else path
    tables = tomllib.loads(files("fairline").joinpath(FILE).read_text(encoding="utf-8"))
    if path is not None or own.is_file():
        try:
            added = tomllib.loads(own.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{own} cannot be read ({error})", remedy="Mend or remove it") from None
        tables = _merged(tables, added, own)
    made = {}
    for name, table in tables.items():
        try:
            made[name] = League(name, **table)
        except TypeError as error:
            raise ConfigError(f"{own}: {name} cannot be used ({error})", remedy="See docs/models.md") from None
        _check(own, made[name])
    return made


def names(known: Mapping[str, League]) -> pl.DataFrame:
    """`{league, key, team}`: every name and code of every team, as `key_of` writes it."""
    rows = [
        (league.name, key, code)
        for league in known.values()
        for code, others in league.teams.items()
        for key in {_key(code), *map(_key, others)}
    ]
    return pl.DataFrame(rows, schema={"league": pl.String, "key": pl.String, "team": pl.String}, orient="row")


def key_of(name: pl.Expr) -> pl.Expr:
    """A name as it is compared: lower case, letters and digits only."""
    return name.str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]", "")


def _key(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _merged(tables: dict[str, Any], added: Mapping[str, Any], where: Path) -> dict[str, Any]:
    made = dict(tables)
    for name, table in added.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{where}: {name} is not a league", remedy="A league is a table; see docs/models.md")
        base = made.get(name, {})
        teams = dict(base.get("teams", {}))
        for code, others in table.get("teams", {}).items():
            teams[code] = [*teams.get(code, []), *others] if isinstance(others, list) else others
        made[name] = base | table | {"teams": teams, "targets": base.get("targets", {}) | table.get("targets", {})}
    return made


def _check(where: Path, league: League) -> None:
    """Raise `ConfigError` for what would link wrongly: above all a name of two teams."""
    if league.home not in ("first", "second"):
        raise ConfigError(f"{where}: home of {league.name} is {league.home!r}", remedy="It is first or second")
    owner: dict[str, str] = {}
    for code, others in league.teams.items():
        if not isinstance(others, list) or not all(isinstance(name, str) for name in others):
            raise ConfigError(f"{where}: {league.name}.teams.{code} is not a list of names", remedy='Such as ["Rome"]')
        for key in {_key(code), *map(_key, others)}:
            if owner.setdefault(key, code) != code:
                raise ConfigError(
                    f"{where}: {key!r} names both {owner[key]} and {code} of {league.name}",
                    remedy="Take it from one of them",
                )

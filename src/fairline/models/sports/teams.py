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
    month_first: bool = False
    teams: Mapping[str, list[str]] = field(default_factory=dict)
    targets: Mapping[str, str] = field(default_factory=dict)


def leagues(path: Path | None = None) -> dict[str, League]:
    """The leagues that come along, with what a file of one's own adds to them. Raises `ConfigError`.

    Without a path that is `teams.toml` in the user's configuration folder, if there is one.
    """
    own = platformdirs.user_config_path("fairline") / FILE if path is None else path
    tables = tomllib.loads(files("fairline.models.sports").joinpath(FILE).read_text(encoding="utf-8"))
    if path is not None or own.is_file():
        try:
            added = tomllib.loads(own.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{own} cannot be read ({error})", remedy="Mend or remove it") from None
        tables = _merged(tables, added, own)
    made: dict[str, League] = {}
    for name, table in tables.items():
        try:
            made[name] = League(name, **table)
        except TypeError as error:
            raise ConfigError(f"{own}: {name} cannot be used ({error})", remedy="See docs/models.md") from None
        _check(own, made[name])
        twice = [other for other in made.values() if other.series == made[name].series and other.name != name]
        if twice:
            raise ConfigError(f"{own}: {name} and {twice[0].name} have one series", remedy="Give each its own")
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
        merged = base | table
        if isinstance(table.get("teams"), dict):
            teams = dict(base.get("teams", {}))
            for code, others in table["teams"].items():
                teams[code] = [*teams.get(code, []), *others] if isinstance(others, list) else others
            merged["teams"] = teams
        if isinstance(table.get("targets"), dict):
            merged["targets"] = base.get("targets", {}) | table["targets"]
        made[name] = merged
    return made


def _check(where: Path, league: League) -> None:
    """Raise `ConfigError` for what would link wrongly: above all a name of two teams."""
    _typed(where, league)
    owner: dict[str, str] = {}
    for code, others in league.teams.items():
        for key in {_key(code), *map(_key, others)}:
            if owner.setdefault(key, code) != code:
                raise ConfigError(
                    f"{where}: {key!r} names both {owner[key]} and {code} of {league.name}",
                    remedy="Take it from one of them",
                )
    if len(set(league.targets.values())) < len(league.targets):
        raise ConfigError(f"{where}: a target is that of two teams of {league.name}", remedy="Take it from one of them")


def _typed(where: Path, league: League) -> None:
    """Raise `ConfigError` for values of another kind."""
    if league.home not in ("first", "second"):
        raise ConfigError(f"{where}: home of {league.name} is {league.home!r}", remedy="It is first or second")
    if not (isinstance(league.teams, dict) and isinstance(league.targets, dict)):
        raise ConfigError(f"{where}: teams and targets of {league.name} are tables", remedy="See docs/models.md")
    wrong = [name for name in ("ties", "month_first") if not isinstance(getattr(league, name), bool)]
    wrong += [name for name in ("series", "odds") if not isinstance(getattr(league, name), str)]
    if wrong:
        raise ConfigError(f"{where}: {wrong[0]} of {league.name} has another type", remedy="See docs/models.md")
    for code, others in league.teams.items():
        if not isinstance(others, list) or not all(isinstance(name, str) for name in others):
            raise ConfigError(f"{where}: {league.name}.teams.{code} is not a list of names", remedy='Such as ["Rome"]')

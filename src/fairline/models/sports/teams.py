"""Leagues, their teams by the exchange's codes, and the names that others give them (`teams.toml`)."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

import msgspec
import polars as pl

from fairline.config.model_settings import UserFile
from fairline.errors import ConfigError
from fairline.models.tables import load_table

FILE = "teams.toml"
MAX_TABLE_AGE_DAYS = 365
"""Every season brings promoted, moved or renamed teams."""


class League(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A league: its series on the exchange, and its teams by code with names that belong to no other team.

    `home` says which team of a ticker is at home, `ties` whether a game can end drawn, `odds` what The Odds API calls
    the league, `month_first` how its sources write dates with slashes. `targets` are the exchange's own ids of teams.
    `asof` is the date at which the teams were last checked; see `teams.toml`.
    """

    name: str
    series: str
    home: Literal["first", "second"]
    ties: bool = False
    odds: str = ""
    month_first: bool = False
    asof: date | None = None
    teams: dict[str, list[str]] = {}
    targets: dict[str, str] = {}

    @property
    def checked_on(self) -> str:
        """The date at which the teams were last checked, as text."""
        return "an unknown date" if self.asof is None else str(self.asof)

    def __post_init__(self) -> None:
        owners: dict[str, str] = {}
        for code, aliases in self.teams.items():
            for key in {_key(code), *map(_key, aliases)}:
                if owners.setdefault(key, code) != code:
                    raise ValueError(f"{key!r} names both {owners[key]} and {code}; remove it from one of them")
        if len(set(self.targets.values())) < len(self.targets):
            raise ValueError("two teams have the same target; remove it from one of them")


def load_leagues(user: UserFile | None = None) -> dict[str, League]:
    """Return the built-in leagues, extended by the user's file: it adds leagues, teams, names and targets.

    Raises `ConfigError`.
    """
    leagues = load_table("fairline.models.sports", FILE, League, user=user, merge=_merge)
    by_series: dict[str, str] = {}
    for name, league in leagues.items():
        other = by_series.setdefault(league.series, name)
        if other != name:
            path = user.path if user else FILE
            raise ConfigError(f"{path}: {name} and {other} have the same series", remedy="Give each its own")
    return leagues


def age_note(league: League, today: date) -> str | None:
    """Return a note if the teams of a league were last checked more than a season ago, else None."""
    if league.asof is None or (today - league.asof).days <= MAX_TABLE_AGE_DAYS:
        return None
    return f"the teams of {league.name} were last checked on {league.asof}: add promoted or renamed ones to {FILE}"


def team_names(leagues: Mapping[str, League]) -> pl.DataFrame:
    """Return `{league, key, team}`: every name and code of every team, normalised as by `name_key`."""
    rows = [
        (league.name, key, code)
        for league in leagues.values()
        for code, aliases in league.teams.items()
        for key in {_key(code), *map(_key, aliases)}
    ]
    return pl.DataFrame(rows, schema={"league": pl.String, "key": pl.String, "team": pl.String}, orient="row")


def name_key(name: pl.Expr) -> pl.Expr:
    """Return a name normalised for comparison: lower case, letters and digits only."""
    return name.str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]", "")


def with_teams(rows: pl.DataFrame, league: League, home: str = "home", away: str = "away") -> pl.DataFrame:
    """Add `home_team` and `away_team`, the codes of the names in two columns, null for unknown names."""
    names = team_names({league.name: league}).select("key", "team")
    for column, side in ((home, "home_team"), (away, "away_team")):
        renamed = names.rename({"team": side})
        rows = rows.with_columns(key=name_key(pl.col(column))).join(
            renamed, on="key", how="left", maintain_order="left"
        )
        rows = rows.drop("key")
    return rows


def _key(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _merge(built_in: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = built_in | own
    if isinstance(own.get("teams"), dict):
        merged["teams"] = _merge_names(built_in.get("teams", {}), own["teams"])
    if isinstance(own.get("targets"), dict):
        merged["targets"] = built_in.get("targets", {}) | own["targets"]
    return merged


def _merge_names(built_in: dict[str, list[str]], own: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = dict(built_in)
    for code, aliases in own.items():
        merged[code] = [*built_in.get(code, []), *aliases] if isinstance(aliases, list) else aliases
    return merged

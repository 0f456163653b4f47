"""Elo ratings of teams, with margin of victory, home advantage and a return towards the mean between seasons.

P(first wins) = 1 / (1 + 10^(−d/400)), d = rating − rating of the other + home advantage unless the ground is neutral.
After a game both move by K · m · (result − P). The multiplier m of a margin of `v` points, with d seen from the winner:

| kind | m | source |
|---|---|---|
| `log` | ln(max(v, 1) + 1) · scale / (scale + slope · d) | FiveThirtyEight, NFL |
| `power` | (v + offset)^exponent / (scale + slope · d) | FiveThirtyEight, NBA |
| `none` | 1 | Elo, "The Rating of Chessplayers", 1978 |

After a draw `log` is ln 2 · scale, as published. Where games can end drawn, P(first wins), P(draw) and P(second wins)
are as x : ν : 1/x with x = 10^(d/800) (Davidson, "On Extending the Bradley-Terry Model", JASA 1970), ν being `draw`.
"""

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fairline.errors import InputError

GAMES = pl.Schema(
    {"season": pl.Int64, "team1": pl.String, "team2": pl.String, "neutral": pl.Boolean, "score1": pl.Int64,
     "score2": pl.Int64}
)  # fmt: skip
"""In the order in which they were played; `team1` is at home unless the ground is neutral. Scores are null before."""


@dataclass(frozen=True, slots=True)
class League:
    """Parameters of a league. `keep` is the share of a rating's distance from `mean` that survives a season.

    `start` gives teams their first rating, others `new_team`; `reset` gives one by team and season, such as `CLE1999`.
    `doubt` is the standard deviation of what ratings miss of a game, in points of d.
    """

    k: float
    home: float
    mean: float = 1505.0
    keep: float = 2 / 3
    margin: str = "log"
    scale: float = 2.2
    slope: float = 0.001
    exponent: float = 1.0
    offset: float = 0.0
    new_team: float = 1300.0
    draw: float = 0.0
    doubt: float = 65.0
    start: Mapping[str, float] = field(default_factory=dict)
    reset: Mapping[str, float] = field(default_factory=dict)


def leagues(path: Path | None = None) -> dict[str, League]:
    """The leagues of a parameter file (TOML, a table a league), by name; without one those that come along.

    Raises `InputError`.
    """
    path = path or Path(__file__).with_name("leagues.toml")
    try:
        tables: dict[str, dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))
        made = {name: League(**table) for name, table in tables.items()}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError) as error:
        raise InputError(f"{path} is no file of leagues ({error})", remedy="See docs/models.md for its keys") from None
    wrong = [name for name, league in made.items() if league.margin not in MARGINS]
    if wrong:
        raise InputError(f"{path}: the margin of {wrong[0]} is not known", remedy=f"Known: {', '.join(MARGINS)}")
    return made


def rate(games: pl.DataFrame, league: League) -> pl.DataFrame:
    """The games with `elo1, elo2` before each, `p1`, the probability that the first team wins (a draw counts half), and
    `after1, after2`, which are null for games that have not been played.

    Raises `InputError` for games that are not GAMES.
    """
    try:
        rows = games.select(pl.col(name).cast(kind) for name, kind in GAMES.items())
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"these are no games ({reason})", remedy=f"Columns: {', '.join(GAMES)}") from None
    return games.with_columns(_walk(rows, league))


def three_way(lead: NDArray[np.float64], draw: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The probabilities that the first wins, and that it is a draw, for a lead of d points (home advantage in it)."""
    x = 10.0 ** (lead / 800.0)
    whole = x + draw + 1.0 / x
    return x / whole, draw / whole


def _walk(rows: pl.DataFrame, league: League) -> list[pl.Series]:
    """Game by game, because each rests on the one before."""
    ratings: dict[str, float] = {}
    last: dict[str, int] = {}
    multiplier = MARGINS[league.margin]
    before1, before2, p1 = list[float](), list[float](), list[float]()
    after1, after2 = list[float | None](), list[float | None]()

    def rating(team: str, season: int) -> float:
        if last.get(team) == season:
            return ratings[team]
        known = ratings.get(team)
        fresh = league.start.get(team, league.new_team) if known is None else known
        if known is not None and last[team] != season:
            fresh = league.mean + (known - league.mean) * league.keep
        last[team] = season
        ratings[team] = league.reset.get(f"{team}{season}", fresh)
        return ratings[team]

    for season, one, two, neutral, score1, score2 in rows.iter_rows():
        first, second = rating(one, season), rating(two, season)
        lead = first - second + (0.0 if neutral else league.home)
        p = 1.0 / (1.0 + 10.0 ** (-lead / 400.0))
        before1.append(first)
        before2.append(second)
        p1.append(p)
        if score1 is None or score2 is None:
            after1.append(None)
            after2.append(None)
            continue
        result = 1.0 if score1 > score2 else 0.0 if score1 < score2 else 0.5
        shift = league.k * multiplier(abs(score1 - score2), lead * (2.0 * result - 1.0), league) * (result - p)
        ratings[one], ratings[two] = first + shift, second - shift
        after1.append(first + shift)
        after2.append(second - shift)
    made: dict[str, Sequence[float | None]] = {
        "elo1": before1,
        "elo2": before2,
        "p1": p1,
        "after1": after1,
        "after2": after2,
    }
    return [pl.Series(name, values, dtype=pl.Float64) for name, values in made.items()]


def _log(margin: int, lead: float, league: League) -> float:
    if not margin:
        return math.log(2.0) * league.scale  # what was published divides by nothing after a draw
    return math.log(max(margin, 1) + 1.0) * league.scale / (league.scale + league.slope * lead)


def _power(margin: int, lead: float, league: League) -> float:
    return float((margin + league.offset) ** league.exponent) / (league.scale + league.slope * lead)


def _none(margin: int, lead: float, league: League) -> float:
    return 1.0


MARGINS: dict[str, Callable[[int, float, League], float]] = {"log": _log, "power": _power, "none": _none}

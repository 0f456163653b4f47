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
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import polars as pl
from numpy.typing import NDArray

from fairline.errors import InputError
from fairline.extras import compiled

GAMES = pl.Schema(
    {"season": pl.Int64, "team1": pl.String, "team2": pl.String, "neutral": pl.Boolean, "score1": pl.Int64,
     "score2": pl.Int64}
)  # fmt: skip
"""In the order in which they were played; `team1` is at home unless the ground is neutral. Scores are null before."""


@dataclass(frozen=True, slots=True)
class League:
    """Parameters of a league. `keep` is the share of a rating's distance from `mean` that survives a season.

    `start` gives teams their first rating, others `new_team`; `reset` gives one by team and season, such as `CLE1999`.
    `doubt` is the standard deviation of what ratings miss of a game, in points of d, and `draw_doubt` that of the
    probability of a draw.
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
    draw_doubt: float = 0.035
    begins: str = "01-01"
    ends: str = "12-31"
    start: Mapping[str, float] = field(default_factory=dict)
    reset: Mapping[str, float] = field(default_factory=dict)


def leagues(path: Path | None = None) -> dict[str, League]:
    """The leagues of a parameter file (TOML, a table a league), by name; without one those that come along, and those
    of `leagues.toml` in the user's configuration folder, if there is one.

    Raises `InputError`.
    """
    own = platformdirs.user_config_path("fairline") / "leagues.toml"
    paths = [path] if path else [Path(__file__).with_name("leagues.toml"), *([own] if own.is_file() else [])]
    made = dict[str, League]()
    for each in paths:
        made |= _leagues(each)
    return made


def _leagues(path: Path) -> dict[str, League]:
    try:
        tables: dict[str, dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))
        made = {name: League(**table) for name, table in tables.items()}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError) as error:
        raise InputError(f"{path} is no file of leagues ({error})", remedy="See docs/models.md for its keys") from None
    wrong = [name for name, league in made.items() if league.margin not in MARGINS]
    if wrong:
        raise InputError(f"{path}: the margin of {wrong[0]} is not known", remedy=f"Known: {', '.join(MARGINS)}")
    for name, league in made.items():
        for text in (league.begins, league.ends):
            if not re.fullmatch(r"(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", text):
                raise InputError(f"{path}: {text!r} of {name} is no month and day", remedy='Such as begins = "03-18"')
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
    """Game by game, because each rests on the one before; by machine code where there are many and Numba is there."""
    names = pl.concat([rows["team1"], rows["team2"]]).unique(maintain_order=True)
    first = [league.start.get(name, league.new_team) for name in names]
    table = rows.with_columns(pl.col("team1", "team2").cast(pl.Enum(names)).to_physical().cast(pl.Int64))
    table = table.select(
        "season", "team1", "team2", *_resets(names, league),
        home=pl.when(pl.col("neutral").fill_null(value=False)).then(0.0).otherwise(league.home),
        result=_result(), **_weight(league),
    )  # fmt: skip
    numbers = (league.k, league.mean, league.keep)
    fast = compiled(_games) if rows.height >= _MANY else None
    if fast is None:
        lists = [[0.0] * rows.height for _ in _MADE]
        _games([column.to_list() for column in table], first, [_NEVER] * len(names), numbers, lists)
        made = [pl.Series(name, values, dtype=pl.Float64) for name, values in zip(_MADE, lists, strict=True)]
    else:
        arrays = tuple(np.empty(rows.height) for _ in _MADE)
        columns = tuple(column.to_numpy() for column in table)
        fast(columns, np.array(first), np.full(len(names), _NEVER), numbers, arrays)
        made = [pl.Series(name, values) for name, values in zip(_MADE, arrays, strict=True)]
    unplayed = table["result"].is_nan()
    return [*made[:3], *(values.set(unplayed, None) for values in made[3:])]


def _games(games: Any, ratings: Any, last: Any, numbers: Any, made: Any) -> None:
    """Fill in what is made of the games, as lists or, compiled, as arrays: the same words do for both."""
    season, one, two, reset1, reset2, home, result, weight, base, tilt = games
    before1, before2, p1, after1, after2 = made
    k, mean, keep = numbers
    for n in range(len(season)):
        for team, reset in ((one[n], reset1[n]), (two[n], reset2[n])):
            if last[team] != season[n]:
                if not math.isnan(reset):
                    ratings[team] = reset
                elif last[team] != _NEVER:
                    ratings[team] = mean + (ratings[team] - mean) * keep
                last[team] = season[n]
        first, second = ratings[one[n]], ratings[two[n]]
        lead = first - second + home[n]
        p = 1.0 / (1.0 + 10.0 ** (-lead / 400.0))
        before1[n], before2[n], p1[n] = first, second, p
        shift = 0.0
        if not math.isnan(result[n]):
            shift = k * weight[n] / (base[n] + tilt[n] * lead * (2.0 * result[n] - 1.0)) * (result[n] - p)
        ratings[one[n]], ratings[two[n]] = first + shift, second - shift
        after1[n], after2[n] = first + shift, second - shift


def _resets(names: pl.Series, league: League) -> list[pl.Expr]:
    """For each game's teams the rating that they are given at the start of that season, NaN for none."""
    numbers = {name: code for code, name in enumerate(names)}
    # A reset is named by team and season in one word.
    known = {
        numbers[name[:-4]] * _SEASONS + int(name[-4:]): rating
        for name, rating in league.reset.items()
        if name[:-4] in numbers and name[-4:].isdigit()
    }
    nothing = float("nan")
    if not known:
        return [pl.lit(nothing).alias(f"reset{side}") for side in (1, 2)]
    return [
        (pl.col(f"team{side}") * _SEASONS + pl.col("season"))
        .replace_strict(known, default=nothing, return_dtype=pl.Float64)
        .alias(f"reset{side}")
        for side in (1, 2)
    ]


def _result() -> pl.Expr:
    """1 for the first team's win, 0.5 for a draw, 0 for a loss, NaN before it is played."""
    lead = pl.col("score1") - pl.col("score2")
    return pl.when(lead > 0).then(1.0).when(lead < 0).then(0.0).when(lead == 0).then(0.5).otherwise(float("nan"))


def _weight(league: League) -> dict[str, pl.Expr]:
    """A game's multiplier is `weight / (base + tilt · d)`, with d seen from the winner."""
    margin = (pl.col("score1") - pl.col("score2")).abs().fill_null(0).cast(pl.Float64)
    one, none = pl.lit(1.0), pl.lit(0.0)
    if league.margin == "power":
        weight = (margin + league.offset).pow(league.exponent)
        return {"weight": weight, "base": pl.lit(league.scale), "tilt": pl.lit(league.slope)}
    if league.margin == "none":
        return {"weight": one, "base": one, "tilt": none}
    drawn = margin == 0
    return {
        "weight": (pl.max_horizontal(margin, one) + 1.0).log() * league.scale,
        # What was published divides by nothing after a draw.
        "base": pl.when(drawn).then(one).otherwise(league.scale),
        "tilt": pl.when(drawn).then(none).otherwise(league.slope),
    }


_MADE = ("elo1", "elo2", "p1", "after1", "after2")
_NEVER, _MANY, _SEASONS = -1, 20_000, 10_000
MARGINS = ("log", "power", "none")

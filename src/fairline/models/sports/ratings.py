"""Elo ratings of teams, with margin of victory, home advantage and a return towards the mean between seasons.

P(first wins) = 1 / (1 + 10^(−d/400)), d = rating − rating of the other + home advantage unless the ground is neutral.
After a game both ratings move by K · m · (result − P). The multiplier m of a margin of `v` points, with d seen from the
winner:

| kind | m | source |
|---|---|---|
| `log` | ln(max(v, 1) + 1) · scale / (scale + slope · d) | FiveThirtyEight, NFL |
| `power` | (v + offset)^exponent / (scale + slope · d) | FiveThirtyEight, NBA |
| `none` | 1 | Elo, "The Rating of Chessplayers", 1978 |

After a draw `log` is ln 2 · scale, as published. Where games can end drawn, P(first wins), P(draw) and P(second wins)
are in the ratio x : ν : 1/x with x = 10^(d/800) (Davidson, "On Extending the Bradley-Terry Model", JASA 1970), ν being
`draw`.
"""

import math
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from fairline.config.model_settings import UserFile
from fairline.errors import InputError
from fairline.extras import compile_function
from fairline.models.tables import load_table

FILE = "leagues.toml"

_GAMES: dict[str, pl.DataType | type[pl.DataType]] = {
    "season": pl.Int64,
    "team1": pl.String,
    "team2": pl.String,
    "neutral": pl.Boolean,
    "score1": pl.Int64,
    "score2": pl.Int64,
}
GAMES = pl.Schema(_GAMES)
"""Games in the order in which they were played; `team1` is at home unless the ground is neutral. Scores are null for
games that have not been played."""

MonthDay = Annotated[str, msgspec.Meta(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]


class EloParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rating parameters of a league. `keep` is the share of a rating's distance from `mean` that survives a season.

    `start` gives teams their first rating, others `new_team`; `reset` gives one by team and season, such as `CLE1999`.
    `lead_sd` is the standard deviation of what ratings miss about a game, in points of d, and `draw_sd` that of the
    probability of a draw. The season lies between `begins` and `ends` (month and day).
    """

    name: str
    k: float
    home: float
    mean: float = 1505.0
    keep: float = 2 / 3
    margin: Literal["log", "power", "none"] = "log"
    scale: float = 2.2
    slope: float = 0.001
    exponent: float = 1.0
    offset: float = 0.0
    new_team: float = 1300.0
    draw: float = 0.0
    lead_sd: float = 65.0
    draw_sd: float = 0.035
    begins: MonthDay = "01-01"
    ends: MonthDay = "12-31"
    start: dict[str, float] = {}
    reset: dict[str, float] = {}


def load_parameters(user: UserFile | None = None) -> dict[str, EloParameters]:
    """Return the built-in rating parameters and those of the user's file, by league. Raises `ConfigError`."""
    return load_table("fairline.models.sports", FILE, EloParameters, user=user)


def rate(games: pl.DataFrame, parameters: EloParameters) -> pl.DataFrame:
    """Return the games with `elo1, elo2` before each, `p1`, the probability that the first team wins (a draw counts
    half), and `after1, after2`, which are null for games that have not been played.

    Raises `InputError` for games without the columns of GAMES.
    """
    try:
        rows = games.select(pl.col(name).cast(dtype) for name, dtype in GAMES.items())
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"these are not games ({reason})", remedy=f"Columns: {', '.join(GAMES)}") from error
    return games.with_columns(_rate_in_order(rows, parameters))


def three_way(lead: NDArray[np.float64], draw: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probabilities that the first team wins and of a draw, for a lead of d points (home advantage
    included).
    """
    x = 10.0 ** (lead / 800.0)
    total = x + draw + 1.0 / x
    return x / total, draw / total


_OUTPUTS = ("elo1", "elo2", "p1", "after1", "after2")
_NEVER = -1
_MIN_COMPILED_GAMES = 20_000
_SEASON_FACTOR = 10_000


def _rate_in_order(rows: pl.DataFrame, parameters: EloParameters) -> list[pl.Series]:
    """Rate game by game, because each depends on the one before; compiled if there are many games and Numba exists."""
    names = pl.concat([rows["team1"], rows["team2"]]).unique(maintain_order=True)
    start = [parameters.start.get(name, parameters.new_team) for name in names]
    codes = pl.col("team1", "team2").cast(pl.Enum(names)).to_physical().cast(pl.Int64)
    no_advantage = pl.col("neutral").fill_null(value=False)
    table = rows.with_columns(codes).select(
        "season",
        "team1",
        "team2",
        *_resets(names, parameters),
        home=pl.when(no_advantage).then(0.0).otherwise(parameters.home),
        result=_result(),
        **_multiplier(parameters),
    )
    numbers = (parameters.k, parameters.mean, parameters.keep)
    fast = compile_function(_update_ratings) if rows.height >= _MIN_COMPILED_GAMES else None
    if fast is None:
        lists = [[0.0] * rows.height for _ in _OUTPUTS]
        _update_ratings([column.to_list() for column in table], start, [_NEVER] * len(names), numbers, lists)
        outputs = [pl.Series(name, values, dtype=pl.Float64) for name, values in zip(_OUTPUTS, lists, strict=True)]
    else:
        arrays = tuple(np.empty(rows.height) for _ in _OUTPUTS)
        columns = tuple(column.to_numpy() for column in table)
        fast(columns, np.array(start), np.full(len(names), _NEVER), numbers, arrays)
        outputs = [pl.Series(name, values) for name, values in zip(_OUTPUTS, arrays, strict=True)]
    unplayed = table["result"].is_nan()
    return [*outputs[:3], *(values.set(unplayed, None) for values in outputs[3:])]


def _update_ratings(games: Any, ratings: Any, last_season: Any, numbers: Any, outputs: Any) -> None:
    """Fill in the outputs of all games, given as lists or, when compiled, as arrays."""
    season, one, two, reset1, reset2, home, result, weight, base, tilt = games
    before1, before2, p1, after1, after2 = outputs
    k, mean, keep = numbers
    for n in range(len(season)):
        for team, reset in ((one[n], reset1[n]), (two[n], reset2[n])):
            if last_season[team] != season[n]:
                if not math.isnan(reset):
                    ratings[team] = reset
                elif last_season[team] != _NEVER:
                    ratings[team] = mean + (ratings[team] - mean) * keep
                last_season[team] = season[n]
        first, second = ratings[one[n]], ratings[two[n]]
        lead = first - second + home[n]
        p = 1.0 / (1.0 + 10.0 ** (-lead / 400.0))
        before1[n], before2[n], p1[n] = first, second, p
        shift = 0.0
        if not math.isnan(result[n]):
            shift = k * weight[n] / (base[n] + tilt[n] * lead * (2.0 * result[n] - 1.0)) * (result[n] - p)
        ratings[one[n]], ratings[two[n]] = first + shift, second - shift
        after1[n], after2[n] = first + shift, second - shift


def _resets(names: pl.Series, parameters: EloParameters) -> list[pl.Expr]:
    """For each game's teams the rating that they are given at the start of that season, NaN for none."""
    codes = {name: code for code, name in enumerate(names)}
    # A reset is named by team and season in one word.
    known = {
        codes[name[:-4]] * _SEASON_FACTOR + int(name[-4:]): rating
        for name, rating in parameters.reset.items()
        if name[:-4] in codes and name[-4:].isdigit()
    }
    nothing = float("nan")
    if not known:
        return [pl.lit(nothing).alias(f"reset{side}") for side in (1, 2)]
    return [
        (pl.col(f"team{side}") * _SEASON_FACTOR + pl.col("season"))
        .replace_strict(known, default=nothing, return_dtype=pl.Float64)
        .alias(f"reset{side}")
        for side in (1, 2)
    ]


def _result() -> pl.Expr:
    """1 for the first team's win, 0.5 for a draw, 0 for a loss, NaN before the game is played."""
    lead = pl.col("score1") - pl.col("score2")
    return pl.when(lead > 0).then(1.0).when(lead < 0).then(0.0).when(lead == 0).then(0.5).otherwise(float("nan"))


def _multiplier(parameters: EloParameters) -> dict[str, pl.Expr]:
    """Return the parts of a game's multiplier: `weight / (base + tilt · d)`, with d seen from the winner."""
    margin = (pl.col("score1") - pl.col("score2")).abs().fill_null(0).cast(pl.Float64)
    one, zero = pl.lit(1.0), pl.lit(0.0)
    if parameters.margin == "none":
        return {"weight": one, "base": one, "tilt": zero}
    if parameters.margin == "power":
        weight = (margin + parameters.offset).pow(parameters.exponent)
        return {"weight": weight, "base": pl.lit(parameters.scale), "tilt": pl.lit(parameters.slope)}
    is_draw = margin == 0
    return {
        "weight": (pl.max_horizontal(margin, one) + 1.0).log() * parameters.scale,
        # The published formula does not divide after a draw.
        "base": pl.when(is_draw).then(one).otherwise(parameters.scale),
        "tilt": pl.when(is_draw).then(zero).otherwise(parameters.slope),
    }

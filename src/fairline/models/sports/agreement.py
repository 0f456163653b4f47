"""What bookmakers agree on: fair probabilities per book, and a consensus that one broken book cannot move.

Each book's margin is removed on its own. Books whose log-odds lie far from the median of all books are left out; the
consensus is the weighted mean of the others' log-odds, and its standard deviation how far they differ.
"""

from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fairline.models.pool import from_log_odds, log_odds
from fairline.models.sports.odds import SIDES
from fairline.pricing.devig import devig

SHARP_WEIGHTS = dict.fromkeys(("pinnacle", "ps", "betfair", "bfe", "matchbook"), 2.0)
"""Houses that count double: exchanges, and the house whose odds forecast best where that could be measured
(`docs/models/consensus.md`)."""
EXCLUDED_HOUSES = ("kalshi",)
"""The exchange itself is not evidence against its own price."""
MAX_MARGIN = 0.25
"""Odds with a larger margin, or a negative one, are not odds on one game."""
MIN_SD = 0.01
"""Measured root mean square distance between consensus and the market's midpoint (docs/models/consensus.md)."""
MAX_DEVIATIONS = 5.0
"""Books further from the median than this many scaled median absolute deviations are left out."""
MIN_DEVIATION = 0.1
"""Smallest deviation in log-odds that counts as one: books that agree closely must not exclude a normal one."""
_MAD_TO_SD = 1.4826
_GAME = ["league", "day", "start_ts", "home", "away"]


def consensus(odds: pl.DataFrame, asof: datetime, max_age_s: float, method: str = "power") -> pl.DataFrame:
    """Return one row per game: `{league, day, start_ts, home, away, books, stale, outliers}`, and of each side such as
    `home_p`, `home_sd`.

    `books` counts the books that were used. Odds older than `max_age_s` seconds at `asof` only count as `stale`, books
    far from the others as `outliers`. Quotes later than `asof`, of the exchange itself, or with an impossible margin
    are ignored.
    """
    age_s = (pl.lit(asof) - pl.col("updated_ts")).dt.total_seconds()
    is_current = age_s.is_between(0, max_age_s).fill_null(value=False)
    counts = odds.group_by(_GAME, maintain_order=True).agg(stale=(~is_current).sum())
    # A house under several names, or quoted twice, counts once, with its last quote. The name before "_" is the house.
    house = pl.col("book").str.split("_").list.first()
    quotes = odds.filter(is_current).with_columns(book=house).filter(~pl.col("book").is_in(EXCLUDED_HOUSES))
    quotes = quotes.sort("updated_ts").unique([*_GAME, "book"], keep="last", maintain_order=True)
    fair = _without_margin(quotes, method).with_columns(is_outlier=_is_outlier())
    games = counts.join(
        fair.group_by(_GAME).agg(_means()), on=_GAME, how="left", maintain_order="left", nulls_equal=True
    )
    columns = pl.col("books").fill_null(0), "stale", pl.col("outliers").fill_null(0)
    return games.select(*_GAME, *columns).with_columns(**_probabilities(games))


def _is_outlier() -> pl.Expr:
    """Return whether any side of a book's quote lies far from the median of the game's books."""
    far = []
    for side in SIDES:
        distance = (pl.col(f"{side}_log") - pl.col(f"{side}_log").median().over(_GAME)).abs()
        typical = (distance.median().over(_GAME) * _MAD_TO_SD).clip(lower_bound=MIN_DEVIATION)
        far.append((distance > MAX_DEVIATIONS * typical).fill_null(value=False))
    return pl.any_horizontal(far)


def _means() -> list[pl.Expr]:
    """Weighted means and deviations of the log-odds of the books that are not outliers."""
    used = ~pl.col("is_outlier")
    weight = pl.col("book").replace_strict(SHARP_WEIGHTS, default=1.0, return_dtype=pl.Float64).filter(used)
    columns = [used.sum().alias("books"), pl.col("is_outlier").sum().alias("outliers")]
    for side in SIDES:
        log = pl.col(f"{side}_log").filter(used)
        # A game that cannot be drawn has no tie: the sum of no values would be 0.
        mean = pl.when(log.count() == used.sum()).then((log * weight).sum() / weight.sum())
        columns += [mean.alias(f"{side}_log"), log.std().alias(f"{side}_log_sd")]
    return columns


def _probabilities(games: pl.DataFrame) -> dict[str, pl.Series]:
    """Probabilities and standard deviations per side; null for a game without a current quote."""
    means = np.stack([_mean_probability(games[f"{side}_log"]) for side in SIDES])
    # Means of log-odds add up to one only approximately.
    total = means.sum(axis=0)
    p = means / np.where(total > 0, total, np.nan)
    columns: dict[str, pl.Series] = {}
    for side, values in zip(SIDES, p, strict=True):
        spread = games[f"{side}_log_sd"].fill_null(0.0).to_numpy() * values * (1 - values)
        columns[f"{side}_p"] = pl.Series(values, nan_to_null=True)
        columns[f"{side}_sd"] = pl.Series(np.maximum(spread, MIN_SD))
    return columns


def _mean_probability(logs: pl.Series) -> NDArray[np.float64]:
    missing = logs.is_null().to_numpy()
    return np.where(missing, 0.0, from_log_odds(logs.fill_null(0.0).to_numpy()))


def _without_margin(quotes: pl.DataFrame, method: str) -> pl.DataFrame:
    """Return the quotes with the log-odds of each outcome, without impossible ones."""
    three_way = quotes["tie_odds"].is_not_null()
    parts = [
        _fair_log_odds(quotes.filter(~three_way), ("home", "away"), method),
        _fair_log_odds(quotes.filter(three_way), SIDES, method),
    ]
    fair = pl.concat(parts, how="diagonal")
    return fair.filter(pl.col("home_log").is_finite() & pl.col("away_log").is_finite())


def _fair_log_odds(quotes: pl.DataFrame, sides: tuple[str, ...], method: str) -> pl.DataFrame:
    paid = np.stack([quotes[f"{side}_odds"].fill_null(np.nan).to_numpy() for side in sides], axis=1)
    prices = 1.0 / np.where(paid > 1.0, paid, np.nan)
    total = prices.sum(axis=1)
    possible = np.isfinite(total) & (total >= 1.0) & (total <= 1.0 + MAX_MARGIN)
    event = np.repeat(np.arange(int(possible.sum())), len(sides))
    fair = devig(prices[possible].ravel(), event, method).reshape(-1, len(sides))
    logs = {f"{side}_log": pl.Series(log_odds(column)) for side, column in zip(sides, fair.T, strict=True)}
    used = quotes.filter(pl.Series(possible)).with_columns(tie_log=pl.lit(None, dtype=pl.Float64))
    return used.with_columns(**logs)

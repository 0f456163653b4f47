"""What was promised against what came of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from fairline.frame import NOTIONAL_U
from fairline.kalshi.wire import Settlement


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % confidence interval, over `n` values in `clusters` independent groups."""

    mean: float
    low: float
    high: float
    n: int
    clusters: int


def settlements_frame(rows: Sequence[Settlement]) -> pl.DataFrame:
    """`ticker, result, payout_u`: what one YES contract of each decided market paid, in micro-dollars."""
    raw = pl.DataFrame(
        [(row.ticker, row.result, row.settlement_value_dollars) for row in rows],
        schema={"ticker": pl.String, "result": pl.String, "value": pl.String},
        orient="row",
    )
    stated = pl.col("value").cast(pl.Decimal(18, 6), strict=False).to_physical().cast(pl.Int64)
    implied = pl.col("result").replace_strict({"yes": NOTIONAL_U, "no": 0}, default=None, return_dtype=pl.Int64)
    return raw.select("ticker", "result", payout_u=pl.coalesce(stated, implied)).drop_nulls("payout_u")


def profits(edges: pl.DataFrame, settlements: pl.DataFrame) -> pl.DataFrame:
    """Per row of EDGES whose market is decided: `promised` and `realised` dollars a contract, fee included."""
    paid = pl.col("payout_u")
    payout_u = pl.when(pl.col("side") == "yes").then(paid).otherwise(NOTIONAL_U - paid)
    return edges.join(settlements.select("ticker", "payout_u"), on="ticker", how="inner", maintain_order="left").select(
        "ticker",
        "event_ticker",
        "side",
        promised=pl.col("ev_u") / NOTIONAL_U,
        realised=(payout_u - pl.col("price_u") - pl.col("fee_u")) / NOTIONAL_U,
    )


def clustered_mean(rows: pl.DataFrame, value: str, cluster: str = "event_ticker") -> Interval | None:
    """Mean of `value` with a confidence interval that treats rows of one cluster as dependent; None without rows.

    Linearised (sandwich) variance of a mean over clusters with the G/(G−1) correction and the normal 97.5 % point
    (Cameron and Miller, "A practitioner's guide to cluster-robust inference", J. Human Resources 2015). With a
    single cluster the interval is unbounded.
    """
    if rows.is_empty():
        return None
    mean = float(rows[value].to_numpy().mean())
    sums = rows.group_by(cluster).agg(residual=(pl.col(value) - mean).sum())["residual"]
    groups, n = len(sums), rows.height
    if groups < 2:
        return Interval(mean, -math.inf, math.inf, n, groups)
    error = math.sqrt(groups / (groups - 1) * float((sums**2).sum())) / n
    return Interval(mean, mean - 1.959964 * error, mean + 1.959964 * error, n, groups)

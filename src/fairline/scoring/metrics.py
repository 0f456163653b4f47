"""Metrics: payouts, realised profit, and means with clustered confidence intervals."""

import math
from dataclasses import dataclass

import polars as pl

from fairline.market.frame import NOTIONAL_U


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % confidence interval, over `n` values in `clusters` independent groups."""

    mean: float
    low: float
    high: float
    n: int
    clusters: int

    def as_document(self) -> dict[str, float | int | None]:
        """Return the interval for JSON. One of a single event has no ends; they are null."""
        low, high = (None if math.isinf(end) else end for end in (self.low, self.high))
        return {"mean": self.mean, "low": low, "high": high, "n": self.n, "events": self.clusters}


def profits(edges: pl.DataFrame, settlements: pl.DataFrame, *, promise: str = "believed_ev_u") -> pl.DataFrame:
    """Return the rows of EDGES whose market is settled, with `promised`, `claimed` and `realised` profit after fees.

    All are in dollars per contract; the other columns are the row's names. `promised` is the column `promise`, or the
    raw EV where that was not recorded; `claimed` is the raw EV.
    """
    promised = pl.coalesce(promise, "ev_u") if promise in edges.columns else pl.col("ev_u")
    yes_payout_u = pl.col("payout_u")
    payout_u = pl.when(pl.col("side") == "yes").then(yes_payout_u).otherwise(NOTIONAL_U - yes_payout_u)
    settled = settlements.select("ticker", "payout_u").drop_nulls()
    return edges.join(settled, on="ticker", how="inner", maintain_order="left").select(
        *(name for name in ("ticker", "event_ticker", "side", "model", "category") if name in edges.columns),
        promised=promised / NOTIONAL_U,
        claimed=pl.col("ev_u") / NOTIONAL_U,
        realised=(payout_u - pl.col("price_u") - pl.col("fee_u")) / NOTIONAL_U,
    )


def clustered_mean(rows: pl.DataFrame, value: str, cluster: str = "event_ticker") -> Interval | None:
    """Return the mean of `value` with a 95 % confidence interval over clusters; None without rows.

    Rows of one cluster may depend on each other.

    Source: linearised (sandwich) variance of a mean over clusters with the G/(G−1) correction and the 97.5 % point of
    Student's t with G − 1 degrees of freedom (Cameron and Miller, "A practitioner's guide to cluster-robust inference",
    J. Human Resources 2015, II.B and VI.D). With a single cluster the interval is unbounded.
    """
    from scipy.special import stdtrit

    if rows.is_empty():
        return None
    mean = float(rows[value].to_numpy().mean())
    sums = rows.group_by(cluster, maintain_order=True).agg(residual=(pl.col(value) - mean).sum())["residual"]
    groups, n = len(sums), rows.height
    if groups < 2:
        return Interval(mean, -math.inf, math.inf, n, groups)
    error = math.sqrt(groups / (groups - 1) * float((sums**2).sum())) / n
    half_width = float(stdtrit(groups - 1, 0.975)) * error
    return Interval(mean, mean - half_width, mean + half_width, n, groups)

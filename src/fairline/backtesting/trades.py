"""The trades of a backtest as columns, and the statistics of a sceptic about them.

Every mean comes with its number of trades, its number of events and a 95 % interval clustered by event.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from fairline.market.frame import NOTIONAL_U
from fairline.scoring.metrics import Interval, clustered_mean

_TIME = pl.Datetime("us", "UTC")

_TRADES: dict[str, pl.DataType | type[pl.DataType]] = {
    "order": pl.Int64,
    "book": pl.String,
    "model": pl.String,
    "ticker": pl.String,
    "event_ticker": pl.String,
    "series_ticker": pl.String,
    "category": pl.String,
    "side": pl.String,
    "decided_ts": _TIME,
    "filled_ts": _TIME,
    "outcome": pl.String,
    "count_cc": pl.Int64,
    "price_u": pl.Int64,
    "fee_u": pl.Int64,
    "other_price_u": pl.Int64,
    "other_fee_u": pl.Int64,
    "mid": pl.Float64,
    "p": pl.Float64,
    "q": pl.Float64,
    "promised_u": pl.Int64,
    "raw_promised_u": pl.Int64,
    "size_assumed": pl.Boolean,
    "payout_u": pl.Int64,
    "settled_ts": _TIME,
    "profit_u": pl.Int64,
    "closing_mid": pl.Float64,
}
TRADES = pl.Schema(_TRADES)
"""One row per order, filled or not.

`price_u`, `fee_u`, `other_price_u`, `other_fee_u`, `promised_u`, `raw_promised_u` and `payout_u` are micro-dollars per
contract of the side that was bought (`other_` of the opposite side at the same instant); `profit_u` is micro-dollars of
the whole trade. `p`, `q`, `mid` and `closing_mid` are probabilities of the side that was bought. `payout_u` and what
follows is null until the market has settled.
"""

BANDS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
"""Edges of the price bands within which baselines are compared."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the account of trades: counts, and dollars per contract with intervals clustered by event.

    `shortfall` is realised less promised. `closing_value` is the closing midpoint less the price paid, before fees;
    None where no trade has a closing line. `baselines` are what always buying NO, a random side, and a fair market
    (whose midpoint is right) would have earned on the same trades.
    """

    group: str
    name: str
    orders: int
    filled: int
    settled: int
    events: int
    assumed_sizes: int
    promised: Interval | None
    raw_promised: Interval | None
    realised: Interval | None
    shortfall: Interval | None
    closing_value: Interval | None
    baselines: dict[str, Interval | None]


def summarize(trades: pl.DataFrame, *, seed: int = 0) -> list[Line]:
    """Return a line for each book and model, then by category, month and price band within each book."""
    if trades.is_empty():
        return []
    judged = judge(trades, seed=seed)
    lines = []
    for (book,), rows in judged.group_by("book", maintain_order=True):
        lines.append(_line(f"{book}", "all", rows))
        for column in ("model", "category", "month", "band"):
            for (name,), part in rows.sort(column, nulls_last=True).group_by(column, maintain_order=True):
                lines.append(_line(f"{book} by {column}", "unknown" if name is None else str(name), part))
    return lines


def judge(trades: pl.DataFrame, *, seed: int = 0) -> pl.DataFrame:
    """Add dollars per contract to TRADES: `promised`, `realised`, `shortfall`, `closing_value` and the baselines.

    `either_side` is the mean of both sides, which a random side earns on average. The random side is drawn per trade
    from `seed`, so that two runs over the same trades agree.
    """
    settled = pl.col("payout_u").is_not_null()
    price = pl.col("price_u") / NOTIONAL_U
    realised = (pl.col("payout_u") - pl.col("price_u") - pl.col("fee_u")) / NOTIONAL_U
    other = (NOTIONAL_U - pl.col("payout_u") - pl.col("other_price_u") - pl.col("other_fee_u")) / NOTIONAL_U
    coin = pl.Series("coin", np.random.default_rng(seed).random(trades.height) < 0.5)
    return trades.with_columns(coin).with_columns(
        promised=pl.col("promised_u") / NOTIONAL_U,
        raw_promised=pl.col("raw_promised_u") / NOTIONAL_U,
        realised=realised,
        shortfall=realised - pl.col("promised_u") / NOTIONAL_U,
        closing_value=pl.col("closing_mid") - price,
        always_no=pl.when(pl.col("side") == "no").then(realised).otherwise(other),
        random_side=pl.when("coin").then(realised).otherwise(other),
        either_side=(realised + other) / 2,
        fair_market=pl.when(settled).then(pl.col("mid") - price - pl.col("fee_u") / NOTIONAL_U),
        month=pl.col("decided_ts").dt.strftime("%Y-%m"),
        band=_band(price),
    )


def _band(price: pl.Expr) -> pl.Expr:
    """Return the label of the price band, whose lower bound belongs to it."""
    bounds = [f"${bound:.2f}" for bound in BANDS]
    labels = {number: f"{low} to {high}" for number, (low, high) in enumerate(pairwise(bounds))}
    number = pl.sum_horizontal((price >= bound).cast(pl.Int64) for bound in BANDS[1:-1])
    return number.replace_strict(labels, return_dtype=pl.String)


_BASELINES = ("always_no", "random_side", "fair_market")


def _line(group: str, name: str, rows: pl.DataFrame) -> Line:
    filled = rows.filter(pl.col("count_cc") > 0)
    settled = filled.filter(pl.col("payout_u").is_not_null())
    return Line(
        group,
        name,
        rows.height,
        filled.height,
        settled.height,
        settled["event_ticker"].n_unique(),
        int(filled["size_assumed"].sum()),
        _mean(settled, "promised"),
        _mean(settled, "raw_promised"),
        _mean(settled, "realised"),
        _mean(settled, "shortfall"),
        _mean(filled, "closing_value"),
        {baseline: _mean(settled, baseline) for baseline in _BASELINES},
    )


def _mean(rows: pl.DataFrame, column: str) -> Interval | None:
    return clustered_mean(rows.drop_nulls(column), column)

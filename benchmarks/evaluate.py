"""Evaluate 100,000 rows with one model: columns compared with a plain Python loop over the same rows."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import ceil

import numpy as np
import polars as pl

from fairline.market.frame import MARKETS, PREDICTIONS, with_probabilities
from fairline.scanner import evaluate

ROWS = 100_000
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def markets(rows: int = ROWS) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    bid = rng.integers(1, 95, rows) * 10_000
    frame = pl.DataFrame(
        {
            "ticker": [f"KX-{i}" for i in range(rows)],
            "event_ticker": [f"KX-E{i // 8}" for i in range(rows)],
            "status": "active",
            "market_type": "binary",
            "yes_bid_u": bid,
            "yes_ask_u": bid + rng.integers(1, 5, rows) * 10_000,
            "yes_bid_size_cc": rng.integers(100, 1_000_000, rows),
            "yes_ask_size_cc": rng.integers(100, 1_000_000, rows),
            "close_ts": datetime(2027, 1, 1, tzinfo=UTC),
            "fee_multiplier_m": 10_000,
        }
    )
    missing = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in MARKETS.items() if name not in frame.columns]
    return with_probabilities(frame.with_columns(missing).select(pl.col(n).cast(t) for n, t in MARKETS.items()))


class Flat:
    """Return one precomputed probability per market, so that the model's own work is not measured."""

    name, version = "flat", "1"

    def __init__(self, frame: pl.DataFrame) -> None:
        p = np.clip(frame["p_mid"].to_numpy() + np.random.default_rng(2).normal(0, 0.03, frame.height), 0, 1)
        self.predictions = frame.select("ticker", p=pl.Series(p)).with_columns(
            p_sd=pl.min_horizontal(0.03, (pl.col("p") * (1 - pl.col("p"))).sqrt()),
            model=pl.lit("flat"), asof=pl.lit(NOW), note=pl.lit(None, dtype=pl.String)
        ).select(pl.col(n).cast(t) for n, t in PREDICTIONS.items())  # fmt: skip

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        return pl.lit(value=True)

    def requests(self, markets: pl.DataFrame, asof: datetime) -> list[object]:
        return []

    def predict(self, markets: pl.DataFrame, payloads: object, asof: datetime) -> pl.DataFrame:
        return self.predictions


def loop(frame: pl.DataFrame, predictions: pl.DataFrame) -> int:
    """Apply the same prices, fees, edges, thresholds and order row by row in floats; return the number kept."""
    p_of = dict(predictions.select("ticker", "p").iter_rows())
    passed = []
    for row in frame.iter_rows(named=True):
        bid, ask, p_yes = row["yes_bid_u"] / 1e6, row["yes_ask_u"] / 1e6, p_of[row["ticker"]]
        spread = 200 * (ask - bid) / (ask + bid)
        sides = (("yes", ask, p_yes, row["yes_ask_size_cc"]), ("no", 1 - bid, 1 - p_yes, row["yes_bid_size_cc"]))
        for side, price, p, offered in sides:
            size = min(offered / 100, 100)
            fee = ceil(7 * size * price * (1 - price)) / 100 / size
            ev = p - price - fee
            if spread < 5 and 100 * (p - price) > 2 and ev > 0.01:
                passed.append((ev / (price + fee), row["ticker"], side))
    passed.sort(reverse=True)
    return len(passed)


def best(call: Callable[[], object], times: int) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def run() -> str:
    frame = markets()
    model = Flat(frame)
    fairline_s = best(lambda: evaluate(frame, [model], {}, asof=NOW), 7)
    loop_s = best(lambda: loop(frame, model.predictions), 3)
    passed = evaluate(frame, [model], {}, asof=NOW).opportunities.height
    return (
        "| 100,000 markets × one model, both sides, exact fees, funnel, ranking | seconds | ratio |\n|---|---|---|\n"
        f"| plain Python loop in floats ({loop(frame, model.predictions)} kept) | {loop_s:.3f} | 1 |\n"
        f"| `evaluate` ({passed} kept) | {fairline_s:.3f} | {loop_s / fairline_s:.1f} × faster |"
    )

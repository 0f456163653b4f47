"""Price the whole simulated listing: both sides, exact fees, margins removed, coherence rules, ranking.

Set POLARS_MAX_THREADS=1 to measure one core.
"""

from collections import defaultdict
from datetime import UTC, datetime
from math import ceil

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.evaluate import Flat, best
from benchmarks.rules import plain_rules
from benchmarks.world import list_world
from fairline.market.frame import MARKETS, with_probabilities
from fairline.models.prediction import predict
from fairline.pricing.coherence import violations
from fairline.pricing.devig import devig
from fairline.pricing.rules import Rules
from fairline.scanner import price
from fairline.sim.world import World

MARKETS_OPEN = 117_000
NOW = datetime.now(UTC)
RULES = Rules()


def whole(frame: pl.DataFrame, predictions: pl.DataFrame) -> int:
    """Price everything exactly, with the funnel and its nearest misses; return the number of opportunities."""
    evaluation = price(with_probabilities(frame), predictions, [], asof=NOW, rules=RULES)
    asks = (
        frame.lazy().filter("mutually_exclusive", pl.col("yes_ask_u").is_not_null()).select("event_ticker", "yes_ask_u")
    )
    asked = asks.sort("event_ticker").collect()
    devig(asked["yes_ask_u"].to_numpy() / 1e6, asked["event_ticker"].rle_id().cast(pl.Int64).to_numpy())
    violations(frame, asof=NOW)
    return evaluation.opportunities.height


def loop(frame: pl.DataFrame, predictions: pl.DataFrame) -> int:
    """Price row by row in floats: no funnel, no misses, margins by division, rules without fees."""
    p_of = dict(predictions.select("ticker", "p").iter_rows())
    passed, asks = [], defaultdict(list)
    for row in frame.iter_rows(named=True):
        if row["mutually_exclusive"] and row["yes_ask_u"] is not None:
            asks[row["event_ticker"]].append(row["yes_ask_u"] / 1e6)
        if row["yes_bid_u"] is None or row["yes_ask_u"] is None or row["status"] != "active":
            continue
        bid, ask, p_yes = row["yes_bid_u"] / 1e6, row["yes_ask_u"] / 1e6, p_of[row["ticker"]]
        spread = 200 * (ask - bid) / (ask + bid)
        for side, cost, p, offered in (
            ("yes", ask, p_yes, row["yes_ask_size_cc"]), ("no", 1 - bid, 1 - p_yes, row["yes_bid_size_cc"]),
        ):  # fmt: skip
            size = max(min(offered / 100, 100), 0.01)
            fee = ceil(7 * size * cost * (1 - cost)) / 100 / size
            ev = p - cost - fee
            if spread < 5 and 100 * (p - cost) > 2 and ev > 0.01:
                passed.append((ev / (cost + fee), row["ticker"], side))
    passed.sort(reverse=True)
    fair = [[ask / sum(each) for ask in each] for each in asks.values()]
    return len(passed) + 0 * (len(fair) + plain_rules(frame))


def arrays(quotes: NDArray, sizes: NDArray, p: NDArray, event: NDArray, exclusive: NDArray) -> int:
    """Do the same over prepared NumPy arrays of floats."""
    bid, ask = quotes
    spread = 200 * (ask - bid) / (ask + bid)
    passed = []
    for cost, chance, offered in ((ask, p, sizes[1]), (1 - bid, 1 - p, sizes[0])):
        size = np.maximum(np.minimum(offered, 100), 0.01)
        fee = np.ceil(7 * size * cost * (1 - cost)) / 100 / size
        ev = chance - cost - fee
        good = (spread < 5) & (100 * (chance - cost) > 2) & (ev > 0.01)
        passed.append((ev / (cost + fee))[good])
    ranked = np.sort(np.concatenate(passed))[::-1]
    asked = np.where(exclusive, np.nan_to_num(ask), 0.0)
    total = np.bincount(event, weights=asked)
    fair = asked / np.maximum(total[event], 1e-9)
    broken = np.bincount(event, weights=np.where(exclusive, np.nan_to_num(bid), 0.0)) > 1
    return len(ranked) + 0 * int(broken.sum() + fair.size)


def run() -> str:
    frame = list_world(World(MARKETS_OPEN, past=0, seed=1))
    model = Flat(frame.with_columns(p_mid=pl.col("p_mid").fill_null(0.5)))
    predictions, _ = predict(frame, [model], {}, asof=NOW)
    plain = frame.select(MARKETS.names())
    quotes = frame.select(pl.col("yes_bid_u", "yes_ask_u").cast(pl.Float64).fill_null(np.nan) / 1e6).to_numpy().T
    sizes = frame.select("yes_bid_size_cc", "yes_ask_size_cc").to_numpy().T / 100
    event = frame["event_ticker"].rank("dense").to_numpy().astype(np.int64)
    exclusive = frame["mutually_exclusive"].fill_null(value=False).to_numpy()
    p = frame.join(predictions, on="ticker", how="left", maintain_order="left")["p"].to_numpy()
    rows = {
        "plain Python loop, floats, no funnel, no fees on rules": best(lambda: loop(frame, predictions), 3),
        "NumPy arrays, floats, no funnel, no ladders": best(lambda: arrays(quotes, sizes, p, event, exclusive), 9),
        "Fairline, exact, with funnel, misses, ladders and fees on every leg": best(
            lambda: whole(plain, predictions), 25
        ),
    }
    base = next(iter(rows.values()))
    lines = [
        f"| {frame.height:,} markets of a simulated listing, {pl.thread_pool_size()} thread(s) | ms "
        "| times the loop's speed |\n|---|---|---|"
    ]
    lines += [f"| {label} | {1000 * s:.0f} | {base / s:.1f} |" for label, s in rows.items()]
    for times in (2, 4, 8):
        large, more = (repeat_frame(each, times) for each in (plain, predictions))
        seconds = best(lambda large=large, more=more: whole(large, more), 7)
        each = 1e9 * seconds / large.height
        lines.append(f"| Fairline, {large.height:,} markets: {each:,.0f} ns each | {1000 * seconds:.0f} | |")
    return "\n".join(lines)


def repeat_frame(frame: pl.DataFrame, times: int) -> pl.DataFrame:
    """Repeat the rows a number of times, as different markets and events."""
    names = [name for name in ("ticker", "event_ticker") if name in frame.columns]
    copies = [frame.with_columns(pl.format("{}-{}", pl.col(n), i).alias(n) for n in names) for i in range(times)]
    return pl.concat(copies, rechunk=True)

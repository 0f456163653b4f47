"""Walk 5,000 order books and apply the rules to 117,000 markets; compare columns with plain Python and NumPy."""

from datetime import UTC, datetime

import numpy as np
import polars as pl

from benchmarks.evaluate import best, markets
from fairline.pricing.coherence import violations
from fairline.pricing.depth import executions, offers
from fairline.pricing.projection import coherent

NOW = datetime(2026, 11, 22, tzinfo=UTC)
BOOKS, DEPTH = 5_000, 10
SIZES_C = (100, 1_000, 10_000, 100_000, 1_000_000)


def levels() -> pl.DataFrame:
    rng = np.random.default_rng(1)
    rows = BOOKS * DEPTH * 2
    prices = np.concatenate([rng.choice(np.arange(1, 50), DEPTH, replace=False) for _ in range(BOOKS * 2)])
    return pl.DataFrame(
        {
            "ticker": np.repeat([f"T{i}" for i in range(BOOKS)], DEPTH * 2),
            "side": np.tile(np.repeat(["yes", "no"], DEPTH), BOOKS),
            "price_u": prices * 10_000,
            "size_cc": rng.integers(1, 5_000, rows) * 100,
        }
    )


def plain(books: dict[tuple[str, str], list[tuple[int, int]]]) -> float:
    """Walk every size level by level, in floats."""
    total = 0.0
    for ladder in books.values():
        for size in SIZES_C:
            rest, cost, fee = size, 0.0, 0.0
            for price_u, size_cc in ladder:
                take = min(rest, size_cc)
                if take <= 0:
                    break
                rest -= take
                price, count = price_u / 1e6, take / 100
                cost += price * count
                fee += 0.07 * count * price * (1 - price)
            total += cost + fee
    return total


def numpy_walk(price: np.ndarray, size: np.ndarray) -> float:
    """Do the same over one matrix, which requires books of equal depth."""
    before = np.cumsum(size, axis=1) - size
    total = 0.0
    for size_limit in SIZES_C:
        take = np.clip(size_limit - before, 0, size) / 100
        total += float((take * price).sum() + (0.07 * take * price * (1 - price)).sum())
    return total


def plain_rules(frame: pl.DataFrame) -> int:
    """Find violations event by event, without fees."""
    events: dict[str, list[dict[str, object]]] = {}
    for row in frame.iter_rows(named=True):
        events.setdefault(row["event_ticker"], []).append(row)
    broken = 0
    for rows in events.values():
        rungs = sorted((r for r in rows if r["strike_type"] == "greater"), key=lambda r: r["floor_strike"])
        cheapest = None
        for rung in rungs:
            bid, ask = rung["yes_bid_u"], rung["yes_ask_u"]
            broken += None not in (cheapest, bid) and bid > cheapest
            cheapest = min((each for each in (cheapest, ask) if each is not None), default=None)
        broken += bool(rows[0]["mutually_exclusive"]) and sum(r["yes_bid_u"] or 0 for r in rows) > 1_000_000
    return broken


def list_books(rows: int) -> pl.DataFrame:
    """List events of eight markets, half of them ladders, half exclusive."""
    place = pl.int_range(pl.len())
    ladder = (place // 8) % 2 == 0
    return markets(rows).with_columns(
        strike_type=pl.when(ladder).then(pl.lit("greater")),
        floor_strike=pl.when(ladder).then((place % 8).cast(pl.Float64)),
        mutually_exclusive=~ladder,
        fee_type=pl.lit("quadratic"),
    )


def run() -> str:
    depth = levels()
    offered = offers(depth)
    books: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for ticker, side, price_u, size_cc in offered.iter_rows():
        books.setdefault((ticker, side), []).append((price_u, size_cc))
    price, size = (offered[name].to_numpy().reshape(-1, DEPTH) for name in ("price_u", "size_cc"))
    walked = {
        "plain Python loop, floats": best(lambda: plain(books), 3),
        "NumPy over one matrix, floats, equal depth": best(lambda: numpy_walk(price / 1e6, size), 7),
        "`executions`, exact, with fees by policy": best(lambda: executions(offered, SIZES_C), 7),
    }
    base = next(iter(walked.values()))
    lines = [
        f"| {BOOKS:,} books of {DEPTH} levels a side walked for {len(SIZES_C)} sizes | ms | ratio |\n|---|---|---|"
    ]
    lines += [f"| {label} | {1000 * s:.1f} | {base / s:.1f} |" for label, s in walked.items()]
    frame, large = list_books(117_000), list_books(1_000_000)
    judged = {
        "plain Python loop, no fees": best(lambda: plain_rules(frame), 3),
        "`violations`, with fees on every leg": best(lambda: violations(frame, asof=NOW), 7),
        "`coherent`, all ladders and partitions": best(lambda: coherent(frame), 7),
    }
    base = next(iter(judged.values()))
    lines.append("\n| rules over 117,000 markets in events of eight | ms | ratio |\n|---|---|---|")
    lines += [f"| {label} | {1000 * s:.1f} | {base / s:.1f} |" for label, s in judged.items()]
    more = best(lambda: violations(large, asof=NOW), 3)
    lines.append(f"| `violations` over 1,000,000 | {1000 * more:.1f} | {base / more:.1f} |")
    return "\n".join(lines)

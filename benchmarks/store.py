"""Store a day of one scan per minute of 117,000 markets with 5 % changing, then query thirty such days."""

import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from fairline.store import parquet
from fairline.store.datasets import FACTS, QUOTES
from fairline.store.store import Store
from fairline.watch.recorder import ChangeTracker, compared_columns

MARKETS, CHANGING, DAYS = 117_000, 0.05, 30
BEGIN = datetime(2026, 10, 1, tzinfo=UTC)


def market_quotes(rng: np.random.Generator) -> pl.DataFrame:
    events = MARKETS // 6
    tickers = [f"KX{n // 6 % 4_000:04d}X-26NOV{n // 6 % 28 + 1:02d}E{n // 6 % events}-T{n % 6}" for n in range(MARKETS)]
    bid = rng.integers(1, 97, MARKETS)
    return pl.DataFrame(
        {
            "ticker": tickers, "listed": True, "status": "active", "yes_bid_u": bid * 10_000,
            "yes_ask_u": (bid + rng.integers(1, 3, MARKETS)) * 10_000,
            "yes_bid_size_cc": rng.integers(1, 10**6, MARKETS), "yes_ask_size_cc": rng.integers(1, 10**6, MARKETS),
            "last_price_u": bid * 10_000, "volume_cc": rng.integers(0, 10**8, MARKETS),
            "volume_24h_cc": rng.integers(0, 10**7, MARKETS), "open_interest_cc": rng.integers(0, 10**8, MARKETS),
        }
    ).select(name for name in QUOTES.names() if name not in ("seen_ts", "source"))  # fmt: skip


def move_quotes(quotes: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Return the quotes a minute later: some moved by up to a cent, their sizes and volumes by any amount."""
    hit = rng.random(MARKETS) < CHANGING
    step = np.where(hit, rng.integers(-1, 2, MARKETS), 0) * 10_000
    sizes = {
        name: np.where(hit, rng.integers(1, 10**6, MARKETS), quotes[name])
        for name in ("yes_bid_size_cc", "yes_ask_size_cc")
    }
    bid = np.clip(quotes["yes_bid_u"].to_numpy() + step, 10_000, 970_000)
    more = np.where(hit, rng.integers(0, 10**5, MARKETS), 0)
    return quotes.with_columns(
        yes_bid_u=pl.Series(bid), yes_ask_u=pl.Series(bid + 20_000), volume_cc=quotes["volume_cc"] + more,
        **{name: pl.Series(values) for name, values in sizes.items()},
    )  # fmt: skip


def day(folder: Path) -> dict[str, float]:
    """Append for a day; return times, sizes, and memory beyond the rows themselves. Runs in its own process."""
    rng, store = np.random.default_rng(0), Store(folder)
    store.acquire()
    quotes, delta = market_quotes(rng), ChangeTracker(["ticker"], compared_columns(QUOTES))
    facts = quotes.select("ticker").with_columns(
        event_ticker=pl.col("ticker").str.slice(0, 18),
        title=pl.format("Will {} be?", "ticker"),
        market_type=pl.lit("binary"),
    )
    facts = facts.select(
        pl.col(name).cast(dtype) if name in facts.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in FACTS.items() if name not in ("seen_ts", "source")
    )  # fmt: skip
    store.append("facts", facts, BEGIN, full=True)
    taken, merging, memory, before = [], [], [], 0.0
    for minute in range(24 * 60):
        now = BEGIN + timedelta(minutes=minute)
        if minute in (0, 1):
            before = forget_peak()
        clock = time.perf_counter()
        store.append("quotes", delta.changed(quotes), now)
        delta.keep()
        if minute % 60 == 0:
            store.append("quotes", quotes, now, full=True)
        taken.append(time.perf_counter() - clock)
        if minute in (0, 50):
            memory.append(peak() - before)
        if minute % 60 == 30:
            clock = time.perf_counter()
            store.compact(now)
            merging.append(time.perf_counter() - clock)
        quotes = move_quotes(quotes, rng)
    store.compact(BEGIN + timedelta(days=1))
    clock = time.perf_counter()
    quotes.write_csv(folder / "one.csv")
    csv, csv_s = (folder / "one.csv").stat().st_size, time.perf_counter() - clock
    (folder / "one.csv").unlink()
    return {
        "append": float(np.median(taken)), "slowest": max(taken), "merge": max(merging),
        "first": memory[0], "memory": memory[1],
        "bytes": store.size_bytes(), "csv": csv * 24 * 60, "csv_s": csv_s, "peak": peak(),
    }  # fmt: skip


def peak() -> float:
    """Return the peak memory since the last reset, in MB."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024


def forget_peak() -> float:
    """Reset the peak memory and return the current one, in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def thirty(folder: Path) -> None:
    """Copy the same day to thirty days."""
    store = Store(folder)
    files = list(parquet.active_files(folder / "quotes"))
    for number in range(1, DAYS):
        later = timedelta(days=number)
        for file in files:
            first, last = file.first + later, file.last + later
            name = parquet.file_name(first, None if file.first == file.last else last, full=file.full)
            rows = pl.scan_parquet(file.path, hive_partitioning=False).with_columns(pl.col("seen_ts") + later)
            parquet.write_parquet(store.folder / "quotes" / f"day={first:%Y-%m-%d}" / name, rows)


def run_query(folder: Path) -> dict[str, float]:
    store = Store(folder)
    ticker = market_quotes(np.random.default_rng(0))["ticker"][70_000]
    result = {}
    for name, ask in (
        ("asof", lambda: store.asof(BEGIN + timedelta(days=20, hours=13, minutes=59))),
        ("history", lambda: store.history(ticker)),
    ):
        seconds = []
        for _ in range(5):
            clock = time.perf_counter()
            rows = ask().height
            seconds.append(time.perf_counter() - clock)
        result |= {name: float(np.median(seconds)), f"{name} rows": rows}
    return result


def run() -> str:
    with tempfile.TemporaryDirectory(prefix="fairline-store-") as name:
        folder = Path(name) / "store"
        one = child("day", folder)
        thirty(folder)
        after = child("run_query", folder)
    return "\n".join(
        [
            f"| {MARKETS:,} markets a minute, {CHANGING:.0%} changing | measured | goal |\n|---|---|---|",
            f"| append the changes, median of a day | {one['append'] * 1e3:.0f} ms | 300 ms |",
            f"| slowest append, with a snapshot of everything | {one['slowest'] * 1e3:.0f} ms | |",
            f"| memory beyond the rows: the first snapshot, then fifty minutes of changes "
            f"| {one['first']:.0f} MB, {one['memory']:.0f} MB | 60 MB |",
            f"| slowest merge of one or four hours | {one['merge']:.2f} s | |",
            f"| a day on disk | {one['bytes'] / 1e6:.0f} MB | 300 MB |",
            f"| the same as full CSV snapshots ({one['csv_s']:.2f} s each) | {one['csv'] / 1e9:.1f} GB: "
            f"{one['csv'] / one['bytes']:.0f} × | |",
            f"| `asof` over {DAYS} days ({after['asof rows']:,} markets) | {after['asof']:.2f} s | 1 s |",
            f"| `history` of a ticker over {DAYS} days ({after['history rows']:,} changes) | {after['history']:.2f} s "
            "| 0.3 s |",
        ]
    )


def child(what: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-c", f"import json, pathlib; from benchmarks import store; "
               f"print(json.dumps(store.{what}(pathlib.Path({str(folder)!r}))))"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result

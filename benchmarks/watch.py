"""A watch beside the scan that it makes: what recording and telling add, and how soon it ends when asked to."""

import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import polars as pl

from benchmarks.server import exchange
from fairline.kalshi import Kalshi, Rate, TokenBucket, Transport
from fairline.kalshi.cache import ExchangeCache
from fairline.models import load
from fairline.store.store import Store
from fairline.watch.alerts import Rule
from fairline.watch.loop import Watch, WatchConfig
from fairline.watch.state import State

MARKETS, SCANS = 117_000, 8
MODEL = """
import polars as pl

class Above:
    name, version = "above", "1"
    def covers(self, markets): return pl.col("p_mid").is_not_null()
    def requests(self, markets, asof): return []
    def predict(self, markets, payloads, asof):
        # Of five hundred markets it is of another opinion about one: some opportunities, as one would hope for.
        odd = pl.col("ticker").hash(1) % 500 == 0
        p = (pl.col("p_mid") + pl.when(odd).then(0.06).otherwise(0.0)).clip(0.01, 0.99)
        return markets.select("ticker", p=p, p_sd=pl.lit(0.01), model=pl.lit("above"), asof=pl.lit(asof))
"""


async def watched(url: str, folder: Path) -> dict[str, float]:
    store, state = Store(folder / "store"), State(folder / "store")
    store.acquire()
    (folder / "model.py").write_text(MODEL)
    config = WatchConfig(
        [load(f"{folder / 'model.py'}:Above")], alerts=[Rule("all", min_edge=2.0)], every=timedelta(seconds=4)
    )
    async with Kalshi(Transport(url, bucket=TokenBucket(Rate(1e9, 1e9)))) as kalshi:
        watch = Watch(kalshi, config, store, state, memory=ExchangeCache(folder / "cache", url))
        await watch.run(max_scans=1)  # what is new is everything, once
        watch.health.seconds.clear()
        await watch.run(max_scans=SCANS)
    made = {stage: seconds / SCANS for stage, seconds in watch.health.seconds.items()}
    quotes = store.read("quotes")
    made["changed"] = quotes.filter(pl.col("seen_ts") > quotes["seen_ts"].min()).height / SCANS / MARKETS
    made["kept"] = watch.health.opportunities
    store.release()
    state.close()
    return made


def stopping(url: str, folder: Path) -> float:
    """Seconds from SIGTERM to the end, in the middle of a scan; the slowest of five."""
    (folder / "model.py").write_text(MODEL)
    command = [sys.executable, "-m", "fairline", "watch", "--exchange", url, "--model", "model.py:Above", "--every",
               "1s", "--port", "0", "--store", str(folder / "other")]  # fmt: skip
    slowest = 0.0
    for number in range(5):
        with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            time.sleep(4 + number / 3)
            clock = time.perf_counter()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
            slowest = max(slowest, time.perf_counter() - clock)
    return slowest


def run() -> str:
    with (
        tempfile.TemporaryDirectory(prefix="fairline-watch-") as name,
        exchange("--markets", MARKETS, "--moves", 30, "--latency-ms", 20) as server,
    ):
        made = asyncio.run(watched(server.url, Path(name)))
        stopped = stopping(server.url, Path(name))
    scan, beside = made["read"] + made["price"], made["record"] + made["alert"]
    return "\n".join(
        [
            f"| {MARKETS:,} markets, {made['changed']:.1%} changing between scans, one model, "
            f"{made['kept']:.0f} opportunities | seconds a scan |\n|---|---|",
            *(f"| {stage} | {made[stage]:.3f} |" for stage in ("read", "price", "record", "alert")),
            f"| recording and telling, against the scan | {beside / scan:.1%} (goal: under 10 %) |",
            f"| from SIGTERM to the end, the slowest of five | {stopped:.2f} (goal: 2) |",
        ]
    )

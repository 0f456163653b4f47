"""Measure what recording and alerting add to a scan, and how soon a watch stops."""

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
from fairline.config.model_settings import model_settings
from fairline.kalshi import Kalshi, Rate, TokenBucket, Transport
from fairline.kalshi.cache import ExchangeCache
from fairline.models import load
from fairline.store.store import Store
from fairline.watch.alerts import Rule
from fairline.watch.config import WatchConfig
from fairline.watch.loop import Watch
from fairline.watch.state import State

MARKETS, SCANS = 117_000, 8
MODEL = """
import polars as pl

class Above:
    name, version = "above", "1"
    def covers(self, markets): return pl.col("p_mid").is_not_null()
    def requests(self, markets, asof): return []
    def predict(self, markets, payloads, asof):
        # It disagrees on one of five hundred markets, which gives a realistic number of opportunities.
        odd = pl.col("ticker").hash(1) % 500 == 0
        p = (pl.col("p_mid") + pl.when(odd).then(0.06).otherwise(0.0)).clip(0.01, 0.99)
        return markets.select("ticker", p=p, p_sd=pl.lit(0.01), model=pl.lit("above"), asof=pl.lit(asof))
"""


async def run_watch(url: str, folder: Path) -> dict[str, float]:
    store, state = Store(folder / "store"), State(folder / "store")
    store.acquire()
    (folder / "model.py").write_text(MODEL)
    config = WatchConfig(
        [load(f"{folder / 'model.py'}:Above", model_settings())],
        alerts=[Rule("all", min_edge=2.0)],
        every=timedelta(seconds=4),
    )
    async with Kalshi(Transport(url, bucket=TokenBucket(Rate(1e9, 1e9)))) as kalshi:
        watch = Watch(kalshi, config, store, state, memory=ExchangeCache(folder / "cache", url))
        await watch.run(max_scans=1)  # the first scan records everything
        watch.health.seconds.clear()
        await watch.run(max_scans=SCANS)
    result = {stage: seconds / SCANS for stage, seconds in watch.health.seconds.items()}
    quotes = store.read("quotes")
    result["changed"] = quotes.filter(pl.col("seen_ts") > quotes["seen_ts"].min()).height / SCANS / MARKETS
    result["kept"] = watch.health.opportunities
    store.release()
    state.close()
    return result


def stopping(url: str, folder: Path) -> float:
    """Return the seconds from SIGTERM to the end, in the middle of a scan: the slowest of five."""
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
        result = asyncio.run(run_watch(server.url, Path(name)))
        stopped = stopping(server.url, Path(name))
    scan, beside = result["read"] + result["price"], result["record"] + result["alert"]
    return "\n".join(
        [
            f"| {MARKETS:,} markets, {result['changed']:.1%} changing between scans, one model, "
            f"{result['kept']:.0f} opportunities | seconds per scan |\n|---|---|",
            *(f"| {stage} | {result[stage]:.3f} |" for stage in ("read", "price", "record", "alert")),
            f"| recording and alerting, as a share of the scan | {beside / scan:.1%} (goal: under 10 %) |",
            f"| from SIGTERM to the end, slowest of five | {stopped:.2f} (goal: 2) |",
        ]
    )

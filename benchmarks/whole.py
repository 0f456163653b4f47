"""Measure whole commands as processes started from a shell: wall time, CPU, peak memory, requests, token bound.

The simulated exchange answers after 80 ms and grants the Basic tier. The token bound is the least time in which the
exchange's token bucket hands out as many requests as the command made. Peers only list; Fairline also prices.
"""

import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.crawl import CRAWLERS, OFFICIAL, PYKALSHI
from benchmarks.server import Server, exchange

LAUNCH = Path(__file__).with_name("launch.py")
FAIRLINE = Path(sys.executable).with_name("fairline")
LATENCY_S = 0.08
BURST, RATE = 60, 20  # requests of the Basic tier at 10 tokens each
REFILL_S = BURST / RATE + 0.5
MARKETS, SMALL = 117_000, 15_000
LARGE = (117_000, 500_000, 1_300_000)
RUNS = 3
SPREAD = "20"  # percent; about 1 % of the simulated markets become candidates
WATCH_EVERY_S, WATCH_SCANS = 5, 6
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What one process cost; `requests` is 0 where it is unknown."""

    seconds: float
    cpu: float
    peak_mb: float
    requests: int = 0

    @property
    def bound_s(self) -> float:
        return max(0, self.requests - BURST) / RATE + LATENCY_S


@dataclass
class Bench:
    """A running exchange with a forecast, and a cache folder that commands share while they are warm."""

    server: Server
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environment = {
            **os.environ,
            "FAIRLINE_EXCHANGE": self.server.url,
            "KALSHI_API_KEY_ID": self.server.key_id,
            "KALSHI_PRIVATE_KEY_PATH": str(self.server.key_file),
            **{f"XDG_{kind}_HOME": str(self.folder / kind.lower()) for kind in ("CONFIG", "STATE", "DATA", "CACHE")},
        }

    @property
    def forecast(self) -> Path:
        return self.folder / "forecast.csv"

    def forget(self) -> None:
        """Start with an empty cache."""
        self.environment["XDG_CACHE_HOME"] = tempfile.mkdtemp(dir=self.folder)

    def run(self, *command: object, refill_s: float = REFILL_S) -> Cost:
        """Run a command after the token bucket has refilled. Raises `AssertionError` if the command fails."""
        time.sleep(refill_s)
        arguments = [sys.executable, "-S", "-E", str(LAUNCH), *map(str, command)]
        done = subprocess.run(
            arguments, capture_output=True, text=True, check=True, env=self.environment, cwd=self.folder
        )
        cost = json.loads(done.stdout.splitlines()[-1])
        assert cost.pop("status") == 0, done.stdout + done.stderr
        requests = re.search(r"([\d,]+) requests", done.stdout + done.stderr)
        return Cost(**cost, requests=int(requests[1].replace(",", "")) if requests else 0)

    def fairline(self, *arguments: object, **more: float) -> Cost:
        return self.run(FAIRLINE, *arguments, **more)

    def best(self, *arguments: object, warm: bool = True, runs: int = RUNS) -> Cost:
        """Return the fastest of a few runs, after one that fills the cache if `warm`."""
        self.forget()
        if warm:
            self.fairline(*arguments)
        costs = []
        for _ in range(runs):
            if not warm:
                self.forget()
            costs.append(self.fairline(*arguments))
        return min(costs, key=lambda cost: cost.seconds)


@contextmanager
def open_bench(markets: int, *arguments: object, latency_s: float = LATENCY_S) -> Iterator[Bench]:
    with (
        exchange("--markets", markets, "--latency-ms", int(1000 * latency_s), *arguments) as server,
        tempfile.TemporaryDirectory(prefix="fairline-whole-") as folder,
    ):
        bench = Bench(server, Path(folder))
        write_forecast(server.url, bench.forecast)
        yield bench


def write_forecast(url: str, path: Path) -> None:
    truth_url = url.replace("/trade-api/v2", "/sim/truth")
    with urllib.request.urlopen(truth_url) as answer:  # noqa: S310  the simulator on loopback
        truth = json.load(answer)["truth"]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("ticker", "p"), *truth.items()])


def describe(label: str, cost: Cost) -> str:
    requests = f"{cost.requests} | {cost.bound_s:.2f}" if cost.requests else " | "
    return f"| {label} | {cost.seconds:.2f} | {cost.cpu:.2f} | {cost.peak_mb:.0f} | {requests} |"


HEAD = "wall s | CPU s | peak MB | requests | token bound s |\n|---|---|---|---|---|---|"


def measure_commands(markets: int = MARKETS) -> list[str]:
    lines = [f"| {markets:,} markets, 80 ms, Basic tier | {HEAD}"]
    with open_bench(markets, "--tier", "basic") as bench:
        scan = ("scan", "--probabilities", bench.forecast, "--max-spread", SPREAD)
        for form in ("parquet", "csv", "json"):
            cost = bench.best("markets", "--output", bench.folder / f"markets.{form}")
            lines.append(describe(f"`markets` to {form}, warm", cost))
        lines.append(describe("`scan`, warm", bench.best(*scan)))
        lines.append(describe("`scan`, cold", bench.best(*scan, warm=False)))
        lines += measure_peers(bench)
    return lines


def measure_small() -> list[str]:
    lines = [f"| {SMALL:,} markets, 80 ms, Basic tier | {HEAD}"]
    with open_bench(SMALL, "--tier", "basic") as bench:
        lines.append(describe("`scan`, warm", bench.best("scan", "--probabilities", bench.forecast)))
        lines += measure_peers(bench)
    return lines


def measure_peers(bench: Bench) -> list[str]:
    """List with other people's clients and with a plain loop, each a whole process."""
    peers: list[tuple[str, Path, str, tuple[object, ...]]] = [
        ("plain aiohttp + msgspec, listing only", Path(sys.executable), "aiohttp", ()),
    ]
    if OFFICIAL.exists():
        peers.append(("`kalshi_python_async` 3.34, listing only", OFFICIAL, "official", ()))
        key = (bench.server.key_id, bench.server.key_file)
        peers.append(("`pykalshi` 2.0, listing only", PYKALSHI, "pykalshi", key))
    lines = []
    for label, python, name, key in peers:
        costs = [bench.run(python, CRAWLERS, name, bench.server.url, *key, "") for _ in range(RUNS)]
        lines.append(describe(label, min(costs, key=lambda cost: cost.seconds)))
    return lines


def measure_sizes() -> list[str]:
    """Scan growing listings at the highest tier; the memory per additional market is the figure of interest."""
    lines = [f"| markets, no latency, no limit | {HEAD}"]
    for markets in LARGE:
        with open_bench(markets, "--tier", "prestige", latency_s=0) as bench:
            cost = bench.fairline("markets", "--output", bench.folder / "markets.parquet", refill_s=0)
        lines.append(describe(f"`markets` of {markets:,} to parquet", cost))
    return lines


def measure_watch() -> list[str]:
    """Watch 117,000 markets of which about 1 % change between scans; return the CPU of a scan."""
    moves = round(0.01 * 3600 / WATCH_EVERY_S)
    with open_bench(MARKETS, "--moves", moves) as bench:
        command = [FAIRLINE, "watch", "--probabilities", bench.forecast, "--every", f"{WATCH_EVERY_S}s", "--port", "0"]
        process = subprocess.Popen(
            [*map(str, command), "--store", str(bench.folder / "store")],
            env=bench.environment,
            cwd=bench.folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            cpu = [read_cpu(process.pid) for _ in wait_for_scans(process, 2)]
            cpu += [read_cpu(process.pid) for _ in wait_for_scans(process, WATCH_SCANS)]
        finally:
            process.terminate()
            process.wait(timeout=20)
    per_scan = (cpu[-1] - cpu[1]) / WATCH_SCANS
    return [
        f"| watch, {MARKETS:,} markets, about 1 % changing | CPU s per scan |\n|---|---|",
        f"| REST | {per_scan:.2f} |",
    ]


def wait_for_scans(process: subprocess.Popen[str], scans: int) -> Iterator[str]:
    assert process.stderr is not None
    for line in process.stderr:
        if "markets" in line:
            yield line
            scans -= 1
        if not scans:
            return


def read_cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def run() -> str:
    parts = (measure_commands, measure_small, measure_sizes, measure_watch)
    return "\n\n".join("\n".join(part()) for part in parts)

"""Backtest a recorded store of 117,000 markets: cost per row and step, memory, and two processes against one."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.store import forget_peak, market_quotes, move_quotes, peak
from fairline.backtesting.backtest import cut_folds
from fairline.backtesting.decide import Grid, Terms, evaluate_block
from fairline.backtesting.run import Task, local_executor, run_blocks
from fairline.market.fees import CAUTIOUS
from fairline.market.filters import Filters
from fairline.models import Model
from fairline.pricing.rules import Rules
from fairline.sources import Payload, Request
from fairline.store.datasets import FACTS, SCANS
from fairline.store.store import Store
from fairline.store.timeline import Timeline

INSTANTS = 120
INTERVAL = timedelta(minutes=1)
BEGIN = datetime(2026, 10, 1, tzinfo=UTC)
GOAL_ROWS = 100_000_000
TERMS = Terms(Filters(), Rules(), CAUTIOUS)


class NearMid:
    """Prices every two-sided market near its midpoint, so that all of them are priced and few are flagged."""

    name = "near mid"
    version = "1"

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        return pl.col("p_mid").is_not_null()

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        return []

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        p = (pl.col("p_mid") + 0.04 * (pl.col("volume_cc") % 7 - 3) / 3).clip(0.01, 0.99)
        return markets.select(
            "ticker", p=p, p_sd=pl.lit(None, dtype=pl.Float64), model=pl.lit(self.name), asof=pl.lit(asof)
        )


@dataclass(frozen=True)
class OneModel:
    """The model above, without inputs."""

    def load(self) -> list[Model]:
        return [NearMid()]

    def inputs(self, store: Store) -> "OneModel":
        return self

    def known_at(self, requests: Sequence[Request], at: datetime) -> dict[Request, Payload]:
        return {}


def record(folder: Path, instants: int = INSTANTS) -> None:
    """Record a scan per minute of 117,000 markets, 5 % of them changing, with an hourly snapshot."""
    rng = np.random.default_rng(0)
    store = Store(folder)
    store.acquire()
    quotes = market_quotes(rng)
    facts = {name: pl.lit(None, dtype=dtype) for name, dtype in FACTS.items()}
    facts |= {
        "ticker": pl.col("ticker"), "event_ticker": pl.col("ticker").str.slice(0, 18),
        "series_ticker": pl.col("ticker").str.slice(0, 7), "category": pl.lit("Sports"),
        "title": pl.format("Will {} be?", "ticker"), "market_type": pl.lit("binary"),
        "close_ts": pl.lit(BEGIN + timedelta(days=30)), "fee_type": pl.lit("quadratic"),
        "fee_multiplier_m": pl.lit(10_000),
    }  # fmt: skip
    columns = [value.cast(FACTS[name]).alias(name) for name, value in facts.items()]
    store.append("facts", quotes.select(columns), store.next_ts(BEGIN), full=True)
    last = None
    for number in range(instants):
        now = store.next_ts(BEGIN + number * INTERVAL)
        changed = quotes if last is None else quotes.join(last, on=quotes.columns, how="anti", nulls_equal=True)
        store.append("quotes", quotes if number % 60 == 0 else changed, now, full=number % 60 == 0)
        done = {"outcome": ["done"], "complete": [True]}
        rest = {name: [None] for name in SCANS if name not in done}
        store.append("scans", pl.DataFrame(done | rest).cast(dict(SCANS)).select(SCANS.names()), now)
        last = quotes
        quotes = move_quotes(quotes, rng)
    store.release()


def evaluate(folder: Path) -> dict[str, float]:
    """Evaluate every instant in one process. Returns CPU seconds, rows, peak memory and the median step."""
    store = Store(folder)
    grid = Grid(BEGIN, BEGIN + (INSTANTS - 1) * INTERVAL, INTERVAL)
    timeline = Timeline(store)
    steps = []
    rows = 0
    for instant in grid.instants():
        clock = time.perf_counter()
        rows += timeline.at(instant).height
        steps.append(time.perf_counter() - clock)
    scratch = time.perf_counter()
    store.asof(BEGIN + INSTANTS // 2 * INTERVAL)
    scratch = time.perf_counter() - scratch
    forget_peak()
    clock = time.process_time()
    decisions = 0
    for fold in cut_folds(grid, None):
        for block in fold:
            decisions += evaluate_block(Timeline(store), [NearMid()], OneModel(), block, TERMS).decisions.height
    return {
        "cpu": time.process_time() - clock, "rows": rows, "peak": peak(), "decisions": decisions,
        "step": float(np.median(steps)), "scratch": scratch,
    }  # fmt: skip


def processes(folder: Path) -> dict[str, float]:
    """Return the wall seconds of one and of two processes over the same blocks."""
    grid = Grid(BEGIN, BEGIN + (INSTANTS - 1) * INTERVAL, INTERVAL)
    blocks = [block for fold in cut_folds(grid, timedelta(minutes=15)) for block in fold]
    seconds = {}
    for jobs in (1, 2):
        tasks = [Task(folder, folder / f"run{jobs}", block, TERMS, OneModel(), BEGIN) for block in blocks]
        clock = time.perf_counter()
        run_blocks(tasks, lambda jobs=jobs: local_executor(jobs))
        seconds[f"jobs {jobs}"] = time.perf_counter() - clock
    return seconds


def run() -> str:
    with tempfile.TemporaryDirectory(prefix="fairline-backtest-") as name:
        folder = Path(name) / "store"
        record(folder)
        one = child("evaluate", folder)
        both = child("processes", folder)
    scale = GOAL_ROWS / one["rows"]
    return "\n".join(
        [
            f"| {one['rows'] / INSTANTS:,.0f} markets at {INSTANTS} instants, one model | measured | goal |",
            "|---|---|---|",
            f"| CPU per million rows priced | {one['cpu'] / one['rows'] * 1e6:.2f} s | |",
            f"| CPU for 10⁸ rows at that rate | {one['cpu'] * scale:.0f} s | 120 s |",
            f"| peak memory of the process | {one['peak']:.0f} MB | 2,000 MB |",
            f"| a step in time, median | {one['step'] * 1e3:.0f} ms | 20 ms |",
            f"| the same from scratch | {one['scratch'] * 1e3:.0f} ms: {one['scratch'] / one['step']:.0f} × | |",
            f"| decisions found | {one['decisions']:,.0f} | |",
            f"| two processes against one, wall | {both['jobs 1'] / both['jobs 2']:.2f} × | 1.7 × |",
        ]
    )


def child(what: str, folder: Path) -> dict[str, float]:
    """Run a function of this file in a process of its own."""
    lines = [
        "import json, pathlib",
        "from benchmarks import backtest",
        "if __name__ == '__main__':",
        f"    print(json.dumps(backtest.{what}(pathlib.Path({str(folder)!r}))))",
    ]
    path = folder.parent / f"{what}.py"
    path.write_text("\n".join(lines))
    environment_path = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, check=False, cwd=environment_path,
        env={"PYTHONPATH": environment_path, "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result

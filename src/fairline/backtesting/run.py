"""The blocks of a backtest, on one machine or several.

A run has a folder of its own. Each finished block is a file there, so an interrupted run continues where it stopped and
a killed worker costs only its block. No data passes through the executor: a task names a store and writes a file.
"""

import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

import msgspec
import polars as pl

from fairline.backtesting.decide import Block, BlockResult, Inputs, Terms, add_steps, evaluate_block, evaluate_instant
from fairline.backtesting.fits import FittedInputs, fit_calibration, fit_models
from fairline.errors import StoreError, UsageError
from fairline.market.funnel import FunnelStep
from fairline.models import Model
from fairline.store.store import Store
from fairline.store.timeline import Timeline
from fairline.version import __version__

BLOCK_INSTANTS = 48
"""Instants per block: two days of hours. Loading a block's first state costs as much as some twenty steps."""
PLAN_SAMPLE = 5
"""Instants that a plan times."""
MAX_TRIES = 3
"""How often a block is tried when its worker dies."""

Progress = Callable[[int, int], None]
"""Called with the number of finished blocks and the number of all blocks."""

StartExecutor = Callable[[], Executor]
"""Starts an executor; called again if its processes died."""


class ModelSource(Protocol):
    """Brings the models of a run into a worker. It is pickled, so it holds names or picklable models."""

    def load(self) -> Sequence[Model]:
        """Return newly built models."""
        ...

    def inputs(self, store: Store) -> Inputs:
        """Return what the models may read of a store."""
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """One block for one worker: everything by value or by path."""

    store: Path
    folder: Path
    block: Block
    terms: Terms
    models: ModelSource
    fitted_at: datetime
    """When models that learn are fitted: the beginning of the block's fold."""


@dataclass(frozen=True, slots=True)
class Worker:
    """What has to agree between the machines of a run."""

    fairline: str
    polars: str
    python: str
    store: str


class _Summary(msgspec.Struct, frozen=True):
    """The part of a block's result that is not a table."""

    funnel: list[FunnelStep]
    problems: dict[str, int]


def describe_worker(store: Path) -> Worker:
    """Return this process's versions and the identity of the store that it sees at a path."""
    marker = store / "store.json"
    identity = f"{marker.stat().st_size}:{marker.read_text()}" if marker.is_file() else "no store"
    return Worker(__version__, pl.__version__, platform.python_version(), identity)


def check_workers(executor: Executor, store: Path) -> None:
    """Raise `UsageError` unless a worker has this machine's versions and sees the same store at the same path."""
    local = describe_worker(store)
    remote = executor.submit(describe_worker, store).result()
    for name in Worker.__slots__:
        own = getattr(local, name)
        other = getattr(remote, name)
        if own != other:
            what = "store" if name == "store" else f"version of {name}"
            raise UsageError(f"the workers have another {what} ({other}, here {own})", remedy="Make them the same")


def run_blocks(tasks: Sequence[Task], start: StartExecutor | None, progress: Progress | None = None) -> None:
    """Evaluate every block that has no file yet. Without `start` they run here, one after the other.

    Raises what a block raises, and `StoreError` for a block whose workers died `MAX_TRIES` times.
    """
    report = progress or _silent
    missing = _find_unfinished(tasks)
    report(len(tasks) - len(missing), len(tasks))
    if start is None:
        for number, task in enumerate(missing, start=len(tasks) - len(missing) + 1):
            run_block(task)
            report(number, len(tasks))
        return
    for _ in range(MAX_TRIES):
        missing = _find_unfinished(tasks)
        if not missing:
            return
        with start() as executor:
            _run_in(executor, missing, len(tasks), report)
    missing = _find_unfinished(tasks)
    if missing:
        message = f"the workers of {len(missing)} blocks died {MAX_TRIES} times"
        raise StoreError(message, remedy="Use fewer jobs: they may have run out of memory")


def _find_unfinished(tasks: Sequence[Task]) -> list[Task]:
    return [task for task in tasks if not _result_path(task.folder, task.block).is_file()]


def local_executor(jobs: int) -> ProcessPoolExecutor:
    """Return a pool of fresh processes: a forked one would share the threads of the column library."""
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))


def run_block(task: Task) -> None:
    """Evaluate one block and write its file atomically."""
    store = Store(task.store)
    loaded = task.models.load()
    models = fit_models(loaded, store, task.fitted_at)
    curves = fit_calibration(loaded, store, task.fitted_at)
    inputs = FittedInputs(task.models.inputs(store), curves)
    result = evaluate_block(Timeline(store), models, inputs, task.block, task.terms)
    _write(task.folder, task.block, result)


def read_results(folder: Path, blocks: Sequence[Block]) -> BlockResult:
    """Return the results of all blocks together, in order of time. Raises `StoreError` if one is missing."""
    return merge_results([_read(folder, block) for block in blocks])


def merge_results(parts: Sequence[BlockResult]) -> BlockResult:
    """Return several results as one: decisions in order, first opinions, counts added up."""
    opinions = pl.concat([part.opinions for part in parts])
    funnel: dict[str, FunnelStep] = {}
    problems: dict[str, int] = {}
    for part in parts:
        add_steps(funnel, part.funnel)
        for problem, count in part.problems.items():
            problems[problem] = problems.get(problem, 0) + count
    return BlockResult(
        pl.concat([part.decisions for part in parts]),
        opinions.unique(["model", "ticker"], keep="first", maintain_order=True),
        list(funnel.values()),
        problems,
    )


def _run_in(executor: Executor, tasks: Sequence[Task], total: int, report: Progress) -> None:
    """Run tasks in an executor, up to the death of one of its workers."""
    futures: list[Future[None]] = [executor.submit(run_block, task) for task in tasks]
    try:
        for number, future in enumerate(as_completed(futures), start=total - len(tasks) + 1):
            future.result()
            report(number, total)
    except BrokenProcessPool:
        return
    except BaseException:
        for future in futures:
            future.cancel()
        raise


def _silent(finished: int, total: int) -> None:
    """Report to nobody."""


def _result_path(folder: Path, block: Block) -> Path:
    """Return the file whose existence says that a block is finished; it is written last."""
    return folder / f"{block.number:05d}.json"


def _write(folder: Path, block: Block, result: BlockResult) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in (("decisions", result.decisions), ("opinions", result.opinions)):
            part = folder / f".{block.number:05d}.{name}.writing"
            table.write_parquet(part, compression="zstd", statistics=False)
            part.replace(folder / f"{block.number:05d}.{name}.parquet")
        marker = folder / f".{block.number:05d}.writing"
        marker.write_bytes(msgspec.json.encode(_Summary(result.funnel, result.problems)))
        marker.replace(_result_path(folder, block))
    except OSError as error:
        raise StoreError(f"cannot write {folder} ({error.strerror})", remedy="Check the disk") from error


def _read(folder: Path, block: Block) -> BlockResult:
    try:
        summary = msgspec.json.decode(_result_path(folder, block).read_bytes(), type=_Summary)
        tables = [pl.read_parquet(folder / f"{block.number:05d}.{name}.parquet") for name in ("decisions", "opinions")]
    except (OSError, msgspec.DecodeError, pl.exceptions.PolarsError) as error:
        raise StoreError(
            f"block {block.number} of {folder} is damaged ({error})", remedy="Delete the folder"
        ) from error
    return BlockResult(tables[0], tables[1], summary.funnel, summary.problems)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a backtest would take: instants, rows (markets times instants), and CPU time by a timed sample."""

    instants: int
    rows: int
    blocks: int
    seconds_per_million_rows: float

    @property
    def cpu_s(self) -> float:
        return self.rows / 1e6 * self.seconds_per_million_rows


def plan_run(tasks: Sequence[Task], sample: int = PLAN_SAMPLE) -> Plan:
    """Time a few instants spread over the grid and extrapolate. Nothing is written. Raises `StoreError`."""
    first = tasks[0]
    store = Store(first.store)
    instants = [instant for task in tasks for instant in task.block.instants()]
    chosen = instants[:: max(1, len(instants) // sample)][:sample]
    models = fit_models(first.models.load(), store, first.fitted_at)
    inputs = FittedInputs(first.models.inputs(store), None)
    timeline = Timeline(store)
    rows = 0
    seconds = 0.0
    for instant in chosen:
        markets = timeline.at(instant)
        rows += markets.height
        started = time.process_time()
        evaluate_instant(markets, models, inputs, instant, first.terms)
        seconds += time.process_time() - started
    per_million = seconds / max(1, rows) * 1e6
    return Plan(len(instants), rows * len(instants) // max(1, len(chosen)), len(tasks), per_million)

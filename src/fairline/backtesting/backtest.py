"""Run a backtest: decide, trade, judge and keep the result.

The grid is cut into folds. Blocks of one fold run in parallel; between folds, beliefs are refitted on the opinions
whose markets had settled by then, so that nothing is believed before it was earned.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import polars as pl

from fairline.backtesting.decide import Block, BlockResult, Grid, Terms
from fairline.backtesting.past import RecordedPast
from fairline.backtesting.result import BacktestResult, assemble
from fairline.backtesting.run import (
    BLOCK_INSTANTS,
    ModelSource,
    Plan,
    Progress,
    StartExecutor,
    Task,
    merge_results,
    plan_run,
    read_results,
    run_blocks,
)
from fairline.backtesting.simulate import FillRule, Simulation, TradingRules, simulate
from fairline.backtesting.trials import Run, hash_data, run_folder, run_id, save_run
from fairline.errors import StoreError, UsageError
from fairline.pricing.belief import Beliefs
from fairline.scoring.records import MAX_SPREAD_PERCENT, fit_records
from fairline.store.store import Store
from fairline.text import format_duration

BOOKS = ("believed", "unproven")
FILL_RULES: dict[str, tuple[FillRule, ...]] = {
    "take": ("take",),
    "rest": ("rest, last in the queue", "rest, first in the queue"),
}
"""How orders are filled, by the user's choice: resting has a pessimistic and an optimistic answer."""


@dataclass(frozen=True, slots=True)
class BacktestOptions:
    """What to test. `trading.fills` is replaced by each rule of `FILL_RULES[fills]` in turn.

    With `refit`, beliefs are refitted at that interval; without it, those of `terms` hold throughout.
    """

    grid: Grid
    terms: Terms
    trading: TradingRules
    fills: str = "take"
    refit: timedelta | None = None

    def describe(self) -> dict[str, str]:
        """Return the options as texts: they identify a run."""
        parts = {
            "every": format_duration(self.grid.every),
            "filters": self.terms.filters,
            "rules": self.terms.rules,
            "fees": self.terms.fees.name,
            "beliefs": (self.terms.beliefs.trust, self.terms.beliefs.records, sorted(self.terms.beliefs.built_in)),
            "trading": self.trading,
            "fills": self.fills,
            "refit": "never" if self.refit is None else format_duration(self.refit),
        }
        return {name: str(value) for name, value in parts.items()}


def find_period(store: Store, since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    """Return the period to test: as asked, else from the first to the last recorded quote.

    Raises `StoreError` for a store without quotes and `UsageError` for a period outside of its quotes.
    """
    if since is not None and until is not None:
        return since, until
    seen = store.read("quotes", columns=["seen_ts"])["seen_ts"]
    first = seen.min()
    last = seen.max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        raise StoreError(f"the store {store.folder} has no quotes", remedy="Record some with watch, or ingest history")
    if since is not None and since > last:
        raise UsageError(f"the last quote of the store is from {last:%Y-%m-%d %H:%M} UTC", field="since")
    if until is not None and until < first:
        raise UsageError(f"the first quote of the store is from {first:%Y-%m-%d %H:%M} UTC", field="until")
    return since or first, until or last


def run_backtest(
    store: Store,
    models: ModelSource,
    options: BacktestOptions,
    *,
    start: StartExecutor | None = None,
    progress: Progress | None = None,
) -> BacktestResult:
    """Test the models over a store and keep the run there. An interrupted run continues where it stopped.

    Raises `StoreError` if the store cannot be read or written, and what loading the models raises.
    """
    run = describe_run(store, models, options)
    decided = decide(store, models, options, run_folder(store, run.id) / "blocks", start=start, progress=progress)
    simulations = {
        (book, rule): _trade(store, decided.decisions, options, book, rule)
        for book in BOOKS
        for rule in FILL_RULES[options.fills]
    }
    save_run(store, msgspec.structs.replace(run, complete=True), _all_trades(simulations))
    return assemble(store, run, decided, simulations)


def describe_run(store: Store, models: ModelSource, options: BacktestOptions) -> Run:
    """Return the record of a run before it is carried out."""
    versions = {model.name: model.version for model in models.load()}
    described = options.describe()
    data = hash_data(store)
    grid = options.grid
    identity = run_id(versions, grid.since, grid.until, described, data)
    return Run(
        id=identity,
        created_ts=datetime.now(UTC),
        models=versions,
        since=grid.since,
        until=grid.until,
        options=described,
        data_hash=data,
    )


def decide(
    store: Store,
    models: ModelSource,
    options: BacktestOptions,
    folder: Path,
    *,
    start: StartExecutor | None = None,
    progress: Progress | None = None,
) -> BlockResult:
    """Evaluate the grid fold by fold and return what was decided."""
    folds = cut_folds(options.grid, options.refit)
    total = sum(len(fold) for fold in folds)
    settlements = store.read("settlements")
    terms = options.terms
    results: list[BlockResult] = []
    finished = 0
    for fold in folds:
        begin = options.grid.instant(fold[0].first)
        tasks = [Task(store.folder, folder, block, terms, models, begin) for block in fold]
        run_blocks(tasks, start, _offset(progress, finished, total))
        finished += len(fold)
        results.append(read_results(folder, fold))
        opinions = merge_results(results).opinions
        boundary = options.grid.instant(fold[-1].last + 1)
        terms = replace(options.terms, beliefs=refit(options.terms.beliefs, opinions, settlements, boundary))
    return merge_results(results)


def plan_backtest(store: Store, models: ModelSource, options: BacktestOptions) -> Plan:
    """Return what a backtest would take, by timing a few of its instants. Raises `StoreError`."""
    begin = options.grid.since
    blocks = [block for fold in cut_folds(options.grid, options.refit) for block in fold]
    return plan_run([Task(store.folder, store.folder, block, options.terms, models, begin) for block in blocks])


def cut_folds(grid: Grid, refit_every: timedelta | None) -> list[list[Block]]:
    """Return the blocks of each fold; a block never reaches over the end of its fold."""
    per_fold = len(grid) if refit_every is None else max(1, refit_every // grid.every)
    edges = [*range(0, len(grid), per_fold), len(grid)]
    folds = []
    number = 0
    for first, end in pairwise(edges):
        starts = range(first, end, BLOCK_INSTANTS)
        fold = [Block(number + place, grid, at, min(at + BLOCK_INSTANTS, end) - 1) for place, at in enumerate(starts)]
        number += len(fold)
        folds.append(fold)
    return folds


def refit(beliefs: Beliefs, opinions: pl.DataFrame, settlements: pl.DataFrame, known_at: datetime) -> Beliefs:
    """Return beliefs with the records that opinions on markets settled by an instant support.

    A settlement counts from the instant at which it was published. Shipped records are dropped: they may rest on the
    very markets that are tested.
    """
    published = settlements.filter((pl.col("seen_ts") <= known_at) & pl.col("result").is_in(["yes", "no"])).unique(
        "ticker", keep="last", maintain_order=True
    )
    outcome = (pl.col("result") == "yes").cast(pl.Float64)
    p_mid = (pl.col("p_bid") + pl.col("p_ask")) / 2
    spread_percent = 100 * (pl.col("p_ask") - pl.col("p_bid")) / p_mid
    rows = opinions.filter(spread_percent < MAX_SPREAD_PERCENT).join(published.select("ticker", "result"), on="ticker")
    records = fit_records(rows.with_columns(p_mid=p_mid, outcome=outcome, day=pl.col("asof").dt.date()))
    return replace(beliefs, records=records)


def _trade(store: Store, decisions: pl.DataFrame, options: BacktestOptions, book: str, rule: FillRule) -> Simulation:
    """Trade one book. What is unproven has no Kelly stake: its orders all have the same size."""
    trading = replace(options.trading, fills=rule)
    if book == "unproven":
        trading = replace(trading, bankroll=None)
    decisions = decisions.filter(pl.col("book") == book)
    past = RecordedPast(store, decisions["ticker"].unique().sort().to_list(), options.grid.since)
    return simulate(decisions, past, trading)


def _all_trades(simulations: dict[tuple[str, FillRule], Simulation]) -> pl.DataFrame:
    """Return the trades of all accounts; of a resting order the pessimistic answer counts in the record of runs."""
    first_rule = next(rule for _, rule in simulations)
    return pl.concat([simulation.trades for (_, rule), simulation in simulations.items() if rule == first_rule])


def _offset(progress: Progress | None, finished: int, total: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, _: progress(finished + done, total)

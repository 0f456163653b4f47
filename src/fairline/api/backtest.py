"""`backtest`: what a model would have earned over a recorded past."""

import asyncio
import inspect
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from fairline.api.backtest_report import BacktestReport
from fairline.api.functions import AnyModel
from fairline.api.keywords import build_request, document_keywords
from fairline.api.options import Connection, Period, Running
from fairline.api.requests import BacktestRequest
from fairline.api.running import run_sync
from fairline.api.session import bankroll, exact_filters, load_models
from fairline.backtesting.backtest import BacktestOptions, find_period, plan_backtest, run_backtest
from fairline.backtesting.decide import Grid, Terms
from fairline.backtesting.inputs import PastInputs
from fairline.backtesting.prove import Proof, prove
from fairline.backtesting.run import StartExecutor, check_workers, local_executor
from fairline.backtesting.simulate import TradingRules
from fairline.backtesting.trials import correct_for_trials, list_runs, read_trades
from fairline.config.connect import store_folder
from fairline.config.model_settings import ModelSettings, model_settings
from fairline.config.settings import load_settings
from fairline.errors import UsageError
from fairline.extras import need
from fairline.kalshi.redaction import show_value
from fairline.market.fees import CAUTIOUS
from fairline.market.frame import NOTIONAL_U
from fairline.models import Model, TableModel, load
from fairline.pricing.belief import Beliefs
from fairline.store.store import Store
from fairline.text import parse_duration

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is finished, and how much there is."""

_MODELS = inspect.Parameter("models", inspect.Parameter.VAR_POSITIONAL)
_STORE = inspect.Parameter("store", inspect.Parameter.KEYWORD_ONLY, default=None)
MAX_JOBS = 256


@dataclass(frozen=True, slots=True)
class ChosenModels:
    """The models of a run for a worker: names are loaded there, tables and objects are sent as they are."""

    models: tuple[str | Model, ...]
    settings: ModelSettings

    def load(self) -> list[Model]:
        """Return the models, newly built where they were named."""
        return [load(model, self.settings) if isinstance(model, str) else model for model in self.models]

    def inputs(self, store: Store) -> PastInputs:
        """Return what the models may read of a store."""
        return PastInputs(store)


def choose_models(models: Sequence[AnyModel]) -> ChosenModels:
    """Return the models for a worker, checked here first. Raises `UsageError` or `InputError`."""
    checked = load_models(models)
    given = tuple(
        model if isinstance(model, TableModel) or not isinstance(named, str) else named
        for named, model in zip(dict.fromkeys(models), checked, strict=True)
    )
    return ChosenModels(given, model_settings())


def run_backtest_request(
    models: Sequence[AnyModel], store: Store, request: BacktestRequest, progress: Progress | None = None
) -> BacktestReport:
    """Test models with the options of a request: what `backtest` and the command do.

    Raises `UsageError` for invalid options and `StoreError` if the store cannot be read or written. A leak that
    `prove` finds is reported and nothing is traded.
    """
    if not models:
        raise UsageError("no model was given", remedy="Name a model, a table of probabilities, or path/to/file.py:Name")
    chosen = choose_models(models)
    options = _options(store, request)
    if request.running.prove:
        proof = _prove(store, chosen, options, progress)
        if proof.leak is not None:
            return BacktestReport(None, proof)
    else:
        proof = None
    start = _executor(store, request.running)
    step = partial(progress, "instants") if progress else None
    return BacktestReport(run_backtest(store, chosen, options, start=start, progress=step), proof)


def plan_document(models: Sequence[AnyModel], store: Store, request: BacktestRequest) -> dict[str, Any]:
    """Return what a backtest with the options of a request would take, as a JSON document. Nothing is written."""
    plan = plan_backtest(store, choose_models(models), _options(store, request))
    jobs = request.running.jobs
    return {
        "instants": plan.instants,
        "rows": plan.rows,
        "blocks": plan.blocks,
        "cpu_seconds_per_million_rows": plan.seconds_per_million_rows,
        "cpu_seconds": plan.cpu_s,
        "jobs": jobs,
        "hours_with_these_jobs": plan.cpu_s / jobs / 3_600,
        "cpu_hours_for_a_billion_rows": plan.seconds_per_million_rows * 1_000 / 3_600,
    }


def list_runs_document(store: Store) -> dict[str, Any]:
    """Return all finished runs of a store as a JSON document, with the best one corrected for their number."""
    finished = list_runs(store)
    trials = [(run.id, read_trades(store, run)) for run in finished]
    best = correct_for_trials(trials)
    return {
        "runs": [
            {
                "id": run.id,
                "created": run.created_ts.isoformat(),
                "models": run.models,
                "since": run.since.isoformat(),
                "until": run.until.isoformat(),
                "options": run.options,
                "data_hash": run.data_hash,
                "trades": trades.filter(pl.col("count_cc") > 0).height,
                "profit_dollars": (trades["profit_u"].sum() or 0) / NOTIONAL_U,
            }
            for run, (_, trades) in zip(finished, trials, strict=True)
        ],
        "best": trials[best.index][0] if best else None,
        "p_alone": best.p_alone if best else None,
        "p_corrected": best.p_corrected if best else None,
    }


def _options(store: Store, request: BacktestRequest) -> BacktestOptions:
    now = datetime.now(UTC)
    since, until = find_period(store, *_bounds(request.period, now))
    trading = request.trading
    stake = bankroll(request.sizing)
    fills = "rest" if request.rules.rest else trading.fills
    rules = replace(request.rules, rest=fills == "rest")
    trust = request.running.trust
    if not 0 <= trust <= 1:
        raise UsageError("expected a share from 0 to 1", field="trust")
    return BacktestOptions(
        grid=Grid(since, until, request.period.every),
        terms=Terms(exact_filters(request.filters), rules, CAUTIOUS, Beliefs(trust=trust), stake),
        trading=TradingRules(
            enter=trading.enter,
            fills="take",
            every=request.period.every,
            lag=trading.lag,
            max_gap=trading.max_gap,
            rest_for=trading.rest_for,
            size_cc=request.rules.size * 100,
            bankroll=stake,
            fees=CAUTIOUS,
        ),
        fills=fills,
        refit=request.running.refit,
    )


def _bounds(period: Period, now: datetime) -> tuple[datetime | None, datetime | None]:
    return _instant(period.since, now, "since"), _instant(period.until, now, "until")


def _instant(text: str | None, now: datetime, field: str) -> datetime | None:
    """Parse a date or time (UTC unless it says otherwise), or a span before now."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return now - _parse_age(text, field)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parse_age(text: str, field: str) -> timedelta:
    try:
        return parse_duration(text)
    except UsageError as error:
        raise UsageError(
            f"expected a date or time in UTC such as 2026-08-01 or 2026-08-01T12:00, or a duration such as 30d, "
            f"not {show_value(text)}",
            field=field,
        ) from error


def _executor(store: Store, running: Running) -> StartExecutor | None:
    if running.scheduler:
        return partial(_dask_executor, running.scheduler, store.folder)
    if not 1 <= running.jobs <= MAX_JOBS:
        raise UsageError(f"expected a whole number from 1 to {MAX_JOBS}", field="jobs")
    return None if running.jobs == 1 else partial(local_executor, running.jobs)


def _dask_executor(address: str, folder: Path) -> Executor:
    """Connect to a Dask scheduler and check that its workers agree with this machine. Raises `UsageError`."""
    try:
        client = need("distributed", "dask").Client(address, timeout="10s")
    except (OSError, TimeoutError) as error:
        raise UsageError(f"no Dask scheduler answers at {address}", remedy="Start one with: dask scheduler") from error
    executor: Executor = client.get_executor()
    check_workers(executor, folder)
    return executor


def _prove(store: Store, models: ChosenModels, options: BacktestOptions, progress: Progress | None) -> Proof:
    with tempfile.TemporaryDirectory(prefix=".proof-", dir=store.folder.parent) as folder:
        return prove(
            store,
            models,
            options.grid,
            options.terms,
            Path(folder) / "store",
            allowed=[models.settings.config_folder],
            progress=partial(progress, "proof") if progress else None,
        )


def open_store(store: str | Path | Store | None, connection: Connection) -> Store:
    """Return an existing store: the one given, or that of the watch of an exchange. Raises `UsageError`."""
    if isinstance(store, Store):
        return store
    given = None if store is None else Path(store).expanduser()
    folder = store_folder(load_settings(asdict(connection)), given)
    if not (folder / "store.json").exists():
        raise UsageError(f"there is no store at {folder}", remedy="Record one with fairline watch, or ingest history")
    return Store(folder)


@document_keywords(BacktestRequest, _MODELS, _STORE)
async def backtest_async(
    *models: AnyModel, store: str | Path | Store | None = None, progress: Progress | None = None, **options: Any
) -> BacktestReport:
    """Test models over a recorded past. See `backtest`."""
    request = build_request(BacktestRequest, "backtest", options)
    opened = await asyncio.to_thread(open_store, store, request.connection)
    return await asyncio.to_thread(run_backtest_request, models, opened, request, progress)


@document_keywords(BacktestRequest, _MODELS, _STORE)
def backtest(*models: AnyModel, store: str | Path | Store | None = None, **options: Any) -> BacktestReport:
    """Test what models would have earned over a recorded or ingested store.

    Models are those of `scan`; `store` is the folder of a watch or of an ingest, by default that of the
    watch of this exchange. Options are those of the command
    `fairline backtest`, with underscores. Believed and unproven opportunities are traded in separate accounts. Raises
    `FairlineError`.
    """
    return run_sync(backtest_async(*models, store=store, **options))

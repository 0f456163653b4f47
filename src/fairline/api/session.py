"""From options to what a function needs: settings, a connected client, models and their inputs."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fairline.api.options import Connection, Crawl, Credentials, ModelInputs, Sizing
from fairline.config.connect import connect, memory_of, sign_in, sources_of
from fairline.config.model_settings import model_settings
from fairline.config.settings import Settings, load_settings
from fairline.errors import InputError, UsageError
from fairline.kalshi import Kalshi
from fairline.kalshi.cache import ExchangeCache
from fairline.market.filters import Filters
from fairline.market.listing import Ages
from fairline.market.tickers import parse_event_ticker, parse_market_ticker, parse_series_ticker
from fairline.models import Model, TableModel, load
from fairline.pricing.sizing import Bankroll
from fairline.sources import Sources
from fairline.sources.inputs import ScanInputs
from fairline.store.inputs import InputRecorder
from fairline.store.store import Store

TABLE_SUFFIXES = (".csv", ".parquet")
_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a caller wants to hear while a function runs: markets read so far, warnings, a missing passphrase."""

    progress: Callable[[int], None] | None = None
    notify: Callable[[str], None] = logging.getLogger("fairline").warning
    ask_passphrase: Callable[[], str] | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One call to the exchange."""

    settings: Settings
    memory: ExchangeCache
    hooks: Hooks

    @asynccontextmanager
    async def kalshi(self) -> AsyncIterator[Kalshi]:
        """Yield a connected client, signed in if there is a key."""
        auth = sign_in(self.settings, self.hooks.notify, self.hooks.ask_passphrase)
        async with await connect(self.settings, auth, self.hooks.notify) as kalshi:
            yield kalshi


def open_session(connection: Connection, credentials: Credentials, hooks: Hooks) -> Session:
    """Read the settings for one call. Raises `ConfigError`."""
    settings = load_settings(asdict(connection) | asdict(credentials))
    return Session(settings, memory_of(settings), hooks)


def ages(crawl: Crawl) -> Ages:
    """Return how old reused answers may be."""
    return Ages(facts_s=0, crawl_s=0) if crawl.fresh else Ages(crawl_s=crawl.max_age.total_seconds())


def sources(inputs: ModelInputs) -> Sources:
    """Return the reader of the models' inputs."""
    return sources_of(offline=inputs.offline)


def record_inputs(folder: Path | None, inputs: ScanInputs | None, exchange: str) -> None:
    """Add the inputs of a scan to the store in a folder, if one was named. Raises `StoreError`."""
    if folder is None or inputs is None:
        return
    store = Store(folder, exchange)
    store.acquire()
    try:
        InputRecorder(store).record(inputs, store.next_ts(datetime.now(UTC)))
    finally:
        store.release()


def bankroll(sizing: Sizing) -> Bankroll | None:
    """Return the bankroll in micro-dollars and shares; None without one. Raises `UsageError`."""
    if not 0 < sizing.kelly <= 1:
        raise UsageError("expected a fraction above 0, up to 1", field="kelly")
    if len(sizing.caps) != 4 or not all(0 < cap <= 100 for cap in sizing.caps):
        raise UsageError("expected four percentages above 0, up to 100: market, event, series, day", field="caps")
    if sizing.bankroll is None:
        return None
    if not 0 < sizing.bankroll <= 1e9:
        raise UsageError("expected dollars above 0, up to a billion", field="bankroll")
    market, event, series, day = (cap / 100 for cap in sizing.caps)
    return Bankroll(round(sizing.bankroll * _MICRO), sizing.kelly, market, event, series, day)


def exact_filters(filters: Filters) -> Filters:
    """Return the filters with tickers in upper case, also where addresses on kalshi.com were given."""
    return replace(
        filters,
        series=tuple(map(parse_series_ticker, filters.series)),
        events=tuple(map(parse_event_ticker, filters.events)),
        tickers=tuple(map(parse_market_ticker, filters.tickers)),
    )


def load_models(
    models: Sequence[str | Path | Model], inputs: ModelInputs = ModelInputs(), exchange: str = ""
) -> list[Model]:
    """Return the models: by name, `path/to/file.py:Name`, or a CSV or Parquet file of probabilities.

    `exchange` is the one whose markets they will price. Files with the same name are called by their path. Raises
    `UsageError` or `InputError` for what cannot be loaded.
    """
    loaded = [_load_model(model, inputs, exchange) for model in dict.fromkeys(models)]
    names = [model.name for model in loaded]
    for model in loaded:
        if isinstance(model, TableModel) and names.count(model.name) > 1:
            model.name = str(model.path)
    return loaded


def _load_model(model: str | Path | Model, inputs: ModelInputs, exchange: str) -> Model:
    if isinstance(model, Path):
        return table_model(model, inputs.max_table_age)
    if not isinstance(model, str):
        return model
    if model.lower().endswith(TABLE_SUFFIXES):
        return table_model(Path(model), inputs.max_table_age)
    return load(model, model_settings(exchange))


def table_model(path: Path, max_age: timedelta | None = None) -> TableModel:
    """Return the model of a probabilities file, checked before the exchange is asked anything."""
    if not path.is_file():
        fault = "is not a regular file" if path.exists() else "does not exist"
        raise UsageError(f"the probabilities file {path} {fault}", remedy="Check the path")
    model = TableModel(path, max_age)
    try:
        model.check(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror})", remedy="Check its permissions") from error
    return model

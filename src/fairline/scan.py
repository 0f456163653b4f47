"""The scan: fetch, then `evaluate`, which is pure and which everything else calls too."""

import asyncio
import contextlib
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import polars as pl

from fairline.edge import KEPT, Rules, edges, funnel, nearest_misses
from fairline.errors import FairlineError, InputError, UsageError
from fairline.fees import Rounding
from fairline.frame import PREDICTIONS, empty_markets, markets_frame, with_context, with_probabilities
from fairline.kalshi import Kalshi, KalshiError
from fairline.kalshi.crawl import MarketCrawl, Query, all_events
from fairline.kalshi.wire import Event, Rejected, Series
from fairline.models import Model
from fairline.sources import Payload, Request, fetch


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that did not work and was worked around: where, what, and for a failing model its traceback."""

    where: str
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Every market, side and model with its edge and its bin; the funnel; what did not work."""

    edges: pl.DataFrame
    funnel: list[dict[str, object]]
    nearest_misses: pl.DataFrame
    problems: list[Problem]

    @property
    def opportunities(self) -> pl.DataFrame:
        return self.edges.filter(pl.col("bin") == KEPT)


@dataclass(frozen=True, slots=True)
class Filters:
    """Which markets a scan is about. Category is matched in any case, by the market's series."""

    status: str = "open"
    categories: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    closes_within: timedelta | None = None
    min_volume: float = 0
    search: str = ""
    combos: bool = False

    def query(self) -> Query:
        """What of this the exchange can be asked for; the rest is `apply`."""
        return Query(status=self.status, series=self.series, events=self.events, combos=self.combos)

    def apply(
        self, markets: pl.DataFrame, series: Sequence[Series], asof: datetime
    ) -> tuple[pl.DataFrame, list[dict[str, object]]]:
        """The markets asked for, and a funnel row for each filter in use."""
        steps: dict[str, pl.Expr] = {}
        if self.categories:
            wanted = {category.casefold() for category in self.categories}
            # A series can be shown under several categories; any of them will do.
            tickers = [s.ticker for s in series if wanted & {c.casefold() for c in _categories(s)}]
            steps[f"in category {', '.join(self.categories)}"] = pl.col("series_ticker").is_in(tickers)
        if self.closes_within is not None:
            steps[f"closes within {self.closes_within}"] = pl.col("close_ts") <= asof + self.closes_within
        if self.min_volume:
            steps[f"volume of at least {self.min_volume:g}"] = pl.col("volume_c") >= self.min_volume * 100
        if self.search:
            text = pl.concat_str("ticker", "title", "yes_sub_title", separator=" ", ignore_nulls=True)
            steps[f"contains {self.search!r}"] = text.str.to_lowercase().str.contains(self.search.lower(), literal=True)
        rows: list[dict[str, object]] = []
        for words, test in steps.items():
            kept = markets.filter(test)
            rows.append({"step": words, "kept": kept.height, "dropped": markets.height - kept.height})
            markets = kept
        return markets, rows


@dataclass(slots=True)
class Listing:
    """What was read from the exchange, and how: the markets asked for with probabilities, and the account."""

    markets: pl.DataFrame
    exchange: str
    started_ts: datetime
    duration_s: float
    listed: int
    requests: int
    retries: int
    bytes: int
    incomplete_reasons: list[str]
    quarantined: list[Rejected]
    funnel: list[dict[str, object]]
    problems: list[Problem] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return not self.incomplete_reasons


Progress = Callable[[int], None]
"""Told the number of markets read so far."""


def evaluate(
    markets: pl.DataFrame,
    models: Sequence[Model],
    payloads: Mapping[Request, Payload | FairlineError],
    *,
    asof: datetime,
    fees: Rounding = Rounding.CENT,
    rules: Rules | None = None,
    strict: bool = False,
    misses: int = 5,
) -> Evaluation:
    """Price `markets` (MARKETS with probability columns) by every model, as of an instant.

    Pure: the same arguments give the same answer. A failing model becomes a problem with its traceback and the others
    go on; with `strict` it raises instead.
    """
    rules = rules or Rules()
    predictions, problems = [PREDICTIONS.to_frame()], []
    for model in models:
        try:
            made, notes = _predict(model, markets, payloads, asof)
        except FairlineError as error:
            if strict:
                raise
            problems.append(Problem(model.name, str(error)))
            continue
        except Exception as error:  # a model is anybody's code; the scan of the others must go on
            if strict:
                raise
            problems.append(Problem(model.name, f"{type(error).__name__}: {error}", traceback.format_exc()))
            continue
        predictions.append(made)
        problems += notes
    edged = edges(markets, pl.concat(predictions).drop("note"), asof=asof, rules=rules, rounding=fees)
    return Evaluation(edged, funnel(edged, rules), nearest_misses(edged, rules, misses), problems)


async def read_listing(
    kalshi: Kalshi, filters: Filters | None = None, *, asof: datetime | None = None, progress: Progress | None = None
) -> Listing:
    """Read the markets asked for with their series and events. Raises when nothing at all could be read."""
    filters, started, clock = filters or Filters(), asof or datetime.now(UTC), time.monotonic()
    crawl = MarketCrawl(kalshi, filters.query())
    problems: list[Problem] = []

    async def market_frames() -> list[pl.DataFrame]:
        frames = [empty_markets()]
        async for rows in crawl.pages():
            frame, rejected = markets_frame(rows)
            crawl.account.rejected += rejected
            frames.append(frame)
            if progress is not None:
                progress(crawl.account.rows)
        return frames

    frames, series, events = await asyncio.gather(
        market_frames(), _series(kalshi, filters, problems), _events(kalshi, filters, problems)
    )
    markets = with_context(pl.concat(frames), series, events)
    kept, steps = filters.apply(markets, series, started)
    traffic = kalshi.transport.traffic
    return Listing(
        markets=with_probabilities(kept),
        exchange=kalshi.transport.base_url,
        started_ts=started,
        duration_s=time.monotonic() - clock,
        listed=markets.height,
        requests=traffic.requests,
        retries=traffic.retries,
        bytes=traffic.bytes,
        incomplete_reasons=crawl.account.incomplete_reasons,
        quarantined=crawl.account.rejected,
        funnel=steps,
        problems=problems,
    )


async def scan(
    kalshi: Kalshi,
    models: Sequence[Model],
    filters: Filters | None = None,
    rules: Rules | None = None,
    *,
    fees: Rounding = Rounding.CENT,
    misses: int = 5,
    progress: Progress | None = None,
) -> tuple[Listing, Evaluation]:
    """Fetch, then evaluate: the whole of a scan."""
    listing = await read_listing(kalshi, filters, progress=progress)
    asof = datetime.now(UTC)
    payloads = await fetch(_requests(models, listing.markets, asof))
    evaluation = evaluate(listing.markets, models, payloads, asof=asof, fees=fees, rules=rules, misses=misses)
    return listing, evaluation


def _requests(models: Sequence[Model], markets: pl.DataFrame, asof: datetime) -> list[Request]:
    """What the models want to read. A model that fails here fails again in `evaluate`, which reports it."""
    wanted: list[Request] = []
    for model in models:
        with contextlib.suppress(Exception):
            wanted += model.requests(markets.filter(model.covers(markets)), asof)
    return wanted


def _predict(
    model: Model, markets: pl.DataFrame, payloads: Mapping[Request, Payload | FairlineError], asof: datetime
) -> tuple[pl.DataFrame, list[Problem]]:
    """A model's usable predictions in PREDICTIONS columns, and a problem for each that is not usable."""
    covered = markets.filter(model.covers(markets))
    mine: dict[Request, Payload] = {}
    for request in model.requests(covered, asof):
        payload = payloads.get(request)
        if payload is None:
            raise InputError(f"no payload for {request.source} {request.key}", remedy="Fetch what the model requests")
        if isinstance(payload, FairlineError):
            raise payload
        mine[request] = payload
    made = model.predict(covered, mine, asof)
    if "note" not in made.columns:
        made = made.with_columns(note=pl.lit(None, dtype=pl.String))
    made = made.select(pl.col(name).cast(dtype) for name, dtype in PREDICTIONS.items())
    p, p_sd = pl.col("p"), pl.col("p_sd")
    fault = pl.coalesce(
        "note",
        pl.when(~(p.is_finite() & p.is_between(0, 1))).then(
            pl.format("{}: p = {} is not a probability", "ticker", "p")
        ),
        pl.when(~(p_sd.is_finite() & (p_sd >= 0))).then(pl.format("{}: p_sd = {} is impossible", "ticker", "p_sd")),
        pl.when(p.is_not_null() & ~pl.col("ticker").is_first_distinct()).then(pl.format("{}: priced twice", "ticker")),
    )
    judged = made.with_columns(fault=fault)
    problems = [Problem(model.name, text) for text in judged["fault"].drop_nulls()]
    return judged.filter(pl.col("fault").is_null() & p.is_not_null()).drop("fault"), problems


def _categories(series: Series) -> set[str]:
    return {name for name in (series.category, *(series.categories or ())) if name}


async def _series(kalshi: Kalshi, filters: Filters, problems: list[Problem]) -> list[Series]:
    """The series list; without it categories and fees are unknown, so a category filter cannot do without."""
    try:
        page = await kalshi.series.list()
    except KalshiError as error:
        if filters.categories or not error.retryable:
            raise
        problems.append(Problem("series", f"{error.message}: categories and fee multipliers are not known"))
        return []
    known = {name.casefold(): name for s in page.rows for name in _categories(s)}
    for category in filters.categories:
        if category.casefold() not in known:
            raise UsageError(
                f"the exchange has no category {category!r}", remedy=f"Categories: {', '.join(sorted(known.values()))}"
            )
    missing = sorted(set(filters.series) - {s.ticker for s in page.rows})
    if missing:
        raise UsageError(f"the exchange has no series {', '.join(missing)}", remedy="Series tickers are like KXBTC")
    return page.rows


async def _events(kalshi: Kalshi, filters: Filters, problems: list[Problem]) -> list[Event]:
    """Events of the markets asked for. Without them titles, exclusiveness and fee overrides are unknown."""
    status = filters.status if filters.status in ("unopened", "open", "closed", "settled") else None
    try:
        if filters.events:
            return (await kalshi.events.list(tickers=",".join(filters.events))).rows
        if filters.series:
            return [e for s in filters.series for e in await all_events(kalshi, status=status, series=s)]
        return await all_events(kalshi, status=status)
    except KalshiError as error:
        if not error.retryable:
            raise
        problems.append(Problem("events", f"{error.message}: event titles and fee overrides are not known"))
        return []

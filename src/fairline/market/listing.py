"""Read what the exchange lists: markets joined with series, category, fees and implied probabilities.

A partial result is always marked incomplete and lists what is missing.
"""

import asyncio
import contextlib
import difflib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import polars as pl

from fairline.errors import UsageError
from fairline.kalshi import Kalshi, KalshiError
from fairline.kalshi.cache import ExchangeCache
from fairline.kalshi.crawl import MarketCrawl
from fairline.kalshi.decoding import Page, Rejected
from fairline.kalshi.errors import ShapeError
from fairline.kalshi.events import read_events
from fairline.kalshi.fee_changes import FeeChanges, read_fee_changes
from fairline.kalshi.http import Response
from fairline.kalshi.report import CrawlReport
from fairline.kalshi.routes import Query
from fairline.kalshi.wire import STATUS_FIELDS, Event, Series, series_list
from fairline.market.completeness import (
    Drift,
    check_events,
    check_fees,
    check_rows,
    check_size,
    name_unknown_types,
    save_size,
    usable_series,
)
from fairline.market.filters import Filters
from fairline.market.frame import (
    NOTIONAL_U,
    empty_markets,
    markets_frame,
    parse_markets,
    wire_frame,
    with_context,
    with_probabilities,
)
from fairline.market.funnel import FunnelStep
from fairline.market.problem import Problem
from fairline.market.selection import apply_filters, build_query, categories_of
from fairline.market.terms import apply_changes
from fairline.market.ticks import off_grid

_ROWS_PER_PARSE = 8_000

Progress = Callable[[int], None]
"""Called with the number of markets read so far."""


@dataclass(slots=True)
class Listing:
    """The requested markets, with probabilities, and how they were read.

    `drift` names data that is not what this version expects; each finding is also an incomplete reason.
    `listed` counts the readable markets before filters. `quarantined` names the markets, series and events that could
    not be read; `unreadable` counts the markets among them. `narrowed` is true if the exchange was only asked for some
    markets. `books` order books of candidates were read and their quotes used; `moved` of them differed from the
    listing.
    """

    markets: pl.DataFrame
    exchange: str
    started_ts: datetime
    duration_s: float
    listed: int
    tickers: pl.Series
    requests: int
    retries: int
    bytes: int
    incomplete_reasons: list[str]
    quarantined: list[Rejected]
    unreadable: int
    funnel: list[FunnelStep]
    report: CrawlReport = field(default_factory=CrawlReport)
    drift: list[Drift] = field(default_factory=list)
    narrowed: bool = False
    books: int = 0
    moved: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return not self.incomplete_reasons


@dataclass(frozen=True, slots=True)
class Ages:
    """How old reused answers may be, in seconds: facts that seldom change, and an interrupted crawl to resume."""

    facts_s: float = 3_600
    crawl_s: float = 120


async def read_listing(
    kalshi: Kalshi,
    filters: Filters | None = None,
    *,
    asof: datetime | None = None,
    progress: Progress | None = None,
    memory: ExchangeCache | None = None,
    ages: Ages | None = None,
) -> Listing:
    """Read the markets asked for, with their series and events.

    Raises `KalshiError` if nothing at all could be read and `UsageError` for a category, series, event or market that
    does not exist. If series or events could not be read, fees and categories are unknown and the listing incomplete.
    """
    filters, ages = filters or Filters(), ages or Ages()
    started = asof or datetime.now(UTC)
    clock = time.monotonic()
    context = _Context(kalshi, filters, memory, ages)
    crawl, known_series = await context.begin()
    async with _task_group() as tasks:
        reading = tasks.create_task(read_frame(crawl, progress))
        reading_series = tasks.create_task(context.series() if known_series is None else _ready(known_series))
    frame = reading.result()
    async with _task_group() as tasks:
        reading_events = tasks.create_task(context.events(frame))
        reading_changes = tasks.create_task(context.changes())
    events = reading_events.result()
    series = await context.with_new_series(reading_series.result(), events)
    oldest = started - timedelta(seconds=ages.facts_s)
    since = (started if context.series_reread else oldest, oldest)
    markets = with_context(frame, *apply_changes(series, events, reading_changes.result(), since, datetime.now(UTC)))
    if filters.tickers:
        _check_names("market", filters.tickers, set(markets["ticker"]) | {r.ticker for r in crawl.report.rejected}, [])
    matching, steps = apply_filters(filters, markets, series, started + kalshi.transport.replay_offset)
    traffic = kalshi.transport.traffic
    report = crawl.report
    fee_drift, fee_problems = check_fees(markets, series)
    drift = check_rows(report) or check_size(markets, crawl.query, memory)
    drift += context.drift + fee_drift
    reasons = report.incomplete_reasons + context.missing
    if not (drift or reasons):
        save_size(markets, crawl.query, memory)
    return Listing(
        markets=with_probabilities(matching),
        exchange=kalshi.transport.base_url,
        started_ts=started,
        duration_s=time.monotonic() - clock,
        listed=markets.height,
        tickers=markets["ticker"],
        requests=traffic.requests,
        retries=traffic.retries,
        bytes=traffic.bytes,
        incomplete_reasons=reasons + [finding.message for finding in drift],
        quarantined=report.rejected + context.rejected,
        unreadable=report.rejects.count,
        funnel=steps,
        report=report,
        drift=drift,
        problems=name_unknown_types(markets, report.rejected)
        + _unknown_decision_times(markets, filters)
        + fee_problems
        + _wrong_status(markets, filters)
        + context.problems
        + _off_grid_quotes(matching),
        narrowed=crawl.query.narrow,
    )


@contextlib.asynccontextmanager
async def _task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """Open a task group that raises the first task's error itself instead of an exception group."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors


def _wrong_status(markets: pl.DataFrame, filters: Filters) -> list[Problem]:
    """Return a problem for each named market that does not have the status of the filters."""
    if not filters.tickers:
        return []
    other = markets.filter(~pl.col("status").is_in(STATUS_FIELDS[filters.status]))
    return [
        Problem(f"{ticker}: its status is {status}, not {filters.status}", stage="filters", ticker=ticker)
        for ticker, status in other.select("ticker", "status").iter_rows()
    ]


def _unknown_decision_times(markets: pl.DataFrame, filters: Filters) -> list[Problem]:
    """Return a problem if a filter by decision time left out markets that state none."""
    count = markets["decided_ts"].null_count()
    if filters.decided_within is None or not count:
        return []
    message = f"{count:,} markets state no time of decision; decided_within leaves them out"
    return [Problem(message, stage="filters")]


def _off_grid_quotes(markets: pl.DataFrame) -> list[Problem]:
    """Return a problem if quotes are off the market's own tick grid: it has changed, or a price was misread."""
    quotes = off_grid(markets)
    if quotes.is_empty():
        return []
    ticker, price_u = quotes.row(0)
    example = f"{price_u / NOTIONAL_U:g} of {ticker}"
    message = f"{quotes.height:,} quotes are off the tick grid, such as {example}; they are used as they are"
    return [Problem(message, stage="prices")]


async def read_market(kalshi: Kalshi, ticker: str) -> pl.DataFrame:
    """Read one market, whatever its status, with the terms of its event and series and its probabilities.

    Raises `KalshiError` if it does not exist or cannot be read.
    """
    market = await kalshi.markets.get(ticker)
    frame, rejected = markets_frame([market])
    if rejected:
        raise ShapeError(str(rejected[0]))
    # In the list an event comes with its milestone; multivariate events are not in the list.
    listed = (await kalshi.events.list(tickers=market.event_ticker)).rows
    event = listed[0] if listed else await kalshi.events.get(market.event_ticker)
    series = await kalshi.series.get(event.series_ticker)
    return with_probabilities(with_context(frame, [series], [event]))


async def read_frame(crawl: MarketCrawl[pl.DataFrame], progress: Progress | None = None) -> pl.DataFrame:
    """Read the crawl's markets as columns, page by page.

    Values are parsed in a thread, eight pages at once: polars works outside the interpreter.
    """
    pages: list[pl.DataFrame] = []
    waiting = 0
    parsing: list[asyncio.Task[tuple[pl.DataFrame, list[Rejected]]]] = []
    async for page in crawl.pages():
        pages.append(page)
        waiting += page.height
        if progress is not None:
            progress(crawl.report.rows)
        if waiting >= _ROWS_PER_PARSE:
            parsing.append(asyncio.create_task(asyncio.to_thread(parse_markets, pl.concat(pages))))
            pages = []
            waiting = 0
    parsed = [*(await asyncio.gather(*parsing)), parse_markets(pl.concat([wire_frame([]), *pages]))]
    for _, rejected in parsed:
        crawl.report.rejects.add(rejected)
    # In one piece, because adding columns to a frame in pieces copies it.
    return pl.concat([empty_markets(), *(frame for frame, _ in parsed)], rechunk=True)


class _Context:
    """The series and events of a listing, and what could not be read of them."""

    def __init__(self, kalshi: Kalshi, filters: Filters, memory: ExchangeCache | None, ages: Ages) -> None:
        self.missing: list[str] = []
        self.rejected: list[Rejected] = []
        self.problems: list[Problem] = []
        self.drift: list[Drift] = []
        self.ages = ages
        self.series_reread = False
        self._series_cached = False
        self._kalshi = kalshi
        self._filters = filters
        self._memory = memory

    async def begin(self) -> tuple[MarketCrawl[pl.DataFrame], list[Series] | None]:
        """Return the crawl for the filters, and the series if the filters needed them to choose the crawl."""
        filters = self._filters
        if not filters.categories or filters.series or filters.events or filters.tickers:
            return self.crawl(build_query(filters)), None
        series = await self.series()
        crawl = self.crawl(build_query(filters, series, self.crawl(build_query(filters)).route().requests))
        if self._series_cached and crawl.query.series and self._memory is not None:
            age = self._memory.body_age_s("series") / 60
            crawl.report.notes.append(f"the series list is {age:.0f} min old; --fresh reads it again")
        return crawl, series

    def crawl(self, query: Query) -> MarketCrawl[pl.DataFrame]:
        return MarketCrawl(self._kalshi, query, wire_frame, cache=self._memory, max_age_s=self.ages.crawl_s)

    async def series(self) -> list[Series]:
        """Return the series list. Raises `KalshiError` only if a category filter needs it."""
        filters = self._filters
        try:
            page = await self._read_series()
        except KalshiError as error:
            if filters.categories:
                raise
            self.missing.append(f"no series ({error.message}): categories and fee multipliers are not known")
            return []
        self._reject(page.rejected, "series", "their markets have no category and an assumed fee")
        if not page.rows and not page.rejected:
            self.drift.append(Drift("series", "the exchange lists no series: categories and fees are not known"))
        known = {name.casefold(): name for s in page.rows for name in categories_of(s)}
        for category in filters.categories:
            if category.casefold() not in known:
                remedy = f"Categories: {', '.join(sorted(known.values()))}"
                raise UsageError(f"the exchange has no category {category!r}", remedy=remedy)
        names = [s.ticker for s in page.rows]
        _check_names("series", filters.series, {*names, *(r.ticker for r in page.rejected)}, names)
        return page.rows

    async def _read_series(self) -> Page[Series]:
        cached = self._memory and self._memory.load_body("series", self.ages.facts_s)
        if cached:
            with contextlib.suppress(KalshiError):
                page = series_list(cached)
                if {s.ticker for s in page.rows} >= set(self._filters.series):
                    self._series_cached = True
                    return page
        self._series_cached = False
        answers: list[Response] = []
        page = await self._kalshi.series.list(keep=answers.append)
        if self._memory is not None and usable_series(page):
            self._memory.save_body("series", answers[-1])
        return page

    async def with_new_series(self, series: list[Series], events: list[Event]) -> list[Series]:
        """Return the series, reread if an event belongs to one that is newer than the cached list."""
        if not self._series_cached or {e.series_ticker for e in events} <= {s.ticker for s in series}:
            return series
        self.ages = replace(self.ages, facts_s=-1)
        self.series_reread = True
        return await self.series()

    async def events(self, markets: pl.DataFrame) -> list[Event]:
        """Return the events of these markets and the events named by the filters."""
        named = self._filters.events
        tickers = list(dict.fromkeys([*named, *markets["event_ticker"].unique(maintain_order=True)]))
        answer = await read_events(self._kalshi, tickers, self._memory, self.ages.facts_s)
        if answer.unread:
            count = "no events" if answer.unread == len(tickers) else f"{answer.unread:,} events not read"
            self.missing.append(f"{count} ({answer.reason}): event titles and fee overrides are not known")
        else:
            known = {e.event_ticker for e in answer.rows} | {r.ticker for r in answer.rejected}
            _check_names("event", named, known, sorted(known))
            missing = len(set(tickers) - known)
            self.drift += check_events(len(tickers), missing, combos=self._filters.combos)
        self._reject(answer.rejected, "events", "their fee overrides are not known")
        return answer.rows

    async def changes(self) -> FeeChanges:
        """Return the fee changes scheduled since the cached facts were read; none without a cache."""
        if self._memory is None:
            return FeeChanges()
        try:
            changes = await read_fee_changes(self._kalshi, self._memory, self.ages.facts_s)
        except KalshiError as error:
            message = f"scheduled fee changes could not be read ({error.message}): cached fees may have changed since"
            self.problems.append(Problem(message, stage="fees"))
            return FeeChanges()
        if changes.rejected:
            count = len(changes.rejected)
            message = f"{count:,} scheduled fee changes could not be read, such as {changes.rejected[0]}"
            self.problems.append(Problem(message, stage="fees"))
        return changes

    def _reject(self, rejected: list[Rejected], what: str, consequence: str) -> None:
        if rejected:
            self.rejected += rejected
            self.missing.append(f"{len(rejected)} {what} could not be read: {consequence}")


async def _ready(series: list[Series]) -> list[Series]:
    return series


def _check_names(noun: str, wanted: Sequence[str], known: set[str], names: Sequence[str]) -> None:
    """Raise `UsageError` for wanted names that are not known, with the most similar names."""
    missing = sorted(set(wanted) - known)
    if missing:
        similar = {name for ticker in missing for name in difflib.get_close_matches(ticker, names, n=3, cutoff=0.5)}
        remedy = f"Similar: {', '.join(sorted(similar))}" if similar else f"Check the {noun} ticker"
        raise UsageError(f"the exchange has no {noun} {', '.join(missing)}", remedy=remedy)

"""What the exchange lists, read and joined: markets with series, category, fees and implied probabilities.

A listing carries its own account: whether it is complete, what it left out and why. It never passes a part off as
the whole, and what could not be read is named.
"""

import asyncio
import contextlib
import difflib
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import polars as pl

from fairline.errors import UsageError
from fairline.kalshi import Kalshi, KalshiError
from fairline.kalshi.account import Account
from fairline.kalshi.changes import Changes, read_changes
from fairline.kalshi.crawl import MarketCrawl
from fairline.kalshi.decoding import Page, Rejected
from fairline.kalshi.errors import ShapeError
from fairline.kalshi.events import read_events
from fairline.kalshi.memory import Memory
from fairline.kalshi.routes import Query
from fairline.kalshi.wire import STATUS_FIELDS, Event, Series, series_list
from fairline.market.frame import (
    NOTIONAL_U,
    empty_markets,
    markets_frame,
    typed,
    wire_frame,
    with_context,
    with_probabilities,
)
from fairline.market.terms import due
from fairline.market.ticks import off_grid

A = TypeVar("A")
B = TypeVar("B")

_AT_ONCE = 8_000
_EVERYTHING = 120
"""Requests that everything takes if nothing is known: 117,187 markets were open in September 2026."""

Step = dict[str, object]
"""A row of a funnel: `{step, kept, dropped}`."""
Progress = Callable[[int], None]
"""Told the number of markets read so far."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that did not work and was worked around: where, what, and for a failing model its traceback.

    `silent` is a model that gave no answer at all.
    """

    where: str
    message: str
    traceback: str = ""
    ticker: str = ""
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Filters:
    """Which markets a scan is about. Category is matched in any case, by any category of the market's series."""

    status: str = "open"
    categories: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    tickers: tuple[str, ...] = ()
    closes_within: timedelta | None = None
    min_volume: float = 0
    search: str = ""
    combos: bool = False

    def query(self, series: Sequence[Series] = (), everything: int | None = None) -> Query:
        """What of this the exchange can be asked for; the rest is `apply`. It knows no categories, so with the `series`
        list a category becomes its series, if asking for each of them takes fewer requests than `everything` does.
        """
        names = self.series
        if series and self.categories and not names:
            tickers = tuple(self._in_category(series))
            names = tickers if len(tickers) < (everything or _EVERYTHING) else ()
        now = int(datetime.now(UTC).timestamp())
        closes = None if self.closes_within is None else (now, now + int(self.closes_within.total_seconds()))
        return Query(self.status, names, self.events, self.tickers, closes, self.combos)

    def apply(self, markets: pl.DataFrame, series: Sequence[Series], asof: datetime) -> tuple[pl.DataFrame, list[Step]]:
        """The markets asked for, and a funnel row for each filter in use."""
        rows: list[Step] = []
        for words, test in self._tests(series, asof).items():
            kept = markets.filter(test.fill_null(value=False))
            rows.append({"step": words, "kept": kept.height, "dropped": markets.height - kept.height})
            markets = kept
        return markets, rows

    def _tests(self, series: Sequence[Series], asof: datetime) -> dict[str, pl.Expr]:
        # A market can change its state between being selected and being sent.
        still = pl.col("status").is_in(STATUS_FIELDS[self.status])
        tests = {f"still {self.status}": still & (pl.col("close_ts") > asof) if self.status == "open" else still}
        if self.events and self.tickers:
            tests[f"in event {', '.join(self.events)}"] = pl.col("event_ticker").is_in(list(self.events))
        if self.series and (self.events or self.tickers):
            tests[f"in series {', '.join(self.series)}"] = pl.col("series_ticker").is_in(list(self.series))
        if self.categories:
            tests[f"in category {', '.join(self.categories)}"] = pl.col("series_ticker").is_in(
                self._in_category(series)
            )
        if self.closes_within is not None:
            tests[f"closes within {self.closes_within}"] = pl.col("close_ts") <= asof + self.closes_within
        if self.min_volume:
            tests[f"volume of at least {self.min_volume:g}"] = pl.col("volume_cc") >= self.min_volume * 100
        if self.search:
            text = pl.concat_str("ticker", "title", "yes_sub_title", separator=" ", ignore_nulls=True)
            tests[f"contains {self.search!r}"] = text.str.to_lowercase().str.contains(self.search.lower(), literal=True)
        return tests

    def _in_category(self, series: Sequence[Series]) -> list[str]:
        wanted = {category.casefold() for category in self.categories}
        return [s.ticker for s in series if wanted & {c.casefold() for c in _categories(s)}]


@dataclass(slots=True)
class Listing:
    """What was read from the exchange, and how: the markets asked for with probabilities, and the account.

    `listed` counts the readable markets before filters; `quarantined` names markets, series and events that could not
    be read, `unreadable` counts the markets among them. `books` were read for candidates, whose quotes are those of the
    books since; `moved` had changed. It is `narrowed` if the exchange was not asked for everything.
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
    funnel: list[Step]
    account: Account = field(default_factory=Account)
    narrowed: bool = False
    books: int = 0
    moved: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return not self.incomplete_reasons


@dataclass(frozen=True, slots=True)
class Ages:
    """What may be used again: answers that seldom change, and a crawl that was cut short, in seconds since then."""

    facts_s: float = 3_600
    crawl_s: float = 120


async def read_listing(
    kalshi: Kalshi,
    filters: Filters | None = None,
    *,
    asof: datetime | None = None,
    progress: Progress | None = None,
    memory: Memory | None = None,
    ages: Ages | None = None,
) -> Listing:
    """Read the markets asked for with their series and events.

    Raises `KalshiError` when nothing at all could be read and `UsageError` for a category, series, event or market that
    does not exist. Series or events that could not be read leave fees and categories unknown: the listing is
    incomplete.
    """
    filters, started, clock = filters or Filters(), asof or datetime.now(UTC), time.monotonic()
    context = _Context(kalshi, filters, memory, ages or Ages())
    crawl, series = await context.begin()
    read, rows = await _together(read_frame(crawl, progress), series)
    events, changes = await _together(context.events(read), context.changes())
    rows = await context.with_new(rows, events)
    oldest = started - timedelta(seconds=(ages or Ages()).facts_s)
    since = (started if context.anew else oldest, oldest)
    markets = with_context(read, *due(rows, events, changes, since, datetime.now(UTC)))
    if filters.tickers:
        _all_there("market", filters.tickers, set(markets["ticker"]) | {r.ticker for r in crawl.account.rejected}, [])
    kept, steps = filters.apply(markets, rows, started)
    traffic, account = kalshi.transport.traffic, crawl.account
    return Listing(
        markets=with_probabilities(kept),
        exchange=kalshi.transport.base_url,
        started_ts=started,
        duration_s=time.monotonic() - clock,
        listed=markets.height,
        tickers=markets["ticker"],
        requests=traffic.requests,
        retries=traffic.retries,
        bytes=traffic.bytes,
        incomplete_reasons=account.incomplete_reasons + context.missing,
        quarantined=account.rejected + context.rejected,
        unreadable=len(account.rejected),
        funnel=steps,
        account=account,
        problems=_not_open(markets, filters) + context.problems + _astray(kept),
        narrowed=crawl.query.narrow,
    )


def _not_open(markets: pl.DataFrame, filters: Filters) -> list[Problem]:
    """A problem for each market that was named and is not in the state asked for."""
    if not filters.tickers:
        return []
    other = markets.filter(~pl.col("status").is_in(STATUS_FIELDS[filters.status]))
    words = f"its status is {{}}, not {filters.status}"
    return [
        Problem("filters", f"{t}: {words.format(status)}", ticker=t)
        for t, status in other.select("ticker", "status").iter_rows()
    ]


def _astray(markets: pl.DataFrame) -> list[Problem]:
    """A problem if there are quotes where by the market's own grid none can be: the grid has changed, or the price."""
    found = off_grid(markets)
    if found.is_empty():
        return []
    ticker, price_u = found.row(0)
    words = f"{found.height:,} quotes are off the tick grid, such as {price_u / NOTIONAL_U:g} of {ticker}"
    return [Problem("prices", f"{words}; they are taken as they came")]


async def read_market(kalshi: Kalshi, ticker: str) -> pl.DataFrame:
    """One market, whatever its status, with its event's and series' terms and its probabilities.

    Raises `KalshiError` if there is none, or if its values cannot be read.
    """
    market = await kalshi.markets.get(ticker)
    frame, rejected = markets_frame([market])
    if rejected:
        raise ShapeError(str(rejected[0]))
    # In the list an event comes with its milestone; combos are not in it.
    listed = (await kalshi.events.list(tickers=market.event_ticker)).rows
    event = listed[0] if listed else await kalshi.events.get(market.event_ticker)
    series = await kalshi.series.get(event.series_ticker)
    return with_probabilities(with_context(frame, [series], [event]))


async def read_frame(crawl: MarketCrawl[pl.DataFrame], progress: Progress | None = None) -> pl.DataFrame:
    """The crawl's markets as columns, page by page as they come. Values are parsed for eight pages at once, in a
    thread, because that is work outside the interpreter.
    """
    pages, waiting = list[pl.DataFrame](), 0
    parsing = list[asyncio.Task[tuple[pl.DataFrame, list[Rejected]]]]()
    async for page in crawl.pages():
        pages.append(page)
        waiting += page.height
        if progress is not None:
            progress(crawl.account.rows)
        if waiting >= _AT_ONCE:
            parsing.append(asyncio.create_task(asyncio.to_thread(typed, pl.concat(pages))))
            pages, waiting = [], 0
    parsed = [*(await asyncio.gather(*parsing)), typed(pl.concat([wire_frame([]), *pages]))]
    for _, rejected in parsed:
        crawl.account.rejected += rejected
    return pl.concat([empty_markets(), *(frame for frame, _ in parsed)])


class _Context:
    """The series and events of a listing, and what of them could not be read."""

    def __init__(self, kalshi: Kalshi, filters: Filters, memory: Memory | None, ages: Ages) -> None:
        self.missing: list[str] = []
        self.rejected: list[Rejected] = []
        self.problems: list[Problem] = []
        self._kalshi, self._filters, self._memory, self.ages = kalshi, filters, memory, ages
        self._kept = self.anew = False

    async def begin(self) -> tuple[MarketCrawl[pl.DataFrame], Coroutine[None, None, list[Series]]]:
        """The crawl that answers the filters, and the series: known beforehand only if they say where to look."""
        filters = self._filters
        if filters.categories and not (filters.series or filters.events or filters.tickers):
            series = await self.series()
            crawl = self.crawl(filters.query(series, self.crawl(filters.query()).route().requests))
            if self._kept and crawl.query.series and self._memory is not None:
                age = self._memory.age_s("series") / 60
                crawl.account.notes.append(f"the series list is {age:.0f} min old; --fresh reads it anew")
            return crawl, _ready(series)
        return self.crawl(filters.query()), self.series()

    def crawl(self, query: Query) -> MarketCrawl[pl.DataFrame]:
        return MarketCrawl(self._kalshi, query, wire_frame, memory=self._memory, max_age_s=self.ages.crawl_s)

    async def series(self) -> list[Series]:
        """The series list. Only a category filter cannot do without it."""
        filters = self._filters
        try:
            page = await self._read_series()
        except KalshiError as error:
            if filters.categories:
                raise
            self.missing.append(f"no series ({error.message}): categories and fee multipliers are not known")
            return []
        self._reject(page.rejected, "series", "their markets have no category and an assumed fee")
        known = {name.casefold(): name for s in page.rows for name in _categories(s)}
        for category in filters.categories:
            if category.casefold() not in known:
                there = ", ".join(sorted(known.values()))
                raise UsageError(f"the exchange has no category {category!r}", remedy=f"Categories: {there}")
        names = [s.ticker for s in page.rows]
        _all_there("series", filters.series, {*names, *(r.ticker for r in page.rejected)}, names)
        return page.rows

    async def _read_series(self) -> Page[Series]:
        kept = self._memory and self._memory.body("series", self.ages.facts_s)
        if kept:
            with contextlib.suppress(KalshiError):
                page = series_list(kept)
                if {s.ticker for s in page.rows} >= set(self._filters.series):
                    self._kept = True
                    return page
        self._kept = False
        keep = partial(self._memory.keep, "series") if self._memory is not None else None
        return await self._kalshi.series.list(keep=keep)

    async def with_new(self, series: list[Series], events: list[Event]) -> list[Series]:
        """The series, read anew if an event belongs to one that was not listed yet when they were kept."""
        if not self._kept or {e.series_ticker for e in events} <= {s.ticker for s in series}:
            return series
        self.ages, self.anew = replace(self.ages, facts_s=-1), True
        return await self.series()

    async def events(self, markets: pl.DataFrame) -> list[Event]:
        """The events of these markets, and those that were asked for by name."""
        named = self._filters.events
        tickers = list(dict.fromkeys([*named, *markets["event_ticker"].unique(maintain_order=True)]))
        made = await read_events(self._kalshi, tickers, self._memory, self.ages.facts_s)
        if made.unasked:
            lost = "no events" if made.unasked == len(tickers) else f"{made.unasked:,} events not read"
            self.missing.append(f"{lost} ({made.reason}): event titles and fee overrides are not known")
        else:
            there = {e.event_ticker for e in made.rows} | {r.ticker for r in made.rejected}
            _all_there("event", named, there, sorted(there))
        self._reject(made.rejected, "events", "their fee overrides are not known")
        return made.rows

    async def changes(self) -> Changes:
        """What was scheduled since the facts were read that are remembered; without a memory, all are of now."""
        if self._memory is None:
            return Changes()
        try:
            return await read_changes(self._kalshi, self._memory, self.ages.facts_s)
        except KalshiError as error:
            words = f"scheduled fee changes could not be read ({error.message})"
            self.problems.append(Problem("fees", f"{words}: fees that were remembered may have changed since"))
            return Changes()

    def _reject(self, rejected: list[Rejected], what: str, consequence: str) -> None:
        if rejected:
            self.rejected += rejected
            self.missing.append(f"{len(rejected)} {what} could not be read: {consequence}")


async def _together(one: Coroutine[Any, Any, A], other: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """Both results; when one fails the other is stopped."""
    tasks = asyncio.create_task(one), asyncio.create_task(other)
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _ready(series: list[Series]) -> list[Series]:
    return series


def _all_there(noun: str, wanted: Sequence[str], there: set[str], names: Sequence[str]) -> None:
    """Raises `UsageError` naming what is not there, and the nearest of what is."""
    missing = sorted(set(wanted) - there)
    if missing:
        near = sorted(
            {name for ticker in missing for name in difflib.get_close_matches(ticker, names, n=3, cutoff=0.5)}
        )
        remedy = f"Near to it: {', '.join(near)}" if near else f"Check the {noun} ticker"
        raise UsageError(f"the exchange has no {noun} {', '.join(missing)}", remedy=remedy)


def _categories(series: Series) -> set[str]:
    return {name for name in (series.category, *(series.categories or ())) if name}

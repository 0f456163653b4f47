"""What the exchange lists, read and joined: markets with series, category, fees and implied probabilities.

A listing carries its own account: whether it is complete, what it left out and why. It never passes a part off as
the whole, and what could not be read is named.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import polars as pl

from fairline.errors import UsageError
from fairline.frame import empty_markets, markets_frame, with_context, with_probabilities
from fairline.kalshi import Kalshi, KalshiError
from fairline.kalshi.client import MAX_EVENTS, STATUS_FIELDS, batches
from fairline.kalshi.crawl import MarketCrawl, Query, all_events
from fairline.kalshi.errors import ShapeError
from fairline.kalshi.wire import Event, Page, Rejected, Series

Step = dict[str, object]
"""A row of a funnel: `{step, kept, dropped}`."""
Progress = Callable[[int], None]
"""Told the number of markets read so far."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that did not work and was worked around: where, what, and for a failing model its traceback."""

    where: str
    message: str
    traceback: str = ""
    ticker: str = ""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which markets a scan is about. Category is matched in any case, by any category of the market's series."""

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
        tests = {f"still {self.status}": pl.col("status").is_in(STATUS_FIELDS[self.status])}
        if self.series and self.events:
            tests[f"in series {', '.join(self.series)}"] = pl.col("series_ticker").is_in(list(self.series))
        if self.categories:
            wanted = {category.casefold() for category in self.categories}
            tickers = [s.ticker for s in series if wanted & {c.casefold() for c in _categories(s)}]
            tests[f"in category {', '.join(self.categories)}"] = pl.col("series_ticker").is_in(tickers)
        if self.closes_within is not None:
            tests[f"closes within {self.closes_within}"] = pl.col("close_ts") <= asof + self.closes_within
        if self.min_volume:
            tests[f"volume of at least {self.min_volume:g}"] = pl.col("volume_c") >= self.min_volume * 100
        if self.search:
            text = pl.concat_str("ticker", "title", "yes_sub_title", separator=" ", ignore_nulls=True)
            tests[f"contains {self.search!r}"] = text.str.to_lowercase().str.contains(self.search.lower(), literal=True)
        return tests


@dataclass(slots=True)
class Listing:
    """What was read from the exchange, and how: the markets asked for with probabilities, and the account.

    `listed` counts the readable markets before filters; `quarantined` names markets, series and events that could not
    be read, `unreadable` counts the markets among them.
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
    problems: list[Problem] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return not self.incomplete_reasons


async def read_listing(
    kalshi: Kalshi, filters: Filters | None = None, *, asof: datetime | None = None, progress: Progress | None = None
) -> Listing:
    """Read the markets asked for with their series and events.

    Raises `KalshiError` when nothing at all could be read and `UsageError` for a category, series or event that does
    not exist. Series or events that could not be read leave fees and categories unknown: the listing is incomplete.
    """
    filters, started, clock = filters or Filters(), asof or datetime.now(UTC), time.monotonic()
    crawl = MarketCrawl(kalshi, filters.query())
    context = _Context(kalshi, filters)
    frames, series, events = await asyncio.gather(_frames(crawl, progress), context.series(), context.events())
    markets = with_context(pl.concat(frames), series, events)
    kept, steps = filters.apply(markets, series, started)
    traffic = kalshi.transport.traffic
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
        incomplete_reasons=crawl.account.incomplete_reasons + context.missing,
        quarantined=crawl.account.rejected + context.rejected,
        unreadable=len(crawl.account.rejected),
        funnel=steps,
    )


async def read_market(kalshi: Kalshi, ticker: str) -> pl.DataFrame:
    """One market, whatever its status, with its event's and series' terms and its probabilities.

    Raises `KalshiError` if there is none, or if its values cannot be read.
    """
    market = await kalshi.markets.get(ticker)
    frame, rejected = markets_frame([market])
    if rejected:
        raise ShapeError(str(rejected[0]))
    event = await kalshi.events.get(market.event_ticker)
    series = await kalshi.series.get(event.series_ticker)
    return with_probabilities(with_context(frame, [series], [event]))


async def _frames(crawl: MarketCrawl, progress: Progress | None) -> list[pl.DataFrame]:
    frames = [empty_markets()]
    async for rows in crawl.pages():
        frame, rejected = markets_frame(rows)
        crawl.account.rejected += rejected
        frames.append(frame)
        if progress is not None:
            progress(crawl.account.rows)
    return frames


class _Context:
    """The series and events of a listing, and what of them could not be read."""

    def __init__(self, kalshi: Kalshi, filters: Filters) -> None:
        self.missing: list[str] = []
        self.rejected: list[Rejected] = []
        self._kalshi = kalshi
        self._filters = filters

    async def series(self) -> list[Series]:
        """The series list. Only a category filter cannot do without it."""
        filters = self._filters
        try:
            page = await self._kalshi.series.list()
        except KalshiError as error:
            if filters.categories:
                raise
            self.missing.append(f"no series ({error.message}): categories and fee multipliers are not known")
            return []
        self._reject(page, "series", "their markets have no category and an assumed fee")
        known = {name.casefold(): name for s in page.rows for name in _categories(s)}
        for category in filters.categories:
            if category.casefold() not in known:
                there = ", ".join(sorted(known.values()))
                raise UsageError(f"the exchange has no category {category!r}", remedy=f"Categories: {there}")
        _all_there("series", filters.series, {s.ticker for s in page.rows} | {r.ticker for r in page.rejected})
        return page.rows

    async def events(self) -> list[Event]:
        """The events of the markets asked for."""
        filters = self._filters
        try:
            page = await self._read_events()
        except KalshiError as error:
            self.missing.append(f"no events ({error.message}): event titles and fee overrides are not known")
            return []
        self._reject(page, "events", "their fee overrides are not known")
        _all_there("event", filters.events, {e.event_ticker for e in page.rows} | {r.ticker for r in page.rejected})
        return page.rows

    async def _read_events(self) -> Page[Event]:
        filters = self._filters
        status = filters.status if filters.status in ("unopened", "open", "closed", "settled") else None
        if filters.events:
            pages = [
                await self._kalshi.events.list(tickers=",".join(names)) for names in batches(filters.events, MAX_EVENTS)
            ]
        elif filters.series:
            pages = [await all_events(self._kalshi, status=status, series=name) for name in filters.series]
        else:
            return await all_events(self._kalshi, status=status)
        return Page([e for page in pages for e in page.rows], [r for page in pages for r in page.rejected], None)

    def _reject(self, page: Page[Series] | Page[Event], what: str, consequence: str) -> None:
        if page.rejected:
            self.rejected += page.rejected
            self.missing.append(f"{len(page.rejected)} {what} could not be read: {consequence}")


def _all_there(noun: str, wanted: Sequence[str], there: set[str]) -> None:
    missing = sorted(set(wanted) - there)
    if missing:
        raise UsageError(f"the exchange has no {noun} {', '.join(missing)}", remedy=f"Check the {noun} ticker")


def _categories(series: Series) -> set[str]:
    return {name for name in (series.category, *(series.categories or ())) if name}

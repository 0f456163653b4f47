"""The whole exchange through its cursors, with an account of how whole it was.

A listing is a keyset walk, not a snapshot. The end is an empty, null or absent cursor; a cursor that comes back is a
loop and ends the walk with a reason. A walk that could not finish keeps what it got and says that it is a part.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from fairline.kalshi.client import Kalshi
from fairline.kalshi.errors import CursorLoopError, KalshiError
from fairline.kalshi.wire import Event, Market, Page, Rejected

T = TypeVar("T")
Fetch = Callable[[str | None], Awaitable[Page[T]]]


@dataclass(frozen=True, slots=True)
class Query:
    """Which markets to list. At most one status (the exchange takes one); combos only when asked for."""

    status: str | None = "open"
    series: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    combos: bool = False
    page_size: int = 1000

    def walks(self) -> list[dict[str, str | None]]:
        """The filters of each cursor walk: one per event or series named, else a single one over everything."""
        if self.events:
            return [{"event_ticker": event} for event in self.events]
        if self.series:
            return [{"series_ticker": series} for series in self.series]
        return [{}]


@dataclass(slots=True)
class Account:
    """What a crawl did. `complete` is an assertion about the listing; `incomplete_reasons` name what is missing."""

    pages: int = 0
    rows: int = 0
    duplicates: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    incomplete_reasons: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return not self.incomplete_reasons


async def walk(fetch: Fetch[T]) -> AsyncIterator[Page[T]]:
    """Every page from the first to the end. Raises `CursorLoopError` rather than go round in circles."""
    cursor: str | None = None
    followed: set[str] = set()
    while True:
        page = await fetch(cursor)
        yield page
        cursor = page.cursor
        if not cursor:
            return
        if cursor in followed:
            raise CursorLoopError(f"the exchange repeated a cursor after {len(followed)} pages")
        followed.add(cursor)


class MarketCrawl:
    """Pages of distinct markets, and when they have all been read, `account`.

    A walk that fails before its first page raises; one that fails later ends, with the reason in the account.
    """

    def __init__(self, kalshi: Kalshi, query: Query) -> None:
        self.account = Account()
        self._kalshi = kalshi
        self._query = query
        self._seen: set[str] = set()

    async def pages(self) -> AsyncIterator[list[Market]]:
        for filters in self._query.walks():
            try:
                async for page in walk(self._fetcher(filters)):
                    yield self._admit(page)
            except KalshiError as error:
                if not self.account.pages:
                    raise
                where = " ".join(f"{name} {value}" for name, value in filters.items()) or "the listing"
                self.account.incomplete_reasons.append(
                    f"{where} ended after page {self.account.pages}: {error.message}"
                )

    def _fetcher(self, filters: dict[str, str | None]) -> Fetch[Market]:
        query = self._query

        async def fetch(cursor: str | None) -> Page[Market]:
            return await self._kalshi.markets.list(
                limit=query.page_size,
                cursor=cursor,
                status=query.status,
                mve_filter=None if query.combos else "exclude",
                event_ticker=filters.get("event_ticker"),
                series_ticker=filters.get("series_ticker"),
            )

        return fetch

    def _admit(self, page: Page[Market]) -> list[Market]:
        """The page's markets not seen before, combos that slipped through left out."""
        self.account.pages += 1
        self.account.rejected += page.rejected
        fresh = []
        for market in page.rows:
            if market.ticker in self._seen:
                self.account.duplicates += 1
            elif self._query.combos or market.mve_collection_ticker is None:
                self._seen.add(market.ticker)
                fresh.append(market)
        self.account.rows += len(fresh)
        return fresh


async def all_events(kalshi: Kalshi, *, status: str | None, series: str | None = None) -> Page[Event]:
    """Every event with a market in that status, as one page. Raises `KalshiError` when the walk cannot finish."""

    async def fetch(cursor: str | None) -> Page[Event]:
        return await kalshi.events.list(cursor=cursor, status=status, series_ticker=series)

    rows: list[Event] = []
    rejected: list[Rejected] = []
    async for page in walk(fetch):
        rows += page.rows
        rejected += page.rejected
    return Page(rows, rejected, None)

"""Events by ticker, read in bulk and cached while they are fresh."""

import time
from collections.abc import Sequence

import msgspec

from fairline.kalshi.bulk import BulkResult, read_in_bulk
from fairline.kalshi.cache import ExchangeCache
from fairline.kalshi.client import MAX_EVENTS, Kalshi
from fairline.kalshi.decoding import Page
from fairline.kalshi.routes import batches
from fairline.kalshi.wire import Event

CACHE_NAME = "events"
FORGET_AFTER_S = 7 * 86_400


class CachedEvent(msgspec.Struct):
    event: Event
    read_ts: float


def split_cached(
    tickers: Sequence[str], cache: ExchangeCache | None, max_age_s: float
) -> tuple[list[Event], list[list[str]]]:
    """Return the cached events that are fresh, and the other tickers in lists of one request each."""
    cached = (cache and cache.load(CACHE_NAME, dict[str, CachedEvent])) or {}
    now = time.time()
    fresh = {
        ticker: cached[ticker].event
        for ticker in tickers
        if ticker in cached and 0 <= now - cached[ticker].read_ts <= max_age_s
    }
    return list(fresh.values()), list(batches([ticker for ticker in tickers if ticker not in fresh], MAX_EVENTS))


async def read_events(
    kalshi: Kalshi, tickers: Sequence[str], cache: ExchangeCache | None = None, max_age_s: float = 0.0
) -> BulkResult[Event]:
    """Read these events, from the cache where they are fresh. Unknown tickers are not among the rows."""

    async def fetch(names: list[str]) -> Page[Event]:
        return await kalshi.events.list(tickers=",".join(names))

    fresh, lists = split_cached(tickers, cache, max_age_s)
    result = await read_in_bulk(lists, fetch)
    if cache is not None and result.rows:
        _save(cache, result.rows)
    result.rows = fresh + result.rows
    return result


def _save(cache: ExchangeCache, events: list[Event]) -> None:
    now = time.time()
    cached = cache.load(CACHE_NAME, dict[str, CachedEvent]) or {}
    recent = {ticker: entry for ticker, entry in cached.items() if 0 <= now - entry.read_ts <= FORGET_AFTER_S}
    cache.save(CACHE_NAME, recent | {event.event_ticker: CachedEvent(event, now) for event in events})

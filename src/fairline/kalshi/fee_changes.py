"""Scheduled fee changes, cached until they are long past."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from fairline.kalshi.cache import ExchangeCache
from fairline.kalshi.client import Kalshi
from fairline.kalshi.decoding import Rejected
from fairline.kalshi.wire import EventFeeChange, SeriesFeeChange

CACHE_NAME = "fee-changes"
KEEP_PAST = timedelta(days=1)
"""The exchange lists a change until it takes effect, but cached series and events may be older than that."""


class FeeChanges(msgspec.Struct):
    """Changes of fee terms of series and of events, upcoming or recent, and those that could not be read."""

    series: Sequence[SeriesFeeChange] = ()
    events: Sequence[EventFeeChange] = ()
    rejected: Sequence[Rejected] = ()
    read_ts: float = 0.0


def cached_fee_changes(cache: ExchangeCache | None, max_age_s: float) -> FeeChanges | None:
    """Return the cached changes if they are at most `max_age_s` old."""
    cached = cache and cache.load(CACHE_NAME, FeeChanges)
    return cached if cached and 0 <= time.time() - cached.read_ts <= max_age_s else None


async def read_fee_changes(kalshi: Kalshi, cache: ExchangeCache, max_age_s: float) -> FeeChanges:
    """Read the scheduled changes, from the cache if it is fresh. Raises `KalshiError`."""
    cached = cached_fee_changes(cache, max_age_s)
    if cached is not None:
        return cached
    now = datetime.now(UTC)
    earlier = cache.load(CACHE_NAME, FeeChanges) or FeeChanges()
    # Only changes that took effect are kept, since the exchange no longer lists them. Upcoming ones may have been
    # moved or withdrawn.
    past_series = [c for c in earlier.series if now - KEEP_PAST <= c.scheduled_ts <= now]
    past_events = [c for c in earlier.events if now - KEEP_PAST <= c.scheduled_ts <= now]
    series_page = await kalshi.series.fee_changes()
    events_page = await kalshi.events.fee_changes()
    series = {_identity(c): c for c in (*past_series, *series_page.rows)}
    events = {_identity(c): c for c in (*past_events, *events_page.rows)}
    rejected = [*series_page.rejected, *events_page.rejected]
    changes = FeeChanges(list(series.values()), list(events.values()), rejected, time.time())
    cache.save(CACHE_NAME, changes)
    return changes


def _identity(change: SeriesFeeChange | EventFeeChange) -> tuple[str, datetime]:
    name = change.event_ticker if isinstance(change, EventFeeChange) else change.series_ticker
    return name, change.scheduled_ts

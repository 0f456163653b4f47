"""The fee changes that the exchange has scheduled: asked for seldom, and remembered until they are long over."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from fairline.kalshi.client import Kalshi
from fairline.kalshi.memory import Memory
from fairline.kalshi.wire import EventFeeChange, SeriesFeeChange

_NAME = "fee-changes"
_KEEP = timedelta(days=1)
"""The exchange lists a change until it is due; what else is remembered of that time may be older."""


class Changes(msgspec.Struct):
    """Changes of fee terms, of series and of events, whether still to come or lately past."""

    series: Sequence[SeriesFeeChange] = ()
    events: Sequence[EventFeeChange] = ()
    read_ts: float = 0.0


def kept_changes(memory: Memory | None, max_age_s: float) -> Changes | None:
    """Those that were read no longer ago."""
    kept = memory and memory.load(_NAME, Changes)
    return kept if kept and time.time() - kept.read_ts <= max_age_s else None


async def read_changes(kalshi: Kalshi, memory: Memory, max_age_s: float) -> Changes:
    """The scheduled changes, from the memory if they are fresh there. Raises `KalshiError`."""
    kept = kept_changes(memory, max_age_s)
    if kept is not None:
        return kept
    now = datetime.now(UTC)
    earlier = memory.load(_NAME, Changes) or Changes()
    # Of what was remembered only what has come due, since the exchange lists it no more; what is to come may have been
    # moved or taken back.
    past = [c for c in earlier.series if now - _KEEP <= c.scheduled_ts <= now]
    over = [c for c in earlier.events if now - _KEEP <= c.scheduled_ts <= now]
    series = {_key(c): c for c in (*past, *await kalshi.series.fee_changes())}
    events = {_key(c): c for c in (*over, *await kalshi.events.fee_changes())}
    made = Changes(list(series.values()), list(events.values()), time.time())
    memory.save(_NAME, made)
    return made


def _key(change: SeriesFeeChange | EventFeeChange) -> tuple[str, datetime]:
    name = change.event_ticker if isinstance(change, EventFeeChange) else change.series_ticker
    return name, change.scheduled_ts

"""What is said of events, by ticker: asked for in bulk, and not again while it is fresh."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from fairline.kalshi.client import MAX_EVENTS, Kalshi
from fairline.kalshi.decoding import Page, Rejected
from fairline.kalshi.errors import KalshiError
from fairline.kalshi.memory import Memory
from fairline.kalshi.routes import batches
from fairline.kalshi.wire import Event

_NAME = "events"
_FORGET_S = 7 * 86_400


class _Known(msgspec.Struct):
    event: Event
    read_ts: float


@dataclass(slots=True)
class Events:
    """The events that were found; those that could not be read; and what could not be asked, with the reason."""

    rows: list[Event] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    unasked: int = 0
    reason: str = ""


def plan(tickers: Sequence[str], memory: Memory | None, max_age_s: float) -> tuple[list[Event], list[list[str]]]:
    """The events that are known and fresh, and the lists of tickers to ask for, one list a request."""
    known = (memory and memory.load(_NAME, dict[str, _Known])) or {}
    oldest = time.time() - max_age_s
    fresh = {ticker: known[ticker].event for ticker in tickers if ticker in known and known[ticker].read_ts >= oldest}
    return list(fresh.values()), list(batches([ticker for ticker in tickers if ticker not in fresh], MAX_EVENTS))


async def read_events(
    kalshi: Kalshi, tickers: Sequence[str], memory: Memory | None = None, max_age_s: float = 0.0
) -> Events:
    """These events, as many requests at once as the rate allows. Unknown tickers are not among the rows."""
    fresh, lists = plan(tickers, memory, max_age_s)
    answers = await asyncio.gather(
        *(kalshi.events.list(tickers=",".join(names)) for names in lists), return_exceptions=True
    )
    made = Events(fresh)
    read: list[Event] = []
    for names, answer in zip(lists, answers, strict=True):
        if isinstance(answer, Page):
            read += answer.rows
            made.rejected += answer.rejected
        elif isinstance(answer, KalshiError):
            made.unasked, made.reason = made.unasked + len(names), answer.message
        else:
            raise answer
    made.rows += read
    if memory is not None and read:
        _remember(memory, read)
    return made


def _remember(memory: Memory, events: list[Event]) -> None:
    now = time.time()
    known = memory.load(_NAME, dict[str, _Known]) or {}
    kept = {ticker: entry for ticker, entry in known.items() if entry.read_ts >= now - _FORGET_S}
    memory.save(_NAME, kept | {event.event_ticker: _Known(event, now) for event in events})

"""One walk along a cursor: how far it has come, whether it goes in circles, and whether rows come in order."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, TypeVar

from fairline.kalshi.decoding import Page
from fairline.kalshi.errors import CursorLoopError
from fairline.kalshi.windows import BEGINNING, Axis, Window, second_of
from fairline.kalshi.wire import Market

T = TypeVar("T")
Fetch = Callable[[str | None], Awaitable[Page[T]]]

_PATIENCE = 5
"""Pages in a row that bring nothing, before a walk counts as endless."""


async def walk(fetch: Fetch[T]) -> AsyncIterator[Page[T]]:
    """Every page from the first to the end. Raises `CursorLoopError` rather than go round in circles."""
    trail, cursor = Trail(), None
    while True:
        page = await fetch(cursor)
        yield page
        if not page.cursor:
            return
        trail.follow(page.cursor, page.rows)
        cursor = page.cursor


def _falling(texts: list[str], falling: list[str]) -> bool:
    """Whether times in UTC come the latest first. As text (`falling` is their order) that is nearly so: not within a
    second, some of which have a fraction; those are looked at again without.
    """
    if "".join(texts).count("Z") != len(texts):
        return False
    if falling == texts:
        return True
    moments = [text[:19] for text in texts]
    return sorted(moments, reverse=True) == moments


@dataclass(slots=True)
class Trail:
    """The cursors followed so far, and the pages that they led to by their first and last row."""

    followed: set[str] = field(default_factory=set)
    pages: set[tuple[str, str]] = field(default_factory=set)
    barren: int = 0

    def follow(self, cursor: str, rows: Sequence[Any]) -> None:
        """Raises `CursorLoopError` if the cursor was followed before, or too many pages in a row had nothing new."""
        if cursor in self.followed:
            raise CursorLoopError(f"the exchange repeated a cursor after {len(self.followed)} pages")
        self.followed.add(cursor)
        ends = (_name(rows[0]), _name(rows[-1])) if rows else None
        self.barren = self.barren + 1 if ends is None or ends in self.pages else 0
        if ends is not None:
            self.pages.add(ends)
        if self.barren >= _PATIENCE:
            raise CursorLoopError(
                f"the exchange sent {self.barren} pages in a row with nothing new, and another cursor"
            )


def _name(row: object) -> str:
    return str(getattr(row, "ticker", None) or getattr(row, "event_ticker", ""))


_CROWDED = 200
"""How much denser than the pages before a page is that lies in a batch listed at once. From simulated worlds: with 10
or 500 a first crawl takes longer.
"""


@dataclass(slots=True)
class Walk:
    """A cursor walk over what `filters` select, in a crawl. With an axis it covers `window` of it.

    `oldest` is the earliest second that was surely reached, by two rows: a single odd time proves nothing, and `stride`
    how many seconds the last page covered; it is `dense` where that is far less than before, as in a batch listed at
    once, and `guessed` if it begins where such a batch might end. As long as
    rows come `ordered`, the latest first, the part of the window below what was reached can be given away to another
    walk; the window then ends above it.
    """

    number: int
    filters: dict[str, str]
    axis: Axis | None = None
    window: Window = field(default_factory=Window)
    cursor: str | None = None
    pages: int = 0
    rows: int = 0
    oldest: int | None = None
    stride: int = 1
    dense: bool = False
    guessed: bool = False
    ordered: bool = True
    ended: bool = False
    shared: bool = False
    attempts: int = 0
    failure: str = ""
    began_s: float | None = None
    ended_s: float | None = None
    closing: bool = False
    trail: Trail = field(default_factory=Trail)
    asked: dict[str, str | int] = field(default_factory=dict)
    span: Window = field(default_factory=Window)

    def params(self) -> dict[str, str | int]:
        """The filters of the next request. They stay those of the first as long as its cursor is followed."""
        if not self.asked:
            self.asked = self.filters | (self.window.filters(self.axis) if self.axis is not None else {})
            self.span = self.window
        return self.asked if self.cursor is None else self.asked | {"cursor": self.cursor}

    def reach(self, rows: Sequence[Market]) -> bool:
        """Take note of a page's times. False if the exchange does not look at the window: most rows lie outside it."""
        if self.axis is None or not rows:
            return True
        texts: list[str] = [text or "" for text in map(attrgetter(self.axis.field), rows)]
        falling = sorted(texts, reverse=True)
        try:
            high, low, lowest = second_of(falling[0]), second_of(falling[-2:][0]), second_of(falling[-1])
        except ValueError:
            self.ordered = False
            return True
        inside = self.span.holds(high) and self.span.holds(lowest) and lowest >= BEGINNING
        if not inside or not _falling(texts, falling) or (self.oldest is not None and high > self.oldest):
            self.ordered = False
        if len(rows) > 1:
            self.stride = max(1, high - low)
            self.oldest = low if self.oldest is None else min(self.oldest, low)
        return inside or 2 * sum(self.span.holds(second_of(text)) for text in texts) > len(texts)

    def advance(self, page: Page[Market], now_s: float) -> None:
        """Go on to the next page, or end: with the cursor, or where the rest was given away.

        Raises `CursorLoopError`.
        """
        start = now_s if self.span.high is None else self.span.high
        if self.oldest is not None:
            self.dense = self.stride * _CROWDED < (start - self.oldest) / (self.pages + 1)
        self.pages += 1
        self.rows += len(page.rows)
        self.cursor = page.cursor
        given_away = self.shared and self.ordered and self.oldest is not None and self.oldest < (self.window.low or 0)
        if page.cursor and not given_away:
            self.trail.follow(page.cursor, page.rows)
            return
        self.ended, self.ended_s = True, now_s

    def rest(self) -> Window | None:
        """The window of what was not reached, to be asked for without the cursor. None if that is everything again."""
        if self.axis is None or self.oldest is None or not self.ordered:
            return None
        return Window(self.window.low, self.oldest)

    @property
    def divisible(self) -> bool:
        """Whether part of it can be given away: what lies below the second that it has reached, within its window.

        A walk still at the second where its window begins would give away all of it, for another to do the same.
        """
        begun = self.oldest is not None and (self.window.high is None or self.oldest < self.window.high)
        return begun and self.axis is not None and self.ordered and not self.ended and not self.closing

    @property
    def unread(self) -> Window:
        """The window without what was surely read."""
        return Window(self.window.low, self.oldest if self.ordered and self.oldest is not None else self.span.high)

    @property
    def words(self) -> str:
        """What it is about, for a reader."""
        if self.axis is not None:
            return self.unread.words(self.axis)
        named = [f"{name} {value}" for name, value in self.filters.items() if name.endswith(("_ticker", "tickers"))]
        return " ".join(named) or "the listing"

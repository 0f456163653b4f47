"""One walk along a cursor: how far it has come, whether it goes in circles, and whether rows come in order."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TypeVar

from fairline.kalshi.errors import CursorLoopError
from fairline.kalshi.windows import Axis, Window, second_of
from fairline.kalshi.wire import Market, Page

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
        trail.follow(page.cursor, len(page.rows))
        cursor = page.cursor


def _falling(texts: list[str]) -> bool:
    """Whether times in UTC come the latest first. As text that is nearly their order: not within a second, some of
    which have a fraction; those are looked at again without.
    """
    if "".join(texts).count("Z") != len(texts):
        return False
    if sorted(texts, reverse=True) == texts:
        return True
    moments = [text[:19] for text in texts]
    return sorted(moments, reverse=True) == moments


@dataclass(slots=True)
class Trail:
    """The cursors followed so far."""

    followed: set[str] = field(default_factory=set)
    barren: int = 0

    def follow(self, cursor: str, rows: int) -> None:
        """Raises `CursorLoopError` if the cursor was followed before, or too many pages in a row were empty."""
        if cursor in self.followed:
            raise CursorLoopError(f"the exchange repeated a cursor after {len(self.followed)} pages")
        self.followed.add(cursor)
        self.barren = 0 if rows else self.barren + 1
        if self.barren >= _PATIENCE:
            raise CursorLoopError(f"the exchange sent {self.barren} empty pages in a row and yet another cursor")


@dataclass(slots=True)
class Walk:
    """A cursor walk over what `filters` select, in a crawl. With an axis it covers `window` of it.

    `oldest` is the earliest second that was reached. As long as rows come `ordered`, the latest first, the part of the
    window below what was reached can be given away to another walk; the window then ends above it.
    """

    number: int
    filters: dict[str, str]
    axis: Axis | None = None
    window: Window = Window()  # noqa: RUF009  (frozen)
    cursor: str | None = None
    pages: int = 0
    rows: int = 0
    oldest: int | None = None
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
    span: Window = Window()  # noqa: RUF009

    def params(self) -> dict[str, str | int]:
        """The filters of the next request. They stay those of the first as long as its cursor is followed."""
        if not self.asked:
            self.asked = self.filters | (self.window.filters(self.axis) if self.axis is not None else {})
            self.span = self.window
        return self.asked if self.cursor is None else self.asked | {"cursor": self.cursor}

    def reach(self, rows: Sequence[Market]) -> bool:
        """Take note of a page's times. False if the exchange sent rows from outside the window."""
        if self.axis is None or not rows:
            return True
        texts: list[str] = [text or "" for text in map(attrgetter(self.axis.field), rows)]
        latest, earliest = max(texts), min(texts)
        try:
            high, low = second_of(latest), second_of(earliest)
        except ValueError:
            self.ordered = False
            return True
        if not _falling(texts) or (self.oldest is not None and high > self.oldest):
            self.ordered = False
        self.oldest = low if self.oldest is None else min(self.oldest, low)
        return self.span.holds(low) and self.span.holds(high)

    def advance(self, page: Page[Market], now_s: float) -> None:
        """Go on to the next page, or end: with the cursor, or where the rest was given away.

        Raises `CursorLoopError`.
        """
        self.pages += 1
        self.rows += len(page.rows)
        self.cursor = page.cursor
        given_away = self.shared and self.ordered and self.oldest is not None and self.oldest < (self.window.low or 0)
        if page.cursor and not given_away:
            self.trail.follow(page.cursor, len(page.rows))
            return
        self.ended, self.ended_s = True, now_s

    def rest(self) -> Window | None:
        """The window of what was not reached, to be asked for without the cursor. None if that is everything again."""
        if self.axis is None or self.oldest is None or not self.ordered:
            return None
        return Window(self.window.low, self.oldest)

    @property
    def words(self) -> str:
        """What it is about, for a reader."""
        if self.axis is not None:
            return Window(self.window.low, self.oldest or self.window.high).words(self.axis)
        named = [f"{name} {value}" for name, value in self.filters.items() if name.endswith(("_ticker", "tickers"))]
        return " ".join(named) or "the listing"

"""The state of one cursor walk in a crawl: how far it got, and whether its rows arrive in order."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from fairline.kalshi.cursor import CursorTrail
from fairline.kalshi.decoding import Page
from fairline.kalshi.windows import BEGINNING, Axis, Window, second_of
from fairline.kalshi.wire import Market

DENSE_PAGE_RATIO = 200
"""A page this many times denser than the pages before it lies in a batch listed at once. Chosen on simulated worlds:
with 10 or 500 a first crawl takes longer.
"""


@dataclass(slots=True)
class Walk:
    """A cursor walk over the markets that `filters` select. With an axis, it covers `window` of that axis.

    - `oldest`: the earliest second certainly reached. It takes two rows, because one odd time proves nothing.
    - `stride`: seconds covered by the last page.
    - `dense`: the last page covers far less time than those before it, as in a batch listed at once.
    - `guessed`: the walk begins where such a batch might end.
    - `ordered`: rows arrive with the latest first. While that holds, the part of the window below `oldest` can be given
      to another walk; the window then ends above it and the walk is `shared`.
    - `requested` and `span`: filters and window of the first request. They stay the same while its cursor is followed.
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
    trail: CursorTrail = field(default_factory=CursorTrail)
    requested: dict[str, str | int] = field(default_factory=dict)
    span: Window = field(default_factory=Window)

    def params(self) -> dict[str, str | int]:
        """Return the parameters of the next request. The filters stay those of the first request."""
        if not self.requested:
            self.requested = self.filters | (self.window.filters(self.axis) if self.axis is not None else {})
            self.span = self.window
        return self.requested if self.cursor is None else self.requested | {"cursor": self.cursor}

    def observe(self, rows: Sequence[Market]) -> bool:
        """Record the times of a page. Return False if most rows lie outside the window: the exchange ignores it."""
        if self.axis is None or not rows:
            return True
        texts: list[str] = [text or "" for text in map(attrgetter(self.axis.field), rows)]
        latest_first = sorted(texts, reverse=True)
        try:
            latest = second_of(latest_first[0])
            second_oldest = second_of(latest_first[-2:][0])
            oldest = second_of(latest_first[-1])
        except ValueError:
            self.ordered = False
            return True
        inside = self.span.holds(latest) and self.span.holds(oldest) and oldest >= BEGINNING
        continues = self.oldest is None or latest <= self.oldest
        if not (inside and continues and _is_descending(texts, latest_first)):
            self.ordered = False
        if len(rows) > 1:
            self.stride = max(1, latest - second_oldest)
            self.oldest = second_oldest if self.oldest is None else min(self.oldest, second_oldest)
        return inside or 2 * sum(self.span.holds(second_of(text)) for text in texts) > len(texts)

    def advance(self, page: Page[Market], now_s: float) -> None:
        """Move on to the next page, or end: at the last page, or where the rest was given to another walk.

        Raises `CursorLoopError`.
        """
        start = now_s if self.span.high is None else self.span.high
        if self.oldest is not None:
            self.dense = self.stride * DENSE_PAGE_RATIO < (start - self.oldest) / (self.pages + 1)
        self.pages += 1
        self.rows += len(page.rows)
        self.cursor = page.cursor
        if page.cursor and not self._reached_shared_part():
            self.trail.follow(page.cursor, page.rows)
            return
        self.ended = True
        self.ended_s = now_s

    def _reached_shared_part(self) -> bool:
        reached = self.oldest is not None and self.oldest < (self.window.low or 0)
        return self.shared and self.ordered and reached

    def remainder(self) -> Window | None:
        """Return the window not reached yet, to be requested without the cursor. None if that is the whole window."""
        if self.axis is None or self.oldest is None or not self.ordered:
            return None
        return Window(self.window.low, self.oldest)

    @property
    def divisible(self) -> bool:
        """Whether the part of the window below the second reached can be given to another walk.

        A walk still at the top of its window would give away all of it, and the receiver would do the same.
        """
        if self.oldest is None or (self.window.high is not None and self.oldest >= self.window.high):
            return False
        return self.axis is not None and self.ordered and not self.ended and not self.closing

    @property
    def unread(self) -> Window:
        """The window without the part that was certainly read."""
        return Window(self.window.low, self.oldest if self.ordered and self.oldest is not None else self.span.high)

    @property
    def description(self) -> str:
        """What the walk reads, for messages."""
        if self.axis is not None:
            return self.unread.describe(self.axis)
        names = [f"{name} {value}" for name, value in self.filters.items() if name.endswith(("_ticker", "tickers"))]
        return " ".join(names) or "the listing"


def _is_descending(texts: list[str], latest_first: list[str]) -> bool:
    """Return whether UTC times arrive with the latest first; `latest_first` is `texts` sorted as text.

    Text order is wrong within a second, where some times have a fraction and some have none. Such pages are compared
    again by whole seconds.
    """
    if "".join(texts).count("Z") != len(texts):
        return False
    if latest_first == texts:
        return True
    seconds = [text[:19] for text in texts]
    return sorted(seconds, reverse=True) == seconds

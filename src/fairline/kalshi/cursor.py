"""Cursor pagination: read every page of a listing, and notice a cursor that leads nowhere."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fairline.kalshi.decoding import Page
from fairline.kalshi.errors import CursorLoopError, ShapeError

T = TypeVar("T")
FetchPage = Callable[[str | None], Awaitable[Page[T]]]

MAX_PAGES_WITHOUT_NEWS = 5
"""Pages in a row without a new row before a listing counts as endless."""


def check_cursor(page: Page[Any], page_size: int) -> None:
    """Raise `ShapeError` for a full page whose cursor is missing: more may follow, and nothing says where."""
    if page.cursor_missing and page.size >= page_size:
        raise ShapeError(
            f"a full page of {page.size:,} rows has no cursor",
            remedy="Run `fairline doctor --contract` to compare the exchange with what this version expects",
        )


async def paginate(fetch: FetchPage[T], page_size: int) -> AsyncIterator[Page[T]]:
    """Yield every page from the first to the last.

    Raises `CursorLoopError` instead of looping for ever, and `ShapeError` for a full page without a cursor.
    """
    trail = CursorTrail()
    cursor = None
    while True:
        page = await fetch(cursor)
        yield page
        if not page.cursor:
            check_cursor(page, page_size)
            return
        trail.follow(page.cursor, page.rows)
        cursor = page.cursor


@dataclass(slots=True)
class CursorTrail:
    """The cursors followed so far, and the pages they led to, identified by their first and last row."""

    followed: set[str] = field(default_factory=set)
    pages: set[tuple[str, str]] = field(default_factory=set)
    pages_without_news: int = 0

    def follow(self, cursor: str, rows: Sequence[Any]) -> None:
        """Record a cursor and the rows that came with it.

        Raises `CursorLoopError` for a cursor followed before, or after too many pages in a row without a new row.
        """
        if cursor in self.followed:
            raise CursorLoopError(f"the exchange repeated a cursor after {len(self.followed)} pages")
        self.followed.add(cursor)
        ends = (_identifier(rows[0]), _identifier(rows[-1])) if rows else None
        if ends is None or ends in self.pages:
            self.pages_without_news += 1
        else:
            self.pages_without_news = 0
            self.pages.add(ends)
        if self.pages_without_news >= MAX_PAGES_WITHOUT_NEWS:
            raise CursorLoopError(
                f"the exchange sent {self.pages_without_news} pages in a row with nothing new, and another cursor"
            )


def _identifier(row: object) -> str:
    """Return what identifies a row. Trades of one market have the same ticker."""
    names = ("trade_id", "ticker", "event_ticker")
    return str(next((value for name in names if (value := getattr(row, name, None))), ""))

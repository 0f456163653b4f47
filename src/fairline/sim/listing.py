"""The rules of `/markets`: which markets a query selects, in which order, and the cursor of the next page.

Paging is by key over (created time descending, ticker), or (close time descending, row) in close windows, not over a
snapshot. Timestamp filters exclude each other and are allowed with certain statuses only; other combinations are a 400,
as on the exchange.
"""

import base64
import binascii
import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairline.sim.catalog import Catalog, Index

# The values of the `status` field that each value of the status filter selects.
STATUS_FIELDS = {
    "unopened": ("initialized",),
    "open": ("active",),
    "paused": ("inactive",),
    "closed": ("closed", "determined", "disputed", "amended"),
    "settled": ("finalized",),
}
_WINDOWS = {
    "created": ("unopened", "open", None),
    "close": ("closed", None),
    "settled": ("settled", None),
    "updated": (None,),
}


class BadRequest(Exception):
    """A 400 whose text the exchange sends as `msg`."""


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of a page and the cursor of the next, empty on the last page."""

    rows: list[int]
    cursor: str


def parse_int(query: Mapping[str, str], name: str, default: int, most: int, least: int = 0) -> int:
    """Return an integer parameter. Raises `BadRequest` if it is not a number or outside its limits."""
    text = query.get(name, "")
    if text == "":
        return default
    try:
        value = int(text)
    except ValueError as error:
        raise BadRequest(f"Invalid format for parameter {name}: error binding string parameter") from error
    if not least <= value <= most:
        tag = "lte" if value > most else "gte"
        raise BadRequest(f"Parameter validation failed: '{name.capitalize()}' failed on the '{tag}' tag")
    return value


class Selection:
    """The rows that a query selects, the last created first; in close windows the last to close first.

    Raises `BadRequest` for filters that cannot be combined.
    """

    def __init__(self, catalog: Catalog, index: Index, query: Mapping[str, str], *, archived: bool = False) -> None:
        self._catalog = catalog
        self._archived = archived
        self._status = query.get("status") or None
        self._mve = query.get("mve_filter") or None
        _check(query, self._status, self._mve)
        self._created = _window(query, "created")
        self._close = _window(query, "close")
        self._settled = _window(query, "settled")
        updated = _window(query, "updated")
        if self._settled != _ALWAYS:
            self._status = "settled"
        if updated != _ALWAYS:
            # A market's description never changes after creation, and a new quote is not an update.
            self._created = updated
        self._first = catalog.refresh()
        self._named = _named_rows(catalog, index, query)
        windowed = self._close != _ALWAYS or self._settled != _ALWAYS
        self._close_order = catalog.close_order() if windowed and self._named is None else None
        self._low, self._high = self._bounds()

    def page(self, cursor: str, limit: int) -> Page:
        """Return the next `limit` rows after the cursor's key."""
        place = self._place_after(*_decode(cursor)) if cursor else self._low
        rows: list[int] = []
        step = 2 * limit + 64
        while place < self._high and len(rows) <= limit:
            candidates = self._rows(place, min(place + step, self._high))
            rows += candidates[self._matches(candidates)].tolist()
            place += step
            step = 1 << 17
        if limit == 0 or len(rows) <= limit:
            return Page(rows[:limit], "")
        last = rows[limit - 1]
        times = self._catalog.created_us if self._close_order is None else self._catalog.close_us
        return Page(rows[:limit], _encode(int(times[last]), self._catalog.tickers[last]))

    def rows(self) -> NDArray[np.int64]:
        """Return all selected rows."""
        rows = self._rows(self._low, self._high)
        return rows[self._matches(rows)]

    def _bounds(self) -> tuple[int, int]:
        """Return the range of places, in this selection's order, that contains every selected row."""
        if self._named is not None:
            return 0, len(self._named)
        if self._close_order is None:
            start, stop = _range_of(self._catalog.created_us, self._created)
            return max(start, self._first), stop
        return _range_of(self._catalog.close_us[self._close_order], self._close)

    def _rows(self, start: int, stop: int) -> NDArray[np.int64]:
        if self._named is not None:
            return self._named[start:stop]
        return np.arange(start, stop) if self._close_order is None else self._close_order[start:stop]

    def _matches(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        catalog = self._catalog
        matches: NDArray[np.bool_] = (rows >= self._first) & (catalog.archived[rows] == self._archived)
        if self._status is not None:
            matches &= catalog.with_status(STATUS_FIELDS[self._status], rows)
        if self._mve is not None:
            matches &= catalog.combos[rows] == (self._mve == "only")
        windows = (self._created, self._close, self._settled)
        times = (catalog.created_us, catalog.close_us, catalog.settled_us)
        for values, (low, high) in zip(times, windows, strict=True):
            if (low, high) != _ALWAYS:
                matches &= (values[rows] >= low) & (values[rows] <= high)
        return matches

    def _place_after(self, time_us: int, ticker: str) -> int:
        """Return the first place after a key; the row of the key may have left the selection since."""
        if self._close_order is not None:
            return max(self._low, self._place_after_close(self._close_order, time_us, ticker))
        row = _row_after(self._catalog, time_us, ticker)
        return max(self._low, row) if self._named is None else int(np.searchsorted(self._named, row))

    def _place_after_close(self, order: NDArray[np.int64], close_us: int, ticker: str) -> int:
        known = self._catalog.row.get(ticker)
        if known is None:
            raise BadRequest("Invalid format for parameter cursor: invalid cursor")
        start, stop = _range_of(self._catalog.close_us[order], (close_us, close_us))
        return start + int(np.searchsorted(order[start:stop], known, side="right"))


_ALWAYS = (-(2**62), 2**62)


def _range_of(descending: NDArray[np.int64], window: tuple[int, int]) -> tuple[int, int]:
    """Return where the values of a descending array that lie in a window start and stop."""
    low, high = window
    return int(np.searchsorted(-descending, -high)), int(np.searchsorted(-descending, -low, side="right"))


def _window(query: Mapping[str, str], name: str) -> tuple[int, int]:
    """Return the first and last microsecond that a pair of timestamp filters admits."""
    low, high = _ALWAYS
    if query.get(f"min_{name}_ts"):
        low = parse_int(query, f"min_{name}_ts", 0, 2**40) * 1_000_000
    if query.get(f"max_{name}_ts"):
        high = parse_int(query, f"max_{name}_ts", 0, 2**40) * 1_000_000 + 999_999
    return low, high


def _check(query: Mapping[str, str], status: str | None, mve: str | None) -> None:
    """Raise `BadRequest` for filters that the exchange does not know or does not combine."""
    if status is not None and status not in STATUS_FIELDS:
        raise BadRequest(f"Parameter validation failed: invalid status '{status}'")
    if mve not in (None, "only", "exclude"):
        raise BadRequest(f"Parameter validation failed: invalid mve_filter '{mve}'")
    _check_windows(query, status, mve)


def _check_windows(query: Mapping[str, str], status: str | None, mve: str | None) -> None:
    windows = [name for name in _WINDOWS if query.get(f"min_{name}_ts") or query.get(f"max_{name}_ts")]
    if len(windows) > 1 or any(status not in _WINDOWS[name] for name in windows):
        raise BadRequest("Parameter validation failed: timestamp and status filters are not compatible")
    if windows == ["updated"] and mve != "exclude":
        raise BadRequest("Parameter validation failed: updated filters need mve_filter=exclude")


def _named_rows(catalog: Catalog, index: Index, query: Mapping[str, str]) -> NDArray[np.int64] | None:
    """Return the rows of the requested tickers, event or series, None if none was named.

    Unknown names select nothing, without an error.
    """
    rows: list[set[int]] = []
    if query.get("tickers"):
        rows.append({catalog.row[t] for t in query["tickers"].split(",") if t in catalog.row})
    if query.get("event_ticker"):
        event = index.event.get(query["event_ticker"])
        combo = index.combo_of.get(query["event_ticker"])
        rows.append(set(event.rows if event else () if combo is None else (combo,)))
    if query.get("series_ticker"):
        rows.append(set(index.rows_of_series.get(query["series_ticker"], ())))
    return np.array(sorted(set.intersection(*rows)), dtype=np.int64) if rows else None


def _row_after(catalog: Catalog, created_us: int, ticker: str) -> int:
    """Return the first row after a key in paging order; the row of the key itself may no longer exist."""
    row = int(np.searchsorted(-catalog.created_us, -created_us, side="left"))
    while row < len(catalog.tickers) and catalog.created_us[row] == created_us and catalog.tickers[row] <= ticker:
        row += 1
    return row


def _encode(time_us: int, ticker: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([time_us, ticker]).encode()).decode().rstrip("=")


def cursor_past_end(number: int) -> str:
    """Return a valid cursor, different for each number, after which no row follows."""
    return _encode(-number, "~")


def _decode(cursor: str) -> tuple[int, str]:
    try:
        time_us, ticker = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return min(max(int(time_us), -(2**62)), 2**62), str(ticker)
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise BadRequest("Invalid format for parameter cursor: invalid cursor") from error


def place_page(places: list[int], cursor: str, limit: int) -> tuple[list[int], str]:
    """Return the page of ascending places after the cursor's, and the cursor of the next page.

    Places that appear or disappear between two pages shift nothing.
    """
    after = _decode(cursor)[0] if cursor else -1
    rest = places[bisect_right(places, after) :]
    return rest[:limit], _encode(rest[limit - 1], "") if len(rest) > limit else ""


def offset_page(count: int, cursor: str, limit: int) -> tuple[range, str]:
    """Return the positions of a page of a list that does not change, and the cursor of the next page."""
    start = max(0, _decode(cursor)[0]) if cursor else 0
    stop = min(count, start + limit)
    return range(start, stop), _encode(stop, "") if stop < count else ""

"""Which markets a query selects, in which order, and the cursor of the next page: the rules of `/markets`.

Paging is by key over (created time descending, ticker), not over a snapshot. Timestamp filters exclude one another and
go with certain statuses only; what does not go together is a 400, as on the exchange.
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

# What each status of the query means for the `status` field.
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
    """A 400 with the text that the exchange sends as `msg`."""


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[int]
    cursor: str


def whole(query: Mapping[str, str], name: str, default: int, most: int, least: int = 0) -> int:
    """An integer parameter within its limits."""
    text = query.get(name, "")
    if text == "":
        return default
    try:
        value = int(text)
    except ValueError:
        raise BadRequest(f"Invalid format for parameter {name}: error binding string parameter") from None
    if not least <= value <= most:
        tag = "lte" if value > most else "gte"
        raise BadRequest(f"Parameter validation failed: '{name.capitalize()}' failed on the '{tag}' tag")
    return value


class Selection:
    """What a query asks for, in paging order: the last created first, in close windows the last to close first.

    Raises `BadRequest` for filters that do not go together.
    """

    def __init__(self, catalog: Catalog, index: Index, query: Mapping[str, str], *, archived: bool = False) -> None:
        self._catalog, self._index, self._archived = catalog, index, archived
        self._status, self._mve = query.get("status") or None, query.get("mve_filter") or None
        _check(query, self._status, self._mve)
        names = ("created", "close", "settled", "updated")
        self._created, self._close, self._settled, updated = (_window(query, name) for name in names)
        if self._settled != _ALWAYS:
            self._status = "settled"
        if updated != _ALWAYS:
            # What is described of a market does not change after it was created, and quotes are no update.
            self._created = updated
        self._first = catalog.refresh()
        self._named = _named(catalog, index, query)
        self._by_close = (self._close != _ALWAYS or self._settled != _ALWAYS) and self._named is None
        self._low, self._high = self._stretch()

    def page(self, cursor: str, limit: int) -> Page:
        """The next `limit` rows after the cursor's key; the last page's cursor is empty."""
        place = self._place_after(*_decode(cursor)) if cursor else self._low
        found: list[int] = []
        step = 2 * limit + 64
        while place < self._high and len(found) <= limit:
            rows = self._rows(place, min(place + step, self._high))
            found += rows[self._keep(rows)].tolist()
            place, step = place + step, 1 << 17
        last = found[limit - 1] if len(found) > limit > 0 else None
        following = "" if last is None else _encode(int(self._catalog.created_us[last]), self._catalog.tickers[last])
        return Page(found[:limit], following)

    def rows(self) -> NDArray[np.int64]:
        """All of them."""
        rows = self._rows(self._low, self._high)
        return rows[self._keep(rows)]

    def _stretch(self) -> tuple[int, int]:
        """The places, in this selection's order, among which everything asked for lies."""
        if self._named is not None:
            return 0, len(self._named)
        values = -(self._catalog.close_us[self._index.by_close] if self._by_close else self._catalog.created_us)
        low, high = self._close if self._by_close else self._created
        start, stop = int(np.searchsorted(values, -high)), int(np.searchsorted(values, -low, side="right"))
        return (start if self._by_close else max(start, self._first)), stop

    def _rows(self, start: int, stop: int) -> NDArray[np.int64]:
        if self._named is not None:
            return self._named[start:stop]
        return self._index.by_close[start:stop] if self._by_close else np.arange(start, stop)

    def _keep(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        catalog = self._catalog
        keep: NDArray[np.bool_] = (rows >= self._first) & (catalog.archived[rows] == self._archived)
        if self._status is not None:
            keep &= catalog.having(STATUS_FIELDS[self._status], rows)
        if self._mve is not None:
            keep &= catalog.combos[rows] == (self._mve == "only")
        windows = (self._created, self._close, self._settled)
        times = (catalog.created_us, catalog.close_us, catalog.settled_us)
        for values, (low, high) in zip(times, windows, strict=True):
            if (low, high) != _ALWAYS:
                keep &= (values[rows] >= low) & (values[rows] <= high)
        return keep

    def _place_after(self, created_us: int, ticker: str) -> int:
        """The first place after a key; the key itself need not be among what is asked for any more."""
        row = _after(self._catalog, created_us, ticker)
        if self._named is not None:
            return int(np.searchsorted(self._named, row))
        if self._by_close:
            known = self._catalog.row.get(ticker)
            if known is None:
                raise BadRequest("Invalid format for parameter cursor: invalid cursor")
            return max(self._low, int(self._index.place_by_close[known]) + 1)
        return max(self._low, row)


_ALWAYS = (-(2**62), 2**62)


def _window(query: Mapping[str, str], name: str) -> tuple[int, int]:
    """First and last microsecond of a family of timestamp filters."""
    low, high = _ALWAYS
    if query.get(f"min_{name}_ts"):
        low = whole(query, f"min_{name}_ts", 0, 2**40) * 1_000_000
    if query.get(f"max_{name}_ts"):
        high = whole(query, f"max_{name}_ts", 0, 2**40) * 1_000_000 + 999_999
    return low, high


def _check(query: Mapping[str, str], status: str | None, mve: str | None) -> None:
    """The exchange's rules of what may be asked together."""
    if status is not None and status not in STATUS_FIELDS:
        raise BadRequest(f"Parameter validation failed: invalid status '{status}'")
    if mve not in (None, "only", "exclude"):
        raise BadRequest(f"Parameter validation failed: invalid mve_filter '{mve}'")
    windows = [name for name in _WINDOWS if query.get(f"min_{name}_ts") or query.get(f"max_{name}_ts")]
    if len(windows) > 1 or any(status not in _WINDOWS[name] for name in windows):
        raise BadRequest("Parameter validation failed: timestamp and status filters are not compatible")
    if windows == ["updated"] and mve != "exclude":
        raise BadRequest("Parameter validation failed: updated filters need mve_filter=exclude")


def _named(catalog: Catalog, index: Index, query: Mapping[str, str]) -> NDArray[np.int64] | None:
    """Rows of the tickers, event or series asked for; unknown names select nothing, without an error."""
    rows: list[set[int]] = []
    if query.get("tickers"):
        rows.append({catalog.row[t] for t in query["tickers"].split(",") if t in catalog.row})
    if query.get("event_ticker"):
        event, combo = index.event.get(query["event_ticker"]), index.combo_of.get(query["event_ticker"])
        rows.append(set(event.rows if event else () if combo is None else (combo,)))
    if query.get("series_ticker"):
        rows.append(set(index.rows_of_series.get(query["series_ticker"], ())))
    return np.array(sorted(set.intersection(*rows)), dtype=np.int64) if rows else None


def _after(catalog: Catalog, created_us: int, ticker: str) -> int:
    """First row that comes after a key in paging order; the key itself need not exist any more."""
    row = int(np.searchsorted(-catalog.created_us, -created_us, side="left"))
    while row < len(catalog.tickers) and catalog.created_us[row] == created_us and catalog.tickers[row] <= ticker:
        row += 1
    return row


def _encode(created_us: int, ticker: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([created_us, ticker]).encode()).decode().rstrip("=")


def beyond_the_end(number: int) -> str:
    """A well-formed cursor, another for each number, after which there is nothing."""
    return _encode(-number, "~")


def _decode(cursor: str) -> tuple[int, str]:
    try:
        created_us, ticker = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return min(max(int(created_us), -(2**62)), 2**62), str(ticker)
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError):
        raise BadRequest("Invalid format for parameter cursor: invalid cursor") from None


def place_page(places: list[int], cursor: str, limit: int) -> tuple[list[int], str]:
    """Of ascending places in a list that stays, the next after the cursor's: what is left out or comes to be in between
    shifts nothing.
    """
    after = _decode(cursor)[0] if cursor else -1
    rest = places[bisect_right(places, after) :]
    return rest[:limit], _encode(rest[limit - 1], "") if len(rest) > limit else ""


def offset_page(count: int, cursor: str, limit: int) -> tuple[range, str]:
    """Positions of a page of a list that does not change, and the cursor of the next."""
    start = 0
    if cursor:
        start, _ = _decode(cursor)
    stop = min(count, max(0, start) + limit)
    return range(max(0, start), stop), _encode(stop, "") if stop < count else ""

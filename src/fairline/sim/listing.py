"""Which markets a query selects, in which order, and the cursor of the next page: the rules of `/markets`.

Paging is by key over (created time descending, ticker), not over a snapshot. Timestamp filters exclude one another and
go with certain statuses only; what does not go together is a 400, as on the exchange.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairline.sim.catalog import Catalog

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


def select(catalog: Catalog, query: Mapping[str, str]) -> NDArray[np.int64]:
    """Rows that the query asks for, in paging order. Raises `BadRequest` for filters that do not go together."""
    status, mve = query.get("status") or None, query.get("mve_filter") or None
    _check(query, status, mve)
    keep = _named(catalog, query)
    if status is not None:
        keep &= np.isin(catalog.status(), STATUS_FIELDS[status])
    if mve is not None:
        keep &= catalog.combos if mve == "only" else ~catalog.combos
    for name, values in (("created", catalog.created_us), ("close", catalog.close_us)):
        if query.get(f"min_{name}_ts"):
            keep &= values >= whole(query, f"min_{name}_ts", 0, 2**40) * 1_000_000
        if query.get(f"max_{name}_ts"):
            keep &= values <= whole(query, f"max_{name}_ts", 0, 2**40) * 1_000_000 + 999_999
    return np.flatnonzero(keep)


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


def _named(catalog: Catalog, query: Mapping[str, str]) -> NDArray[np.bool_]:
    """Rows of the tickers, event or series asked for; unknown names select nothing, without an error."""
    keep = np.ones(len(catalog.tickers), dtype=np.bool_)
    rows: list[list[int]] = []
    if query.get("tickers"):
        rows.append([catalog.row[t] for t in query["tickers"].split(",") if t in catalog.row])
    if query.get("event_ticker"):
        rows.append([r for e in catalog.events if e.ticker == query["event_ticker"] for r in e.rows])
    if query.get("series_ticker"):
        rows.append([r for e in catalog.events if e.series == query["series_ticker"] for r in e.rows])
    for wanted in rows:
        mask = np.zeros(len(catalog.tickers), dtype=np.bool_)
        mask[wanted] = True
        keep &= mask
    return keep


def page(catalog: Catalog, selected: NDArray[np.int64], cursor: str, limit: int) -> Page:
    """The next `limit` of the selected rows after the cursor's key; the last page's cursor is empty."""
    start = 0
    if cursor:
        start = int(np.searchsorted(selected, _after(catalog, *_decode(cursor))))
    rows = [int(row) for row in selected[start : start + limit]]
    more = bool(rows) and start + len(rows) < len(selected)
    last = rows[-1] if rows else 0
    return Page(rows, _encode(int(catalog.created_us[last]), catalog.tickers[last]) if more else "")


def _after(catalog: Catalog, created_us: int, ticker: str) -> int:
    """First row that comes after a key in paging order; the key itself need not exist any more."""
    row = int(np.searchsorted(-catalog.created_us, -created_us, side="left"))
    while row < len(catalog.tickers) and catalog.created_us[row] == created_us and catalog.tickers[row] <= ticker:
        row += 1
    return row


def _encode(created_us: int, ticker: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([created_us, ticker]).encode()).decode().rstrip("=")


def _decode(cursor: str) -> tuple[int, str]:
    try:
        created_us, ticker = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return int(created_us), str(ticker)
    except (binascii.Error, ValueError, TypeError):
        raise BadRequest("Invalid format for parameter cursor: invalid cursor") from None


def offset_page(count: int, cursor: str, limit: int) -> tuple[range, str]:
    """Positions of a page of a list that does not change, and the cursor of the next."""
    start = 0
    if cursor:
        start, _ = _decode(cursor)
    stop = min(count, max(0, start) + limit)
    return range(max(0, start), stop), _encode(stop, "") if stop < count else ""

"""The world's markets as columns, in paging order: created time descending, then ticker."""

from copy import copy
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

STATUSES = ("initialized", "active", "inactive", "closed", "determined", "finalized")
"""Values of the `status` field; `Columns.status` holds positions in this tuple."""
INITIALIZED, ACTIVE, INACTIVE, CLOSED, DETERMINED, FINALIZED = range(len(STATUSES))
UNIT = 10_000
"""A dollar in the unit of prices."""


@dataclass(slots=True)
class Columns:
    """One entry per market; all columns have the same length.

    Prices are integers in 1/10,000 dollar, sizes in 1/100 contract, times in microseconds since 1970. `event` is -1 for
    a combo, whose event contains only that combo. `subject` numbers the team or player within the event, -1 for none.

    `close_us` is the close time that the market shows, `ends_us` the time at which trading really ends: games show a
    close time two weeks after the game. `error` is how far the quotes are from the truth in log-odds; `no_bid` and
    `no_ask` mark sides that nobody quotes at present.
    """

    ticker: list[str]
    event: NDArray[np.int32]
    label: list[str]
    floor: NDArray[np.float64]
    cap: NDArray[np.float64]
    strike: list[str]
    subject: NDArray[np.int16]
    created_us: NDArray[np.int64]
    open_us: NDArray[np.int64]
    close_us: NDArray[np.int64]
    ends_us: NDArray[np.int64]
    lo: NDArray[np.float64]
    hi: NDArray[np.float64]
    error: NDArray[np.float64]
    no_bid: NDArray[np.bool_]
    no_ask: NDArray[np.bool_]
    bid: NDArray[np.int32]
    ask: NDArray[np.int32]
    bid_size: NDArray[np.int64]
    ask_size: NDArray[np.int64]
    last: NDArray[np.int32]
    volume: NDArray[np.int64]
    volume_24h: NDArray[np.int64]
    open_interest: NDArray[np.int64]
    status: NDArray[np.int8]
    result: NDArray[np.int8]
    grid: NDArray[np.int8]
    revision: NDArray[np.int32]


def without_quotes(count: int) -> dict[str, Any]:
    """Return the quote, trade and state columns of open markets without quotes, trades or results."""
    zero = np.zeros(count, dtype=np.int64)
    prices = {name: zero.astype(np.int32) for name in ("bid", "ask", "last", "revision")}
    sizes = {name: zero.copy() for name in ("bid_size", "ask_size", "volume", "volume_24h", "open_interest")}
    state = {"status": np.full(count, ACTIVE, dtype=np.int8), "result": np.full(count, -1, dtype=np.int8)}
    sides = {name: np.zeros(count, dtype=np.bool_) for name in ("no_bid", "no_ask")}
    return prices | sizes | state | sides | {"error": np.zeros(count)}


def append(first: Columns, second: Columns) -> Columns:
    """Return the rows of `first` followed by those of `second`."""
    joined = copy(first)
    for name in _NAMES:
        head, tail = getattr(first, name), getattr(second, name)
        setattr(joined, name, head + tail if isinstance(head, list) else np.concatenate([head, tail]))
    return joined


def in_paging_order(columns: Columns) -> tuple[Columns, NDArray[np.int64]]:
    """Return the same rows in paging order, and the previous position of each."""
    order = np.argsort(-columns.created_us, kind="stable")
    created = columns.created_us[order]
    same = np.flatnonzero(created[1:] == created[:-1])
    for start in same[np.diff(same, prepend=-2) > 1].tolist():
        stop = int(np.searchsorted(-created, -created[start], side="right"))
        order[start:stop] = sorted(order[start:stop].tolist(), key=lambda row: columns.ticker[row])
    ordered, rows = copy(columns), order.tolist()
    for name in _NAMES:
        values = getattr(columns, name)
        setattr(ordered, name, [values[row] for row in rows] if isinstance(values, list) else values[order])
    return ordered, order


def new_positions(previous: NDArray[np.int64]) -> NDArray[np.int64]:
    """Invert a permutation: where each row went, given the previous position of each."""
    positions = np.empty_like(previous)
    positions[previous] = np.arange(len(previous))
    return positions


_NAMES = tuple(field.name for field in fields(Columns))

"""The world's markets as columns, in the order in which the exchange pages: created time descending, then ticker."""

from copy import copy
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

ACTIVE = 1
"""The state of a market that is open: its place among the world's statuses."""


@dataclass(slots=True)
class Columns:
    """One entry a market, all of one length. `event` is -1 for a combo, whose event holds it alone."""

    ticker: list[str]
    event: NDArray[np.int32]
    label: list[str]
    floor: NDArray[np.float64]
    cap: NDArray[np.float64]
    strike: list[str]
    created_us: NDArray[np.int64]
    open_us: NDArray[np.int64]
    close_us: NDArray[np.int64]
    lo: NDArray[np.float64]
    hi: NDArray[np.float64]
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


def unquoted(count: int) -> dict[str, Any]:
    """The columns of markets that are open, without quotes, trades or result."""
    zero = np.zeros(count, dtype=np.int64)
    prices = {name: zero.astype(np.int32) for name in ("bid", "ask", "last")}
    sizes = {name: zero.copy() for name in ("bid_size", "ask_size", "volume", "volume_24h", "open_interest")}
    state = {"status": np.full(count, ACTIVE, dtype=np.int8), "result": np.full(count, -1, dtype=np.int8)}
    return prices | sizes | state | {"revision": np.zeros(count, dtype=np.int32)}


def append(first: Columns, second: Columns) -> Columns:
    """Both, one after the other."""
    made = copy(first)
    for name in _NAMES:
        a, b = getattr(first, name), getattr(second, name)
        setattr(made, name, a + b if isinstance(a, list) else np.concatenate([a, b]))
    return made


def in_paging_order(columns: Columns) -> tuple[Columns, NDArray[np.int64]]:
    """The same rows as the exchange pages them, and where each of them stood before."""
    order = np.argsort(-columns.created_us, kind="stable")
    created = columns.created_us[order]
    same = np.flatnonzero(created[1:] == created[:-1])
    for start in same[np.diff(same, prepend=-2) > 1].tolist():
        stop = int(np.searchsorted(-created, -created[start], side="right"))
        order[start:stop] = sorted(order[start:stop].tolist(), key=lambda row: columns.ticker[row])
    rows, made = order.tolist(), copy(columns)
    for name in _NAMES:
        values = getattr(columns, name)
        setattr(made, name, [values[row] for row in rows] if isinstance(values, list) else values[order])
    return made, order


_NAMES = tuple(field.name for field in fields(Columns))

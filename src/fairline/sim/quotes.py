"""Quotes around the hidden truth, each on the tick grid that its market shows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairline.sim.columns import UNIT, Columns
from fairline.sim.families import GRID_NAMES, ticks

Floats = NDArray[np.float64]
Indexes = NDArray[np.int64]
Prices = NDArray[np.int32]

_WIDTHS = [1, 2, 3, 4, 6, 9, 15]
_WIDTH_SHARES = [0.34, 0.24, 0.14, 0.1, 0.08, 0.06, 0.04]
_MIDDLE, _EDGE = np.array([ticks(name) for name in GRID_NAMES]).T
_ONLY_ASK, _NEITHER, _ONLY_BID = 0.10, 0.08, 0.05
"""Shares of markets in which nobody quotes the bid, either side, or the ask."""
_PRESENCE_RATE = 0.06
"""Probability per move that the quoted sides of a market are drawn again."""
_EXTREME_ERROR = 0.5
_USUAL_ERROR = 0.04
"""Standard deviations of the quotes' error, in log-odds."""


def draw_first(columns: Columns, misquoted: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Quote every market: mostly close to the truth, in `misquoted` events far off, often one-sided or not at all."""
    n = len(columns.ticker)
    columns.error[:] = rng.normal(0, 1, n) * np.where(misquoted[columns.event], _EXTREME_ERROR, _USUAL_ERROR)
    width = rng.choice(_WIDTHS, size=n, p=_WIDTH_SHARES)
    bid, ask, tick = _around(columns, np.arange(n), width)
    _draw_presence(columns, np.arange(n), rng)
    _place(columns, np.arange(n), (bid, ask, tick), rng)
    no_bid = columns.bid == 0
    traded = rng.random(n) < 0.56
    columns.volume[:] = np.where(traded, (rng.lognormal(6, 2.2, n) * 100).astype(np.int64), 0)
    columns.volume_24h[:] = np.where(rng.random(n) < 0.35, columns.volume // 7, 0)
    columns.open_interest[:] = columns.volume // 2
    columns.last[:] = np.where(traded, np.clip(np.where(no_bid, ask - tick, bid), 1, UNIT - 1), 0)


def redraw(columns: Columns, rows: Indexes, rng: np.random.Generator, *, both_sides: bool = False) -> None:
    """Draw new quotes for some rows.

    Sides come and go, but the share of markets with both stays the same. With `both_sides` (for markets that have just
    opened) both are quoted.
    """
    width = rng.choice(_WIDTHS, size=len(rows), p=_WIDTH_SHARES)
    bid, ask, tick = _around(columns, rows, width)
    if both_sides:
        columns.no_bid[rows] = columns.no_ask[rows] = False
    else:
        _draw_presence(columns, rows[rng.random(len(rows)) < _PRESENCE_RATE], rng)
    _place(columns, rows, (bid, ask, tick), rng)


def sigmoid(x: Floats) -> Floats:
    """Return the probability that belongs to log-odds."""
    return 1 / (1 + np.exp(-x))


def _draw_presence(columns: Columns, rows: Indexes, rng: np.random.Generator) -> None:
    """Draw which sides are quoted, always from the same shares, so that they stay constant over time."""
    draw = rng.random(len(rows))
    columns.no_bid[rows] = draw < _ONLY_ASK + _NEITHER
    columns.no_ask[rows] = (draw >= _ONLY_ASK) & (draw < _ONLY_ASK + _NEITHER + _ONLY_BID)


def _place(columns: Columns, rows: Indexes, bracket: tuple[Prices, Prices, Indexes], rng: np.random.Generator) -> None:
    """Write quotes and sizes, leaving out absent sides and those beyond the last tick."""
    bid, ask, tick = bracket
    no_bid = columns.no_bid[rows] | (bid < tick)
    no_ask = columns.no_ask[rows] | (ask > UNIT - tick)
    sizes = _draw_sizes(len(rows), rng)
    columns.bid[rows] = np.where(no_bid, 0, bid)
    columns.ask[rows] = np.where(no_ask, 0, ask)
    columns.bid_size[rows] = np.where(no_bid, 0, sizes[0])
    columns.ask_size[rows] = np.where(no_ask, 0, sizes[1])


def _around(columns: Columns, rows: Indexes, width: Indexes) -> tuple[Prices, Prices, Indexes]:
    truth = np.clip(columns.hi[rows] - columns.lo[rows], 1e-4, 1 - 1e-4)
    return _bracket(sigmoid(np.log(truth / (1 - truth)) + columns.error[rows]), width, columns.grid[rows])


def _bracket(fair: Floats, width: Indexes, grid: NDArray[Any]) -> tuple[Prices, Prices, Indexes]:
    """Return bid and ask `width` ticks apart around a fair price, and the tick at that price."""

    tick = tick_sizes(fair * UNIT, grid)
    bid = np.floor(fair * UNIT / tick - (width - 1) / 2) * tick
    ask = bid + width * tick
    # Each side goes to the grid at its own price, rounded away from the other side.
    return (
        (bid - bid % tick_sizes(bid, grid)).astype(np.int32),
        (ask + -ask % tick_sizes(ask, grid)).astype(np.int32),
        tick,
    )


def tick_sizes(prices: NDArray[Any], grid: NDArray[Any]) -> Indexes:
    """Return the tick of each price on its grid."""
    at_edge = (prices < UNIT // 10) | (prices > UNIT - UNIT // 10)
    sizes: Indexes = np.where(at_edge, _EDGE[grid], _MIDDLE[grid])
    return sizes


def _draw_sizes(n: int, rng: np.random.Generator) -> Indexes:
    """Draw sizes of both sides in 1/100 contract, a few of them with fractions of contracts."""
    whole = (rng.lognormal(5.2, 1.6, (2, n)) + 1).astype(np.int64) * 100
    sizes: Indexes = whole + np.where(rng.random((2, n)) < 0.05, rng.integers(1, 100, (2, n)), 0)
    return sizes

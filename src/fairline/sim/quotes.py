"""Quotes around the hidden truth, each on the tick grid that its market shows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairline.sim.columns import Columns
from fairline.sim.families import GRID_NAMES, ticks

UNIT = 10_000
Floats = NDArray[np.float64]
Indexes = NDArray[np.int64]

_WIDTHS, _SHARES = [1, 2, 3, 4, 6, 9, 15], [0.34, 0.24, 0.14, 0.1, 0.08, 0.06, 0.04]
_MIDDLE, _EDGE = np.array([ticks(name) for name in GRID_NAMES]).T


def first(columns: Columns, astray: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """Quote every market: mostly close to the truth, in `astray` events far off, often one-sided or not at all.

    Returns by how much each is off, in log-odds.
    """
    n = len(columns.ticker)
    error = rng.normal(0, 1, n) * np.where(astray[columns.event], 0.5, 0.04)
    width = rng.choice(_WIDTHS, size=n, p=_SHARES)
    bid, ask, tick = _around(columns, np.arange(n), error, width)
    gone = rng.random(n)
    no_bid = (bid < tick) | (gone < 0.13) | (gone > 0.92)
    no_ask = (ask > UNIT - tick) | (gone > 0.86)
    columns.bid[:], columns.ask[:] = np.where(no_bid, 0, bid), np.where(no_ask, 0, ask)
    sizes = _sizes(n, rng)
    columns.bid_size[:], columns.ask_size[:] = np.where(no_bid, 0, sizes[0]), np.where(no_ask, 0, sizes[1])
    traded = rng.random(n) < 0.56
    columns.volume[:] = np.where(traded, (rng.lognormal(6, 2.2, n) * 100).astype(np.int64), 0)
    columns.volume_24h[:] = np.where(rng.random(n) < 0.35, columns.volume // 7, 0)
    columns.open_interest[:] = columns.volume // 2
    columns.last[:] = np.where(traded, np.clip(np.where(no_bid, ask - tick, bid), 1, UNIT - 1), 0)
    return error


def again(columns: Columns, rows: Indexes, error: Floats, rng: np.random.Generator, *, fresh: bool = False) -> None:
    """New quotes for some rows. A side that was empty mostly stays so, and now and then one is taken away; to `fresh`
    rows that does not apply.
    """
    width = rng.choice(_WIDTHS, size=len(rows), p=_SHARES)
    bid, ask, tick = _around(columns, rows, error, width)
    turned = rng.random((2, len(rows))) < 0.03
    without = [np.zeros(len(rows), dtype=np.bool_) if fresh else side[rows] == 0 for side in (columns.bid, columns.ask)]
    no_bid, no_ask = (without[0] ^ turned[0]) | (bid < tick), (without[1] ^ turned[1]) | (ask > UNIT - tick)
    sizes = _sizes(len(rows), rng)
    columns.bid[rows], columns.ask[rows] = np.where(no_bid, 0, bid), np.where(no_ask, 0, ask)
    columns.bid_size[rows] = np.where(no_bid, 0, sizes[0])
    columns.ask_size[rows] = np.where(no_ask, 0, sizes[1])


def sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


def path(truth: float, error: Floats, width: int, grid: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Bid and ask of one market whose price was off by `error` at each of a number of moments."""
    fair = sigmoid(np.log(truth / (1 - truth)) + error)
    bid, ask, _ = _bracket(fair, np.full(len(error), width), np.full(len(error), grid))
    return np.maximum(bid, 0), np.minimum(ask, UNIT)


def _around(
    columns: Columns, rows: Indexes, error: Floats, width: Indexes
) -> tuple[NDArray[np.int32], NDArray[np.int32], Indexes]:
    true = np.clip(columns.hi[rows] - columns.lo[rows], 1e-4, 1 - 1e-4)
    return _bracket(sigmoid(np.log(true / (1 - true)) + error), width, columns.grid[rows])


def _bracket(fair: Floats, width: Indexes, grid: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.int32], Indexes]:
    """Bid and ask so many ticks apart about a fair price, and the tick there."""

    def step(price: NDArray[Any]) -> Indexes:
        at_edge = (price < UNIT // 10) | (price > UNIT - UNIT // 10)
        stepped: Indexes = np.where(at_edge, _EDGE[grid], _MIDDLE[grid])
        return stepped

    tick = step(fair * UNIT)
    bid = np.floor(fair * UNIT / tick - (width - 1) / 2) * tick
    ask = bid + width * tick
    # Each on the grid where it lies itself, away from the other.
    return (bid - bid % step(bid)).astype(np.int32), (ask + -ask % step(ask)).astype(np.int32), tick


def _sizes(n: int, rng: np.random.Generator) -> Indexes:
    """Sizes of both sides in 1/100 contract, a few with parts of contracts."""
    whole = (rng.lognormal(5.2, 1.6, (2, n)) + 1).astype(np.int64) * 100
    sizes: Indexes = whole + np.where(rng.random((2, n)) < 0.05, rng.integers(1, 100, (2, n)), 0)
    return sizes

"""The past of a world: one path of quotes per market until the world began, and the trades that printed on it.

Candles, trades, totals, last prices and `previous_*` all come from it, so that they agree. The path is a sum of waves
of each market's own phases, so that it can be evaluated at any instant without the instants before.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairline.sim import quotes
from fairline.sim.columns import UNIT, Columns

MINUTE_US = 60_000_000
DAY_US = 86_400_000_000
_PERIODS_US = np.array([47, 360, 1_440, 5_760]) * MINUTE_US
_AMPLITUDES = np.array([0.02, 0.05, 0.08, 0.10])
"""Waves of the price around its level, in log-odds."""
_TRADES_BEFORE, _TRADES_OF_DAY = 3, 2
"""Trades of a market before and within the last day before the world began."""
_MAX_TRADED = 12_000
"""Markets with that many trades; in a larger world each market has one in either period."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EarlierTrades:
    """Trades in order of time, in the units of `life.Trade`."""

    at_us: Ints
    row: Ints
    price: Ints
    count: Ints
    yes: NDArray[np.bool_]

    def of(self, row: int) -> NDArray[np.bool_]:
        chosen: NDArray[np.bool_] = self.row == row
        return chosen


class Past:
    """The past of all markets until `start_us`. Sets the columns that follow from it: last price and day's volume."""

    def __init__(self, columns: Columns, start_us: int, seed: int) -> None:
        rng = np.random.default_rng((seed, 5))
        self.start_us = start_us
        self._columns = columns
        self._phases = rng.uniform(0, 2 * np.pi, (len(columns.ticker), len(_PERIODS_US)))
        self._bid = columns.bid.copy()
        self._ask = columns.ask.copy()
        self.trades = self._draw_trades(rng)
        self.previous_bid, self.previous_ask = self.quotes(np.arange(len(self._bid)), start_us - DAY_US)
        self.previous_last = np.zeros(len(self._bid), dtype=np.int64)
        older = self.trades.at_us < start_us - DAY_US
        self.previous_last[self.trades.row[older]] = self.trades.price[older]

    def quotes(self, rows: Ints, at_us: Ints | int) -> tuple[Ints, Ints]:
        """Return bid and ask of rows at instants before the world began; 0 where a side is empty.

        A market that is quoted when the world begins had the same sides before, and arrives at its first quotes.
        """
        columns = self._columns
        times = np.broadcast_to(np.asarray(at_us, dtype=np.int64), np.shape(rows))
        bid, ask = self._bid[rows].astype(np.int64), self._ask[rows].astype(np.int64)
        is_open = (bid > 0) | (ask > 0)
        truth = np.clip(columns.hi[rows] - columns.lo[rows], 1e-3, 1 - 1e-3)
        middle = np.where((bid > 0) & (ask > 0), (bid + ask) / 2, bid + ask) / UNIT
        level = np.clip(np.where(is_open, middle, truth), 1e-4, 1 - 1e-4)
        shift = self._wave(rows, times) - np.where(is_open, self._wave(rows, np.full_like(times, self.start_us)), 0.0)
        change = UNIT * (quotes.sigmoid(np.log(level / (1 - level)) + shift) - level)
        ended = ~is_open & (columns.ends_us[rows] <= self.start_us)
        first_bid = np.where(ended, UNIT * level - 100, bid)
        first_ask = np.where(ended, UNIT * level + 100, ask)
        return self._on_grid(rows, (first_bid, bid > 0), (first_ask, ask > 0), change, ended)

    def _on_grid(self, rows: Ints, bid: Any, ask: Any, change: Any, ended: Any) -> tuple[Ints, Ints]:
        """Return quotes moved by `change` and rounded to their grid; a side beyond the last tick is empty."""
        grid = self._columns.grid[rows]
        low = _round(bid[0] + change, grid)
        high = np.maximum(_round(ask[0] + change, grid), low + quotes.tick_sizes(low, grid))
        has_bid = (bid[1] | ended) & (low > 0) & (low < UNIT)
        has_ask = (ask[1] | ended) & (high > 0) & (high < UNIT)
        return np.where(has_bid, low, 0), np.where(has_ask, high, 0)

    def _wave(self, rows: Ints, times: Ints) -> NDArray[np.float64]:
        angles = 2 * np.pi * (times[..., None] % _PERIODS_US) / _PERIODS_US + self._phases[rows]
        wave: NDArray[np.float64] = np.sin(angles) @ _AMPLITUDES
        return wave

    def _draw_trades(self, rng: np.random.Generator) -> EarlierTrades:
        """Draw trades that add up to each market's volume, and those of the last day to its volume of a day."""
        columns = self._columns
        day = self.start_us - DAY_US
        begin, end = columns.open_us, np.minimum(columns.ends_us, self.start_us)
        traded = (columns.volume > 0) & (begin + 2 * MINUTE_US < end)
        columns.volume[~traded] = columns.volume_24h[~traded] = columns.open_interest[~traded] = columns.last[
            ~traded
        ] = 0
        columns.volume_24h[:] = np.where(begin >= day, columns.volume, np.where(end <= day, 0, columns.volume_24h))
        many = int(traded.sum()) <= _MAX_TRADED
        before = columns.volume - columns.volume_24h
        older = _draw_period(rng, before * traded, begin, np.minimum(end, day), _TRADES_BEFORE if many else 1)
        today = columns.volume_24h * traded
        newer = _draw_period(rng, today, np.maximum(begin, day), end, _TRADES_OF_DAY if many else 1)
        parts = [np.concatenate(pair) for pair in zip(older, newer, strict=True)]
        order = np.argsort(parts[0], kind="stable")
        at_us, rows, counts = (part[order] for part in parts)
        price, yes = self._prices(rng, at_us, rows)
        columns.last[rows] = price
        return EarlierTrades(at_us, rows, price, counts, yes)

    def _prices(self, rng: np.random.Generator, at_us: Ints, rows: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """Return the price of each trade and whether YES was bought: at the ask, else at the bid of its minute."""
        bid, ask = self.quotes(rows, -(-at_us // MINUTE_US) * MINUTE_US)
        yes = np.where(ask == 0, False, np.where(bid == 0, True, rng.random(len(rows)) < 0.5))
        quoted = np.where(yes, ask, bid)
        truth = (self._columns.hi - self._columns.lo)[rows]
        fair = np.clip((truth * 100).round().astype(np.int64) * 100, 100, UNIT - 100)
        return np.where(quoted > 0, quoted, fair), yes


def _draw_period(rng: np.random.Generator, volume: Ints, begin: Ints, end: Ints, each: int) -> tuple[Ints, Ints, Ints]:
    """Return times, rows and counts of `each` trades of every market with a volume in a period."""
    rows = np.flatnonzero((volume > 0) & (end > begin))
    weights = rng.uniform(0.2, 1.0, (len(rows), each))
    totals = np.floor(np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True) * volume[rows, None])
    totals[:, -1] = volume[rows]
    counts = np.diff(totals, axis=1, prepend=0.0).astype(np.int64)
    times = begin[rows, None] + ((end - begin)[rows, None] * rng.random((len(rows), each))).astype(np.int64)
    chosen = counts.ravel() > 0
    return times.ravel()[chosen], np.repeat(rows, each)[chosen], counts.ravel()[chosen]


def _round(prices: Any, grid: NDArray[np.int8]) -> Ints:
    tick = quotes.tick_sizes(prices, grid)
    rounded: Ints = (np.round(prices / tick) * tick).astype(np.int64)
    return rounded

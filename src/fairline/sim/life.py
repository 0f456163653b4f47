"""What goes on in a living world: quotes move about the hidden truth, trades print, events are decided and settled."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from fairline.sim import quotes
from fairline.sim.columns import ACTIVE, Columns

HOUR_US = 3_600_000_000
_KEPT, _MOST_AT_ONCE = 200_000, 200_000
_PERSISTENCE = 0.9
"""Share of a price's error that is left after a move: prices come back to the truth, and stray again."""
_TRADED = 0.3
"""Share of moves that begin with a trade."""


@dataclass(frozen=True, slots=True)
class Trade:
    """`count` in 1/100 contract, `price` of YES in 1/10,000 dollar; `yes` says what the taker bought."""

    number: int
    at_us: int
    row: int
    price: int
    count: int
    yes: bool


@dataclass(frozen=True, slots=True)
class Move:
    """A market's quotes before and after: bid, ask and their sizes."""

    at_us: int
    row: int
    before: tuple[int, int, int, int]
    after: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a market's life: created, determined, settled. Opening and closing in time are none."""

    at_us: int
    row: int
    kind: str


Happening = Trade | Move | Step


class Life:
    """The happenings of a world, in order, the latest 200,000 of them. `moves` is per market and hour."""

    def __init__(self, columns: Columns, error: NDArray[np.float64], now_us: int, moves: float, seed: int) -> None:
        self.moves = moves
        self.count = 0
        self._columns, self._error = columns, error
        self.volume_before = columns.volume.copy()
        self._rng = np.random.default_rng((seed, 3))
        self._until_us = now_us
        self._happenings: deque[Happening] = deque(maxlen=_KEPT)
        self._trades = 0
        self.trades: deque[Trade] = deque(_earlier(columns, now_us, self._rng), maxlen=_KEPT)
        self._trades = len(self.trades)

    def since(self, count: int) -> Iterator[Happening]:
        """What happened after the first `count` happenings, as far as it is kept."""
        newest = list(islice(reversed(self._happenings), max(0, self.count - count)))
        return reversed(newest)

    def note(self, happening: Happening) -> None:
        self._happenings.append(happening)
        self.count += 1

    def advance(self, now_us: int) -> None:
        """Let quotes move and trades print up to now."""
        if not self.moves or now_us <= self._until_us:
            return
        columns, rng = self._columns, self._rng
        traded = np.flatnonzero((columns.status == ACTIVE) & (columns.event >= 0))
        # In strides in which a market seldom moves twice; who looks away for very long misses some.
        strides = max(1, _MOST_AT_ONCE // max(1, len(traded)))
        stride = max(int(HOUR_US / self.moves / 2), (now_us - self._until_us) // strides + 1)
        while self._until_us < now_us:
            since, until = self._until_us, min(now_us, self._until_us + stride)
            begun = np.maximum(columns.created_us[traded], columns.open_us[traded]) <= since
            quoted = traded[begun & (columns.close_us[traded] > until)]
            expected = self.moves * (until - since) / HOUR_US * len(quoted)
            many = min(len(quoted), int(rng.poisson(expected)))
            if many:
                rows = rng.choice(quoted, many, replace=False)
                self._move(rows, np.sort(rng.integers(since + 1, until + 1, many)))
            self._until_us = until

    def open(self, rows: NDArray[np.int64], now_us: int) -> None:
        """Give markets that have just opened their first quotes."""
        before = self._quotes(rows)
        quotes.again(self._columns, rows, self._error[rows], self._rng, fresh=True)
        for row, old, new in zip(rows.tolist(), before, self._quotes(rows), strict=True):
            self.note(Move(now_us, row, old, new))

    def empty(self, rows: NDArray[np.int64], now_us: int) -> None:
        """Take all quotes away."""
        columns = self._columns
        quoted = rows[(columns.bid[rows] > 0) | (columns.ask[rows] > 0)]
        for row, before in zip(quoted.tolist(), self._quotes(quoted), strict=True):
            self.note(Move(now_us, row, before, (0, 0, 0, 0)))
        for side in (columns.bid, columns.ask, columns.bid_size, columns.ask_size):
            side[rows] = 0

    def _move(self, rows: NDArray[np.int64], times: NDArray[np.int64]) -> None:
        columns, rng, before = self._columns, self._rng, self._quotes(rows)
        traded = rng.random(len(rows)) < _TRADED
        for row, at_us in zip(rows[traded].tolist(), times[traded].tolist(), strict=True):
            self._trade(row, at_us)
        spread = 0.04 * np.sqrt(1 - _PERSISTENCE**2)
        self._error[rows] = _PERSISTENCE * self._error[rows] + rng.normal(0, spread, len(rows))
        quotes.again(columns, rows, self._error[rows], rng)
        columns.revision[rows] += 1
        for at_us, row, old, new in zip(times.tolist(), rows.tolist(), before, self._quotes(rows), strict=True):
            self.note(Move(at_us, row, old, new))

    def _quotes(self, rows: NDArray[np.int64]) -> list[tuple[int, int, int, int]]:
        columns = self._columns
        both = (columns.bid, columns.ask, columns.bid_size, columns.ask_size)
        return list(zip(*(values[rows].tolist() for values in both), strict=True))

    def _trade(self, row: int, at_us: int) -> None:
        """Somebody takes a part of what is offered on a side that has an offer."""
        columns, rng = self._columns, self._rng
        sides = [yes for yes, size in ((True, columns.ask_size[row]), (False, columns.bid_size[row])) if size >= 200]
        if not sides:
            return
        yes = bool(rng.choice(sides))
        size = columns.ask_size if yes else columns.bid_size
        count = min(int(size[row]) // 2, int(rng.lognormal(3, 1.2) + 1) * 100)
        price = int((columns.ask if yes else columns.bid)[row])
        size[row] -= count
        columns.last[row] = price
        columns.volume[row] += count
        columns.volume_24h[row] += count
        columns.open_interest[row] += count // 2
        made = Trade(self._trades, at_us, row, price, count, yes)
        self._trades += 1
        self.trades.append(made)
        self.note(made)


def _earlier(columns: Columns, now_us: int, rng: np.random.Generator) -> list[Trade]:
    """Trades of the last day before the world began, of markets that are quoted and have traded; the latest last."""
    traded = np.flatnonzero((columns.volume_24h > 0) & ((columns.bid > 0) | (columns.ask > 0)))
    if not len(traded):
        return []
    rows = rng.choice(traded, min(20_000, 5 * len(traded)))
    times = now_us - 1 - rng.integers(0, 86_400_000_000, len(rows))
    rows, times = rows[np.argsort(times)], np.sort(times)
    yes = np.where(columns.ask[rows] == 0, False, np.where(columns.bid[rows] == 0, True, rng.random(len(rows)) < 0.5))
    prices = np.where(yes, columns.ask[rows], columns.bid[rows])
    counts = (rng.lognormal(3, 1.2, len(rows)) + 1).astype(np.int64) * 100
    begun = np.flatnonzero(columns.open_us[rows] < times)
    return [
        Trade(number, *each)
        for number, each in enumerate(
            zip(*(values[begun].tolist() for values in (times, rows, prices, counts, yes)), strict=True)
        )
    ]

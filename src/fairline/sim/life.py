"""What happens in a moving world: quotes move around the hidden truth, trades print, events are decided and settled."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from fairline.sim import quotes
from fairline.sim.columns import ACTIVE, Columns
from fairline.sim.past import MINUTE_US, Past

HOUR_US = 3_600_000_000
_MAX_CHANGES = 200_000
"""How many changes and how many trades are kept in memory."""
_MAX_MOVES_PER_STRIDE = 200_000
_PERSISTENCE = 0.9
"""Share of a price's error that remains after a move: prices return to the truth and stray again."""
_TRADE_SHARE = 0.3
"""Share of moves that begin with a trade."""

Quote = tuple[int, int, int, int]
"""Bid, ask, bid size and ask size; 0 where a side is empty."""


@dataclass(frozen=True, slots=True)
class Trade:
    """A trade: `count` in 1/100 contract, YES `price` in 1/10,000 dollar, `yes` if the taker bought YES."""

    number: int
    at_us: int
    row: int
    price: int
    count: int
    yes: bool


@dataclass(frozen=True, slots=True)
class Move:
    """A market's quotes before and after a change."""

    at_us: int
    row: int
    before: Quote
    after: Quote


@dataclass(frozen=True, slots=True)
class Step:
    """A step in a market's life: created, determined or settled. Scheduled opening and closing are not steps."""

    at_us: int
    row: int
    kind: str


Change = Trade | Move | Step


class Life:
    """The changes of a world in order, of which the latest 200,000 are kept. `moves` is per market and hour."""

    def __init__(self, columns: Columns, now_us: int, moves: float, seed: int) -> None:
        self.moves = moves
        self.count = 0
        self._columns = columns
        self.past = Past(columns, now_us // MINUTE_US * MINUTE_US, seed)
        self._rng = np.random.default_rng((seed, 3))
        self._advanced_to_us = now_us
        self._changes: deque[Change] = deque(maxlen=_MAX_CHANGES)
        self.trades: deque[Trade] = deque(earlier_trades(self.past), maxlen=_MAX_CHANGES)
        self._trade_count = len(self.trades)
        self._by_row: tuple[int, dict[int, list[Change]]] = (-1, {})

    def since(self, count: int) -> Iterator[Change]:
        """Yield the changes after the first `count`, as far as they are still kept."""
        newest = list(islice(reversed(self._changes), max(0, self.count - count)))
        return reversed(newest)

    def of(self, row: int) -> list[Change]:
        """Return the changes of a market that are still kept."""
        if self._by_row[0] != self.count:
            by_row: dict[int, list[Change]] = {}
            for change in self._changes:
                by_row.setdefault(change.row, []).append(change)
            self._by_row = (self.count, by_row)
        return self._by_row[1].get(row, [])

    def note(self, change: Change) -> None:
        """Append a change."""
        self._changes.append(change)
        self.count += 1

    def advance(self, now_us: int) -> None:
        """Move quotes and print trades up to `now_us`."""
        if not self.moves or now_us <= self._advanced_to_us:
            return
        columns = self._columns
        open_now = np.flatnonzero((columns.status == ACTIVE) & (columns.event >= 0))
        # Strides are short enough that a market seldom moves twice in one. After a very long pause some moves are lost.
        max_strides = max(1, _MAX_MOVES_PER_STRIDE // max(1, len(open_now)))
        stride = max(int(HOUR_US / self.moves / 2), (now_us - self._advanced_to_us) // max_strides + 1)
        while self._advanced_to_us < now_us:
            until = min(now_us, self._advanced_to_us + stride)
            self._advance_stride(open_now, self._advanced_to_us, until)
            self._advanced_to_us = until

    def _advance_stride(self, open_now: NDArray[np.int64], since: int, until: int) -> None:
        columns, rng = self._columns, self._rng
        begun = np.maximum(columns.created_us[open_now], columns.open_us[open_now]) <= since
        quoted = open_now[begun & (columns.ends_us[open_now] > until)]
        expected = self.moves * (until - since) / HOUR_US * len(quoted)
        count = min(len(quoted), int(rng.poisson(expected)))
        if count:
            rows = rng.choice(quoted, count, replace=False)
            self._move(rows, np.sort(rng.integers(since + 1, until + 1, count)))

    def open(self, rows: NDArray[np.int64], now_us: int) -> None:
        """Give markets that have just opened their first quotes."""
        before = self._quotes(rows)
        quotes.redraw(self._columns, rows, self._rng, both_sides=True)
        for row, old, new in zip(rows.tolist(), before, self._quotes(rows), strict=True):
            self.note(Move(now_us, row, old, new))

    def empty(self, rows: NDArray[np.int64], now_us: int) -> None:
        """Remove all quotes."""
        columns = self._columns
        quoted = rows[(columns.bid[rows] > 0) | (columns.ask[rows] > 0)]
        for row, before in zip(quoted.tolist(), self._quotes(quoted), strict=True):
            self.note(Move(now_us, row, before, (0, 0, 0, 0)))
        for side in (columns.bid, columns.ask, columns.bid_size, columns.ask_size):
            side[rows] = 0

    def _move(self, rows: NDArray[np.int64], times: NDArray[np.int64]) -> None:
        columns, rng = self._columns, self._rng
        before = self._quotes(rows)
        traded = rng.random(len(rows)) < _TRADE_SHARE
        for row, at_us in zip(rows[traded].tolist(), times[traded].tolist(), strict=True):
            self._trade(row, at_us)
        shock = 0.04 * np.sqrt(1 - _PERSISTENCE**2)
        columns.error[rows] = _PERSISTENCE * columns.error[rows] + rng.normal(0, shock, len(rows))
        quotes.redraw(columns, rows, rng)
        columns.revision[rows] += 1
        for at_us, row, old, new in zip(times.tolist(), rows.tolist(), before, self._quotes(rows), strict=True):
            self.note(Move(at_us, row, old, new))

    def _quotes(self, rows: NDArray[np.int64]) -> list[Quote]:
        columns = self._columns
        parts = (columns.bid, columns.ask, columns.bid_size, columns.ask_size)
        return list(zip(*(values[rows].tolist() for values in parts), strict=True))

    def _trade(self, row: int, at_us: int) -> None:
        """Let a taker buy part of what is offered on one side, if a side has an offer."""
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
        trade = Trade(self._trade_count, at_us, row, price, count, yes)
        self._trade_count += 1
        self.trades.append(trade)
        self.note(trade)


def earlier_trades(past: Past) -> list[Trade]:
    """Return the trades before the world began, the latest last."""
    trades = past.trades
    parts = (trades.at_us, trades.row, trades.price, trades.count, trades.yes)
    fields = zip(*(part.tolist() for part in parts), strict=True)
    return [Trade(number, *each) for number, each in enumerate(fields)]

"""The simulated exchange's state: a seeded world of series, events and markets with hidden true probabilities.

Every event has one hidden uniform number u. A market settles YES exactly if u falls into its interval [lo, hi), so its
true probability is hi − lo, and the outcomes within an event depend on each other by construction: adjacent intervals
form a partition, nested ones a ladder. Prices are integers in 1/10,000 dollar, sizes in 1/100 contract, times in
microseconds.

Rows are kept in paging order: created time descending, then ticker.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from fairline.sim.building import DAY_US, Builder, EventState, SeriesState
from fairline.sim.columns import (
    ACTIVE,
    CLOSED,
    DETERMINED,
    FINALIZED,
    INACTIVE,
    INITIALIZED,
    STATUSES,
    UNIT,
    append,
    in_paging_order,
    new_positions,
)
from fairline.sim.combos import Combos
from fairline.sim.life import Life, Step

__all__ = [
    "ACTIVE",
    "CLOSED",
    "DAY_US",
    "DETERMINED",
    "FINALIZED",
    "INACTIVE",
    "INITIALIZED",
    "SETTLE_US",
    "STATUSES",
    "UNIT",
    "EventState",
    "SeriesState",
    "World",
]

DETERMINE_US = 60_000_000
SETTLE_US = 360_000_000
"""Time from the end of trading to the result and to the payout, in a moving world."""
_NEVER = 2**62


class World:
    """A seeded exchange with `markets` open single-outcome markets, and a few that are unopened or paused.

    `combos` parlays on several of them are listed as well, and about `arrivals` more markets appear within
    `arrival_hours` of world time, which runs `speed` times as fast as the clock. A few events (`past` markets) ended
    within the last 200 days. A `bid` or `ask` of 0 means that the side is empty. `result` is -1 until a market is
    determined, then 0 (NO) or 1 (YES).

    With `moves` per market and hour, quotes move, trades print, and closed markets are determined and settled. Without,
    only opening and closing happen with time, so that a test knows what it will receive.
    """

    def __init__(
        self,
        markets: int,
        *,
        combos: int = 0,
        arrivals: int = 0,
        arrival_hours: float = 1.0,
        speed: float = 1.0,
        moves: float = 0.0,
        past: int | None = None,
        seed: int = 0,
        now: datetime | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.now = now or datetime.now(UTC)
        self.seed = seed
        self.speed = speed
        self._clock = clock
        self._began = clock()
        rng = np.random.default_rng(seed)
        builder = Builder(self.now, arrivals, arrival_hours * 3.6e9)
        self.columns = builder.build(markets, rng)
        self.series = builder.series
        self.events = builder.events
        self._add_past(builder, markets // 20 if past is None else past)
        self.legs = Combos(self.columns, combos, rng, self.now)
        if combos:
            self._add_combos()
        # The outcome of each event is fixed from the start: one draw decides all of its markets.
        self._draws = np.random.default_rng((seed, 2)).random(len(self.events))
        self._decide(np.flatnonzero(self.columns.status == FINALIZED))
        self.settled_us = self.columns.ends_us + SETTLE_US
        self.life = Life(self.columns, self.now_us, moves, seed)
        self.row = {ticker: i for i, ticker in enumerate(self.columns.ticker)}
        self.closings = 0
        self._next_step_us = 0
        self._listed = self.first
        self.tick()

    @property
    def truth(self) -> NDArray[np.float64]:
        """The hidden probability of each market."""
        return self.columns.hi - self.columns.lo

    @property
    def now_us(self) -> int:
        """The world's time."""
        return int(self.now.timestamp() * 1e6 + (self._clock() - self._began) * self.speed * 1e6)

    @property
    def first(self) -> int:
        """The newest row that is already listed."""
        return int(np.searchsorted(-self.columns.created_us, -self.now_us, side="left"))

    def payout(self, row: int) -> int:
        """Return what a YES contract of a determined market pays, in 1/10,000 dollar.

        A scalar market pays the mean of its hidden probability and its all-or-nothing result, so that its expected
        payout is the hidden probability too.
        """
        all_or_nothing = UNIT * int(self.columns.result[row])
        if not self.is_scalar(row):
            return all_or_nothing
        return (round(float(self.truth[row]) * UNIT) + all_or_nothing) // 2

    def is_scalar(self, row: int) -> bool:
        """Return whether a market pays an amount between nothing and a dollar."""
        event = int(self.columns.event[row])
        return event >= 0 and self.events[event].scalar

    def tick(self) -> None:
        """Apply everything that is due by now."""
        now = self.now_us
        first = self.first
        for row in range(first, self._listed):
            self.life.note(Step(now, row, "created"))
        self._listed = first
        self.life.advance(now)
        if now >= self._next_step_us:
            self._open_and_close(now)

    def end_at(self, row: int, at_us: int) -> None:
        """Reschedule the end of trading in a market, together with the close time that it shows."""
        self.columns.ends_us[row] = at_us
        self.columns.close_us[row] = at_us
        self.columns.revision[row] += 1
        self.closings += 1
        self._next_step_us = min(self._next_step_us, at_us)

    def settle(self) -> None:
        """Close every open market that is listed and settle it at once."""
        columns = self.columns
        now = self.now_us
        unsettled = np.flatnonzero(np.isin(columns.status, (ACTIVE, INACTIVE, CLOSED, DETERMINED)))
        rows = unsettled[unsettled >= self.first]
        self.life.empty(rows, now)
        self._close(rows, np.minimum(columns.ends_us[rows], now))
        self._decide(rows)
        columns.status[rows] = FINALIZED
        self.settled_us[rows] = now
        for row in rows.tolist():
            self.life.note(Step(now, row, "settled"))

    def _open_and_close(self, now: int) -> None:
        columns = self.columns
        opening = np.flatnonzero((columns.status == INITIALIZED) & (columns.open_us <= now))
        columns.status[opening] = ACTIVE
        columns.revision[opening] += 1
        self.life.open(opening, now)
        traded = (columns.status == ACTIVE) | (columns.status == INACTIVE)
        closing = np.flatnonzero(traded & (columns.ends_us <= now))
        self.life.empty(closing, now)
        self._close(closing, columns.ends_us[closing])
        traded[closing] = False
        pending = [columns.ends_us[traded], columns.open_us[columns.status == INITIALIZED]]
        if self.life.moves:
            pending += [self._determine(now), self._pay(now)]
        self._next_step_us = min((int(times.min()) for times in pending if len(times)), default=_NEVER)

    def _close(self, rows: NDArray[np.int64], closed_us: NDArray[np.int64]) -> None:
        """Close markets; a market that closes before its announced time shows the actual time from then on."""
        columns = self.columns
        columns.status[rows] = CLOSED
        columns.close_us[rows] = np.minimum(columns.close_us[rows], closed_us)
        columns.revision[rows] += 1
        self.closings += len(rows)

    def _determine(self, now_us: int) -> NDArray[np.int64]:
        """Give closed markets their result when it falls due, and return the times of the next results and payouts."""
        columns = self.columns
        rows = np.flatnonzero(columns.status == CLOSED)
        times = columns.ends_us[rows] + DETERMINE_US
        ready = times <= now_us
        self._decide(rows[ready])
        self._step(rows[ready], times[ready], DETERMINED, "determined")
        return np.append(times[~ready], times[ready] - DETERMINE_US + SETTLE_US)

    def _pay(self, now_us: int) -> NDArray[np.int64]:
        """Settle determined markets when their payout falls due, and return the times of the next payouts."""
        columns = self.columns
        rows = np.flatnonzero(columns.status == DETERMINED)
        times = columns.ends_us[rows] + SETTLE_US
        ready = times <= now_us
        self._step(rows[ready], times[ready], FINALIZED, "settled")
        return times[~ready]

    def _step(self, rows: NDArray[np.int64], times: NDArray[np.int64], status: int, kind: str) -> None:
        self.columns.status[rows] = status
        self.columns.revision[rows] += 1
        for row, at_us in zip(rows.tolist(), times.tolist(), strict=True):
            self.life.note(Step(at_us, row, kind))

    def _decide(self, rows: NDArray[np.int64]) -> None:
        """Set results: of single markets by the event's draw, of combos by whether all their legs win."""
        columns = self.columns
        single = rows[columns.event[rows] >= 0]
        draw = self._draws[columns.event[single]]
        columns.result[single] = (columns.lo[single] <= draw) & (draw < columns.hi[single])
        for row in rows[columns.event[rows] < 0].tolist():
            legs = np.array(self.legs.of(row))
            draws = self._draws[columns.event[legs]]
            columns.result[row] = bool(((columns.lo[legs] <= draws) & (draws < columns.hi[legs])).all())

    def _add_past(self, builder: Builder, markets: int) -> None:
        """Add events that ended before the world began, from a generator of their own so that nothing else changes."""
        if not markets:
            return
        live = len(self.columns.ticker)
        known = len(self.events)
        past = builder.build_past(markets, np.random.default_rng((self.seed, 1)))
        self.columns, previous = in_paging_order(append(self.columns, past))
        moved_to = new_positions(previous)
        for number, event in enumerate(self.events):
            shift = live if number >= known else 0
            event.rows = moved_to[np.array(event.rows) + shift].tolist()

    def _add_combos(self) -> None:
        self.columns, previous = in_paging_order(append(self.columns, self.legs.columns))
        self.legs.reorder(previous)
        moved_to = new_positions(previous)
        for event in self.events:
            event.rows = moved_to[event.rows].tolist()

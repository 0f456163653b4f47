"""Which orders would have been filled, at what price, and how sure that is.

An order decided at an instant meets only what was observed after `lag`, never the quote that it was decided on. Every
fill says how it is known: from offers that were seen, from trades, or from an assumption about sizes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

Side = Literal["yes", "no"]
Outcome = Literal["filled", "partly filled", "price moved", "no offer", "not observed", "not reached"]


@dataclass(frozen=True, slots=True)
class Order:
    """A wish to buy `count_cc` of one side at no more than `limit_u`, decided at `decided_at`."""

    number: int
    decided_at: datetime
    ticker: str
    side: Side
    limit_u: int
    count_cc: int


@dataclass(frozen=True, slots=True)
class Level:
    """Contracts on offer at a price; `size_cc` is None where the recording has prices without sizes."""

    price_u: int
    size_cc: int | None


@dataclass(frozen=True, slots=True)
class Observation:
    """What could be bought of each side at one instant, cheapest first, and what was bid for it, dearest first."""

    seen_at: datetime
    offers: dict[Side, Sequence[Level]]
    bids: dict[Side, Sequence[Level]]


@dataclass(frozen=True, slots=True)
class Trade:
    """A trade on the tape: `yes_price_u` per YES contract; the NO side paid the rest of the dollar."""

    traded_at: datetime
    yes_price_u: int
    count_cc: int

    def price_u(self, side: Side, notional_u: int) -> int:
        """Return what the buyer of `side` paid per contract."""
        return self.yes_price_u if side == "yes" else notional_u - self.yes_price_u


@dataclass(frozen=True, slots=True)
class Fill:
    """Contracts bought at one price. `size_assumed` marks those whose size on offer was not recorded."""

    order: int
    filled_at: datetime
    price_u: int
    count_cc: int
    size_assumed: bool = False


@dataclass(frozen=True, slots=True)
class Execution:
    """What became of an order."""

    order: Order
    outcome: Outcome
    fills: tuple[Fill, ...] = ()

    @property
    def count_cc(self) -> int:
        return sum(fill.count_cc for fill in self.fills)


@dataclass(slots=True)
class Taker:
    """Fills orders of one market against the offers seen after them, without using any of them twice.

    What was taken of a level stays taken until the level is seen gone: a simulated trade leaves no trace in the
    recording, so the same offer goes on being displayed. Orders must be given in order of time.
    """

    observations: Sequence[Observation]
    lag: timedelta
    max_gap: timedelta
    _taken: dict[tuple[Side, int], int] = field(default_factory=dict)
    _next: int = 0

    def execute(self, order: Order) -> Execution:
        """Walk the offers of the first observation at least `lag` after the decision, up to the order's limit.

        An observation more than `max_gap` after that does not count: nothing is filled across a hole in the data.
        """
        earliest = order.decided_at + self.lag
        while self._next < len(self.observations) and self.observations[self._next].seen_at < earliest:
            self._forget_vanished(self.observations[self._next])
            self._next += 1
        if self._next == len(self.observations):
            return Execution(order, "not observed")
        seen = self.observations[self._next]
        if seen.seen_at - earliest > self.max_gap:
            return Execution(order, "not observed")
        self._forget_vanished(seen)
        return self._walk(order, seen)

    def _walk(self, order: Order, seen: Observation) -> Execution:
        offers = seen.offers.get(order.side, ())
        if not offers:
            return Execution(order, "no offer")
        if offers[0].price_u > order.limit_u:
            return Execution(order, "price moved")
        fills = []
        wanted = order.count_cc
        for level in offers:
            if level.price_u > order.limit_u or wanted == 0:
                break
            count = self._take(order.side, level, wanted)
            if count:
                fills.append(Fill(order.number, seen.seen_at, level.price_u, count, size_assumed=level.size_cc is None))
                wanted -= count
        if not fills:
            return Execution(order, "no offer")
        return Execution(order, "partly filled" if wanted else "filled", tuple(fills))

    def _take(self, side: Side, level: Level, wanted: int) -> int:
        """Return how much of a level is left for this order, and mark it as taken."""
        key = (side, level.price_u)
        taken = self._taken.get(key, 0)
        count = wanted if level.size_cc is None else min(wanted, max(0, level.size_cc - taken))
        self._taken[key] = taken + count
        return count

    def _forget_vanished(self, seen: Observation) -> None:
        displayed = {(side, level.price_u) for side, levels in seen.offers.items() for level in levels}
        self._taken = {key: count for key, count in self._taken.items() if key in displayed}


@dataclass(frozen=True, slots=True)
class RestingExecution:
    """A resting order's two answers: the truth lies between them."""

    pessimistic: Execution
    optimistic: Execution


def rest(
    order: Order,
    observations: Sequence[Observation],
    trades: Sequence[Trade],
    *,
    lag: timedelta,
    until: datetime,
    max_gap: timedelta,
    notional_u: int,
) -> RestingExecution:
    """Return what a bid at the order's limit gets from `lag` after the decision to `until`.

    Pessimistic: the order queues behind everything, so it is filled only once a trade goes through its price; then all
    that stood at the price has been bought, the order included. Optimistic: every trade at its price or through it
    fills the order first. The tape ends for the order at the first hole in the observations longer than `max_gap`.
    """
    begin = order.decided_at + lag
    end = _watched_until(observations, begin, until, max_gap)
    if end is None:
        unseen = Execution(order, "not observed")
        return RestingExecution(unseen, unseen)
    tape = [trade for trade in trades if begin <= trade.traded_at <= end]
    return RestingExecution(_queue_last(order, tape, notional_u), _queue_first(order, tape, notional_u))


def _watched_until(
    observations: Sequence[Observation], begin: datetime, until: datetime, max_gap: timedelta
) -> datetime | None:
    """Return the instant up to which the market was watched from `begin` on, None if it was not watched then."""
    last = begin
    seen_any = False
    for observation in observations:
        if observation.seen_at < begin:
            continue
        if observation.seen_at > until or observation.seen_at - last > max_gap:
            break
        last = observation.seen_at
        seen_any = True
    if not seen_any:
        return None
    return min(until, last + max_gap)


def _queue_last(order: Order, tape: Sequence[Trade], notional_u: int) -> Execution:
    for trade in tape:
        if trade.price_u(order.side, notional_u) < order.limit_u:
            fill = Fill(order.number, trade.traded_at, order.limit_u, order.count_cc)
            return Execution(order, "filled", (fill,))
    return Execution(order, "not reached")


def _queue_first(order: Order, tape: Sequence[Trade], notional_u: int) -> Execution:
    fills = []
    wanted = order.count_cc
    for trade in tape:
        if wanted and trade.price_u(order.side, notional_u) <= order.limit_u:
            count = min(wanted, trade.count_cc)
            fills.append(Fill(order.number, trade.traded_at, order.limit_u, count))
            wanted -= count
    if not fills:
        return Execution(order, "not reached")
    return Execution(order, "partly filled" if wanted else "filled", tuple(fills))

"""Which orders would have been filled, at what price, and how sure that is.

An order decided at an instant meets only what was observed after `lag`, never the quote that it was decided on. Every
fill says how it is known: from offers that were seen, from trades, or from an assumption about sizes.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

Side = Literal["yes", "no"]
Outcome = Literal["filled", "partly filled", "price moved", "no offer", "not observed", "not reached"]


INSTANT = timedelta(microseconds=1)
"""The shortest lag: even an order without one meets a later observation than that it was decided on."""


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
    """What could be bought of each side at one instant, cheapest first, and what was bid for it, highest first."""

    seen_at: datetime
    offers: dict[Side, Sequence[Level]]
    bids: dict[Side, Sequence[Level]]


@dataclass(frozen=True, slots=True)
class Watched:
    """A market over time: its recorded `changes`, in order, and the `scans` that looked at the whole exchange.

    At a scan the market was as its last change left it.
    """

    changes: Sequence[Observation]
    scans: Sequence[datetime] = ()

    def first_from(self, instant: datetime) -> Observation | None:
        """Return the first observation at an instant or later, None if there is none."""
        place = bisect_left(self.changes, instant, key=_seen_at)
        change = self.changes[place] if place < len(self.changes) else None
        scan = bisect_left(self.scans, instant)
        if scan == len(self.scans) or (change is not None and change.seen_at <= self.scans[scan]):
            return change
        if place == 0:
            return change
        state = self.changes[place - 1]
        return Observation(self.scans[scan], state.offers, state.bids)

    def last_until(self, instant: datetime) -> Observation | None:
        """Return the state of the market at an instant, None if it had not been seen yet."""
        place = bisect_right(self.changes, instant, key=_seen_at)
        return self.changes[place - 1] if place else None

    def instants(self, begin: datetime, until: datetime) -> list[datetime]:
        """Return when the market was observed from `begin` to `until`, in order."""
        scans = self.scans[bisect_left(self.scans, begin) : bisect_right(self.scans, until)]
        first = bisect_left(self.changes, begin, key=_seen_at)
        last = bisect_right(self.changes, until, key=_seen_at)
        seen_before = self.changes[0].seen_at if self.changes else until
        return sorted([*(scan for scan in scans if scan >= seen_before), *map(_seen_at, self.changes[first:last])])


def _seen_at(observation: Observation) -> datetime:
    return observation.seen_at


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
    """The outcome of an order."""

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

    market: Watched
    lag: timedelta
    max_gap: timedelta
    _taken: dict[tuple[Side, int], int] = field(default_factory=dict)
    _next: int = 0

    def execute(self, order: Order) -> Execution:
        """Walk the offers of the first observation at least `lag` after the decision, up to the order's limit.

        An observation more than `max_gap` after that does not count: nothing is filled across a hole in the data.
        """
        earliest = max(order.decided_at + self.lag, order.decided_at + INSTANT)
        seen = self.market.first_from(earliest)
        if seen is None or seen.seen_at - earliest > self.max_gap:
            return Execution(order, "not observed")
        changes = self.market.changes
        while self._next < len(changes) and changes[self._next].seen_at <= seen.seen_at:
            self._forget_vanished(changes[self._next])
            self._next += 1
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
    market: Watched,
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
    begin = max(order.decided_at + lag, order.decided_at + INSTANT)
    end = _watched_until(market, begin, until, max_gap)
    if end is None:
        unseen = Execution(order, "not observed")
        return RestingExecution(unseen, unseen)
    tape = [trade for trade in trades if begin <= trade.traded_at <= end]
    return RestingExecution(_queue_last(order, tape, notional_u), _queue_first(order, tape, notional_u))


def _watched_until(market: Watched, begin: datetime, until: datetime, max_gap: timedelta) -> datetime | None:
    """Return the instant up to which the market was watched from `begin` on, None if it was not watched then."""
    last = begin
    seen = market.instants(begin, until)
    for instant in seen:
        if instant - last > max_gap:
            break
        last = instant
    if not seen or seen[0] - begin > max_gap:
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

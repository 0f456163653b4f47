"""Cash, positions and profit of a simulated account, in exact integers.

Capital is bound from the fill to the settlement: what a position cost cannot pay for another one. Without a bankroll
there is no limit, and the account only adds up.
"""

import heapq
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from fairline.backtesting.fills import Side
from fairline.errors import UsageError
from fairline.market.frame import NOTIONAL_U


@dataclass(frozen=True, slots=True)
class Position:
    """Contracts held to settlement: what they cost and were charged, in micro-dollars, and when they were bought."""

    order: int
    ticker: str
    event_ticker: str
    side: Side
    count_cc: int
    cost_u: int
    fee_u: int
    opened_at: datetime

    @property
    def bound_u(self) -> int:
        """Capital that the position binds, in micro-dollars."""
        return self.cost_u + self.fee_u


@dataclass(frozen=True, slots=True)
class Closed:
    """A settled position with what it was paid, in micro-dollars."""

    position: Position
    payout_u: int
    settled_at: datetime

    @property
    def profit_u(self) -> int:
        return self.payout_u - self.position.bound_u


@dataclass(frozen=True, slots=True)
class Equity:
    """The account after an event: cash and bound capital at cost, in micro-dollars."""

    at: datetime
    cash_u: int
    bound_u: int

    @property
    def total_u(self) -> int:
        return self.cash_u + self.bound_u


@dataclass(slots=True)
class Ledger:
    """An account that buys and holds to settlement. `bankroll_u` None means that every order can be paid."""

    bankroll_u: int | None
    cash_u: int = 0
    open: dict[str, list[Position]] = field(default_factory=dict)
    closed: list[Closed] = field(default_factory=list)
    curve: list[Equity] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cash_u = self.bankroll_u or 0

    @property
    def bound_u(self) -> int:
        return sum(position.bound_u for positions in self.open.values() for position in positions)

    def bound_in_event(self, event_ticker: str) -> int:
        """Return the capital bound in an event's markets, in micro-dollars."""
        positions = (position for held in self.open.values() for position in held)
        return sum(position.bound_u for position in positions if position.event_ticker == event_ticker)

    def affordable_cc(self, unit_cost_u: int, wanted_cc: int) -> int:
        """Return how many hundredths of a contract, up to `wanted_cc`, the cash pays for at this cost per contract."""
        if self.bankroll_u is None:
            return wanted_cc
        return max(0, min(wanted_cc, self.cash_u * 100 // unit_cost_u))

    def buy(self, position: Position) -> None:
        """Book a fill. Raises `UsageError` if the cash does not cover it."""
        if self.bankroll_u is not None and position.bound_u > self.cash_u:
            raise UsageError("a simulated account cannot borrow", remedy="Ask `affordable_cc` before buying")
        self.cash_u -= position.bound_u
        self.open.setdefault(position.ticker, []).append(position)
        self._mark(position.opened_at)

    def settle(self, ticker: str, yes_payout_u: int, at: datetime) -> None:
        """Pay all positions in a market: `yes_payout_u` per YES contract, the rest of the dollar per NO contract."""
        for position in self.open.pop(ticker, []):
            per_contract_u = yes_payout_u if position.side == "yes" else NOTIONAL_U - yes_payout_u
            paid = Closed(position, per_contract_u * position.count_cc // 100, at)
            self.closed.append(paid)
            self.cash_u += paid.payout_u
            self._mark(at)

    def _mark(self, at: datetime) -> None:
        self.curve.append(Equity(at, self.cash_u, self.bound_u))


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The maximum drawdown of the equity in micro-dollars, and the longest time under water in seconds."""

    deepest_u: int
    longest_s: float


def measure_drawdown(curve: list[Equity]) -> Drawdown:
    """Return the drawdown of an equity curve; a fall that never recovers lasts to the end of the curve."""
    if not curve:
        return Drawdown(0, 0.0)
    high = curve[0]
    deepest = 0
    longest = 0.0
    below = False
    for point in curve:
        recovered = point.total_u >= high.total_u
        if below or not recovered:
            longest = max(longest, (point.at - high.at).total_seconds())
        deepest = max(deepest, high.total_u - point.total_u)
        below = not recovered
        if recovered:
            high = point
    return Drawdown(deepest, longest)


Kind = Literal["fill", "settlement"]


@dataclass(order=True, slots=True)
class _Queued:
    at: datetime
    priority: int
    number: int
    action: object = field(compare=False)


@dataclass(slots=True)
class Agenda:
    """Things to do in order of time; at one instant, settlements come before fills, so that their money is there."""

    _queue: list[_Queued] = field(default_factory=list)
    _count: int = 0

    def add(self, at: datetime, kind: Kind, action: object) -> None:
        self._count += 1
        heapq.heappush(self._queue, _Queued(at, 0 if kind == "settlement" else 1, self._count, action))

    def pop_until(self, at: datetime) -> list[object]:
        """Remove and return everything due up to an instant, in order."""
        pending = []
        while self._queue and self._queue[0].at <= at:
            pending.append(heapq.heappop(self._queue).action)
        return pending

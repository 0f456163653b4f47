"""Lots, cost basis and realised profit of one market, from its fills.

YES and NO net at once: a position is one signed number, and every pair of a YES and a NO contract pays a dollar in the
moment of the fill that completes it (recorded on the demo exchange in July 2026). Lots are closed first in, first out.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from fairline.positions.records import DOLLAR_U, Direction, Fill, cost_u, oldest_first


@dataclass(slots=True)
class Lot:
    """Contracts of one side that were bought by one fill and are still held. `fee_u` is their share of its fee."""

    fill_id: str
    direction: Direction
    count_cc: int
    price_u: int
    fee_u: int
    at: datetime

    @property
    def cost_u(self) -> int:
        return cost_u(self.count_cc, self.price_u)


@dataclass(frozen=True, slots=True)
class ClosedLot:
    """Contracts that were closed by buying the opposite side. `profit_u` excludes fees, `fee_u` are those of both."""

    ticker: str
    direction: Direction
    count_cc: int
    open_price_u: int
    close_price_u: int
    profit_u: int
    fee_u: int
    opened: datetime
    closed: datetime


@dataclass(slots=True)
class MarketLots:
    """The state of one market after some fills.

    `realized_u` excludes fees, as the exchange reports it; `cash_u` is the change of the account's cash, fees included.
    """

    ticker: str
    lots: deque[Lot] = field(default_factory=deque)
    closed: list[ClosedLot] = field(default_factory=list)
    realized_u: int = 0
    fees_u: int = 0
    traded_u: int = 0
    traded_cc: int = 0
    cash_u: int = 0

    @property
    def count_cc(self) -> int:
        """The position; negative for NO."""
        return sum(lot.count_cc if lot.direction == "yes" else -lot.count_cc for lot in self.lots)

    @property
    def exposure_u(self) -> int:
        """What the contracts held now cost, without fees."""
        return sum(lot.cost_u for lot in self.lots)

    def apply(self, fill: Fill) -> None:
        """Add a fill: close opposite lots first, then open a lot with what is left."""
        self.fees_u += fill.fee_u
        self.traded_u += fill.cost_u
        self.traded_cc += fill.count_cc
        self.cash_u -= fill.cost_u + fill.fee_u
        left_cc = fill.count_cc
        fee_left_u = fill.fee_u
        while left_cc and self.lots and self.lots[0].direction != fill.direction:
            fee_u = fee_left_u * min(left_cc, self.lots[0].count_cc) // left_cc
            left_cc -= self._close(fill, left_cc, fee_u)
            fee_left_u -= fee_u
        if left_cc:
            self.lots.append(Lot(fill.fill_id, fill.direction, left_cc, fill.price_u, fee_left_u, fill.at))

    def _close(self, fill: Fill, left_cc: int, closing_fee_u: int) -> int:
        """Close as much of the oldest lot as possible, and return how much that was."""
        lot = self.lots[0]
        count_cc = min(left_cc, lot.count_cc)
        # Differences of the remaining cost, so that partial closes of a lot always add up to its cost.
        cost = lot.cost_u - cost_u(lot.count_cc - count_cc, lot.price_u)
        opening_fee_u = lot.fee_u * count_cc // lot.count_cc
        pairs_u = count_cc * DOLLAR_U // 100
        profit_u = pairs_u - cost - cost_u(count_cc, fill.price_u)
        closed = ClosedLot(
            ticker=self.ticker,
            direction=lot.direction,
            count_cc=count_cc,
            open_price_u=lot.price_u,
            close_price_u=DOLLAR_U - fill.price_u,
            profit_u=profit_u,
            fee_u=opening_fee_u + closing_fee_u,
            opened=lot.at,
            closed=fill.at,
        )
        self.closed.append(closed)
        self.realized_u += profit_u
        self.cash_u += pairs_u
        lot.count_cc -= count_cc
        lot.fee_u -= opening_fee_u
        if not lot.count_cc:
            self.lots.popleft()
        return count_cc


def build_lots(fills: Iterable[Fill]) -> dict[str, MarketLots]:
    """Return the lots of every market, by ticker, after all fills."""
    markets: dict[str, MarketLots] = {}
    for fill in oldest_first(fills):
        markets.setdefault(fill.ticker, MarketLots(fill.ticker)).apply(fill)
    return markets

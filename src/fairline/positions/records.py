"""An account's records in exact integers, converted from the exchange's decimal strings.

Money is in micro-dollars (`_u`), counts in hundredths of a contract (`_cc`). Prices have four decimals and counts two,
so a cost is exact in micro-dollars.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from fairline.kalshi import portfolio_wire as wire

Direction = Literal["yes", "no"]
DOLLAR_U = 1_000_000
CONTRACT_CC = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Fill:
    """An execution that moves the position in a market towards `direction`, at `price_u` per contract of that side."""

    fill_id: str
    ticker: str
    order_id: str
    direction: Direction
    count_cc: int
    price_u: int
    fee_u: int
    is_taker: bool | None
    at: datetime

    @property
    def signed_cc(self) -> int:
        """The change of the position; negative towards NO."""
        return self.count_cc if self.direction == "yes" else -self.count_cc

    @property
    def yes_price_u(self) -> int:
        return self.price_u if self.direction == "yes" else DOLLAR_U - self.price_u

    @property
    def cost_u(self) -> int:
        """What the contracts cost, without fees."""
        return cost_u(self.count_cc, self.price_u)


@dataclass(frozen=True, slots=True)
class Position:
    """A position as the exchange reports it: negative counts are NO, money excludes fees."""

    ticker: str
    count_cc: int
    exposure_u: int
    realized_u: int
    fees_u: int

    @property
    def direction(self) -> Direction:
        return "yes" if self.count_cc >= 0 else "no"


@dataclass(frozen=True, slots=True)
class SettledMarket:
    """A settlement, gross by side. `value_u` is what one YES contract paid; None if the exchange has not said."""

    ticker: str
    event_ticker: str
    result: str
    yes_cc: int
    no_cc: int
    yes_cost_u: int
    no_cost_u: int
    fee_u: int
    revenue_u: int
    value_u: int | None
    at: datetime | None

    @property
    def profit_u(self) -> int | None:
        """The profit after fees: yes·V + no·(1 − V) − both costs − fee. None without a payout.

        Revenue minus costs would be wrong by a dollar for every pair that was closed before settlement.
        """
        if self.value_u is None:
            return None
        payout = cost_u(self.yes_cc, self.value_u) + cost_u(self.no_cc, DOLLAR_U - self.value_u)
        return payout - self.yes_cost_u - self.no_cost_u - self.fee_u

    @property
    def closed_early_cc(self) -> int:
        """Pairs that were closed before settlement."""
        return min(self.yes_cc, self.no_cc)


@dataclass(frozen=True, slots=True)
class RestingOrder:
    """An order that can still be filled, towards `direction` at `price_u` per contract of that side."""

    order_id: str
    ticker: str
    direction: Direction
    count_cc: int
    price_u: int


def cost_u(count_cc: int, price_u: int) -> int:
    """Return count times price, rounded half up where a price has more than four decimals."""
    return (count_cc * price_u + CONTRACT_CC // 2) // CONTRACT_CC


def parse_fill(fill: wire.Fill) -> Fill:
    """Convert a fill. A missing fee counts as zero, a missing time as 1970."""
    yes_price_u = dollars_u(fill.yes_price)
    return Fill(
        fill_id=fill.fill_id,
        ticker=fill.ticker,
        order_id=fill.order_id,
        direction=fill.direction,
        count_cc=_count_cc(fill.contracts),
        price_u=yes_price_u if fill.direction == "yes" else DOLLAR_U - yes_price_u,
        fee_u=dollars_u(fill.fee),
        is_taker=fill.is_taker,
        at=fill.at or _EPOCH,
    )


def parse_position(position: wire.MarketPosition) -> Position:
    """Convert a position."""
    return Position(
        ticker=position.ticker,
        count_cc=_count_cc(position.contracts),
        exposure_u=dollars_u(position.exposure),
        realized_u=dollars_u(position.realized),
        fees_u=dollars_u(position.fees),
    )


def parse_settlement(settlement: wire.PositionSettlement) -> SettledMarket:
    """Convert a settlement. Without a `value`, the result YES or NO says what a contract paid."""
    result = settlement.market_result
    value = settlement.value
    if value is None:
        value = {"yes": 100, "no": 0}.get(result)
    return SettledMarket(
        ticker=settlement.ticker,
        event_ticker=settlement.event_ticker,
        result=result,
        yes_cc=_count_cc(settlement.yes_contracts),
        no_cc=_count_cc(settlement.no_contracts),
        yes_cost_u=dollars_u(settlement.yes_cost),
        no_cost_u=dollars_u(settlement.no_cost),
        fee_u=dollars_u(settlement.fee),
        revenue_u=settlement.revenue * 10_000,
        value_u=None if value is None else value * 10_000,
        at=wire.parse_time(settlement.settled_time),
    )


def parse_order(order: wire.Order) -> RestingOrder:
    """Convert a resting order."""
    yes_price_u = dollars_u(order.yes_price)
    return RestingOrder(
        order_id=order.order_id,
        ticker=order.ticker,
        direction=order.direction,
        count_cc=_count_cc(order.remaining),
        price_u=yes_price_u if order.direction == "yes" else DOLLAR_U - yes_price_u,
    )


def oldest_first(fills: Iterable[Fill]) -> list[Fill]:
    """Return fills in the order in which they happened. The exchange lists the newest first."""
    ordered = list(fills)[::-1]
    ordered.sort(key=lambda fill: fill.at)
    return ordered


def dollars_u(dollars: Decimal) -> int:
    """Convert dollars to micro-dollars; more than six decimals are rounded half up."""
    return int((dollars * DOLLAR_U).quantize(Decimal(1), rounding="ROUND_HALF_UP"))


def _count_cc(contracts: Decimal) -> int:
    return int((contracts * CONTRACT_CC).quantize(Decimal(1), rounding="ROUND_HALF_UP"))

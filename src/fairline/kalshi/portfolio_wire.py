"""Structs of the account endpoints: positions, fills, settlements, orders, deposits and withdrawals.

Prices, counts and money are exact `Decimal` properties over the strings that the exchange sent. Rows of January 2026,
with integers of cents and contracts beside or instead of strings, are read as well. `direction` is the side towards
which a row moves a position; it never comes from `action`, and from `side` only in rows without `outcome_side` and
`book_side`.
"""

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import msgspec
from msgspec import field

from fairline.kalshi.decoding import page_decoder
from fairline.kalshi.wire import Cursor, Ticker

Direction = Literal["yes", "no"]
_BOOK_SIDES: dict[str, Direction] = {"bid": "yes", "ask": "no"}
_SIDES: dict[str, Direction] = {"yes": "yes", "no": "no"}


class MarketPosition(msgspec.Struct, frozen=True, kw_only=True):
    """A position in one market; negative `contracts` are NO. Money excludes fees and has six decimals."""

    ticker: Ticker
    position_fp: str | None = None
    legacy_position: int | None = field(name="position", default=None)
    market_exposure_dollars: str | None = None
    realized_pnl_dollars: str | None = None
    fees_paid_dollars: str | None = None
    total_traded_dollars: str | None = None
    last_updated_ts: str | None = None
    exchange_index: int | None = None

    def __post_init__(self) -> None:
        _check(self.contracts)

    @property
    def contracts(self) -> Decimal:
        return _count(self.position_fp, self.legacy_position)

    @property
    def exposure(self) -> Decimal:
        """What the contracts held now cost."""
        return _decimal(self.market_exposure_dollars)

    @property
    def realized(self) -> Decimal:
        return _decimal(self.realized_pnl_dollars)

    @property
    def fees(self) -> Decimal:
        """Fees of everything ever traded in the market."""
        return _decimal(self.fees_paid_dollars)


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """An execution of one of the account's orders. Both parties of a trade share its `fill_id`."""

    fill_id: str
    ticker: Ticker
    order_id: str = ""
    trade_id: str = ""
    count_fp: str | None = None
    legacy_count: int | None = field(name="count", default=None)
    yes_price_dollars: str | None = None
    yes_price_fixed: str | None = None
    legacy_yes_price: int | None = field(name="yes_price", default=None)
    fee_cost: str | None = None
    is_taker: bool | None = None
    action: str | None = None
    side: str | None = None
    outcome_side: str | None = None
    book_side: str | None = None
    created_time: str | None = None
    ts: int | None = None
    subaccount_number: int | None = None
    exchange_index: int | None = None

    def __post_init__(self) -> None:
        _check(self.contracts, self.yes_price, self.fee, self.direction)
        if self.contracts <= 0 or not 0 <= self.yes_price <= 1:
            raise ValueError("a fill needs a positive count and a price from 0 to 1")

    @property
    def contracts(self) -> Decimal:
        return _count(self.count_fp, self.legacy_count)

    @property
    def yes_price(self) -> Decimal:
        """The price of a YES contract in dollars, whichever side was bought."""
        text = self.yes_price_dollars or self.yes_price_fixed
        if text is None and self.legacy_yes_price is not None:
            return Decimal(self.legacy_yes_price) / 100
        return _decimal(text, required=True)

    @property
    def fee(self) -> Decimal:
        return _decimal(self.fee_cost)

    @property
    def direction(self) -> Direction:
        return _direction(self.outcome_side, self.book_side, self.side)

    @property
    def at(self) -> datetime | None:
        """When the fill happened."""
        moment = parse_time(self.created_time)
        return datetime.fromtimestamp(self.ts, UTC) if moment is None and self.ts is not None else moment

    @property
    def at_s(self) -> int | None:
        """When the fill happened, in Unix seconds."""
        return None if self.at is None else int(self.at.timestamp())


class PositionSettlement(msgspec.Struct, frozen=True, kw_only=True):
    """The settlement of a market the account traded in.

    Counts and costs are gross by side: a round trip appears on both. `value` is what one YES contract paid, in cents,
    whichever side was held. `fee_cost` repeats the fees of the market's fills.
    """

    ticker: Ticker
    event_ticker: str = ""
    market_result: str = ""
    yes_count_fp: str | None = None
    no_count_fp: str | None = None
    legacy_yes_count: int | None = field(name="yes_count", default=None)
    legacy_no_count: int | None = field(name="no_count", default=None)
    yes_total_cost_dollars: str | None = None
    no_total_cost_dollars: str | None = None
    legacy_yes_total_cost: int | None = field(name="yes_total_cost", default=None)
    legacy_no_total_cost: int | None = field(name="no_total_cost", default=None)
    revenue: int = 0
    value: int | None = None
    fee_cost: str | None = None
    settled_time: str = ""
    exchange_index: int | None = None

    def __post_init__(self) -> None:
        _check(self.yes_contracts, self.no_contracts, self.yes_cost, self.no_cost, self.fee)

    @property
    def yes_contracts(self) -> Decimal:
        return _count(self.yes_count_fp, self.legacy_yes_count)

    @property
    def no_contracts(self) -> Decimal:
        return _count(self.no_count_fp, self.legacy_no_count)

    @property
    def yes_cost(self) -> Decimal:
        return _money(self.yes_total_cost_dollars, self.legacy_yes_total_cost)

    @property
    def no_cost(self) -> Decimal:
        return _money(self.no_total_cost_dollars, self.legacy_no_total_cost)

    @property
    def fee(self) -> Decimal:
        return _decimal(self.fee_cost)

    @property
    def settled_s(self) -> int | None:
        """When the market was settled, in Unix seconds."""
        moment = parse_time(self.settled_time)
        return None if moment is None else int(moment.timestamp())


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order. Only `remaining` contracts can still be filled."""

    order_id: str
    ticker: Ticker
    status: str = ""
    yes_price_dollars: str | None = None
    legacy_yes_price: int | None = field(name="yes_price", default=None)
    initial_count_fp: str | None = None
    remaining_count_fp: str | None = None
    legacy_remaining_count: int | None = field(name="remaining_count", default=None)
    action: str | None = None
    side: str | None = None
    outcome_side: str | None = None
    book_side: str | None = None
    created_time: str | None = None
    expiration_time: str | None = None
    subaccount_number: int | None = None
    exchange_index: int | None = None

    def __post_init__(self) -> None:
        _check(self.remaining, self.yes_price, self.direction)

    @property
    def remaining(self) -> Decimal:
        return _count(self.remaining_count_fp, self.legacy_remaining_count)

    @property
    def yes_price(self) -> Decimal:
        return _money(self.yes_price_dollars, self.legacy_yes_price)

    @property
    def direction(self) -> Direction:
        return _direction(self.outcome_side, self.book_side, self.side)


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A deposit or a withdrawal, in cents."""

    id: str = ""
    status: str = ""
    amount_cents: int = 0
    fee_cents: int = 0


class SubaccountTransfer(msgspec.Struct, frozen=True, kw_only=True):
    """A movement of cash between two subaccounts, in cents."""

    transfer_id: str
    from_subaccount: int
    to_subaccount: int
    amount_cents: int


class _Positions(msgspec.Struct):
    market_positions: list[MarketPosition]
    cursor: Cursor = msgspec.UNSET


class _Fills(msgspec.Struct):
    fills: list[Fill]
    cursor: Cursor = msgspec.UNSET


class _Settlements(msgspec.Struct):
    settlements: list[PositionSettlement]
    cursor: Cursor = msgspec.UNSET


class _Orders(msgspec.Struct):
    orders: list[Order]
    cursor: Cursor = msgspec.UNSET


class _Deposits(msgspec.Struct):
    deposits: list[Transfer]
    cursor: Cursor = msgspec.UNSET


class _Withdrawals(msgspec.Struct):
    withdrawals: list[Transfer]
    cursor: Cursor = msgspec.UNSET


class _SubaccountTransfers(msgspec.Struct):
    transfers: list[SubaccountTransfer]
    cursor: Cursor = msgspec.UNSET


positions_page = page_decoder(_Positions, "market_positions", MarketPosition, "ticker")
fills_page = page_decoder(_Fills, "fills", Fill, "ticker")
settlements_page = page_decoder(_Settlements, "settlements", PositionSettlement, "ticker")
orders_page = page_decoder(_Orders, "orders", Order, "ticker")
deposits_page = page_decoder(_Deposits, "deposits", Transfer, "id")
subaccount_transfers_page = page_decoder(_SubaccountTransfers, "transfers", SubaccountTransfer, "transfer_id")
withdrawals_page = page_decoder(_Withdrawals, "withdrawals", Transfer, "id")


def parse_time(text: str | None) -> datetime | None:
    """Parse an RFC 3339 time; None for one that is missing or unreadable."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _direction(outcome_side: str | None, book_side: str | None, side: str | None) -> Direction:
    """Return the side towards which a position moves.

    The legacy `side` of a sale is the side moved to as well, the opposite of what was sold, so it needs no `action`.
    """
    known = _SIDES.get(outcome_side or "") or _BOOK_SIDES.get(book_side or "") or _SIDES.get(side or "")
    if known is None:
        raise ValueError("neither outcome_side, book_side nor side is known")
    return known


def _count(text: str | None, legacy: int | None) -> Decimal:
    if text is None and legacy is None:
        raise ValueError("the number of contracts is missing")
    return _decimal(text) if text is not None else Decimal(legacy or 0)


def _money(text: str | None, legacy_cents: int | None) -> Decimal:
    if text is None and legacy_cents is None:
        raise ValueError("an amount is missing")
    return _decimal(text) if text is not None else Decimal(legacy_cents or 0) / 100


def _decimal(text: str | None, *, required: bool = False) -> Decimal:
    if text is None:
        if required:
            raise ValueError("a price is missing")
        return Decimal(0)
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text[:20]!r} is not a decimal number") from error
    if not value.is_finite() or abs(value) > 10**12:
        raise ValueError(f"{text[:20]!r} is not a usable amount")
    return value


def _check(*_: Any) -> None:
    """Accept values that were computed: computing them raises `ValueError` where a row is unusable."""

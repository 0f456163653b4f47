"""Structs of the wire: unknown fields are ignored, wrong values are rejected.

Enums are plain strings, and only fields that are used are declared. Prices and counts stay the exact decimal strings
that the exchange sent; callers convert them.
"""

from contextlib import suppress
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated

import msgspec

from fairline.kalshi.decoding import Bytes, Page, object_decoder, page_decoder
from fairline.kalshi.errors import ShapeError

Ticker = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Strike = Annotated[float, msgspec.Meta(ge=-1e15, le=1e15)]
"""Beyond any recorded strike, and within what a 64-bit integer holds in thousandths."""
Multiplier = Annotated[float, msgspec.Meta(ge=0, le=100)]
"""Recorded multipliers are 0 to 2. The upper bound keeps the exact fee arithmetic within its integers."""
Cost = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
Cursor = str | None | msgspec.UnsetType


STATUS_FIELDS = {
    "unopened": ("initialized",),
    "open": ("active",),
    "paused": ("inactive",),
    "closed": ("closed", "determined", "disputed", "amended"),
    "settled": ("finalized",),
}
"""The `status` fields that each status of a query selects. A row may change its status while a walk runs."""


class Market(msgspec.Struct, gc=False, frozen=True):
    """A market as `/markets` lists it.

    Outcome fields (`result`, `settlement_value`) are left out on purpose: a model must not see how a market ended.
    `price_ranges` stays raw because few differ, `custom_strike` because little of it is used.
    """

    ticker: Ticker
    event_ticker: Ticker
    status: str
    market_type: str
    yes_bid_dollars: str
    yes_ask_dollars: str
    yes_bid_size_fp: str
    yes_ask_size_fp: str
    close_time: str
    created_time: str | None = None
    open_time: str | None = None
    expected_expiration_time: str | None = None
    occurrence_datetime: str | None = None
    fee_waiver_expiration_time: str | None = None
    title: str | None = None
    yes_sub_title: str | None = None
    last_price_dollars: str | None = None
    volume_fp: str | None = None
    volume_24h_fp: str | None = None
    open_interest_fp: str | None = None
    notional_value_dollars: str | None = None
    strike_type: str | None = None
    floor_strike: Strike | None = None
    cap_strike: Strike | None = None
    price_level_structure: str | None = None
    price_ranges: msgspec.Raw = msgspec.Raw(b"")
    is_provisional: bool | None = None
    mve_collection_ticker: str | None = None
    custom_strike: msgspec.Raw = msgspec.Raw(b"")
    rules_primary: str | None = None
    settlement_bounds_type: str | None = None
    settlement_floor_dollars: str | None = None


class Settlement(msgspec.Struct, gc=False, frozen=True):
    """How a market ended: `result` is yes, no, scalar or empty; the value is what one YES contract paid."""

    ticker: Ticker
    event_ticker: Ticker
    status: str
    result: str
    settlement_value_dollars: str | None = None
    settlement_ts: str | None = None


class Milestone(msgspec.Struct, gc=False, frozen=True):
    """What an event is about, such as a game: when it starts, and the targets of the teams."""

    start_date: str
    home: str | None = None
    away: str | None = None


class Event(msgspec.Struct, gc=False, frozen=True):
    """An event. Its `milestone` is not part of the object: a page lists milestones beside its events."""

    event_ticker: Ticker
    series_ticker: Ticker
    title: str | None = None
    sub_title: str | None = None
    category: str | None = None
    mutually_exclusive: bool | None = None
    collateral_return_type: str | None = None
    fee_type_override: str | None = None
    fee_multiplier_override: Multiplier | None = None
    milestone: Milestone | None = msgspec.field(default=None, name="(milestone)")


class SettlementSource(msgspec.Struct, gc=False, frozen=True):
    name: str | None = None
    url: str | None = None


class Series(msgspec.Struct, frozen=True):
    ticker: Ticker
    title: str | None = None
    category: str | None = None
    categories: list[str] | None = None
    tags: list[str] | None = None
    fee_type: str | None = None
    fee_multiplier: Multiplier | None = None
    settlement_sources: list[SettlementSource] | None = None


class SeriesFeeChange(msgspec.Struct, frozen=True):
    series_ticker: str
    fee_type: str
    fee_multiplier: Multiplier
    scheduled_ts: datetime


class EventFeeChange(msgspec.Struct, frozen=True):
    """A change of an event's overrides. Null clears an earlier override: the terms of the series apply again."""

    event_ticker: str
    series_ticker: str
    scheduled_ts: datetime
    fee_type_override: str | None = None
    fee_multiplier_override: Multiplier | None = None


class Balance(msgspec.Struct, frozen=True):
    """A balance: `balance` in cents, `balance_dollars` the same as an exact decimal string."""

    balance: int
    portfolio_value: int | None = None
    balance_dollars: str | None = None

    @property
    def dollars(self) -> Decimal:
        """The exact balance, including fractions of a cent where the exchange states them. Raises `ShapeError`."""
        if self.balance_dollars is None:
            return Decimal(self.balance) / 100
        try:
            return Decimal(self.balance_dollars)
        except InvalidOperation as error:
            raise ShapeError("balance_dollars is not an amount", remedy="Run `fairline doctor --contract`") from error


class ExchangeStatus(msgspec.Struct, frozen=True):
    exchange_active: bool
    trading_active: bool
    exchange_estimated_resume_time: str | None = None


class BucketLimit(msgspec.Struct, frozen=True):
    refill_rate: float
    bucket_capacity: float


class AccountLimits(msgspec.Struct, frozen=True):
    usage_tier: str
    read: BucketLimit
    write: BucketLimit


class ApiKey(msgspec.Struct, frozen=True):
    api_key_id: str
    scopes: list[str]
    subaccount: int | None = None


class ApiKeys(msgspec.Struct, frozen=True):
    api_keys: list[ApiKey]


class EndpointCost(msgspec.Struct, frozen=True):
    method: str
    path: str
    cost: Cost


class EndpointCosts(msgspec.Struct, frozen=True):
    """The cost of a request in tokens, by path template. Endpoints that are not listed cost the default."""

    default_cost: Cost
    endpoint_costs: list[EndpointCost] = []

    def of(self, path: str, prefix: str = "") -> float:
        """Return the cost of `GET path`. Templates may include the API's `prefix`."""
        for listed in self.endpoint_costs:
            if listed.method.upper() == "GET" and _matches(listed.path.removeprefix(prefix), path):
                return listed.cost
        return self.default_cost


def _matches(template: str, path: str) -> bool:
    """Return whether a path matches a template such as `/markets/{ticker}` or `/markets/:ticker`."""
    template_parts = template.strip("/").split("/")
    path_parts = path.strip("/").split("/")
    if len(template_parts) != len(path_parts):
        return False
    pairs = zip(template_parts, path_parts, strict=True)
    return all(expected[:1] in ("{", ":") or expected == part for expected, part in pairs)


class Levels(msgspec.Struct, frozen=True):
    """Bids only, as `[price, size]` strings; the asks of one side are the bids of the other.

    Both keys are required. An empty side is an empty list, or null in recordings of January 2026.
    """

    yes_dollars: list[tuple[str, str]] | None
    no_dollars: list[tuple[str, str]] | None


class OrderBook(msgspec.Struct, frozen=True):
    ticker: Ticker
    orderbook_fp: Levels


class _Markets(msgspec.Struct):
    markets: list[Market]
    cursor: Cursor = msgspec.UNSET


class _Settlements(msgspec.Struct):
    markets: list[Settlement]
    cursor: Cursor = msgspec.UNSET


class _Events(msgspec.Struct):
    events: list[Event]
    cursor: Cursor = msgspec.UNSET


class _Teams(msgspec.Struct, frozen=True):
    home_team_id: str | None = None
    away_team_id: str | None = None


class _Milestone(msgspec.Struct):
    start_date: str
    primary_event_tickers: list[str]
    details: _Teams = _Teams()


class _Milestones(msgspec.Struct):
    milestones: list[msgspec.Raw] = []


class _SeriesList(msgspec.Struct):
    series: list[Series]
    cursor: Cursor = msgspec.UNSET


class _SeriesFeeChanges(msgspec.Struct):
    series_fee_change_arr: list[SeriesFeeChange]
    cursor: Cursor = msgspec.UNSET


class _EventFeeChanges(msgspec.Struct):
    event_fee_changes: list[EventFeeChange]
    cursor: Cursor = msgspec.UNSET


class _OneSeries(msgspec.Struct):
    series: Series


class _OneEvent(msgspec.Struct):
    event: Event


class _OrderBooks(msgspec.Struct):
    orderbooks: list[OrderBook]
    cursor: Cursor = msgspec.UNSET


class _OneMarket(msgspec.Struct):
    market: Market


markets_page = page_decoder(_Markets, "markets", Market, "ticker")
settlements_page = page_decoder(_Settlements, "markets", Settlement, "ticker")
_events_page = page_decoder(_Events, "events", Event, "event_ticker")
series_list = page_decoder(_SeriesList, "series", Series, "ticker")
series_fee_changes = page_decoder(_SeriesFeeChanges, "series_fee_change_arr", SeriesFeeChange, "series_ticker")
event_fee_changes = page_decoder(_EventFeeChanges, "event_fee_changes", EventFeeChange, "event_ticker")
order_books = page_decoder(_OrderBooks, "orderbooks", OrderBook, "ticker")
one_market = object_decoder(_OneMarket)
one_series = object_decoder(_OneSeries)
one_event = object_decoder(_OneEvent)
balance = object_decoder(Balance)
exchange_status = object_decoder(ExchangeStatus)
api_keys = object_decoder(ApiKeys)
account_limits = object_decoder(AccountLimits)
endpoint_costs = object_decoder(EndpointCosts)


def events_page(body: Bytes) -> Page[Event]:
    """Decode a page of events, each with its milestone if the page has exactly one for it."""
    page, milestones = _events_page(body), _milestones(body)
    rows = [
        # With two milestones, such as the legs of a tie, either could be the right one.
        msgspec.structs.replace(event, milestone=next(iter(own))) if len(own) == 1 else event
        for event in page.rows
        for own in [milestones.get(event.event_ticker, ())]
    ]
    return msgspec.structs.replace(page, rows=rows)


def _milestones(body: Bytes) -> dict[str, set[Milestone]]:
    """Return the milestones of each event. Unreadable ones are left out; the event is complete without them."""
    milestones: dict[str, set[Milestone]] = {}
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        for raw in msgspec.json.decode(body, type=_Milestones).milestones:
            with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                wire = msgspec.json.decode(raw, type=_Milestone)
                milestone = Milestone(wire.start_date, wire.details.home_team_id, wire.details.away_team_id)
                for ticker in wire.primary_event_tickers:
                    milestones.setdefault(ticker, set()).add(milestone)
    return milestones

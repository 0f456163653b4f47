"""What comes over the wire, as msgspec structs: tolerant of the unknown, loud about the wrong.

Unknown fields are skipped, enums are plain strings, and only the fields that are read are declared. Prices and
counts stay the exact decimal strings that the exchange sent; turning them into numbers is the reader's business.
"""

from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec

from fairline.kalshi.decoding import Bytes, Page, object_decoder, page_decoder

Multiplier = Annotated[float, msgspec.Meta(ge=0)]


# What each status of a query means for the `status` field of what comes back; rows may change while a walk runs.
STATUS_FIELDS = {
    "unopened": ("initialized",),
    "open": ("active",),
    "paused": ("inactive",),
    "closed": ("closed", "determined", "disputed", "amended"),
    "settled": ("finalized",),
}


class Market(msgspec.Struct, gc=False, frozen=True):
    """A market as `/markets` lists it. Outcome fields (`result`, `settlement_value`) are left out on purpose:
    what prices a market must not be able to see how it ended. `price_ranges` is left as it came, because few are
    different, and so is `custom_strike`, because little of it is ever looked at.
    """

    ticker: str
    event_ticker: str
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
    floor_strike: float | None = None
    cap_strike: float | None = None
    price_level_structure: str | None = None
    price_ranges: msgspec.Raw = msgspec.Raw(b"")
    is_provisional: bool | None = None
    mve_collection_ticker: str | None = None
    custom_strike: msgspec.Raw = msgspec.Raw(b"")
    rules_primary: str | None = None


class Settlement(msgspec.Struct, gc=False, frozen=True):
    """How a market ended: `result` is yes, no, scalar or empty; the value is what one YES contract paid."""

    ticker: str
    event_ticker: str
    status: str
    result: str
    settlement_value_dollars: str | None = None
    settlement_ts: str | None = None


class Milestone(msgspec.Struct, gc=False, frozen=True):
    """What an event is about in the world, such as a game: when it starts, and the targets of who plays."""

    start_date: str
    home: str | None = None
    away: str | None = None


class Event(msgspec.Struct, gc=False, frozen=True):
    """`milestone` is not in the object itself: it comes beside the events of a page."""

    event_ticker: str
    series_ticker: str
    title: str | None = None
    sub_title: str | None = None
    category: str | None = None
    mutually_exclusive: bool | None = None
    collateral_return_type: str | None = None
    fee_type_override: str | None = None
    fee_multiplier_override: Multiplier | None = None
    milestone: Milestone | None = msgspec.field(default=None, name="(milestone)")


class Series(msgspec.Struct, gc=False, frozen=True):
    ticker: str
    title: str | None = None
    category: str | None = None
    categories: list[str] | None = None
    tags: list[str] | None = None
    fee_type: str | None = None
    fee_multiplier: Multiplier | None = None


class SeriesFeeChange(msgspec.Struct, frozen=True):
    series_ticker: str
    fee_type: str
    fee_multiplier: Multiplier
    scheduled_ts: datetime


class EventFeeChange(msgspec.Struct, frozen=True):
    """Null overrides clear an earlier override: the event falls back to its series."""

    event_ticker: str
    series_ticker: str
    scheduled_ts: datetime
    fee_type_override: str | None = None
    fee_multiplier_override: Multiplier | None = None


class Balance(msgspec.Struct, frozen=True):
    """`balance` is in cents; `balance_dollars` the same as an exact decimal string."""

    balance: int
    portfolio_value: int | None = None
    balance_dollars: str | None = None

    @property
    def dollars(self) -> Decimal:
        """The balance exactly, to the part of a cent where the exchange states it."""
        return Decimal(self.balance) / 100 if self.balance_dollars is None else Decimal(self.balance_dollars)


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
    cost: float


class EndpointCosts(msgspec.Struct, frozen=True):
    """Tokens a request takes: the endpoints listed by path template, every other one the default."""

    default_cost: float
    endpoint_costs: list[EndpointCost] = []

    def of(self, path: str, prefix: str = "") -> float:
        """The cost of `GET path`; templates may be written with or without the API's `prefix`."""
        for listed in self.endpoint_costs:
            if listed.method.upper() == "GET" and _matches(listed.path.removeprefix(prefix), path):
                return listed.cost
        return self.default_cost


def _matches(template: str, path: str) -> bool:
    """Whether a path is one of a template such as `/markets/{ticker}` or `/markets/:ticker`."""
    wanted, given = template.strip("/").split("/"), path.strip("/").split("/")
    pairs = zip(wanted, given, strict=False)
    return len(wanted) == len(given) and all(w[:1] in ("{", ":") or w == g for w, g in pairs)


class Levels(msgspec.Struct, frozen=True):
    """Bids only, `[price, size]` strings; the asks of one side are the bids of the other."""

    yes_dollars: list[tuple[str, str]] = []
    no_dollars: list[tuple[str, str]] = []


class OrderBook(msgspec.Struct, frozen=True):
    ticker: str
    orderbook_fp: Levels


class _Markets(msgspec.Struct):
    markets: list[Market]
    cursor: str | None = None


class _Settlements(msgspec.Struct):
    markets: list[Settlement]
    cursor: str | None = None


class _Events(msgspec.Struct):
    events: list[Event]
    cursor: str | None = None


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
    cursor: str | None = None


class _SeriesFeeChanges(msgspec.Struct):
    series_fee_change_arr: list[SeriesFeeChange]
    cursor: str | None = None


class _EventFeeChanges(msgspec.Struct):
    event_fee_changes: list[EventFeeChange]
    cursor: str | None = None


class _OneSeries(msgspec.Struct):
    series: Series


class _OneEvent(msgspec.Struct):
    event: Event


class _OrderBooks(msgspec.Struct):
    orderbooks: list[OrderBook]
    cursor: str | None = None


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
    """Events, each with its milestone if the page brings along one that is its own."""
    page, milestones = _events_page(body), _milestones(body)
    rows = [
        # Of two, such as the legs of a tie, either could be meant.
        msgspec.structs.replace(event, milestone=next(iter(own))) if len(own) == 1 else event
        for event in page.rows
        for own in [milestones.get(event.event_ticker, ())]
    ]
    return msgspec.structs.replace(page, rows=rows)


def _milestones(body: Bytes) -> dict[str, set[Milestone]]:
    """Those of each event. One that cannot be read is left out: what is known of its event holds without it."""
    made: dict[str, set[Milestone]] = {}
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):
        for raw in msgspec.json.decode(body, type=_Milestones).milestones:
            with suppress(msgspec.MsgspecError, UnicodeDecodeError):
                one = msgspec.json.decode(raw, type=_Milestone)
                kept = Milestone(one.start_date, one.details.home_team_id, one.details.away_team_id)
                for ticker in one.primary_event_tickers:
                    made.setdefault(ticker, set()).add(kept)
    return made

"""What comes over the wire, as msgspec structs: tolerant of the unknown, loud about the wrong.

Unknown fields are skipped, enums are plain strings, and only the fields that are read are declared. Prices and
counts stay the exact decimal strings that the exchange sent; turning them into numbers is the reader's business.

A page is decoded in one go. If one object of it does not fit, the page is decoded once more, object by object, and
what does not fit is handed out as `Rejected` with its ticker, field and value, so that it costs one row.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from fairline.kalshi.errors import ResponseError, ShapeError

T = TypeVar("T")
Bytes = bytes | memoryview
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


class Event(msgspec.Struct, gc=False, frozen=True):
    event_ticker: str
    series_ticker: str
    title: str | None = None
    sub_title: str | None = None
    category: str | None = None
    mutually_exclusive: bool | None = None
    collateral_return_type: str | None = None
    fee_type_override: str | None = None
    fee_multiplier_override: Multiplier | None = None


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


class Rejected(msgspec.Struct, frozen=True):
    """An object that is not usable: which one, which field, what stood there, and why it was refused."""

    ticker: str
    field: str
    value: str
    reason: str

    def __str__(self) -> str:
        shown = f" = {self.value}" if self.value else ""
        return f"{self.ticker or '(no ticker)'}: {self.field}{shown}: {self.reason}"


class Page(msgspec.Struct, Generic[T], frozen=True):
    """The usable objects of one page, those that were not, and the cursor of the next (None at the end)."""

    rows: list[T]
    rejected: list[Rejected]
    cursor: str | None


class _Markets(msgspec.Struct):
    markets: list[Market]
    cursor: str | None = None


class _Settlements(msgspec.Struct):
    markets: list[Settlement]
    cursor: str | None = None


class _Events(msgspec.Struct):
    events: list[Event]
    cursor: str | None = None


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


def _page_decoder(envelope: type[Any], name: str, row: type[T], id_field: str) -> Callable[[Bytes], Page[T]]:
    fast = msgspec.json.Decoder(envelope)
    one = msgspec.json.Decoder(row)

    def decode(body: Bytes) -> Page[T]:
        try:
            page = fast.decode(body)
        except msgspec.ValidationError:
            return _decode_singly(body, name, one, id_field)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _not_json(body, error) from None
        return Page(getattr(page, name), [], page.cursor or None)

    return decode


def _decode_singly(body: Bytes, name: str, one: "msgspec.json.Decoder[T]", id_field: str) -> Page[T]:
    """The slow way through a page on which at least one object does not fit."""
    try:
        envelope = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        raws = msgspec.json.decode(envelope[name], type=list[msgspec.Raw])
        cursor = msgspec.json.decode(envelope.get("cursor", b"null"), type=str | None)
    except (msgspec.MsgspecError, KeyError):
        raise ShapeError(
            f"the answer has no list of {name} and cursor as the exchange sends it",
            remedy="Check that --exchange points at the trade API",
        ) from None
    rows: list[T] = []
    rejected: list[Rejected] = []
    for raw in raws:
        try:
            rows.append(one.decode(raw))
        except msgspec.ValidationError as error:
            rejected.append(_explain(raw, str(error), id_field))
    return Page(rows, rejected, cursor or None)


# Fields that the exchange retired, by the name that replaced them: a row that still has them is of an old recording
# or an old proxy, and reading the new names from it as zero is how other tools came to buy at 0 cents.
RETIRED = {
    "yes_bid_dollars": "yes_bid",
    "yes_ask_dollars": "yes_ask",
    "yes_bid_size_fp": "yes_bid_size",
    "yes_ask_size_fp": "yes_ask_size",
}


def _explain(raw: msgspec.Raw, message: str, id_field: str) -> Rejected:
    """Turn msgspec's account of the first misfit into ticker, field, value and reason."""
    reason, _, path = message.partition(" - at `")
    name = path.rstrip("`").removeprefix("$").removeprefix(".")
    if not name and "`" in reason:
        name = reason.split("`")[1] if "required field" in reason else name
    item = msgspec.json.decode(raw)
    if not isinstance(item, dict):
        return Rejected("", "(whole object)", _short(item), "not a JSON object")
    ticker = item.get(id_field)
    for new, old in RETIRED.items():
        if new not in item and old in item:
            why = f"missing; the row has {old} = {_short(item[old])}: this is the cents format retired on 2026-03-12"
            return Rejected(str(ticker or ""), new, "", why)
    top = name.partition(".")[0].partition("[")[0]
    if top in item:
        reason = reason[:1].lower() + reason[1:]
        return Rejected(str(ticker or ""), top, _short(item[top]), reason)
    return Rejected(str(ticker or ""), top or "(object)", "", "missing")


def _short(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "…"


def _not_json(body: Bytes, error: Exception) -> ResponseError:
    head = bytes(body[:200]).lstrip().lower()
    if head.startswith(b"<"):
        return ResponseError("the answer is a web page, not JSON", remedy="A proxy or login page may be in between")
    if not body:
        return ResponseError("the answer is empty", remedy="Try again")
    return ResponseError(f"the answer is not JSON ({error})", remedy="Try again")


def _object_decoder(shape: type[T]) -> Callable[[Bytes], T]:
    decoder = msgspec.json.Decoder(shape)

    def decode(body: Bytes) -> T:
        try:
            return decoder.decode(body)
        except msgspec.ValidationError as error:
            raise ShapeError(
                f"the answer is not a {shape.__name__}: {error}", remedy="Check that --exchange is the trade API"
            ) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _not_json(body, error) from None

    return decode


class _OneMarket(msgspec.Struct):
    market: Market


markets_page = _page_decoder(_Markets, "markets", Market, "ticker")
settlements_page = _page_decoder(_Settlements, "markets", Settlement, "ticker")
events_page = _page_decoder(_Events, "events", Event, "event_ticker")
series_list = _page_decoder(_SeriesList, "series", Series, "ticker")
series_fee_changes = _page_decoder(_SeriesFeeChanges, "series_fee_change_arr", SeriesFeeChange, "series_ticker")
event_fee_changes = _page_decoder(_EventFeeChanges, "event_fee_changes", EventFeeChange, "event_ticker")
order_books = _page_decoder(_OrderBooks, "orderbooks", OrderBook, "ticker")
one_market = _object_decoder(_OneMarket)
one_series = _object_decoder(_OneSeries)
one_event = _object_decoder(_OneEvent)
balance = _object_decoder(Balance)
exchange_status = _object_decoder(ExchangeStatus)
api_keys = _object_decoder(ApiKeys)
account_limits = _object_decoder(AccountLimits)
endpoint_costs = _object_decoder(EndpointCosts)


def error_body(body: Bytes) -> tuple[str, str, str]:
    """(code, message, details) of an error answer; the exchange uses three shapes, and its front none of them."""
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return "", "", ""
    if not isinstance(answer, dict):
        return "", "", ""
    error = answer.get("error", answer)
    if isinstance(error, str):
        return "", error, ""
    if not isinstance(error, dict):
        return "", "", ""
    text = {name: str(error.get(name) or "") for name in ("code", "message", "msg", "details")}
    return text["code"], text["message"] or text["msg"], text["details"]

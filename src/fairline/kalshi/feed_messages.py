"""Messages of the WebSocket feed as the exchange sends them, and the notices that the feed adds to them.

Shapes follow asyncapi.yaml 2.0.0 and recordings from October 2025 to August 2026: keys that were absent in any of them
are optional here, numbers may come as text or as numbers, and a type that is not known is an `UnknownMessage`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

Number = str | int | float


class _Message(msgspec.Struct, tag_field="type", gc=False, kw_only=True):
    """A frame. `sid` is its subscription; `seq` counts that subscription's messages where the channel is numbered."""

    sid: int = 0
    seq: int | None = None


class SnapshotBody(msgspec.Struct, gc=False):
    """A whole book: price and size of each level, both sides as bids; a side without levels is absent."""

    market_ticker: str
    yes_dollars_fp: list[tuple[Number, Number]] = []
    no_dollars_fp: list[tuple[Number, Number]] = []
    clock: int = 0


class DeltaBody(msgspec.Struct, gc=False):
    """A signed change of one level's size."""

    market_ticker: str
    price_dollars: Number
    delta_fp: Number
    side: str
    ts_ms: int = 0
    clock: int = 0


class TickerBody(msgspec.Struct, gc=False):
    market_ticker: str
    yes_bid_dollars: Number
    yes_ask_dollars: Number
    yes_bid_size_fp: Number
    yes_ask_size_fp: Number
    ts_ms: int
    price_dollars: Number = ""
    volume_fp: Number = ""
    open_interest_fp: Number = ""


class TradeBody(msgspec.Struct, gc=False):
    trade_id: str
    market_ticker: str
    yes_price_dollars: Number
    count_fp: Number = ""
    count: Number = ""
    taker_outcome_side: str = ""
    taker_side: str = ""
    is_block_trade: bool = False
    ts: int = 0
    ts_ms: int = 0


class LifecycleBody(msgspec.Struct, gc=False):
    """A step of a market's life. Times are Unix seconds; which of them are there depends on `event_type`."""

    event_type: str = ""
    market_ticker: str = ""
    open_ts: int | None = None
    close_ts: int | None = None
    result: str = ""
    settlement_value: Number | None = None
    determination_ts: int | None = None
    settled_ts: int | None = None


class AnswerError(msgspec.Struct, gc=False):
    code: int = 0
    msg: str = ""


class SubscribedBody(msgspec.Struct, gc=False):
    channel: str = ""
    sid: int = 0


class Snapshot(_Message, tag="orderbook_snapshot"):
    msg: SnapshotBody
    id: int | None = None


class Delta(_Message, tag="orderbook_delta"):
    msg: DeltaBody


class Ticker(_Message, tag="ticker"):
    msg: TickerBody


class Trade(_Message, tag="trade"):
    msg: TradeBody


class Lifecycle(_Message, tag="market_lifecycle_v2"):
    msg: LifecycleBody


class EventLifecycle(_Message, tag="event_lifecycle"):
    msg: msgspec.Raw = msgspec.Raw(b"{}")


class Subscribed(_Message, tag="subscribed"):
    msg: SubscribedBody
    id: int | None = None


class Ok(_Message, tag="ok"):
    id: int | None = None


class Unsubscribed(_Message, tag="unsubscribed"):
    id: int | None = None


class Failed(_Message, tag="error"):
    """The answer to a command that was not carried out, or the end of a subscription."""

    msg: AnswerError
    id: int | None = None


class UnknownMessage(_Message, gc=False):
    """A type that this version does not know, or a message of a known type that cannot be read."""

    kind: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection was made; nothing of it is known yet."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection ended, or was given up: nothing is known of any market until it is heard of again.

    `silent_s` is for how long nothing had arrived on it.
    """

    reason: str
    silent_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages of one channel were missed. Books of these markets are unknown until their next snapshot.

    `silent_s` is for how long nothing of the subscription had arrived before.
    """

    channel: str
    tickers: Sequence[str] = field(repr=False)
    reason: str
    silent_s: float = 0.0


WireMessage = Snapshot | Delta | Ticker | Trade | Lifecycle | EventLifecycle | Subscribed | Ok | Unsubscribed | Failed
Notice = Opened | Lost | Gap
FeedMessage = WireMessage | UnknownMessage | Notice

_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(WireMessage)


class _Envelope(msgspec.Struct):
    type: str = ""
    sid: int = 0
    seq: int | None = None


_envelopes = msgspec.json.Decoder(_Envelope)


def decode(frame: bytes) -> WireMessage | UnknownMessage:
    """Return the message in a frame. One that cannot be read is an `UnknownMessage` and keeps its place in sequence."""
    try:
        message: WireMessage = _decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _unreadable(frame, error)
    return message


def _unreadable(frame: bytes, error: Exception) -> UnknownMessage:
    try:
        envelope = _envelopes.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return UnknownMessage(reason=str(error))
    return UnknownMessage(sid=envelope.sid, seq=envelope.seq, kind=envelope.type, reason=str(error))

"""Commands of the feed: what a client may ask, the subscriptions it has, and the answers it gets.

Answers follow what was recorded in August 2026 where that differs from the specification: a second `subscribe` to an
active channel is merged into its subscription and answered by a numbered `ok`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

SEQUENCED = ("orderbook_delta", "trade", "market_lifecycle_v2")
_SILENT = (
    "fill",
    "market_positions",
    "multivariate_market_lifecycle",
    "communications",
    "order_group_updates",
    "user_orders",
    "cfbenchmarks_value",
    "cfbenchmarks_value_5hz",
    "pyth_value",
)
"""Channels that are accepted and never send anything, because the simulated exchange takes no orders."""
CHANNELS = ("ticker", *SEQUENCED, *_SILENT)
ERRORS = {
    1: "Unable to process message",
    2: "Params required",
    3: "Channels required",
    4: "Subscription IDs required",
    5: "Unknown command",
    7: "Unknown subscription ID",
    8: "Unknown channel name",
    11: "Invalid parameter",
    12: "Exactly one subscription ID is required",
    13: "Unsupported action",
    14: "Market Ticker required",
    15: "Action required",
    25: "Subscription buffer overflow",
    26: "Subscription market limit exceeded",
}
_MARKET_KEYS = ("market_ticker", "market_tickers", "market_id", "market_ids")
_ACTIONS = ("add_markets", "delete_markets", "get_snapshot")

Message = dict[str, Any]
Snapshot = Callable[["Subscription", list[str], int | None], Iterator[Message]]
"""Yields the current books or tickers of these markets, numbered in their subscription."""


class Refusal(Exception):
    """A command that is answered with an error of this code."""

    def __init__(self, code: int) -> None:
        super().__init__(ERRORS[code])
        self.code = code

    def message(self, command_id: int | None) -> Message:
        answer: Message = {"type": "error", "msg": {"code": self.code, "msg": str(self)}}
        return answer if command_id is None else {"id": command_id, **answer}


@dataclass(slots=True, eq=False)
class Subscription:
    """One channel of one connection. `tickers` None means all markets; `ids` are of those that were named by id."""

    sid: int
    channel: str
    tickers: set[str] | None
    ids: dict[str, str] = field(default_factory=dict)
    yes_prices: bool = False
    skip_lists: bool = False
    seq: int = 0

    def wants(self, ticker: str) -> bool:
        return self.tickers is None or ticker in self.tickers

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq


@dataclass(frozen=True, slots=True)
class Command:
    """A well-formed command. `id` is None where the client sent 0, which the exchange takes for none."""

    id: int | None
    name: str
    params: Mapping[str, Any]

    @property
    def names_subscriptions(self) -> bool:
        """Whether the command refers to subscriptions that earlier commands made."""
        return self.name in ("unsubscribe", "update_subscription")


def parse_command(text: str) -> Command:
    """Return the command in a text frame. Raises `Refusal` with code 1, 2 or 5."""
    try:
        command = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refusal(1) from error
    if not isinstance(command, dict) or not _is_whole(command.get("id")):
        raise Refusal(1)
    name = command.get("cmd")
    if name not in ("subscribe", "unsubscribe", "update_subscription", "list_subscriptions"):
        raise Refusal(5)
    params = command.get("params")
    if name != "list_subscriptions" and not isinstance(params, dict):
        raise Refusal(2)
    return Command(command["id"] or None, name, params or {})


def id_of(text: str) -> int | None:
    """Return the id of a frame that is no valid command, for the error that answers it."""
    try:
        command = json.loads(text)
    except (ValueError, RecursionError):
        return None
    number = command.get("id") if isinstance(command, dict) else None
    return number or None if _is_whole(number) else None


class Subscriptions:
    """The subscriptions of one connection.

    `snapshot` renders current books and tickers; `ticker_of` resolves a market id, None if there is no such market.
    `market_limit` is the most markets that one subscription may name; the exchange does not publish its own.
    """

    def __init__(self, snapshot: Snapshot, ticker_of: Callable[[str], str | None], market_limit: int | None) -> None:
        self.active: dict[int, Subscription] = {}
        self._snapshot, self._ticker_of, self._market_limit = snapshot, ticker_of, market_limit
        self._last_sid = 0

    def answer(self, command: Command) -> Iterator[Message]:
        """Carry out a command and yield its answers in order. Raises `Refusal`."""
        if command.name == "list_subscriptions":
            listed = [{"channel": each.channel, "sid": each.sid} for each in self.active.values()]
            yield self._echo(command, {"type": "ok", "msg": listed})
        elif command.name == "subscribe":
            yield from self._subscribe(command)
        elif command.name == "unsubscribe":
            yield from self._unsubscribe(command)
        else:
            yield from self._update(command)

    @staticmethod
    def _echo(command: Command, answer: Message) -> Message:
        return answer if command.id is None else {"id": command.id, **answer}

    def _subscribe(self, command: Command) -> Iterator[Message]:
        params = command.params
        channels = _named_channels(params)
        tickers, ids = self._markets(params, channels)
        if "orderbook_delta" in channels and not tickers:
            raise Refusal(14)
        for channel in dict.fromkeys(channels):
            active = next((each for each in self.active.values() if each.channel == channel), None)
            if active is None:
                subscription = self._open(channel, params, tickers, ids)
                yield self._echo(command, {"type": "subscribed", "msg": {"channel": channel, "sid": subscription.sid}})
            else:
                subscription = active
                self._add(subscription, tickers, ids)
                yield self._acknowledge(command, subscription)
            yield from self._first(subscription, tickers, params)

    def _open(self, channel: str, params: Mapping[str, Any], tickers: list[str], ids: dict[str, str]) -> Subscription:
        unfiltered = not tickers or channel == "market_lifecycle_v2"
        subscription = Subscription(
            self._last_sid + 1,
            channel,
            None if unfiltered else set(),
            yes_prices=bool(params.get("use_yes_price")),
            skip_lists=bool(params.get("skip_ticker_ack")),
        )
        self._add(subscription, tickers, ids)
        self._last_sid += 1
        self.active[subscription.sid] = subscription
        return subscription

    def _add(self, subscription: Subscription, tickers: list[str], ids: dict[str, str]) -> None:
        if subscription.tickers is None:
            return
        merged = subscription.tickers | set(tickers)
        if self._market_limit is not None and len(merged) > self._market_limit:
            raise Refusal(26)
        subscription.tickers = merged
        subscription.ids |= ids

    def _unsubscribe(self, command: Command) -> Iterator[Message]:
        sids = command.params.get("sids")
        if not isinstance(sids, list) or not sids:
            raise Refusal(4)
        if not all(_is_whole(sid) for sid in sids):
            raise Refusal(11)
        if any(sid not in self.active for sid in sids):
            raise Refusal(7)
        for sid in dict.fromkeys(sids):
            ended = self.active.pop(sid)
            yield self._echo(command, {"type": "unsubscribed", "sid": sid, "seq": ended.next_seq()})

    def _update(self, command: Command) -> Iterator[Message]:
        params = command.params
        subscription = self._only(params)
        action = params.get("action")
        if not action:
            raise Refusal(15)
        if action not in _ACTIONS:
            raise Refusal(13)
        tickers, ids = self._markets(params, [subscription.channel])
        if not tickers:
            raise Refusal(14)
        if action == "get_snapshot":
            yield from self._snapshot(subscription, tickers, command.id)
            return
        if action == "add_markets":
            self._add(subscription, tickers, ids)
        elif subscription.tickers is not None:
            subscription.tickers -= set(tickers)
            subscription.ids = {ticker: number for ticker, number in subscription.ids.items() if ticker not in tickers}
        yield self._acknowledge(command, subscription)
        if action == "add_markets":
            yield from self._first(subscription, tickers, params)

    def _acknowledge(self, command: Command, subscription: Subscription) -> Message:
        """Return the numbered `ok`, with all markets that the subscription now names unless the lists were declined."""
        lists: Message = {}
        if subscription.tickers is not None and not subscription.skip_lists:
            by_ticker = subscription.tickers - subscription.ids.keys()
            lists = {"market_tickers": sorted(by_ticker)} if by_ticker else {}
            if subscription.ids:
                lists["market_ids"] = sorted(subscription.ids.values())
        answer: Message = {"type": "ok", "sid": subscription.sid}
        if subscription.channel in SEQUENCED:
            answer["seq"] = subscription.next_seq()
        return self._echo(command, answer | {"msg": lists})

    def _first(self, subscription: Subscription, tickers: list[str], params: Mapping[str, Any]) -> Iterator[Message]:
        """Yield what a market begins with: its book always, its ticker if requested."""
        if subscription.channel == "orderbook_delta" or (
            subscription.channel == "ticker" and params.get("send_initial_snapshot") is True
        ):
            yield from self._snapshot(subscription, tickers, None)

    def _only(self, params: Mapping[str, Any]) -> Subscription:
        """Return the one subscription that an update names."""
        if ("sid" in params) == ("sids" in params):
            raise Refusal(12)
        sids = [params["sid"]] if "sid" in params else params["sids"]
        if not isinstance(sids, list) or len(sids) != 1:
            raise Refusal(12)
        if not _is_whole(sids[0]):
            raise Refusal(11)
        if sids[0] not in self.active:
            raise Refusal(7)
        return self.active[sids[0]]

    def _markets(self, params: Mapping[str, Any], channels: list[str]) -> tuple[list[str], dict[str, str]]:
        """Return the named markets as tickers in their given order, and the ids of those that were named by id."""
        key, names = _named_markets(params)
        if not key.startswith("market_id"):
            return list(dict.fromkeys(names)), {}
        if any(channel != "ticker" for channel in channels):
            raise Refusal(11)
        ids = {ticker: name for name in names if (ticker := self._ticker_of(name)) is not None}
        return list(ids), ids


def _named_channels(params: Mapping[str, Any]) -> list[str]:
    channels = params.get("channels")
    if not isinstance(channels, list) or not channels:
        raise Refusal(3)
    if not all(isinstance(channel, str) and channel in CHANNELS for channel in channels):
        raise Refusal(8)
    return channels


def _named_markets(params: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the one parameter that names markets, and the names. Raises `Refusal` for two of them or other types."""
    given = [key for key in _MARKET_KEYS if params.get(key)]
    if len(given) > 1:
        raise Refusal(11)
    if not given:
        return "", []
    value = params[given[0]]
    names = value if given[0].endswith("s") else [value]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Refusal(11)
    return given[0], names


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0

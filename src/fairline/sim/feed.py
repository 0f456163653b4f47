"""The WebSocket feed: subscriptions, snapshots, and what happens in the world as messages.

Channels: `ticker`, `orderbook_delta`, `trade`, `market_lifecycle_v2`. Private channels are accepted and stay silent,
since the simulated exchange takes no orders.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from fairline.sim.catalog import Level, WorldCatalog
from fairline.sim.history import trade_object
from fairline.sim.life import Happening, Move, Step, Trade
from fairline.sim.render import count, dollars, live_fields, time_text
from fairline.sim.reply import Backend
from fairline.sim.world import UNIT

BEAT_S = 10.0
_LOOK_S = 0.1
_SEQUENCED = ("orderbook_delta", "trade", "market_lifecycle_v2")
_SILENT = (
    "fill", "market_positions", "multivariate_market_lifecycle", "communications", "order_group_updates", "user_orders",
)  # fmt: skip
_REPLIES = ("subscribed", "unsubscribed", "ok", "error")
_CHANNELS = ("ticker", *_SEQUENCED, *_SILENT)
_SHOWN = (
    "yes_bid_dollars", "yes_ask_dollars", "yes_bid_size_fp", "yes_ask_size_fp", "volume_fp", "open_interest_fp",
)  # fmt: skip
_ERRORS = {
    1: "Unable to process message", 2: "Params required", 3: "Channels required", 4: "Subscription IDs required",
    5: "Unknown command", 7: "Unknown subscription ID", 8: "Unknown channel name", 11: "Invalid parameter",
    12: "Exactly one subscription ID is required", 13: "Unsupported action", 14: "Market Ticker required",
    15: "Action required", 25: "Subscription buffer overflow",
}  # fmt: skip

Message = dict[str, Any]


class Wrong(Exception):
    """A command that is answered with an error of that code."""

    def __init__(self, code: int) -> None:
        super().__init__(_ERRORS[code])
        self.code = code


@dataclass(slots=True)
class Subscription:
    """`tickers` None means all markets."""

    sid: int
    channel: str
    tickers: set[str] | None
    yes_prices: bool = False
    seq: int = field(default=0)

    def wants(self, ticker: str) -> bool:
        return self.tickers is None or ticker in self.tickers


class Connection:
    """One client's feed, from the handshake until either side closes it."""

    def __init__(self, backend: Backend, socket: web.WebSocketResponse, drop: Callable[[], None]) -> None:
        self._backend, self._socket, self._drop = backend, socket, drop
        self._subscriptions: dict[int, Subscription] = {}
        self._sids = 0
        self._seen = self._count()
        # One at a time: what a command is answered with, and what happens, must not overtake each other.
        self._turn = asyncio.Lock()

    async def serve(self) -> None:
        tasks = [asyncio.create_task(work()) for work in (self._listen, self._tell, self._beat)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self) -> None:
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                continue
            async with self._turn:
                await self._tell_all()
                for reply in self._replies(message.data):
                    await self._send(reply)

    def _replies(self, text: str) -> list[Message]:
        number: object = None
        try:
            command = _object(text)
            number = command.get("id")
            replies = list(self._answer(command))
        except Wrong as wrong:
            replies = [{"type": "error", "msg": {"code": wrong.code, "msg": str(wrong)}}]
        known = isinstance(number, int) and not isinstance(number, bool)
        return [reply | ({"id": number} if known and reply["type"] in _REPLIES else {}) for reply in replies]

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            await self._socket.ping(b"heartbeat")

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            async with self._turn:
                await self._tell_all()

    async def _tell_all(self) -> None:
        """What has happened since the last look, to whom it concerns."""
        self._backend.catalog.refresh()
        world = self._backend.world
        if world is None:
            return
        upto = world.life.count
        happened = list(world.life.since(self._seen))
        if len(happened) < upto - self._seen:
            # Some of it is forgotten already: who reads so slowly is cut off, and knows.
            await self._send({"type": "error", "msg": {"code": 25, "msg": _ERRORS[25]}})
            self._drop()
            return
        self._seen = upto
        for happening in happened:
            for subscription in list(self._subscriptions.values()):
                await self._tell_one(subscription, happening)

    async def _tell_one(self, subscription: Subscription, happening: Happening) -> None:
        faults = self._backend.faults
        for message in self._messages(subscription, happening):
            if faults.strikes("socket-drop"):
                self._drop()
            if not (subscription.channel in _SEQUENCED and faults.strikes("sequence-gap")):
                await self._send(message)

    async def _send(self, message: Message) -> None:
        await self._socket.send_str(json.dumps(message | {"sending_ts_ms": int(time.time() * 1000)}))

    def _count(self) -> int:
        return self._backend.world.life.count if self._backend.world is not None else 0

    def _answer(self, command: Mapping[str, Any]) -> Iterator[Message]:
        name = command.get("cmd")
        if name == "list_subscriptions":
            found = [{"channel": s.channel, "sid": s.sid} for s in self._subscriptions.values()]
            yield {"type": "ok", "msg": found}
            return
        if name not in ("subscribe", "unsubscribe", "update_subscription"):
            raise Wrong(5)
        params = command.get("params")
        if not isinstance(params, dict):
            raise Wrong(2)
        if name == "subscribe":
            yield from self._subscribe(params)
        elif name == "unsubscribe":
            yield from self._unsubscribe(params)
        else:
            yield from self._update(params, command.get("id"))

    def _subscribe(self, params: Mapping[str, Any]) -> Iterator[Message]:
        channels = params.get("channels")
        if not isinstance(channels, list) or not channels:
            raise Wrong(3)
        if not all(isinstance(channel, str) and channel in _CHANNELS for channel in channels):
            raise Wrong(8)
        tickers = _tickers(params)
        if "orderbook_delta" in channels and not tickers:
            raise Wrong(14)
        for channel in channels:
            mine = next((s for s in self._subscriptions.values() if s.channel == channel), None)
            if mine is None:
                self._sids += 1
                chosen = None if not tickers or channel == "market_lifecycle_v2" else set[str]()
                mine = Subscription(self._sids, channel, chosen, bool(params.get("use_yes_price")))
                self._subscriptions[mine.sid] = mine
            if mine.tickers is not None:
                mine.tickers |= tickers
            yield {"type": "subscribed", "msg": {"channel": channel, "sid": mine.sid}}
            yield from self._first(mine, tickers, snapshot=bool(params.get("send_initial_snapshot")))

    def _unsubscribe(self, params: Mapping[str, Any]) -> Iterator[Message]:
        sids = params.get("sids")
        if not isinstance(sids, list) or not sids:
            raise Wrong(4)
        for sid in dict.fromkeys(map(_number, sids)):
            if sid not in self._subscriptions:
                raise Wrong(7)
        for sid in dict.fromkeys(map(_number, sids)):
            gone = self._subscriptions.pop(sid)
            yield {"type": "unsubscribed", "sid": sid, "seq": gone.seq + 1}

    def _update(self, params: Mapping[str, Any], number: object) -> Iterator[Message]:
        mine, action, tickers = self._named_one(params), params.get("action"), _tickers(params)
        if not action:
            raise Wrong(15)
        if action not in ("add_markets", "delete_markets", "get_snapshot"):
            raise Wrong(13)
        if not tickers:
            raise Wrong(14)
        if action == "get_snapshot":
            echoed = {"id": number} if isinstance(number, int) and mine.channel == "orderbook_delta" else {}
            for message in self._first(mine, tickers, snapshot=True):
                yield message | echoed
            return
        if mine.tickers is not None:
            mine.tickers = mine.tickers | tickers if action == "add_markets" else mine.tickers - tickers
        mine.seq += 1
        told = {} if mine.tickers is None else {"market_tickers": sorted(mine.tickers)}
        yield {"type": "ok", "sid": mine.sid, "seq": mine.seq, "msg": told}
        if action == "add_markets":
            yield from self._first(mine, tickers, snapshot=bool(params.get("send_initial_snapshot")))

    def _named_one(self, params: Mapping[str, Any]) -> Subscription:
        sids = [params["sid"]] if "sid" in params else params.get("sids")
        if not isinstance(sids, list) or len(sids) != 1:
            raise Wrong(12)
        if _number(sids[0]) not in self._subscriptions:
            raise Wrong(7)
        return self._subscriptions[sids[0]]

    def _first(self, mine: Subscription, tickers: set[str], *, snapshot: bool) -> Iterator[Message]:
        """What a subscription begins with: books always, tickers where asked for."""
        catalog = self._backend.catalog
        # Not later than what has been told: else a move would be in the snapshot and then come as a delta too.
        first = 0 if self._backend.world is None else self._backend.world.first
        rows = [row for ticker in sorted(tickers) if (row := catalog.row.get(ticker, -1)) >= first]
        for row in rows:
            if mine.channel == "orderbook_delta":
                yes, no = catalog.book(row)
                mine.seq += 1
                sides = {"yes_dollars_fp": _levels(yes), "no_dollars_fp": _levels(no, turned=mine.yes_prices)}
                body = self._named(row) | {"clock": self._seen} | {k: v for k, v in sides.items() if v}
                yield {"type": "orderbook_snapshot", "sid": mine.sid, "seq": mine.seq, "msg": body}
            elif mine.channel == "ticker" and snapshot:
                yield self._ticker(mine, row, int(self._backend.now_us))

    def _named(self, row: int) -> Message:
        number = f"{row:08x}-0000-4000-a000-{row:012x}"
        return {"market_ticker": self._backend.catalog.tickers[row], "market_id": number}

    def _messages(self, mine: Subscription, happening: Happening) -> Iterator[Message]:
        if not mine.wants(self._backend.catalog.tickers[happening.row]):
            return
        if mine.channel == "ticker" and isinstance(happening, Move | Trade):
            yield self._ticker(mine, happening.row, happening.at_us)
        elif mine.channel == "orderbook_delta" and isinstance(happening, Move):
            yield from self._deltas(mine, happening)
        elif mine.channel == "trade" and isinstance(happening, Trade):
            yield self._trade(mine, happening)
        elif mine.channel == "market_lifecycle_v2" and isinstance(happening, Step):
            # Combos have a channel of their own, which is silent here.
            yield from () if self._backend.catalog.combos[happening.row] else (self._step(mine, happening),)

    def _ticker(self, mine: Subscription, row: int, at_us: int) -> Message:
        live = dict.fromkeys((*_SHOWN, "last_price_dollars"), "0.0000") | live_fields(self._backend.catalog.market(row))
        body = self._named(row) | {name: live[name] for name in _SHOWN}
        volume, interest = float(live["volume_fp"]), float(live["open_interest_fp"])
        body |= {"dollar_volume": int(volume), "dollar_open_interest": int(interest), "last_trade_size_fp": "1.00"}
        body |= {"price_dollars": live["last_price_dollars"], "time": time_text(at_us // 1000 * 1000)} | _times(at_us)
        return {"type": "ticker", "sid": mine.sid, "msg": body}

    def _deltas(self, mine: Subscription, move: Move) -> Iterator[Message]:
        catalog = self._backend.catalog
        if not isinstance(catalog, WorldCatalog):
            return
        before, after = catalog.book_at(move.row, *move.before), catalog.book_at(move.row, *move.after)
        for side, old, new in zip(("yes", "no"), before, after, strict=True):
            known, now = dict(old), dict(new)
            for price in sorted({*known, *now}):
                change = now.get(price, 0) - known.get(price, 0)
                if change:
                    mine.seq += 1
                    shown = UNIT - price if side == "no" and mine.yes_prices else price
                    sign = "-" if change < 0 else ""
                    body = {"clock": self._seen, "price_dollars": dollars(shown), "delta_fp": sign + count(abs(change))}
                    body |= self._named(move.row) | {"side": side, "ts_ms": move.at_us // 1000}
                    yield {"type": "orderbook_delta", "sid": mine.sid, "seq": mine.seq, "msg": body}

    def _trade(self, mine: Subscription, trade: Trade) -> Message:
        mine.seq += 1
        body = trade_object(self._backend, trade)
        body["market_ticker"] = body.pop("ticker")
        body.pop("created_time")
        return {"type": "trade", "sid": mine.sid, "seq": mine.seq, "msg": body | _times(trade.at_us)}

    def _step(self, mine: Subscription, step: Step) -> Message:
        mine.seq += 1
        market = json.loads(self._backend.catalog.market(step.row))
        body: Message = {"event_type": step.kind, "market_ticker": market["ticker"]}
        if step.kind == "determined":
            body |= {"determination_ts": step.at_us // 1_000_000, "result": market["result"]}
            world = self._backend.world
            body |= {"settlement_value": dollars(world.payout(step.row) if world is not None else 0)}
        elif step.kind == "settled":
            body |= {"settled_ts": step.at_us // 1_000_000}
        elif step.kind == "created":
            catalog = self._backend.catalog
            body |= {"open_ts": catalog.created_us.item(step.row) // 1_000_000, "exchange_index": 0}
            body |= {"close_ts": catalog.close_us.item(step.row) // 1_000_000}
            body |= {name: market[name] for name in ("price_level_structure", "price_ranges")}
            named = (
                "event_ticker", "title", "yes_sub_title", "no_sub_title", "rules_primary", "rules_secondary",
                "can_close_early",
            )  # fmt: skip
            more = {"name": market["title"], "expected_expiration_ts": body["close_ts"]}
            body["additional_metadata"] = more | {name: market[name] for name in named}
        return {"type": "market_lifecycle_v2", "sid": mine.sid, "seq": mine.seq, "msg": body}


def _number(sid: object) -> int:
    if not isinstance(sid, int) or isinstance(sid, bool):
        raise Wrong(11)
    return sid


def _object(text: str) -> Mapping[str, Any]:
    try:
        command = json.loads(text)
    except (ValueError, RecursionError):
        raise Wrong(1) from None
    if not isinstance(command, dict):
        raise Wrong(1)
    return command


def _tickers(params: Mapping[str, Any]) -> set[str]:
    one, many = params.get("market_ticker"), params.get("market_tickers")
    if (one and many) or not isinstance(many or [], list):
        raise Wrong(11)
    named = [one] if one else many or []
    if not all(isinstance(ticker, str) for ticker in named):
        raise Wrong(11)
    return set(named)


def _levels(levels: list[Level], *, turned: bool = False) -> list[list[str]]:
    return [[dollars(UNIT - price if turned else price), count(size)] for price, size in levels]


def _times(at_us: int) -> Message:
    return {"ts": at_us // 1_000_000, "ts_ms": at_us // 1000}

"""The WebSocket feed: connections, each of which sends what its subscriptions ask for, and the hub they follow.

Channels with content are `ticker`, `orderbook_delta`, `trade` and `market_lifecycle_v2`. What happens is rendered once
for all connections, so that many of them do not keep the other routes from being served.
"""

import asyncio
import json
import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator

from aiohttp import WSMsgType, web

from fairline.sim.faults import Faults
from fairline.sim.feed_messages import Body
from fairline.sim.feed_subscriptions import (
    ERRORS,
    SEQUENCED,
    Message,
    Refusal,
    Subscription,
    Subscriptions,
    id_of,
    parse_command,
)

PING_S = 10.0
ADVANCE_S = 0.05
LAG_S = 3.0
"""How long the fault `feed-lag` holds every frame back."""
ANSWER_S = 0.003
"""Answers take up to this long, each on its own, so they do not come in the order of the commands."""
OUTBOX_LIMIT = 200_000
_FRAMES_PER_TURN = 8
_UNKNOWN_MARKET = "KXUNLISTED-26DEC31"


class Hub(ABC):
    """What every connection follows: one for all of them. `market_limit` is the most markets of a subscription."""

    def __init__(self, faults: Faults, market_limit: int | None = None) -> None:
        self.faults, self.market_limit = faults, market_limit
        self.connections: set[Connection] = set()
        self._following: asyncio.Task[None] | None = None

    def join(self, connection: "Connection") -> None:
        self.advance()
        self.connections.add(connection)
        if self._following is None:
            self._following = asyncio.create_task(self._follow())

    def leave(self, connection: "Connection") -> None:
        self.connections.discard(connection)
        if not self.connections and self._following is not None:
            self._following.cancel()
            self._following = None

    def readers(self, channel: str, ticker: str) -> list[tuple["Connection", Subscription]]:
        """Return the connections whose subscription to a channel includes this market."""
        pairs = ((connection, connection.subscription_to(channel, ticker)) for connection in self.connections)
        return [(connection, subscription) for connection, subscription in pairs if subscription is not None]

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(ADVANCE_S)
            self.advance()
            for connection in self.connections:
                connection.release()

    @abstractmethod
    def advance(self) -> None:
        """Send everything that has happened by now."""

    @abstractmethod
    def ticker_of(self, market_id: str) -> str | None:
        """Return the ticker of a market id; None if no listed market has it."""

    @abstractmethod
    def book(self, ticker: str, *, yes_prices: bool) -> Body | None:
        """Return a market's book as the body of a snapshot; None if there is nothing to send."""

    @abstractmethod
    def ticker(self, ticker: str) -> Body | None:
        """Return a market's current ticker; None if there is nothing to send."""


class Connection:
    """One client's feed, from the handshake until either side closes it."""

    def __init__(self, hub: Hub, socket: web.WebSocketResponse, drop: Callable[[], None]) -> None:
        self._hub, self._socket, self._drop = hub, socket, drop
        self._subscriptions = Subscriptions(self._snapshots, hub.ticker_of, hub.market_limit)
        self._outbox: deque[tuple[float, str]] = deque()
        self._filled = asyncio.Event()
        self._held = ""
        self._random = random.Random(0)
        self._commands: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    async def serve(self) -> None:
        self._hub.join(self)
        tasks = [asyncio.create_task(work()) for work in (self._listen, self._write, self._ping)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.leave(self)
            for task in (*tasks, *self._commands):
                task.cancel()
            await asyncio.gather(*tasks, *self._commands, return_exceptions=True)

    @property
    def has_subscriptions(self) -> bool:
        return bool(self._subscriptions.active)

    def subscription_to(self, channel: str, ticker: str) -> Subscription | None:
        """Return this client's subscription to a channel if it includes the market."""
        for subscription in self._subscriptions.active.values():
            if subscription.channel == channel and subscription.wants(ticker):
                return subscription
        return None

    def overflow(self) -> None:
        """End all subscriptions of a reader that is too slow."""
        self._outbox.clear()
        for sid in list(self._subscriptions.active):
            del self._subscriptions.active[sid]
            self._append(json.dumps({"type": "error", "sid": sid, "msg": {"code": 25, "msg": ERRORS[25]}}))

    def release(self) -> None:
        """Send a frame that a fault held back for the next one to overtake."""
        if self._held:
            held, self._held = self._held, ""
            self._append(held)

    def send(self, subscription: Subscription, kind: str, body: str, step: int = 1) -> None:
        """Send an event as the next of its subscription. `step` above 1 leaves a gap in the sequence."""
        faults = self._hub.faults
        sid = subscription.sid
        number = ""
        if subscription.channel in SEQUENCED:
            subscription.seq += step
            number = f'"seq":{subscription.seq},'
            if faults.strikes("sequence-gap"):
                return
        if faults.strikes("socket-drop"):
            self._drop()
        if faults.strikes("feed-unknown-message"):
            self._append(f'{{"type":"market_weather","sid":{sid},"msg":{{"sun":true}}}}')
        if kind == "ticker" and faults.strikes("feed-unknown-market"):
            stranger = json.loads(body) | {"market_ticker": _UNKNOWN_MARKET}
            self._append(f'{{"type":"ticker","sid":{sid},"msg":{json.dumps(stranger)}}}')
        frame = f'{{"type":"{kind}","sid":{sid},{number}"msg":{body}}}'
        if not self._held and faults.strikes("feed-reorder"):
            self._held = frame
            return
        self._append(frame)
        self.release()
        if faults.strikes("feed-duplicate"):
            self._append(frame)
        if len(self._outbox) > OUTBOX_LIMIT:
            self.overflow()

    def _append(self, frame: str) -> None:
        self._outbox.append((self._loop.time(), frame))
        self._filled.set()

    async def _listen(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                task = asyncio.create_task(self._perform(message.data, list(self._commands)))
                self._commands.add(task)
                task.add_done_callback(self._commands.discard)

    async def _perform(self, text: str, earlier: list[asyncio.Task[None]]) -> None:
        """Carry out one command. One that names subscriptions waits for the commands that may have made them."""
        number = id_of(text)
        try:
            command = parse_command(text)
            if command.names_subscriptions and earlier:
                # Unlike `gather`, this does not cancel them too: each would cancel all before it, again and again.
                await asyncio.wait(earlier)
            await asyncio.sleep(self._random.uniform(0, ANSWER_S))
            self._hub.advance()
            for answer in self._subscriptions.answer(command):
                self._append(json.dumps(answer, separators=(",", ":")))
        except Refusal as refusal:
            self._append(json.dumps(refusal.message(number)))

    async def _write(self) -> None:
        faults, sent = self._hub.faults, 0
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._outbox:
                queued, frame = self._outbox.popleft()
                if faults.in_force("feed-lag"):
                    await asyncio.sleep(queued + LAG_S - self._loop.time())
                if faults.in_force("feed-silence"):
                    continue
                await self._socket.send_str(frame)
                sent += 1
                if sent % _FRAMES_PER_TURN == 0:
                    await asyncio.sleep(0)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_S)
            await self._socket.ping(b"heartbeat")

    def _snapshots(self, subscription: Subscription, tickers: list[str], number: int | None) -> Iterator[Message]:
        """Yield the books or tickers of these markets; unknown markets have none."""
        books = subscription.channel == "orderbook_delta"
        if not books and subscription.channel != "ticker":
            return
        for ticker in tickers:
            yes_prices = subscription.yes_prices
            body = self._hub.book(ticker, yes_prices=yes_prices) if books else self._hub.ticker(ticker)
            if body is None or (books and self._hub.faults.strikes("feed-no-snapshot")):
                continue
            if not books:
                yield {"type": "ticker", "sid": subscription.sid, "msg": body}
                continue
            message = {"type": "orderbook_snapshot", "sid": subscription.sid, "seq": subscription.next_seq()}
            yield message | ({"msg": body} if number is None else {"id": number, "msg": body})

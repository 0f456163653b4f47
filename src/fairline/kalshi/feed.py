"""The exchange's WebSocket feed: one signed connection that is kept alive, subscribed and in sequence.

    feed = Feed(url, auth)
    feed.follow_tickers(tickers)
    feed.follow_books(candidates)
    task = asyncio.create_task(feed.run())
    ...
    for message in feed.take(): ...

Application data proves that a feed lives; pings do not. When nothing has arrived for `idle_s`, the feed asks for its
list of subscriptions: a quiet exchange answers, a dead feed does not and is opened again. What was missed is reported
among the messages: `Lost` and `Opened` for connections, `Gap` for books, which are then asked for again.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fairline.kalshi.auth import Auth
from fairline.kalshi.errors import KalshiError
from fairline.kalshi.feed_lag import LagMeter
from fairline.kalshi.feed_messages import (
    Failed,
    FeedMessage,
    Gap,
    Lost,
    Ok,
    Opened,
    Snapshot,
    Subscribed,
    UnknownMessage,
    Unsubscribed,
    decode,
)
from fairline.kalshi.feed_queue import FeedQueue
from fairline.kalshi.feed_sequence import Place, Sequences
from fairline.kalshi.feed_subscriptions import BOOKS, FeedSubscriptions
from fairline.kalshi.websocket import Connect, Socket, open_socket

log = logging.getLogger("fairline.kalshi")

_LONG_OUTAGE_S = 60.0
_FRAMES_PER_TURN = 512
_LAG_EVERY = 16
"""Of so many messages one is measured."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. `idle_s` without data leads to a question, and `answer_s` without an answer to a new connection.

    While messages come, an answer may take `patience_s`: the first tickers of a hundred thousand markets take a while.

    A snapshot that has not come after `snapshot_s` is requested again. Between attempts to connect, a feed waits a
    random time up to a limit that doubles from `base_s` to `cap_s`, and on to `long_s` in an outage of over a minute.
    """

    idle_s: float = 1.0
    answer_s: float = 1.5
    patience_s: float = 30.0
    snapshot_s: float = 1.0
    base_s: float = 0.1
    cap_s: float = 1.0
    long_s: float = 15.0


@dataclass(slots=True)
class FeedCounts:
    """What a feed has gone through so far."""

    messages: int = 0
    connections: int = 0
    gaps: int = 0
    repeated: int = 0
    overflows: int = 0
    unknown: dict[str, int] = field(default_factory=dict)


class Feed:
    """A feed that is opened again until it is cancelled.

    `auth` signs each handshake. `on_frame` receives every raw frame with its receive time in nanoseconds since 1970.
    """

    def __init__(
        self,
        url: str,
        auth: Auth,
        *,
        channels: Sequence[str] = ("ticker", "market_lifecycle_v2"),
        pace: Pace | None = None,
        connect: Connect = open_socket,
        on_frame: Callable[[int, bytes], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.counts = FeedCounts()
        self.lag = LagMeter()
        self.connected = False
        self.subscriptions = FeedSubscriptions(channels, self._send, clock)
        self._url, self._auth, self._connect = url, auth, connect
        self._pace, self._on_frame = pace or Pace(), on_frame
        self._clock, self._sleep, self._uniform = clock, sleep, uniform
        self._queue = FeedQueue()
        self._sequences = Sequences()
        self._arrived = asyncio.Event()
        self._socket: Socket | None = None
        self._sending: set[asyncio.Future[None]] = set()
        self._last_data = 0.0
        self._last_of: dict[int, float] = {}

    @property
    def silent_s(self) -> float:
        """Seconds since application data last arrived on an open connection."""
        return self._clock() - self._last_data

    def follow_tickers(self, tickers: Iterable[str]) -> None:
        """Receive tickers of these markets too, each with its current state first; without any, of all markets."""
        self.subscriptions.follow_tickers(tickers)

    def follow_books(self, tickers: Iterable[str]) -> None:
        """Receive the order books of exactly these markets, at most 500."""
        self.subscriptions.follow_books(tickers)

    def take(self) -> list[FeedMessage]:
        """Return everything that has arrived since the last call, in order."""
        messages, dropped = self._queue.take()
        if dropped:
            self.counts.overflows += 1
            self._lose_books("the reader was too slow", dropped)
            messages += self._queue.take()[0]
        self._arrived.clear()
        return messages

    async def wait(self) -> None:
        """Wait until something has arrived."""
        await self._arrived.wait()

    async def run(self) -> None:
        """Keep the feed open until cancelled. Raises `KalshiError` for a refusal that no new attempt can heal."""
        failures, since = 0, self._clock()
        while True:
            received = self.counts.messages
            try:
                await self._session()
            except KalshiError as error:
                if not error.retryable:
                    raise
                log.info("feed: %s", error.message)
            if self.counts.messages > received:
                failures, since = 0, self._clock()
            failures += 1
            longest = self._pace.long_s if self._clock() - since > _LONG_OUTAGE_S else self._pace.cap_s
            await self._sleep(self._uniform(0, min(longest, self._pace.base_s * 2 ** min(failures, 12))))

    async def _session(self) -> None:
        """Open one connection and read it until it ends. Raises `KalshiError` if it cannot be opened."""
        headers = await asyncio.to_thread(self._auth.headers, "GET", urlsplit(self._url).path)
        self._socket = await self._connect(self._url, headers)
        self._sequences = Sequences()
        self.subscriptions.reset()
        self.counts.connections += 1
        self.connected = True
        self._last_data = self._clock()
        self._last_of.clear()
        self._put(Opened())
        read = asyncio.create_task(self._read(self._socket))
        watch = asyncio.create_task(self._watch())
        reason = "the feed was stopped"
        try:
            self.subscriptions.open()
            await asyncio.wait([read, watch], return_when=asyncio.FIRST_COMPLETED)
            reason = watch.result() if watch.done() else "the connection ended"
        finally:
            self.connected = False
            for task in (read, watch):
                task.cancel()
            await asyncio.gather(read, watch, return_exceptions=True)
            self._put(Lost(reason, self.silent_s))
            await self._close()

    async def _close(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    async def _read(self, socket: Socket) -> None:
        turns = 0
        while (frame := await socket.receive()) is not None:
            if self._on_frame is not None:
                self._on_frame(time.time_ns(), frame)
            self._accept(frame)
            turns += 1
            if turns % _FRAMES_PER_TURN == 0:
                # Frames that are here already are returned without a pause: let others run too.
                await asyncio.sleep(0)

    def _accept(self, frame: bytes) -> None:
        """Put one frame in its place: pass it on, drop it, or report what is missing before it."""
        message = decode(frame)
        self.counts.messages += 1
        now = self._clock()
        place = self._sequences.place(message.sid, message.seq)
        if place is not Place.NEXT:
            if place is Place.REPEATED:
                self.counts.repeated += 1
                self._last_data = now
                return
            self.counts.gaps += 1
            self._miss(message.sid, "a sequence number is missing")
        self._last_data = self._last_of[message.sid] = now
        if self.counts.messages % _LAG_EVERY == 0:
            self.lag.observe(message)
        handler = _HANDLERS.get(type(message))
        if handler is not None:
            handler(self, message)
        self._put(message)

    def _put(self, message: FeedMessage) -> None:
        self._queue.put(message)
        self._arrived.set()

    def _miss(self, sid: int, reason: str) -> None:
        """Report missed messages of a subscription, and ask for its books again."""
        channel = self.subscriptions.channel(sid)
        silent_s = self._clock() - self._last_of.get(sid, self._last_data)
        if channel == BOOKS:
            self._lose_books(reason, list(self.subscriptions.books), silent_s)
        else:
            self._put(Gap(channel, (), reason, silent_s))

    def _lose_books(self, reason: str, tickers: list[str], silent_s: float = 0.0) -> None:
        self._put(Gap(BOOKS, tickers, reason, silent_s))
        self.subscriptions.ask_books(tickers)

    def _snapshot(self, message: Snapshot) -> None:
        self.subscriptions.book_arrived(message.msg.market_ticker)

    def _answer(self, message: Subscribed | Ok | Unsubscribed | Failed) -> None:
        for notice in self.subscriptions.answer(message):
            self._put(notice)

    def _unknown(self, message: UnknownMessage) -> None:
        name = message.kind or "unreadable"
        self.counts.unknown[name] = self.counts.unknown.get(name, 0) + 1
        if message.seq is not None:
            self._miss(message.sid, "a message could not be read")

    def _send(self, text: str) -> None:
        sending = asyncio.ensure_future(self._deliver(text))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    async def _deliver(self, text: str) -> None:
        if self._socket is None:
            return
        try:
            await self._socket.send(text)
        except KalshiError as error:
            log.debug("feed: %s", error.message)

    async def _watch(self) -> str:
        """Ask again for what does not come; return why the connection is given up."""
        pace, subscriptions = self._pace, self.subscriptions
        pause = min(pace.idle_s, pace.answer_s, pace.snapshot_s) / 4
        while True:
            await self._sleep(pause)
            if subscriptions.is_unanswered(pace.answer_s) and self.silent_s > pace.answer_s:
                return "a command was not answered"
            if subscriptions.is_unanswered(pace.patience_s):
                return "a command was not answered although messages come"
            if self.silent_s > pace.idle_s:
                subscriptions.ask_if_alive()
            late = subscriptions.late_books(pace.snapshot_s)
            if late:
                subscriptions.ask_books(late, again=True)


_HANDLERS: dict[type, Callable[..., None]] = {
    Snapshot: Feed._snapshot,  # noqa: SLF001
    Subscribed: Feed._answer,  # noqa: SLF001
    Ok: Feed._answer,  # noqa: SLF001
    Unsubscribed: Feed._answer,  # noqa: SLF001
    Failed: Feed._answer,  # noqa: SLF001
    UnknownMessage: Feed._unknown,  # noqa: SLF001
}

"""The hub of a generated world: what happens in it becomes messages, in order and on time."""

import heapq
import json
import time
from collections.abc import Callable
from functools import partial

from fairline.sim.columns import ACTIVE
from fairline.sim.feed import Hub
from fairline.sim.feed_messages import Body, FeedMessages, row_of
from fairline.sim.life import Change, Move, Step, Trade
from fairline.sim.reply import Backend

TICKER_S = 1.0
"""A market's tickers are at least this far apart; states in between are skipped (recorded median: 1.00 s)."""
CLOSING_TICKER_US, CLOSING_SNAPSHOT_US = 1_000_000, 6_400_000
"""When after a close the last ticker and the empty snapshot come (recorded: 0.2 to 1.9 s, and 6.4 s)."""


class FeedHub(Hub):
    """Follows a world for all connections together.

    `clock` of a message is the number of the change since the world began, the same on every connection.
    """

    def __init__(
        self, backend: Backend, market_limit: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(backend.faults, market_limit)
        self._backend, self._messages = backend, FeedMessages(backend)
        self._position = 0 if backend.world is None else backend.world.life.count
        self._advanced_us = backend.now_us
        self._clocks: dict[int, int] = {}
        self._closings: list[tuple[int, int, str]] = []
        self._tickers_due: dict[int, int] = {}
        self._ticker_sent: dict[int, float] = {}
        self._clock = clock

    def ticker_of(self, market_id: str) -> str | None:
        row = row_of(market_id)
        return self._backend.catalog.tickers[row] if row is not None and self._is_listed(row) else None

    def book(self, ticker: str, *, yes_prices: bool) -> Body | None:
        row = self._backend.catalog.row.get(ticker, -1)
        if not self._is_listed(row):
            return None
        return self._messages.snapshot(row, self._clocks.get(row, 0), yes_prices=yes_prices)

    def ticker(self, ticker: str) -> Body | None:
        row = self._backend.catalog.row.get(ticker, -1)
        return self._messages.ticker(row, self._advanced_us) if self._is_listed(row) else None

    def advance(self) -> None:
        # Taken before the world moves on, so that no later change is dated before a state that is sent now.
        self._advanced_us = self._backend.now_us
        self._backend.catalog.refresh()
        world = self._backend.world
        if world is None:
            return
        count = world.life.count
        events = list(world.life.since(self._position))
        if len(events) < count - self._position:
            for connection in self.connections:
                connection.overflow()
        first = count - len(events)
        self._position = count
        for clock, event in enumerate(events, first + 1):
            self._deliver(event, clock)
        now_us = world.now_us
        self._send_closings(now_us)
        self._send_tickers()

    def _is_listed(self, row: int) -> bool:
        first = 0 if self._backend.world is None else self._backend.world.first
        return first <= row < len(self._backend.catalog.tickers)

    def _publish(self, channel: str, kind: str, row: int, body: Callable[[], Body]) -> None:
        """Send an event to every connection that wants it; what nobody wants is not rendered."""
        readers = self.readers(channel, self._backend.catalog.tickers[row])
        if not readers:
            return
        text = json.dumps(body(), separators=(",", ":"))
        for connection, subscription in readers:
            connection.send(subscription, kind, text)

    def _deliver(self, event: Change, clock: int) -> None:
        if isinstance(event, Move):
            self._clocks[event.row] = clock
            self._deliver_move(event, clock)
        elif isinstance(event, Trade):
            self._publish("trade", "trade", event.row, partial(self._messages.trade, event))
            self._tickers_due[event.row] = event.at_us
        elif isinstance(event, Step) and not self._backend.catalog.combos[event.row]:
            kind = "market_lifecycle_v2"
            self._publish(kind, kind, event.row, partial(self._messages.lifecycle, event))

    def _deliver_move(self, move: Move, clock: int) -> None:
        if move.after == (0, 0, 0, 0) and not self._is_open(move.row):
            # At a close no deltas take the levels away: a last ticker comes, and later an empty snapshot.
            self._tickers_due.pop(move.row, None)
            heapq.heappush(self._closings, (move.at_us + CLOSING_TICKER_US, move.row, "ticker"))
            heapq.heappush(self._closings, (move.at_us + CLOSING_SNAPSHOT_US, move.row, "snapshot"))
            return
        self._tickers_due[move.row] = move.at_us
        readers = self.readers("orderbook_delta", self._backend.catalog.tickers[move.row])
        for yes_prices in {subscription.yes_prices for _, subscription in readers}:
            for body in self._messages.deltas(move, clock, yes_prices=yes_prices):
                text = json.dumps(body, separators=(",", ":"))
                for connection, subscription in readers:
                    if subscription.yes_prices == yes_prices:
                        connection.send(subscription, "orderbook_delta", text)

    def _is_open(self, row: int) -> bool:
        world = self._backend.world
        return world is not None and world.columns.status.item(row) == ACTIVE

    def _send_closings(self, now_us: int) -> None:
        while self._closings and self._closings[0][0] <= now_us:
            at_us, row, kind = heapq.heappop(self._closings)
            if kind == "ticker":
                self._publish("ticker", "ticker", row, partial(self._messages.closing_ticker, row, at_us))
                continue
            body = partial(self._messages.snapshot, row, self._clocks.get(row, 0), empty=True)
            self._publish("orderbook_delta", "orderbook_snapshot", row, body)

    def _send_tickers(self) -> None:
        now = self._clock()
        for row, changed_us in list(self._tickers_due.items()):
            if now - self._ticker_sent.get(row, -TICKER_S) >= TICKER_S:
                del self._tickers_due[row]
                self._ticker_sent[row] = now
                self._publish("ticker", "ticker", row, partial(self._messages.ticker, row, changed_us))

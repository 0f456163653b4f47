"""What a feed is subscribed to: the commands that it sends, the answers it waits for, and what they end.

Answers do not come in the order of commands and are matched by their id. A subscription that the exchange ends is
opened again. Books are requested again when their snapshot does not come.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

from fairline.kalshi.feed_messages import Failed, Gap, Notice, Ok, Subscribed, Unsubscribed

log = logging.getLogger("fairline.kalshi")

BOOKS = "orderbook_delta"
TICKERS = "ticker"
MARKETS_PER_COMMAND = 1_000
MAX_BOOKS = 500
_ALREADY_SUBSCRIBED, _MARKET_LIMIT = 6, 26
_COMMAND_ERRORS = frozenset({1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 14, 15, 18, 27})
"""Errors that answer a command. Any other ends the subscription that it names; so do unknown ones."""


class FeedSubscriptions:
    """The subscriptions of one feed over all its connections. `send` takes the text of a command."""

    def __init__(self, channels: Sequence[str], send: Callable[[str], None], clock: Callable[[], float]) -> None:
        self.channels = tuple(channels)
        self.books: dict[str, None] = {}
        self.snapshots_asked = 0
        self._tickers: dict[str, None] = {}
        self._names_tickers = False
        self._too_many_tickers = False
        self._send, self._clock = send, clock
        self.reset()

    def reset(self) -> None:
        """Forget the connection that ended, and keep what is wanted."""
        self._sids: dict[int, str] = {}
        self._command = 0
        self._unanswered: dict[int, float] = {}
        self._channel_of: dict[int, str] = {}
        self._awaited_books: dict[str, float] = {}

    def channel(self, sid: int) -> str:
        """Return the channel of a subscription; empty for one that is not known."""
        return self._sids.get(sid, "")

    def open(self) -> None:
        """Subscribe to everything that is wanted, on a new connection."""
        for channel in self.channels:
            self._subscribe(channel)
        if self.books:
            self._subscribe_books()

    def follow_tickers(self, tickers: Iterable[str]) -> None:
        """Receive tickers of these markets too, each with its current state first."""
        added = [ticker for ticker in tickers if ticker not in self._tickers]
        self._tickers |= dict.fromkeys(added)
        if self._names_tickers:
            self._update(TICKERS, "add_markets", added)

    def follow_books(self, tickers: Iterable[str]) -> None:
        """Receive the order books of exactly these markets, at most 500."""
        before, self.books = self.books, dict.fromkeys(list(tickers)[:MAX_BOOKS])
        removed = [ticker for ticker in before if ticker not in self.books]
        added = [ticker for ticker in self.books if ticker not in before]
        for ticker in removed:
            self._awaited_books.pop(ticker, None)
        if self._sid_of(BOOKS):
            self._update(BOOKS, "delete_markets", removed)
            self._update(BOOKS, "add_markets", added)
            self._await_books(added)
        elif added and self._command:
            self._subscribe_books()

    def ask_books(self, tickers: Iterable[str], *, again: bool = False) -> None:
        """Ask for the current books of followed markets; for one that is awaited already only `again`.

        A snapshot that is still to come includes everything that was missed before it.
        """
        names = [ticker for ticker in tickers if ticker in self.books and (again or ticker not in self._awaited_books)]
        if self._sid_of(BOOKS):
            self.snapshots_asked += len(names)
            self._update(BOOKS, "get_snapshot", names)
            self._await_books(names)

    def ask_if_alive(self) -> None:
        """Send a command that changes nothing, if no answer is awaited already."""
        if not self._unanswered:
            self._command_out("list_subscriptions", {}, "")

    def book_arrived(self, ticker: str) -> None:
        self._awaited_books.pop(ticker, None)

    def late_books(self, after_s: float) -> list[str]:
        """Return the markets whose snapshot has not come within this time."""
        limit = self._clock() - after_s
        return [ticker for ticker, asked in self._awaited_books.items() if asked < limit]

    def is_unanswered(self, after_s: float) -> bool:
        """Return whether a command has been without an answer for longer than this."""
        limit = self._clock() - after_s
        return any(sent < limit for sent in self._unanswered.values())

    def answer(self, message: Subscribed | Ok | Unsubscribed | Failed) -> Iterator[Notice]:
        """Take the answer to a command, or the end of a subscription; yield what is unknown because of it."""
        channel = self._channel_of.pop(message.id or 0, "")
        self._unanswered.pop(message.id or 0, None)
        if isinstance(message, Subscribed):
            self._record_sid(message)
        elif isinstance(message, Failed):
            yield from self._handle_error(message, channel or self.channel(message.sid))

    def _record_sid(self, message: Subscribed) -> None:
        channel = message.msg.channel
        self._sids[message.msg.sid] = channel
        if channel == TICKERS and self._names_tickers:
            self._update(TICKERS, "add_markets", list(self._tickers)[MARKETS_PER_COMMAND:])

    def _handle_error(self, message: Failed, channel: str) -> Iterator[Notice]:
        code = message.msg.code
        log.info("feed: error %d on %s: %s", code, channel or "a command", message.msg.msg)
        if code == _ALREADY_SUBSCRIBED:
            return
        if code == _MARKET_LIMIT and channel == TICKERS:
            yield self._follow_all_tickers()
        elif code not in _COMMAND_ERRORS and message.sid in self._sids:
            del self._sids[message.sid]
            yield Gap(channel, list(self.books) if channel == BOOKS else (), "the exchange ended the subscription")
            if channel == BOOKS:
                self._subscribe_books()
            else:
                self._subscribe(channel)

    def _follow_all_tickers(self) -> Notice:
        """Subscribe to all tickers without naming markets, because they are too many for one subscription."""
        self._too_many_tickers = True
        sid = self._sid_of(TICKERS)
        if sid:
            del self._sids[sid]
            self._command_out("unsubscribe", {"sids": [sid]}, "")
        self._subscribe(TICKERS)
        return Gap(TICKERS, (), "the exchange does not take so many markets in one subscription")

    def _subscribe(self, channel: str) -> None:
        params: dict[str, object] = {"channels": [channel]}
        if channel == TICKERS:
            self._names_tickers = bool(self._tickers) and not self._too_many_tickers
            if self._names_tickers:
                first = list(self._tickers)[:MARKETS_PER_COMMAND]
                params |= {"market_tickers": first, "send_initial_snapshot": True, "skip_ticker_ack": True}
        self._command_out("subscribe", params, channel)

    def _subscribe_books(self) -> None:
        # The default of `use_yes_price` is announced to change, so it is always sent.
        params = {"channels": [BOOKS], "market_tickers": list(self.books), "use_yes_price": False}
        self._command_out("subscribe", params, BOOKS)
        self._await_books(self.books)

    def _update(self, channel: str, action: str, tickers: Sequence[str]) -> None:
        sid = self._sid_of(channel)
        for first in range(0, len(tickers) if sid else 0, MARKETS_PER_COMMAND):
            some = list(tickers[first : first + MARKETS_PER_COMMAND])
            params: dict[str, object] = {"sid": sid, "action": action, "market_tickers": some}
            if channel == TICKERS:
                params["send_initial_snapshot"] = True
            self._command_out("update_subscription", params, channel)

    def _await_books(self, tickers: Iterable[str]) -> None:
        self._awaited_books |= dict.fromkeys(tickers, self._clock())

    def _sid_of(self, channel: str) -> int:
        return next((sid for sid, name in self._sids.items() if name == channel), 0)

    def _command_out(self, name: str, params: dict[str, object], channel: str) -> None:
        """Send a command. Its answer is awaited, unless it is answered by snapshots alone."""
        self._command += 1
        if params.get("action") != "get_snapshot":
            self._unanswered[self._command] = self._clock()
        self._channel_of[self._command] = channel
        self._send(json.dumps({"id": self._command, "cmd": name} | ({"params": params} if params else {})))

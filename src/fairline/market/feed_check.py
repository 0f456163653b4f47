"""Judge a recorded feed: rebuild its books and compare them with its tickers, by the exchange's time.

A ticker tells the state after every change up to its `ts_ms`, and may arrive before some of them or after later ones.
It is compared with the book as it was at that time, once a later change has arrived. Between a market's close, when a
ticker without quotes comes, and the empty snapshot that follows, the book is a ghost: that ticker waits for it.
"""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field

from fairline.kalshi.feed_messages import Delta, FeedMessage, Snapshot, Subscribed, Ticker, UnknownMessage
from fairline.kalshi.feed_sequence import Place, Sequences
from fairline.market.live import Book, Quote, UnreadableAmountError, ticker_quote

_MAX_NAMED = 20
_HISTORY = 10_000
"""Changes of a market that are kept for tickers which arrive late."""
_NO_QUOTES: Quote = (0, 0, 0, 0)


@dataclass(slots=True)
class FeedReport:
    """What a recording contains and whether it agrees with itself.

    `compared` tickers had a valid book; in `equal` cases bid, ask and both sizes were the book's.
    """

    messages: int = 0
    connections: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    markets: int = 0
    compared: int = 0
    equal: int = 0
    gaps: int = 0
    repeated: int = 0
    unknown: int = 0
    unreadable: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether every compared ticker equals its book, and every message could be read."""
        return self.equal == self.compared and not self.unreadable


class _Market:
    """A book, its quotes over time, and the tickers that were not compared yet."""

    def __init__(self) -> None:
        self.book = Book()
        self.times: list[int] = []
        self.quotes: list[Quote] = []
        self.tickers: deque[tuple[int, Quote]] = deque()

    def note(self, ts_ms: int) -> None:
        """Keep the book's quote as of an instant, with enough of those before."""
        self.times.append(max(ts_ms, self.times[-1] if self.times else 0))
        self.quotes.append(self.book.quote)
        if len(self.times) > 2 * _HISTORY:
            del self.times[:_HISTORY], self.quotes[:_HISTORY]

    def quote_at(self, ts_ms: int) -> Quote:
        return self.quotes[max(0, bisect_right(self.times, ts_ms) - 1)]

    def forget(self) -> None:
        self.book.valid = False
        self.times.clear()
        self.quotes.clear()
        self.tickers.clear()


class FeedCheck:
    """Takes the messages of a feed in order of arrival. A subscription that begins again is a new connection."""

    def __init__(self) -> None:
        self.report = FeedReport(connections=1)
        self._sids: set[int] = set()
        self._markets: dict[str, _Market] = {}
        self._sequences = Sequences()

    def _reconnect(self) -> None:
        self._settle_all()
        self.report.connections += 1
        self._sids.clear()
        self._sequences = Sequences()
        for market in self._markets.values():
            market.forget()

    def add(self, message: FeedMessage) -> None:
        report = self.report
        report.messages += 1
        kind = type(message).__name__
        report.kinds[kind] = report.kinds.get(kind, 0) + 1
        if isinstance(message, UnknownMessage):
            report.unknown += 1
        if isinstance(message, Subscribed):
            if message.msg.sid in self._sids:
                self._reconnect()
            self._sids.add(message.msg.sid)
        if not self._is_in_sequence(message):
            return
        try:
            self._apply(message)
        except UnreadableAmountError as error:
            report.unreadable += 1
            self._name(str(error))

    def finish(self) -> FeedReport:
        """Compare what is left, and return the report."""
        self._settle_all()
        self.report.markets = len(self._markets)
        return self.report

    def _is_in_sequence(self, message: FeedMessage) -> bool:
        """Return whether a message counts; after a gap no book is valid until its next snapshot."""
        sid, seq = getattr(message, "sid", 0), getattr(message, "seq", None)
        place = self._sequences.place(sid, seq)
        if place is Place.REPEATED:
            self.report.repeated += 1
            return False
        if place is Place.AFTER_GAP:
            self.report.gaps += 1
            for market in self._markets.values():
                market.forget()
        return True

    def _apply(self, message: FeedMessage) -> None:
        if isinstance(message, Ticker):
            body = message.msg
            market = self._market(body.market_ticker)
            if market.book.valid:
                market.tickers.append((body.ts_ms, ticker_quote(body)))
                self._settle(body.market_ticker, market, before_ms=market.times[-1])
        elif isinstance(message, Delta):
            market = self._market(message.msg.market_ticker)
            if market.book.valid:
                self._settle(message.msg.market_ticker, market, before_ms=message.msg.ts_ms)
                market.book.change(message.msg)
                market.note(message.msg.ts_ms)
        elif isinstance(message, Snapshot):
            market = self._market(message.msg.market_ticker)
            self._settle(message.msg.market_ticker, market, before_ms=None)
            market.book.replace(message.msg)
            market.note(0)

    def _market(self, ticker: str) -> _Market:
        if ticker not in self._markets:
            self._markets[ticker] = _Market()
        return self._markets[ticker]

    def _settle_all(self) -> None:
        for ticker, market in self._markets.items():
            self._settle(ticker, market, before_ms=None)

    def _settle(self, ticker: str, market: _Market, before_ms: int | None) -> None:
        """Compare the tickers from before an instant; before a snapshot, all but one that waits for an empty book."""
        waiting: list[tuple[int, Quote]] = []
        while market.tickers and (before_ms is None or market.tickers[0][0] < before_ms):
            ts_ms, quote = market.tickers.popleft()
            book = market.quote_at(ts_ms)
            if before_ms is None and quote == _NO_QUOTES != book:
                waiting.append((ts_ms, quote))
                continue
            self.report.compared += 1
            if quote == book:
                self.report.equal += 1
            else:
                self._name(f"{ticker} at {ts_ms}: ticker {quote}, book {book}")
        market.tickers.extendleft(reversed(waiting))

    def _name(self, text: str) -> None:
        if len(self.report.examples) < _MAX_NAMED:
            self.report.examples.append(text)

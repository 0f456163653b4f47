"""What has arrived and was not taken yet, in bounded memory.

Policy when it is full: of a market's tickers the newest stays. If that does not make room, all order-book messages are
dropped and their markets reported, so that the books are requested again: a delta is never dropped alone.
"""

from fairline.kalshi.feed_messages import Delta, FeedMessage, Snapshot, Ticker, Trade

LIMIT = 200_000


class FeedQueue:
    """Messages in order of arrival. `limit` counts messages."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._messages: list[FeedMessage] = []
        self._dropped: dict[str, None] = {}
        self.trades_dropped = 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: FeedMessage) -> None:
        self._messages.append(message)
        if len(self._messages) > self._limit:
            self._shrink()

    def take(self) -> tuple[list[FeedMessage], list[str]]:
        """Return the messages, and the markets whose books must be requested again."""
        messages, self._messages = self._messages, []
        dropped, self._dropped = list(self._dropped), {}
        return messages, dropped

    def _shrink(self) -> None:
        remaining = _newest_tickers(self._messages)
        if len(remaining) > self._limit // 2:
            remaining = self._without_books(remaining)
        self._messages = remaining

    def _without_books(self, messages: list[FeedMessage]) -> list[FeedMessage]:
        """Drop order-book messages and trades; the markets of the books are reported by the next `take`."""
        remaining: list[FeedMessage] = []
        for message in messages:
            if isinstance(message, Delta | Snapshot):
                self._dropped[message.msg.market_ticker] = None
            elif isinstance(message, Trade):
                self.trades_dropped += 1
            else:
                remaining.append(message)
        return remaining


def _newest_tickers(messages: list[FeedMessage]) -> list[FeedMessage]:
    """Return the messages without tickers that a later one of their market replaces."""
    newest = {m.msg.market_ticker: place for place, m in enumerate(messages) if isinstance(m, Ticker)}
    return [
        message
        for place, message in enumerate(messages)
        if not isinstance(message, Ticker) or newest[message.msg.market_ticker] == place
    ]

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
        newest = {m.msg.market_ticker: place for place, m in enumerate(self._messages) if isinstance(m, Ticker)}
        remaining = [
            message
            for place, message in enumerate(self._messages)
            if not isinstance(message, Ticker) or newest[message.msg.market_ticker] == place
        ]
        if len(remaining) > self._limit // 2:
            books = [message for message in remaining if isinstance(message, Delta | Snapshot)]
            self._dropped |= dict.fromkeys(message.msg.market_ticker for message in books)
            self.trades_dropped += sum(isinstance(message, Trade) for message in remaining)
            remaining = [message for message in remaining if not isinstance(message, Delta | Snapshot | Trade)]
        self._messages = remaining

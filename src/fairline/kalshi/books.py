"""Order books in bulk, for the few markets that survived a screen."""

from collections.abc import Sequence

from fairline.kalshi.bulk import BulkResult, read_in_bulk
from fairline.kalshi.client import MAX_BOOKS, Kalshi, is_plain
from fairline.kalshi.decoding import Rejected
from fairline.kalshi.routes import batches
from fairline.kalshi.wire import OrderBook


async def read_books(kalshi: Kalshi, tickers: Sequence[str]) -> BulkResult[OrderBook]:
    """Read the order books of these markets, 100 per request.

    A ticker that does not exist has an empty book: the exchange does not distinguish it from a book without orders.
    """
    plain = [ticker for ticker in tickers if is_plain(ticker)]
    result = await read_in_bulk(list(batches(plain, MAX_BOOKS)), kalshi.markets.order_books)
    result.rejected += [Rejected(t, "ticker", t, "cannot be requested") for t in tickers if not is_plain(t)]
    return result

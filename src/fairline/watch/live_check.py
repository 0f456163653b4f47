"""Compare live quotes with order books read over REST: a feed that lost a change says nothing of it itself."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from fairline.kalshi import Kalshi
from fairline.kalshi.books import read_books
from fairline.kalshi.client import MAX_BOOKS
from fairline.kalshi.wire import OrderBook
from fairline.market.books import quotes
from fairline.market.live import LiveState, Quote

SETTLE_S = 1.5
"""A market's ticker may be a second late: what changes within this time after a read is not compared."""


@dataclass(frozen=True, slots=True)
class BookCheck:
    """`compared` markets did not change while their books were read; `wrong` are those of them whose quotes differ.

    `quotes` has the exchange's quotes of the wrong ones. `unread` books could not be read.
    """

    compared: int = 0
    wrong: Sequence[str] = ()
    unread: int = 0
    quotes: dict[str, Quote] = field(default_factory=dict)


async def check_books(
    kalshi: Kalshi,
    state: Callable[[], LiveState],
    *,
    count: int = MAX_BOOKS,
    rng: random.Random | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> BookCheck:
    """Compare random current markets, one request for 100; what differs is read a second time before it counts."""
    known = state()
    current = [ticker for ticker, row in known.rows.items() if known.current[row] and not known.closed[row]]
    chosen = (rng or random.Random()).sample(current, min(count, len(current)))
    first = await _compare(kalshi, state, chosen, sleep)
    if not first.wrong:
        return first
    second = await _compare(kalshi, state, first.wrong, sleep)
    return BookCheck(first.compared, second.wrong, first.unread + second.unread, second.quotes)


async def _compare(
    kalshi: Kalshi,
    state: Callable[[], LiveState],
    tickers: Sequence[str],
    sleep: Callable[[float], Awaitable[None]],
) -> BookCheck:
    before = {ticker: _seen(state(), ticker) for ticker in tickers}
    books = await read_books(kalshi, tickers)
    await sleep(SETTLE_S)
    read = _best_quotes(books.rows)
    after = {ticker: _seen(state(), ticker) for ticker in read}
    still = [ticker for ticker in read if after[ticker] is not None and after[ticker] == before.get(ticker)]
    wrong = {ticker: read[ticker] for ticker in still if state().quote_of(ticker) != read[ticker]}
    return BookCheck(len(still), list(wrong), books.unread, wrong)


def _best_quotes(books: Sequence[OrderBook]) -> dict[str, Quote]:
    top = quotes(books).select("ticker", "yes_bid_u", "yes_ask_u", "yes_bid_size_cc", "yes_ask_size_cc")
    return {
        ticker: (bid or 0, ask or 0, bid_cc if bid else 0, ask_cc if ask else 0)
        for ticker, bid, ask, bid_cc, ask_cc in top.iter_rows()
    }


def _seen(state: LiveState, ticker: str) -> tuple[int, Quote] | None:
    """Return a market's quotes and their time; None if it is closed or without current data."""
    row = state.rows.get(ticker)
    if row is None or not state.current[row] or state.closed[row]:
        return None
    return state.ts_ms[row], state.quote_of(ticker)

"""Order books in bulk: those of the few markets that survived a screen."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from fairline.kalshi.client import MAX_BOOKS, Kalshi, is_plain
from fairline.kalshi.decoding import Page, Rejected
from fairline.kalshi.errors import KalshiError
from fairline.kalshi.routes import batches
from fairline.kalshi.wire import OrderBook


@dataclass(slots=True)
class Books:
    """The books that were read; those that could not be; and how many could not be asked for, with the reason.

    A ticker that does not exist has an empty book: the exchange does not tell it from one without orders.
    """

    rows: list[OrderBook] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    unasked: int = 0
    reason: str = ""


async def read_books(kalshi: Kalshi, tickers: Sequence[str]) -> Books:
    """The books of these markets, a hundred a request, as many requests at once as the rate allows."""
    lists = list(batches([ticker for ticker in tickers if is_plain(ticker)], MAX_BOOKS))
    answers = await asyncio.gather(*(kalshi.markets.order_books(names) for names in lists), return_exceptions=True)
    made = Books()
    made.rejected += [Rejected(t, "ticker", t, "cannot be asked for") for t in tickers if not is_plain(t)]
    for names, answer in zip(lists, answers, strict=True):
        if isinstance(answer, Page):
            made.rows += answer.rows
            made.rejected += answer.rejected
        elif isinstance(answer, KalshiError):
            made.unasked, made.reason = made.unasked + len(names), answer.message
        else:
            raise answer
    return made

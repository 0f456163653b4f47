"""Requote a listing from order books, which are current while a listing may be cached for 15 seconds."""

from collections.abc import Sequence
from dataclasses import replace

from fairline.kalshi import Kalshi
from fairline.kalshi.books import read_books
from fairline.kalshi.wire import OrderBook
from fairline.market.books import quotes, reject_unreadable, with_quotes
from fairline.market.completeness import check_books
from fairline.market.listing import Listing
from fairline.market.problem import Problem


async def requote(kalshi: Kalshi, listing: Listing, tickers: Sequence[str]) -> tuple[Listing, list[OrderBook]]:
    """Read order books, and return the listing with their quotes, and the books.

    A book with an unreadable level is rejected, because its quotes would be wrong; the listing's quotes stay.
    """
    books = await read_books(kalshi, tickers)
    readable, unreadable = reject_unreadable(books.rows)
    books.rows = readable
    books.rejected += unreadable
    markets, moved = with_quotes(listing.markets, quotes(readable))
    problems = [Problem(str(rejected), stage="books", ticker=rejected.ticker) for rejected in books.rejected]
    if books.unread:
        message = f"{books.unread} order books could not be read ({books.reason}): their quotes are the listing's"
        problems.append(Problem(message, stage="books"))
    drift = check_books(tickers, books)
    traffic = kalshi.transport.traffic
    requoted = replace(
        listing,
        markets=markets,
        drift=[*listing.drift, *drift],
        incomplete_reasons=[*listing.incomplete_reasons, *(finding.message for finding in drift)],
        problems=[*listing.problems, *problems],
        books=len(readable),
        moved=moved,
        requests=traffic.requests,
        retries=traffic.retries,
        bytes=traffic.bytes,
    )
    return requoted, readable

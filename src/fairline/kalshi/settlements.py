"""Settlements: all since an instant, or of markets by ticker, including the archive."""

from collections.abc import Sequence

from fairline.kalshi.client import Kalshi
from fairline.kalshi.cursor import paginate
from fairline.kalshi.decoding import Page
from fairline.kalshi.routes import MAX_TICKERS, batches
from fairline.kalshi.wire import Settlement


async def read_settlements_since(kalshi: Kalshi, since_s: int) -> list[Settlement]:
    """Return every settlement at or after a Unix second that is not in the archive yet.

    Raises `KalshiError` if any page fails: part of a listing would leave a gap.
    """

    async def fetch(cursor: str | None) -> Page[Settlement]:
        return await kalshi.markets.settlements_since(since_s, cursor)

    # A market that settles while pages are read pushes others onto the next page. Repeated rows are equal.
    return list({row.ticker: row async for page in paginate(fetch) for row in page.rows}.values())


async def read_settlements(kalshi: Kalshi, tickers: Sequence[str]) -> list[Settlement]:
    """Return the settlements of these markets so far, from the listing, else the archive. Raises `KalshiError`."""
    settled: dict[str, Settlement] = {}
    for batch in batches(list(tickers), MAX_TICKERS):
        settled |= {row.ticker: row for row in (await kalshi.markets.settlements(batch)).rows}
    for batch in batches([ticker for ticker in tickers if ticker not in settled], MAX_TICKERS):
        settled |= {row.ticker: row for row in (await kalshi.historical.settlements(batch)).rows}
    return list(settled.values())

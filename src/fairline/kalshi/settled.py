"""How markets ended: all that were settled since an instant, and some by name wherever they are by now."""

from collections.abc import Sequence

from fairline.kalshi.client import Kalshi
from fairline.kalshi.decoding import Page
from fairline.kalshi.routes import MAX_TICKERS, batches
from fairline.kalshi.walk import walk
from fairline.kalshi.wire import Settlement


async def settled_since(kalshi: Kalshi, since_s: int) -> list[Settlement]:
    """Every market settled at that Unix second or later that is not in the archive yet. Raises `KalshiError`: what
    was read of a walk that was cut short would leave a gap.
    """

    async def page(cursor: str | None) -> Page[Settlement]:
        return await kalshi.markets.settled(since_s, cursor)

    # Rows that settle while the walk runs push others down: what comes twice is the same.
    return list({row.ticker: row async for read in walk(page) for row in read.rows}.values())


async def settled_of(kalshi: Kalshi, tickers: Sequence[str]) -> list[Settlement]:
    """How these markets ended, as far as they have: by the listing, else by the archive. Raises `KalshiError`."""
    found: dict[str, Settlement] = {}
    for batch in batches(list(tickers), MAX_TICKERS):
        found |= {row.ticker: row for row in (await kalshi.markets.settlements(batch)).rows}
    for batch in batches([ticker for ticker in tickers if ticker not in found], MAX_TICKERS):
        found |= {row.ticker: row for row in (await kalshi.historical.settlements(batch)).rows}
    return list(found.values())

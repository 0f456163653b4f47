"""Settlements: all since an instant, or of markets by ticker, including the archive."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from fairline.kalshi.bulk import BulkResult
from fairline.kalshi.client import Kalshi
from fairline.kalshi.cursor import paginate
from fairline.kalshi.decoding import Page, Rejected
from fairline.kalshi.routes import MAX_MARKETS, MAX_TICKERS, batches
from fairline.kalshi.windows import second_of
from fairline.kalshi.wire import Settlement


async def read_settlements_since(kalshi: Kalshi, since_s: int) -> BulkResult[Settlement]:
    """Read every settlement at or after a Unix second that is not in the archive yet.

    Rows that cannot be read or used are rejected by name. Raises `KalshiError` if any page fails: part of a listing
    would leave a gap.
    """

    async def fetch(cursor: str | None) -> Page[Settlement]:
        return await kalshi.markets.settlements_since(since_s, cursor)

    # A market that settles while pages are read pushes others onto the next page. Repeated rows are equal.
    result = BulkResult[Settlement]()
    async for page in paginate(fetch, MAX_MARKETS):
        _add(result, page)
    return _distinct(result)


async def read_settlements(kalshi: Kalshi, tickers: Sequence[str]) -> BulkResult[Settlement]:
    """Read the settlements of these markets so far, from the listing, else the archive. Raises `KalshiError`."""
    result = BulkResult[Settlement]()
    for batch in batches(list(tickers), MAX_TICKERS):
        _add(result, await kalshi.markets.settlements(batch))
    known = {row.ticker for row in result.rows} | {row.ticker for row in result.rejected}
    for batch in batches([ticker for ticker in tickers if ticker not in known], MAX_TICKERS):
        _add(result, await kalshi.historical.settlements(batch))
    return _distinct(result)


def _add(result: BulkResult[Settlement], page: Page[Settlement]) -> None:
    result.rejected += page.rejected
    for row in page.rows:
        rejected = _reject(row)
        if rejected is None:
            result.rows.append(row)
        else:
            result.rejected.append(rejected)


def _distinct(result: BulkResult[Settlement]) -> BulkResult[Settlement]:
    rows = {row.ticker: row for row in result.rows}
    return BulkResult[Settlement](list(rows.values()), list(dict.fromkeys(result.rejected)))


def _reject(row: Settlement) -> Rejected | None:
    """Return why a settlement cannot be used: its value is no payout of a contract, or its time is unreadable."""
    value = row.settlement_value_dollars
    if value is not None and not _is_payout(value):
        return Rejected(row.ticker, "settlement_value_dollars", f'"{value}"', "not a dollar amount between 0 and 1")
    if row.settlement_ts is not None and not _is_time(row.settlement_ts):
        return Rejected(row.ticker, "settlement_ts", f'"{row.settlement_ts}"', "not an RFC 3339 time")
    return None


def _is_payout(text: str) -> bool:
    try:
        return 0 <= Decimal(text) <= 1
    except InvalidOperation:
        return False


def _is_time(text: str) -> bool:
    try:
        second_of(text)
    except (ValueError, OverflowError):
        return False
    return True

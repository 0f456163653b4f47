"""The quotes behind closing lines: from the store of a watch, and from candles where the store has none."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from fairline.kalshi import Kalshi, KalshiError
from fairline.kalshi.history import Candle
from fairline.market.frame import NOTIONAL_U
from fairline.positions.closing_line import QUOTES, closing_lines
from fairline.store.store import Store

LOOK_BACK = timedelta(hours=3)
"""How long before a start quotes are searched in candles."""
_PER_REQUEST = 50
"""Markets per request: at one-minute candles over three hours, the exchange's limit of 10,000 candles."""


async def read_closing_lines(
    kalshi: Kalshi, fills: pl.DataFrame, markets: pl.DataFrame, store: Store | None
) -> pl.DataFrame:
    """Return the closing lines of every market with a fill (`positions.closing_line.closing_lines`).

    The start of an event is the one that its milestone states; without one it is unknown.
    """
    tickers = fills["ticker"].unique(maintain_order=True).to_list()
    starts = _starts(tickers, markets, store)
    quotes = _stored_quotes(starts, store)
    lines = closing_lines(quotes, starts)
    missing = lines.filter(pl.col("line_ts").is_null() & pl.col("starts_ts").is_not_null())
    if missing.is_empty():
        return lines
    candles = await _read_candles(kalshi, missing)
    return closing_lines(pl.concat([quotes, candles]), starts)


def _starts(tickers: Sequence[str], markets: pl.DataFrame, store: Store | None) -> pl.DataFrame:
    """Return `ticker, starts_ts` for every ticker; null where nobody states a start."""
    known = markets.select("ticker", starts_ts="milestone_ts").drop_nulls()
    if store is not None:
        facts = store.latest("facts", where=pl.col("ticker").is_in(tickers))
        known = pl.concat([facts.select("ticker", starts_ts="milestone_ts").drop_nulls(), known])
    return pl.DataFrame({"ticker": tickers}, schema={"ticker": pl.String}).join(
        known.unique("ticker", keep="last"), on="ticker", how="left", maintain_order="left"
    )


def _stored_quotes(starts: pl.DataFrame, store: Store | None) -> pl.DataFrame:
    if store is None:
        return QUOTES.to_frame()
    rows = store.read("quotes", where=pl.col("ticker").is_in(starts["ticker"].to_list()))
    return rows.select("ticker", "yes_bid_u", "yes_ask_u", ts="seen_ts").select(QUOTES.names())


async def _read_candles(kalshi: Kalshi, missing: pl.DataFrame) -> pl.DataFrame:
    """Return quotes from one-minute candles before each start; markets whose candles cannot be read have none."""
    quotes: list[tuple[str, datetime, int | None, int | None]] = []
    for (starts_ts,), group in missing.group_by("starts_ts", maintain_order=True):
        tickers = group["ticker"].to_list()
        for first in range(0, len(tickers), _PER_REQUEST):
            quotes += await _candle_quotes(kalshi, tickers[first : first + _PER_REQUEST], starts_ts)
    return pl.DataFrame(quotes, schema=QUOTES, orient="row")


async def _candle_quotes(
    kalshi: Kalshi, tickers: Sequence[str], starts_ts: datetime
) -> list[tuple[str, datetime, int | None, int | None]]:
    low = int((starts_ts - LOOK_BACK).timestamp())
    high = int(starts_ts.timestamp())
    try:
        by_ticker = await kalshi.history.batch_candles(tickers, low, high, 1)
    except KalshiError:
        by_ticker = {}
    archived = [ticker for ticker in tickers if ticker not in by_ticker]
    answers = await asyncio.gather(
        *(kalshi.history.archived_candles(ticker, low, high, 1) for ticker in archived), return_exceptions=True
    )
    for ticker, answer in zip(archived, answers, strict=True):
        if not isinstance(answer, BaseException):
            by_ticker[ticker] = answer
        elif not isinstance(answer, KalshiError):
            raise answer
    return [quote for ticker, candles in by_ticker.items() for quote in _quotes_of(ticker, candles)]


def _quotes_of(ticker: str, candles: Iterable[Candle]) -> list[tuple[str, datetime, int | None, int | None]]:
    quotes = []
    for candle in candles:
        bid_u = _price_u(candle.yes_bid.last)
        ask_u = _price_u(candle.yes_ask.last)
        # A candle's close is a quote from just before its end, so one that ends at the start comes before it.
        moment = datetime.fromtimestamp(candle.end_period_ts, UTC) - timedelta(seconds=1)
        quotes.append((ticker, moment, bid_u, ask_u))
    return quotes


def _price_u(dollars: str | None) -> int | None:
    """Return a price in micro-dollars; None for an absent side, which candles send as 0 or 1."""
    if dollars is None:
        return None
    price_u = round(float(dollars) * NOTIONAL_U)
    return price_u if 0 < price_u < NOTIONAL_U else None

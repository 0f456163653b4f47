"""The past of markets: trades, candlesticks and the archive, in every form that the exchange has used.

A value is a string in dollars or a number in cents; `x_dollars` and `x_fp` replace `x` in newer answers. Readers use
`dollars` and `contracts`, which know both. Candles are known at `end_period_ts`, their inclusive end.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from fairline.kalshi.decoding import Page, object_decoder, page_decoder
from fairline.kalshi.transport import Params, Transport
from fairline.kalshi.wire import Cursor, Market, Ticker, markets_page

MAX_TRADES = 1_000
MAX_CANDLES = 5_000
"""Candles of one market that one request may cover."""
MAX_BATCH_CANDLES = 10_000
MAX_BATCH_TICKERS = 100
PERIODS = (1, 60, 1440)
"""Minutes of a candle."""

Value = str | int | float | None


def dollars(new: Value, old: Value) -> str | None:
    """Return a price in dollars as an exact decimal string: `x_dollars`, else `x`, where a number is in cents."""
    value = old if new is None else new
    if value is None or isinstance(value, str):
        return value
    return str(Decimal(str(value)) / 100)


def contracts(new: Value, old: Value) -> str | None:
    """Return a number of contracts as a decimal string: `x_fp`, else `x`."""
    value = old if new is None else new
    return None if value is None else str(value)


class Trade(msgspec.Struct, gc=False, frozen=True):
    trade_id: str
    ticker: Ticker
    created_time: str
    count_fp: str | None = None
    count: Value = None
    yes_price_dollars: str | None = None
    yes_price: Value = None
    taker_side: str | None = None
    taker_outcome_side: str | None = None
    is_block_trade: bool | None = None


class Prices(msgspec.Struct, gc=False, frozen=True):
    """Prices of a period. Without a trade the keys are absent or null."""

    open_dollars: str | None = None
    low_dollars: str | None = None
    high_dollars: str | None = None
    close_dollars: str | None = None
    open: Value = None
    low: Value = None
    high: Value = None
    close: Value = None

    @property
    def last(self) -> str | None:
        """The close in dollars."""
        return dollars(self.close_dollars, self.close)


class Candle(msgspec.Struct, gc=False, frozen=True):
    """A period that ends at `end_period_ts`. No bid is sent as a price of 0, no ask as a price of 1."""

    end_period_ts: int
    yes_bid: Prices
    yes_ask: Prices
    price: Prices = Prices()
    volume_fp: str | None = None
    volume: Value = None
    open_interest_fp: str | None = None
    open_interest: Value = None


class MarketCandles(msgspec.Struct, frozen=True):
    market_ticker: Ticker
    candlesticks: list[Candle]


class Cutoff(msgspec.Struct, frozen=True):
    """What is older has moved to the archive: markets by settlement, trades by creation."""

    market_settled_ts: str
    trades_created_ts: str


class SettledMarket(msgspec.Struct, gc=False, frozen=True):
    """A market with its outcome, as listings of settled markets and the archive send it.

    Its quotes are not prices: after settlement the bid is 0 and the ask 1.
    """

    ticker: Ticker
    event_ticker: Ticker
    status: str
    close_time: str
    open_time: str | None = None
    created_time: str | None = None
    market_type: str | None = None
    title: str | None = None
    yes_sub_title: str | None = None
    result: str | None = None
    settlement_value_dollars: str | None = None
    settlement_ts: str | None = None
    expected_expiration_time: str | None = None
    occurrence_datetime: str | None = None
    can_close_early: bool | None = None
    strike_type: str | None = None
    floor_strike: float | None = None
    cap_strike: float | None = None
    volume_fp: str | None = None
    volume: Value = None


class _Trades(msgspec.Struct):
    trades: list[Trade]
    cursor: Cursor = msgspec.UNSET


class _SettledMarkets(msgspec.Struct):
    markets: list[SettledMarket]
    cursor: Cursor = msgspec.UNSET


class _Candles(msgspec.Struct):
    candlesticks: list[Candle]


class _BatchCandles(msgspec.Struct):
    markets: list[MarketCandles]


trades_page = page_decoder(_Trades, "trades", Trade, "ticker")
past_markets = page_decoder(_SettledMarkets, "markets", SettledMarket, "ticker")
one_series_of_candles = object_decoder(_Candles)
batch_candles = object_decoder(_BatchCandles)
cutoff = object_decoder(Cutoff)


class HistoryGroup:
    """The endpoints of the past, all public. Times are Unix seconds, periods are minutes."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def cutoff(self) -> Cutoff:
        return await self._transport.get("/historical/cutoff", decode=cutoff)

    async def trades(
        self,
        ticker: str,
        *,
        min_ts: int | None = None,
        max_ts: int | None = None,
        cursor: str | None = None,
        archived: bool = False,
    ) -> Page[Trade]:
        """Return one page of trades, the latest first. An empty page of an archived market does not mean none."""
        path = "/historical/trades" if archived else "/markets/trades"
        params: Params = {
            "ticker": ticker,
            "limit": MAX_TRADES,
            "min_ts": min_ts,
            "max_ts": max_ts,
            "cursor": cursor,
        }
        return await self._transport.get(path, params, decode=trades_page)

    async def candles(self, series: str, ticker: str, start_ts: int, end_ts: int, period: int) -> Sequence[Candle]:
        """Return the candles that end within a range, both ends included. 404 for an archived market."""
        path = f"/series/{series}/markets/{ticker}/candlesticks"
        params: Params = {"start_ts": start_ts, "end_ts": end_ts, "period_interval": period}
        return (await self._transport.get(path, params, decode=one_series_of_candles)).candlesticks

    async def archived_candles(self, ticker: str, start_ts: int, end_ts: int, period: int) -> Sequence[Candle]:
        """Return the candles of an archived market that end within a range."""
        path = f"/historical/markets/{ticker}/candlesticks"
        params: Params = {"start_ts": start_ts, "end_ts": end_ts, "period_interval": period}
        return (await self._transport.get(path, params, decode=one_series_of_candles)).candlesticks

    async def batch_candles(
        self, tickers: Iterable[str], start_ts: int, end_ts: int, period: int
    ) -> dict[str, Sequence[Candle]]:
        """Return the candles of at most 100 markets. Unknown and archived markets are missing."""
        params: Params = {
            "market_tickers": ",".join(tickers),
            "start_ts": start_ts,
            "end_ts": end_ts,
            "period_interval": period,
        }
        answer = await self._transport.get("/markets/candlesticks", params, decode=batch_candles)
        return {row.market_ticker: row.candlesticks for row in answer.markets}

    async def markets(
        self, series: str, *, cursor: str | None = None, archived: bool = False
    ) -> tuple[Page[SettledMarket], Page[Market]]:
        """Return one page of a series' markets of any status, with and without outcomes; the archive's if `archived`.

        The archive lists the latest settlement first, and has no filter by time.
        """
        params: Params = {"series_ticker": series, "limit": MAX_TRADES, "cursor": cursor}
        path = "/historical/markets" if archived else "/markets"
        return await self._transport.get(path, params, decode=lambda body: (past_markets(body), markets_page(body)))

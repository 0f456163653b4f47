"""History: trades, candlesticks, and the archive of markets settled long ago."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from aiohttp import web

from fairline.sim import listing
from fairline.sim.auth import Key
from fairline.sim.candles import candles, carried_forward, historical, minutes
from fairline.sim.life import Trade
from fairline.sim.listing import BadRequest
from fairline.sim.reference import rows_of_event
from fairline.sim.render import count, dollars, time_text
from fairline.sim.reply import BAD_REQUEST, NOT_FOUND, Backend, Reply
from fairline.sim.world import DAY_US, UNIT

_PERIODS = (1, 60, 1440)
ORDERS_WINDOW_US = 14 * DAY_US
"""Orders without a change for this long move to the archive."""
_MAX_CANDLES = 5_000
_MAX_BATCH_CANDLES = 10_000
_MAX_BATCH_MARKETS = 100


def trades(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return a page of trades, the latest first."""
    backend.catalog.refresh()
    archived = backend.catalog.archived
    live = [trade for trade in backend.catalog.trades() if not archived[trade.row]]
    return _trades_page(backend, request, live)


def historical_trades(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return a page of trades before the cut-off, which are those of archived markets."""
    return _trades_page(backend, request, _archived_trades(backend))


def _trades_page(backend: Backend, request: web.Request, known: list[Trade]) -> Reply:
    query = request.query
    limit = listing.parse_int(query, "limit", 100, 1000)
    matches = _trade_filter(backend, query)
    trades = [] if query.get("is_block_trade") == "true" else [trade for trade in reversed(known) if matches(trade)]
    page = trades[:limit]
    cursor = str(page[-1].number) if page and len(trades) > limit else ""
    return Reply(200, {"trades": [trade_object(backend, trade) for trade in page], "cursor": cursor})


def _trade_filter(backend: Backend, query: Mapping[str, str]) -> Callable[[Trade], bool]:
    """Return whether a trade is selected by a query and comes after its cursor."""
    low = listing.parse_int(query, "min_ts", 0, 2**40) * 1_000_000
    high = listing.parse_int(query, "max_ts", 2**40, 2**40) * 1_000_000
    row = backend.catalog.row.get(query["ticker"], -1) if query.get("ticker") else None
    cursor = query.get("cursor", "")
    if cursor and not re.fullmatch("[0-9]{1,18}", cursor):
        raise BadRequest("Invalid format for parameter cursor: invalid cursor")
    before = int(cursor or 2**62)

    def matches(trade: Trade) -> bool:
        return trade.number < before and low <= trade.at_us <= high and (row is None or trade.row == row)

    return matches


def trade_object(backend: Backend, trade: Trade) -> dict[str, object]:
    """Return a trade as the exchange sends it."""
    side = "yes" if trade.yes else "no"
    return {
        "trade_id": f"00000000-0000-4000-8000-{trade.number:012x}",
        "ticker": backend.catalog.tickers[trade.row],
        "count_fp": count(trade.count),
        "yes_price_dollars": dollars(trade.price),
        "no_price_dollars": dollars(UNIT - trade.price),
        "taker_side": side,
        "taker_outcome_side": side,
        "taker_book_side": "bid" if trade.yes else "ask",
        "created_time": time_text(trade.at_us),
        "is_block_trade": False,
    }


def _archived_trades(backend: Backend) -> list[Trade]:
    """Return the trades of archived markets, the latest last."""
    archived = backend.catalog.archived
    return [trade for trade in backend.catalog.trades() if archived[trade.row]]


@dataclass(frozen=True, slots=True)
class Span:
    """A request for candles from `low` to `high` in Unix seconds, by `period` minutes.

    `latest` adds a candle that carries forward what came before.
    """

    low: int
    high: int
    period: int
    latest: bool = False

    @property
    def candles(self) -> int:
        """The number of candles in the range."""
        return (self.high - self.low) // (60 * self.period)


def market_candles(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the candles of a market that is not archived."""
    return _one_market(backend, request, archived=False)


def historical_candles(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the candles of an archived market."""
    return _one_market(backend, request, archived=True)


def _one_market(backend: Backend, request: web.Request, *, archived: bool) -> Reply:
    ticker = request.match_info["ticker"]
    row = _row(backend, ticker, archived=archived)
    span = _span(request)
    if row is None:
        return NOT_FOUND
    if span.candles > _MAX_CANDLES:
        raise BadRequest(f"max candlesticks: {_MAX_CANDLES}")
    result = _candles(backend, row, replace(span, latest=span.latest and not archived))
    if archived:
        result = [historical(candle) for candle in result]
    return Reply(200, {"ticker": ticker, "candlesticks": result})


def batch_candles(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the candles of up to 100 markets."""
    tickers = [name for name in request.query.get("market_tickers", "").split(",") if name]
    if not 1 <= len(tickers) <= _MAX_BATCH_MARKETS:
        return BAD_REQUEST
    span = _span(request, any_period=True)
    if len(tickers) * span.candles > _MAX_BATCH_CANDLES:
        raise BadRequest(f"max candlesticks: {_MAX_BATCH_CANDLES}")
    rows = {ticker: _row(backend, ticker, archived=False) for ticker in tickers}
    markets = [
        {"market_ticker": ticker, "candlesticks": _candles(backend, row, span)}
        for ticker, row in rows.items()
        if row is not None
    ]
    return Reply(200, {"markets": markets})


def event_candles(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the candles of all markets of an event, combo events included.

    If there would be too many, the range is cut at `adjusted_end_ts`.
    """
    event_rows = rows_of_event(backend, request.match_info["ticker"])
    span = _span(request)
    if event_rows is None:
        return NOT_FOUND
    rows = [row for row in event_rows if not backend.catalog.archived[row]]
    most = max(1, _MAX_CANDLES // max(1, len(rows)))
    span = replace(span, high=min(span.high, span.low + most * 60 * span.period), latest=False)
    body = {
        "market_tickers": [backend.catalog.tickers[row] for row in rows],
        "market_candlesticks": [_candles(backend, row, span) for row in rows],
        "adjusted_end_ts": span.high,
    }
    return Reply(200, body)


def _candles(backend: Backend, row: int, span: Span) -> list[dict[str, object]]:
    if backend.world is None:
        return []
    # A candle needs the minutes of its whole period, and one carried forward those before.
    known = minutes(backend.world, row, span.low - 2 * 60 * span.period, span.high)
    result = candles(known, span.low, span.high, span.period)
    if span.latest and (not result or result[0]["end_period_ts"] != span.low):
        result = [*carried_forward(known, span.low, span.period), *result]
    return result


def _span(request: web.Request, *, any_period: bool = False) -> Span:
    """Parse the requested range. Raises `BadRequest` for missing or invalid parameters."""
    query = request.query
    for name in ("start_ts", "end_ts", "period_interval"):
        if not query.get(name):
            raise BadRequest(f"Query argument {name} is required, but not found")
    low, high = (listing.parse_int(query, name, 0, 2**40) for name in ("start_ts", "end_ts"))
    period = listing.parse_int(query, "period_interval", 0, 1_000_000, 1)
    if period not in _PERIODS and not any_period:
        raise BadRequest("Parameter validation failed: 'PeriodInterval' failed on the 'oneof' tag")
    if high < low:
        raise BadRequest("Parameter validation failed: end_ts lies before start_ts")
    return Span(low, high, period, query.get("include_latest_before_start") == "true")


def _row(backend: Backend, ticker: str, *, archived: bool) -> int | None:
    row = backend.catalog.row.get(ticker)
    if row is None or row < backend.catalog.refresh() or backend.catalog.archived[row] != archived:
        return None
    return row


def cutoff(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the cut-offs of the archive. That of orders moves on its own since 24 September 2026."""
    names = ("market_settled_ts", "trades_created_ts", "market_positions_last_updated_ts")
    cutoffs = dict.fromkeys(names, time_text(backend.catalog.cutoff_us))
    orders_us = backend.now_us // DAY_US * DAY_US - ORDERS_WINDOW_US
    return Reply(200, cutoffs | {"orders_updated_ts": time_text(orders_us)})


def historical_markets(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return a page of archived markets."""
    query = request.query
    catalog = backend.catalog
    limit = listing.parse_int(query, "limit", 100, 1000)
    narrowed = [name for name in ("tickers", "event_ticker", "series_ticker") if query.get(name)]
    if len(narrowed) > 1 or query.get("mve_filter") not in (None, "", "exclude"):
        return BAD_REQUEST
    names = {name: query[name] for name in (*narrowed, "mve_filter") if query.get(name)}
    page = listing.Selection(catalog, backend.index, names, archived=True).page(query.get("cursor", ""), limit)
    rows = b",".join(catalog.market(row) for row in page.rows)
    return Reply(200, b'{"markets":[%b],"cursor":"%b"}' % (rows, page.cursor.encode()))


def historical_market(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return one archived market."""
    row = _row(backend, request.match_info["ticker"], archived=True)
    return NOT_FOUND if row is None else Reply(200, b'{"market":%b}' % backend.catalog.market(row))

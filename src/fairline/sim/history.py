"""What has been: trades, candlesticks, and the archive of what was settled long ago."""

import re
from dataclasses import dataclass, replace

import numpy as np
from aiohttp import web

from fairline.sim import listing
from fairline.sim.auth import Key
from fairline.sim.candles import candles, carried_on, historical, minutes
from fairline.sim.life import Trade
from fairline.sim.listing import BadRequest
from fairline.sim.render import count, dollars, time_text
from fairline.sim.reply import BAD_REQUEST, NOT_FOUND, Backend, Reply
from fairline.sim.world import UNIT

_PERIODS = (1, 60, 1440)
_MOST_CANDLES, _MOST_IN_ALL, _MOST_MARKETS = 5_000, 10_000, 100


def trades(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """The latest first."""
    backend.catalog.refresh()
    return _trades_page(backend, request, list(backend.catalog.trades()))


def historical_trades(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Trades before the cutoff: of markets that are archived."""
    return _trades_page(backend, request, _archived_trades(backend))


def _trades_page(backend: Backend, request: web.Request, known: list[Trade]) -> Reply:
    query, catalog = request.query, backend.catalog
    limit = listing.whole(query, "limit", 100, 1000)
    low = listing.whole(query, "min_ts", 0, 2**40) * 1_000_000
    high = listing.whole(query, "max_ts", 2**40, 2**40) * 1_000_000
    row = catalog.row.get(query["ticker"], -1) if query.get("ticker") else None
    cursor = query.get("cursor", "")
    if cursor and not re.fullmatch("[0-9]{1,18}", cursor):
        raise BadRequest("Invalid format for parameter cursor: invalid cursor")
    before = int(cursor or 2**62)
    found = [
        trade
        for trade in reversed(known)
        if trade.number < before and low <= trade.at_us <= high and (row is None or trade.row == row)
    ]
    if query.get("is_block_trade") == "true":
        found = []
    shown = found[:limit]
    cursor = str(shown[-1].number) if shown and len(found) > limit else ""
    return Reply(200, {"trades": [trade_object(backend, trade) for trade in shown], "cursor": cursor})


def trade_object(backend: Backend, trade: Trade) -> dict[str, object]:
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
    """A few of each archived market, the latest last."""
    catalog, world = backend.catalog, backend.world
    rows = np.flatnonzero(catalog.archived)
    if world is None or not len(rows):
        return []
    rng, columns = np.random.default_rng((world.seed, 6)), world.columns
    each = np.repeat(rows, 3)
    spans = np.maximum(columns.close_us[each] - columns.open_us[each], 1)
    times = columns.open_us[each] + (spans * rng.random(len(each))).astype(np.int64)
    prices = np.clip(((columns.hi - columns.lo)[each] * 100).round().astype(int) * 100, 100, UNIT - 100)
    counts = (rng.lognormal(3, 1, len(each)) + 1).astype(np.int64) * 100
    order = np.argsort(times, kind="stable").tolist()
    return [
        Trade(number, int(times[i]), int(each[i]), int(prices[i]), int(counts[i]), bool(i % 2))
        for number, i in enumerate(order)
    ]


@dataclass(frozen=True, slots=True)
class Span:
    """From `low` to `high` in Unix seconds, by `period` minutes; `latest`: with a candle that carries on what was."""

    low: int
    high: int
    period: int
    latest: bool = False

    @property
    def candles(self) -> int:
        return (self.high - self.low) // (60 * self.period)


def market_candles(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    return _one_market(backend, request, archived=False)


def historical_candles(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    return _one_market(backend, request, archived=True)


def _one_market(backend: Backend, request: web.Request, *, archived: bool) -> Reply:
    ticker = request.match_info["ticker"]
    row, span = _row(backend, ticker, archived=archived), _span(request)
    if row is None:
        return NOT_FOUND
    if span.candles > _MOST_CANDLES:
        raise BadRequest(f"max candlesticks: {_MOST_CANDLES}")
    made = _candles(backend, row, replace(span, latest=span.latest and not archived))
    return Reply(200, {"ticker": ticker, "candlesticks": [historical(each) for each in made] if archived else made})


def batch_candles(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    tickers = [name for name in request.query.get("market_tickers", "").split(",") if name]
    if not 1 <= len(tickers) <= _MOST_MARKETS:
        return BAD_REQUEST
    span = _span(request, any_period=True)
    if len(tickers) * span.candles > _MOST_IN_ALL:
        raise BadRequest(f"max candlesticks: {_MOST_IN_ALL}")
    rows = {ticker: _row(backend, ticker, archived=False) for ticker in tickers}
    found = [
        {"market_ticker": ticker, "candlesticks": _candles(backend, row, span)}
        for ticker, row in rows.items()
        if row is not None
    ]
    return Reply(200, {"markets": found})


def event_candles(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """All markets of an event; where that were too many, up to the time that `adjusted_end_ts` tells."""
    event, span = backend.index.event.get(request.match_info["ticker"]), _span(request)
    if event is None:
        return NOT_FOUND
    rows = [row for row in event.rows if not backend.catalog.archived[row]]
    most = max(1, _MOST_CANDLES // max(1, len(rows)))
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
    known = minutes(backend.world, row)
    found = candles(known, span.low, span.high, span.period)
    if span.latest and (not found or found[0]["end_period_ts"] != span.low):
        found = [*carried_on(known, span.low, span.period), *found]
    return found


def _span(request: web.Request, *, any_period: bool = False) -> Span:
    """What the query asks for. Raises `BadRequest` for what is missing or impossible."""
    query = request.query
    for name in ("start_ts", "end_ts", "period_interval"):
        if not query.get(name):
            raise BadRequest(f"Query argument {name} is required, but not found")
    low, high = (listing.whole(query, name, 0, 2**40) for name in ("start_ts", "end_ts"))
    period = listing.whole(query, "period_interval", 0, 1_000_000, 1)
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
    moment = time_text(backend.catalog.cutoff_us)
    names = ("market_settled_ts", "trades_created_ts", "orders_updated_ts", "market_positions_last_updated_ts")
    return Reply(200, dict.fromkeys(names, moment))


def historical_markets(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    query, catalog = request.query, backend.catalog
    limit = listing.whole(query, "limit", 100, 1000)
    narrowed = [name for name in ("tickers", "event_ticker", "series_ticker") if query.get(name)]
    if len(narrowed) > 1 or query.get("mve_filter") not in (None, "", "exclude"):
        return BAD_REQUEST
    names = {name: query[name] for name in (*narrowed, "mve_filter") if query.get(name)}
    page = listing.Selection(catalog, backend.index, names, archived=True).page(query.get("cursor", ""), limit)
    rows = b",".join(catalog.market(row) for row in page.rows)
    return Reply(200, b'{"markets":[%b],"cursor":"%b"}' % (rows, page.cursor.encode()))


def historical_market(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    row = _row(backend, request.match_info["ticker"], archived=True)
    return NOT_FOUND if row is None else Reply(200, b'{"market":%b}' % backend.catalog.market(row))

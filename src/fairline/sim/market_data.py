"""Public market data: status, series, events, markets and their order books."""

import json
import time
from collections.abc import Mapping

import numpy as np
from aiohttp import web

from fairline.sim import listing
from fairline.sim.auth import Key
from fairline.sim.catalog import EventEntry
from fairline.sim.reference import combo_event, listed_combo, milestones_of
from fairline.sim.render import count, dollars, time_text
from fairline.sim.reply import BAD_REQUEST, NOT_FOUND, Backend, Reply

Query = Mapping[str, str]


def status(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return whether the exchange is open, by shard."""
    up = not backend.faults.in_force("paused")
    shards = [(0, "Default"), (1, "Combos"), (2, "Crypto & Commodities"), (3, "Tennis/Baseball/Basketball")]
    flags = {"exchange_active": up, "trading_active": up, "intra_exchange_transfers_active": up}
    indexes = [{"exchange_index": i, "description": name, **flags} for i, name in shards]
    return Reply(200 if up else 503, {**flags, "exchange_index_statuses": indexes})


def series_list(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return all series of a category and with one of the tags, without paging."""
    category = request.query.get("category")
    tags = set(filter(None, request.query.get("tags", "").split(",")))

    def matches(series: Mapping[str, object]) -> bool:
        categories = _texts(series, "categories") or {series.get("category")}
        return (not category or category in categories) and (not tags or bool(tags & _texts(series, "tags")))

    return Reply(200, {"series": [series for series in backend.catalog.series if matches(series)]})


def series_fee_changes(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the last fee change of each series with unusual fees, and one that is only scheduled."""
    wanted = request.query.get("series_ticker")
    history = request.query.get("show_historical") == "true"
    series = backend.catalog.series
    unusual = [s for s in series if (s.get("fee_type"), s.get("fee_multiplier")) != ("quadratic", 1)]
    past = [(s["ticker"], s.get("fee_type"), s.get("fee_multiplier"), -20) for s in unusual] if history else []
    changes = [*past, *((s["ticker"], "quadratic_with_maker_fees", 1, 30) for s in series[:1])]
    selected = [
        {"id": f"{ticker}{days}", "series_ticker": ticker, "fee_type": kind, "fee_multiplier": multiplier}
        | {"scheduled_ts": time_text(int((time.time() + days * 86_400) * 1e6))}
        for ticker, kind, multiplier, days in changes
        if not wanted or ticker == wanted
    ]
    return Reply(200, {"series_fee_change_arr": selected})


def event_fee_changes(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the fee overrides of events."""
    limit = listing.parse_int(request.query, "limit", 100, 1000, 1)
    wanted = request.query.get("event_ticker")
    changes = [
        {
            "id": event.ticker,
            "event_ticker": event.ticker,
            "series_ticker": event.series,
            "fee_type_override": event.fields["fee_type_override"],
            "fee_multiplier_override": event.fields.get("fee_multiplier_override"),
            "scheduled_ts": time_text(int((time.time() - 86_400) * 1e6)),
        }
        for event in backend.catalog.events
        if event.fields.get("fee_type_override") and (not wanted or event.ticker == wanted)
    ]
    positions, cursor = listing.offset_page(len(changes), request.query.get("cursor", ""), limit)
    return Reply(200, {"event_fee_changes": [changes[i] for i in positions], "cursor": cursor})


def one_series(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return one series."""
    for series in backend.catalog.series:
        if series["ticker"] == request.match_info["ticker"]:
            return Reply(200, {"series": series})
    return NOT_FOUND


def events(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return a page of events without combos, on request with their markets and milestones."""
    query = request.query
    catalog = backend.catalog
    try:
        limit = listing.parse_int(query, "limit", 200, 200, 1)
    except listing.BadRequest:
        return BAD_REQUEST
    status = query.get("status") or None
    if status not in (None, "unopened", "open", "closed", "settled"):
        return BAD_REQUEST
    places = _matching_events(backend, query, status)
    places, cursor = listing.place_page(places, query.get("cursor", ""), limit)
    nested = query.get("with_nested_markets") == "true"
    page = [catalog.events[place] for place in places]
    objects = b",".join(_event(backend, event, nested=nested) for event in page)
    more = b""
    if query.get("with_milestones") == "true":
        more = b',"milestones":' + json.dumps(milestones_of(backend, page)).encode()
    return Reply(200, b'{"events":[%b],"cursor":"%b"%b}' % (objects, cursor.encode(), more))


def _matching_events(backend: Backend, query: Query, status: str | None) -> list[int]:
    """Return the places in the catalog of the events that a query selects."""
    catalog = backend.catalog
    first = catalog.refresh()
    names = set(filter(None, query.get("tickers", "").split(",")))
    series = query.get("series_ticker")
    min_close_us = listing.parse_int(query, "min_close_ts", 0, 2**40) * 1_000_000
    min_updated_us = listing.parse_int(query, "min_updated_ts", 0, 2**40) * 1_000_000

    def matches(event: EventEntry) -> bool:
        named = (not names or event.ticker in names) and (not series or event.series == series)
        listed = event.rows[-1] >= first
        in_time = catalog.close_us[event.rows[-1]] >= min_close_us
        return named and listed and bool(in_time) and bool(catalog.created_us[event.rows[0]] >= min_updated_us)

    places = [place for place, event in enumerate(catalog.events) if matches(event)]
    return places if status is None else _with_market_status(backend, places, status)


def _with_market_status(backend: Backend, places: list[int], status: str) -> list[int]:
    """Return the events that have at least one listed market with a status."""
    catalog = backend.catalog
    rows = np.array([row for place in places for row in catalog.events[place].rows], dtype=np.int64)
    sizes = np.array([len(catalog.events[place].rows) for place in places], dtype=np.int64)
    wanted = catalog.with_status(listing.STATUS_FIELDS[status], rows)
    wanted &= (rows >= catalog.refresh()) & ~catalog.archived[rows]
    matching = set(np.repeat(np.arange(len(places)), sizes)[wanted].tolist())
    return [place for number, place in enumerate(places) if number in matching]


def one_event(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return one event and its markets."""
    nested = request.query.get("with_nested_markets") == "true"
    bare = request.query.get("exclude_markets") == "true"
    if nested and bare:
        return BAD_REQUEST
    ticker = request.match_info["ticker"]
    beside = not nested and not bare
    combo = listed_combo(backend, ticker)
    if combo is not None:
        markets = [json.loads(backend.catalog.market(combo))] if beside else []
        return Reply(200, {"event": combo_event(backend, combo, nested=nested), "markets": markets})
    event = backend.index.event.get(ticker)
    if event is None or event.rows[-1] < backend.catalog.refresh():
        return NOT_FOUND
    listed = _markets(backend, event) if beside else b""
    return Reply(200, b'{"event":%b,"markets":[%b]}' % (_event(backend, event, nested=nested), listed))


def _event(backend: Backend, event: EventEntry, *, nested: bool) -> bytes:
    text = json.dumps(event.fields, separators=(",", ":"), ensure_ascii=False).encode()
    return b'%b,"markets":[%b]}' % (text[:-1], _markets(backend, event)) if nested else text


def _markets(backend: Backend, event: EventEntry) -> bytes:
    catalog = backend.catalog
    first = catalog.refresh()
    return b",".join(catalog.market(row) for row in event.rows if row >= first and not catalog.archived[row])


def markets(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return a page of markets."""
    query = request.query
    catalog = backend.catalog
    limit = listing.parse_int(query, "limit", 100, 1000)
    cursor = query.get("cursor", "")
    page = listing.Selection(catalog, backend.index, _without_ignored(backend, query)).page(cursor, limit)
    rows = backend.faults.rows([catalog.market(row) for row in page.rows])
    following = cursor if page.cursor and cursor and backend.faults.strikes("repeat-cursor") else page.cursor
    if not following and backend.faults.in_force("endless-cursor"):
        following = listing.cursor_past_end(backend.requests)
    return Reply(200, b'{"markets":[%b],"cursor":"%b"}' % (b",".join(rows), following.encode()))


def _without_ignored(backend: Backend, query: Query) -> Query:
    """Return the query after the faults by which an exchange refuses or ignores time windows."""
    windowed = [name for name in query if name.startswith(("min_", "max_"))]
    if windowed and query.get("status") and backend.faults.in_force("refused-windows"):
        raise listing.BadRequest("Parameter validation failed: timestamp and status filters are not compatible")
    if windowed and backend.faults.in_force("ignored-windows"):
        return {name: value for name, value in query.items() if name not in windowed}
    return query


def one_market(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return one market that is not archived."""
    catalog = backend.catalog
    row = catalog.row.get(request.match_info["ticker"])
    if row is None or row < catalog.refresh() or catalog.archived[row]:
        return NOT_FOUND
    return Reply(200, b'{"market":%b}' % catalog.market(row))


def order_book(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the order book of a market, on request only the best `depth` levels."""
    depth = listing.parse_int(request.query, "depth", 0, 100)
    return Reply(200, {"orderbook_fp": _book(backend, request.match_info["ticker"], depth)})


def order_books(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return up to 100 order books."""
    tickers = request.query.getall("tickers", [])
    if not 1 <= len(tickers) <= 100:
        return BAD_REQUEST
    # As on the exchange, a comma list counts as one unknown ticker, and an unknown ticker has an empty book.
    return Reply(200, {"orderbooks": [{"ticker": t, "orderbook_fp": _book(backend, t, 0)} for t in tickers]})


def _book(backend: Backend, ticker: str, depth: int) -> dict[str, list[list[str]]]:
    first = backend.catalog.refresh()
    row = backend.catalog.row.get(ticker)
    listed = row is not None and row >= first and not backend.catalog.archived[row]
    yes, no = backend.catalog.book(row) if row is not None and listed else ([], [])
    shown = {"yes_dollars": yes[-depth:] if depth else yes, "no_dollars": no[-depth:] if depth else no}
    return {side: [[dollars(price), count(size)] for price, size in levels] for side, levels in shown.items()}


def truth(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the hidden probabilities, for tests and benchmarks. The exchange has no such endpoint."""
    world = getattr(backend.catalog, "world", None)
    if world is None:
        return NOT_FOUND
    return Reply(200, {"truth": dict(zip(world.columns.ticker, world.truth.tolist(), strict=True))})


def _texts(series: Mapping[str, object], name: str) -> set[object]:
    """Return a list field of a series; in a recording it may be null or missing."""
    values = series.get(name)
    return set(values) if isinstance(values, list) else set()

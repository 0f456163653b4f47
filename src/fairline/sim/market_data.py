"""What anybody may read: status, series, events, markets and their books."""

import json
import time
from collections.abc import Mapping

import numpy as np
from aiohttp import web

from fairline.sim import listing
from fairline.sim.auth import Key
from fairline.sim.catalog import EventEntry
from fairline.sim.reference import combo_event, milestones_of
from fairline.sim.render import count, dollars, time_text
from fairline.sim.reply import BAD_REQUEST, NOT_FOUND, Backend, Reply

Query = Mapping[str, str]


def status(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    up = not backend.faults.in_force("paused")
    shards = [(0, "Default"), (1, "Combos"), (2, "Crypto & Commodities"), (3, "Tennis/Baseball/Basketball")]
    flags = {"exchange_active": up, "trading_active": up, "intra_exchange_transfers_active": up}
    indexes = [{"exchange_index": i, "description": name, **flags} for i, name in shards]
    return Reply(200 if up else 503, {**flags, "exchange_index_statuses": indexes})


def series_list(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    category = request.query.get("category")
    tags = set(filter(None, request.query.get("tags", "").split(",")))
    found = [
        series
        for series in backend.catalog.series
        if (not category or category in (_texts(series, "categories") or {series.get("category")}))
        and (not tags or tags & _texts(series, "tags"))
    ]
    return Reply(200, {"series": found})


def series_fee_changes(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """The last change of each series that is not on the usual terms, and one that is only scheduled."""
    wanted, history = request.query.get("series_ticker"), request.query.get("show_historical") == "true"
    series = backend.catalog.series
    unusual = [s for s in series if (s.get("fee_type"), s.get("fee_multiplier")) != ("quadratic", 1)]
    past = [(s["ticker"], s.get("fee_type"), s.get("fee_multiplier"), -20) for s in unusual] if history else []
    changes = [*past, *((s["ticker"], "quadratic_with_maker_fees", 1, 30) for s in series[:1])]
    found = [
        {"id": f"{ticker}{days}", "series_ticker": ticker, "fee_type": kind, "fee_multiplier": multiplier}
        | {"scheduled_ts": time_text(int((time.time() + days * 86_400) * 1e6))}
        for ticker, kind, multiplier, days in changes
        if not wanted or ticker == wanted
    ]
    return Reply(200, {"series_fee_change_arr": found})


def event_fee_changes(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    limit = listing.whole(request.query, "limit", 100, 1000, 1)
    wanted = request.query.get("event_ticker")
    found = [
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
    positions, cursor = listing.offset_page(len(found), request.query.get("cursor", ""), limit)
    return Reply(200, {"event_fee_changes": [found[i] for i in positions], "cursor": cursor})


def one_series(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    for series in backend.catalog.series:
        if series["ticker"] == request.match_info["ticker"]:
            return Reply(200, {"series": series})
    return NOT_FOUND


def events(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    query, catalog = request.query, backend.catalog
    try:
        limit = listing.whole(query, "limit", 200, 200, 1)
    except listing.BadRequest:
        return BAD_REQUEST
    status = query.get("status") or None
    if status not in (None, "unopened", "open", "closed", "settled"):
        return BAD_REQUEST
    places = _chosen(backend, query, status)
    places, cursor = listing.place_page(places, query.get("cursor", ""), limit)
    nested = query.get("with_nested_markets") == "true"
    found = [catalog.events[place] for place in places]
    objects = b",".join(_event(backend, event, nested=nested) for event in found)
    more = b""
    if query.get("with_milestones") == "true":
        more = b',"milestones":' + json.dumps(milestones_of(backend, found)).encode()
    return Reply(200, b'{"events":[%b],"cursor":"%b"%b}' % (objects, cursor.encode(), more))


def _chosen(backend: Backend, query: Query, status: str | None) -> list[int]:
    """Where in the catalog the events stand that are asked for."""
    catalog, first = backend.catalog, backend.catalog.refresh()
    names = set(filter(None, query.get("tickers", "").split(",")))
    closes = listing.whole(query, "min_close_ts", 0, 2**40) * 1_000_000
    updated = listing.whole(query, "min_updated_ts", 0, 2**40) * 1_000_000
    found = [
        place
        for place, event in enumerate(catalog.events)
        if (not names or event.ticker in names)
        and (not query.get("series_ticker") or event.series == query["series_ticker"])
        and event.rows[-1] >= first
        and catalog.close_us[event.rows[-1]] >= closes
        and catalog.created_us[event.rows[0]] >= updated
    ]
    if status is None:
        return found
    rows = np.array([row for place in found for row in catalog.events[place].rows], dtype=np.int64)
    sizes = np.array([len(catalog.events[place].rows) for place in found], dtype=np.int64)
    has = catalog.having(listing.STATUS_FIELDS[status], rows) & (rows >= first) & ~catalog.archived[rows]
    chosen = set(np.repeat(np.arange(len(found)), sizes)[has].tolist())
    return [place for number, place in enumerate(found) if number in chosen]


def one_event(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    nested, bare = (request.query.get(name) == "true" for name in ("with_nested_markets", "exclude_markets"))
    if nested and bare:
        return BAD_REQUEST
    ticker, first = request.match_info["ticker"], backend.catalog.refresh()
    event, combo = backend.index.event.get(ticker), backend.index.combo_of.get(ticker)
    if combo is not None and combo >= first:
        whole = combo_event(backend, combo, nested=nested)
        markets = [] if nested or bare else [json.loads(backend.catalog.market(combo))]
        return Reply(200, {"event": whole, "markets": markets})
    if event is None or event.rows[-1] < first:
        return NOT_FOUND
    listed = b"" if nested or bare else _markets(backend, event)
    return Reply(200, b'{"event":%b,"markets":[%b]}' % (_event(backend, event, nested=nested), listed))


def _event(backend: Backend, event: EventEntry, *, nested: bool) -> bytes:
    text = json.dumps(event.fields, separators=(",", ":"), ensure_ascii=False).encode()
    return b'%b,"markets":[%b]}' % (text[:-1], _markets(backend, event)) if nested else text


def _markets(backend: Backend, event: EventEntry) -> bytes:
    catalog = backend.catalog
    first = catalog.refresh()
    return b",".join(catalog.market(row) for row in event.rows if row >= first and not catalog.archived[row])


def markets(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    query, catalog = request.query, backend.catalog
    limit = listing.whole(query, "limit", 100, 1000)
    cursor = query.get("cursor", "")
    page = listing.Selection(catalog, backend.index, _windows(backend, query)).page(cursor, limit)
    rows = backend.faults.rows([catalog.market(row) for row in page.rows])
    following = cursor if page.cursor and cursor and backend.faults.strikes("repeat-cursor") else page.cursor
    if not following and backend.faults.in_force("endless-cursor"):
        following = listing.beyond_the_end(backend.requests)
    return Reply(200, b'{"markets":[%b],"cursor":"%b"}' % (b",".join(rows), following.encode()))


def _windows(backend: Backend, query: Query) -> Query:
    """The query as an exchange takes it that does not know windows beside a status, or does not look at them."""
    windowed = [name for name in query if name.startswith(("min_", "max_"))]
    if windowed and query.get("status") and backend.faults.in_force("refused-windows"):
        raise listing.BadRequest("Parameter validation failed: timestamp and status filters are not compatible")
    if windowed and backend.faults.in_force("ignored-windows"):
        return {name: value for name, value in query.items() if name not in windowed}
    return query


def one_market(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    catalog = backend.catalog
    row = catalog.row.get(request.match_info["ticker"])
    if row is None or row < catalog.refresh() or catalog.archived[row]:
        return NOT_FOUND
    return Reply(200, b'{"market":%b}' % catalog.market(row))


def order_book(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    depth = listing.whole(request.query, "depth", 0, 100)
    return Reply(200, {"orderbook_fp": _book(backend, request.match_info["ticker"], depth)})


def order_books(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    tickers = request.query.getall("tickers", [])
    if not 1 <= len(tickers) <= 100:
        return BAD_REQUEST
    # A comma list is one bogus ticker, and a ticker that does not exist has an empty book: as on the exchange.
    return Reply(200, {"orderbooks": [{"ticker": t, "orderbook_fp": _book(backend, t, 0)} for t in tickers]})


def _book(backend: Backend, ticker: str, depth: int) -> dict[str, list[list[str]]]:
    first, row = backend.catalog.refresh(), backend.catalog.row.get(ticker)
    listed = row is not None and row >= first and not backend.catalog.archived[row]
    yes, no = backend.catalog.book(row) if row is not None and listed else ([], [])
    shown = {"yes_dollars": yes[-depth:] if depth else yes, "no_dollars": no[-depth:] if depth else no}
    return {side: [[dollars(price), count(size)] for price, size in levels] for side, levels in shown.items()}


def truth(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Not the exchange's: the hidden probabilities, for tests and benchmarks."""
    world = getattr(backend.catalog, "world", None)
    if world is None:
        return NOT_FOUND
    return Reply(200, {"truth": dict(zip(world.columns.ticker, world.truth.tolist(), strict=True))})


def _texts(series: Mapping[str, object], name: str) -> set[object]:
    """A list field of a series, which a recording may have as null or not at all."""
    values = series.get(name)
    return set(values) if isinstance(values, list) else set()

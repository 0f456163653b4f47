"""The exchange's wire format: routes, checks and answers over a catalog. No state of its own but what it is given."""

import asyncio
import functools
import json
import time
from collections.abc import Awaitable, Callable, Mapping

import numpy as np
from aiohttp import WSMsgType, web
from multidict import CIMultiDict, CIMultiDictProxy

from fairline.sim import listing
from fairline.sim.auth import Forbidden, Key, Refused
from fairline.sim.catalog import EventEntry
from fairline.sim.limits import TIERS
from fairline.sim.render import count, dollars, time_text
from fairline.sim.reply import BAD_REQUEST, NOT_FOUND, TOO_MANY, Backend, Reply, broken, send

PREFIX = "/trade-api/v2"
WEBSOCKET = "/trade-api/ws/v2"
Query = Mapping[str, str]


Handler = Callable[["Exchange", web.Request, Key | None], Reply]


class Exchange:
    """The routes, as methods that take a request and the key that signed it, and give a reply."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def status(self, request: web.Request, key: Key | None) -> Reply:
        up = not self.backend.faults.in_force("paused")
        shards = [(0, "Default"), (1, "Combos"), (2, "Crypto & Commodities"), (3, "Tennis/Baseball/Basketball")]
        flags = {"exchange_active": up, "trading_active": up, "intra_exchange_transfers_active": up}
        indexes = [{"exchange_index": i, "description": name, **flags} for i, name in shards]
        return Reply(200 if up else 503, {**flags, "exchange_index_statuses": indexes})

    def series_list(self, request: web.Request, key: Key | None) -> Reply:
        category = request.query.get("category")
        tags = set(filter(None, request.query.get("tags", "").split(",")))
        found = [
            series
            for series in self.backend.catalog.series
            if (not category or category in (_texts(series, "categories") or {series.get("category")}))
            and (not tags or tags & _texts(series, "tags"))
        ]
        return Reply(200, {"series": found})

    def series_fee_changes(self, request: web.Request, key: Key | None) -> Reply:
        """The last change of each series that is not on the usual terms, and one that is only scheduled."""
        wanted, history = request.query.get("series_ticker"), request.query.get("show_historical") == "true"
        series = self.backend.catalog.series
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

    def event_fee_changes(self, request: web.Request, key: Key | None) -> Reply:
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
            for event in self.backend.catalog.events
            if event.fields.get("fee_type_override") and (not wanted or event.ticker == wanted)
        ]
        positions, cursor = listing.offset_page(len(found), request.query.get("cursor", ""), limit)
        return Reply(200, {"event_fee_changes": [found[i] for i in positions], "cursor": cursor})

    def one_series(self, request: web.Request, key: Key | None) -> Reply:
        for series in self.backend.catalog.series:
            if series["ticker"] == request.match_info["ticker"]:
                return Reply(200, {"series": series})
        return NOT_FOUND

    def events(self, request: web.Request, key: Key | None) -> Reply:
        query, catalog = request.query, self.backend.catalog
        try:
            limit = listing.whole(query, "limit", 200, 200, 1)
        except listing.BadRequest:
            return BAD_REQUEST
        status = query.get("status") or None
        if status not in (None, "unopened", "open", "closed", "settled"):
            return BAD_REQUEST
        names = set(filter(None, query.get("tickers", "").split(",")))
        fields = listing.STATUS_FIELDS.get(status or "", ())
        first = catalog.refresh()
        found = [
            event
            for event in catalog.events
            if (not names or event.ticker in names)
            and (not query.get("series_ticker") or event.series == query["series_ticker"])
            and event.rows[-1] >= first
        ]
        if status is not None:
            rows = np.array([row for event in found for row in event.rows], dtype=np.int64)
            sizes = np.array([len(event.rows) for event in found], dtype=np.int64)
            has = catalog.having(fields, rows) & (rows >= first)
            chosen = set(np.repeat(np.arange(len(found)), sizes)[has].tolist())
            found = [event for place, event in enumerate(found) if place in chosen]
        positions, cursor = listing.offset_page(len(found), query.get("cursor", ""), limit)
        nested = query.get("with_nested_markets") == "true"
        objects = b",".join(self._event(found[i], nested=nested) for i in positions)
        return Reply(200, b'{"events":[%b],"cursor":"%b"}' % (objects, cursor.encode()))

    def one_event(self, request: web.Request, key: Key | None) -> Reply:
        nested = request.query.get("with_nested_markets") == "true"
        event = self.backend.index.event.get(request.match_info["ticker"])
        if event is None or event.rows[-1] < self.backend.catalog.refresh():
            return NOT_FOUND
        markets = b"" if nested else self._markets(event)
        return Reply(200, b'{"event":%b,"markets":[%b]}' % (self._event(event, nested=nested), markets))

    def _event(self, event: EventEntry, *, nested: bool) -> bytes:
        text = json.dumps(event.fields, separators=(",", ":"), ensure_ascii=False).encode()
        return b'%b,"markets":[%b]}' % (text[:-1], self._markets(event)) if nested else text

    def _markets(self, event: EventEntry) -> bytes:
        catalog = self.backend.catalog
        first = catalog.refresh()
        return b",".join(catalog.market(row) for row in event.rows if row >= first and not catalog.archived[row])

    def markets(self, request: web.Request, key: Key | None) -> Reply:
        query, catalog = request.query, self.backend.catalog
        limit = listing.whole(query, "limit", 100, 1000)
        cursor = query.get("cursor", "")
        page = listing.Selection(catalog, self.backend.index, self._windows(query)).page(cursor, limit)
        rows = self.backend.faults.rows([catalog.market(row) for row in page.rows])
        following = cursor if page.cursor and cursor and self.backend.faults.strikes("repeat-cursor") else page.cursor
        if not following and self.backend.faults.in_force("endless-cursor"):
            following = listing.beyond_the_end(self.backend.requests)
        return Reply(200, b'{"markets":[%b],"cursor":"%b"}' % (b",".join(rows), following.encode()))

    def _windows(self, query: Query) -> Query:
        """The query as an exchange takes it that does not know windows beside a status, or does not look at them."""
        windowed = [name for name in query if name.startswith(("min_", "max_"))]
        if windowed and query.get("status") and self.backend.faults.in_force("refused-windows"):
            raise listing.BadRequest("Parameter validation failed: timestamp and status filters are not compatible")
        if windowed and self.backend.faults.in_force("ignored-windows"):
            return {name: value for name, value in query.items() if name not in windowed}
        return query

    def one_market(self, request: web.Request, key: Key | None) -> Reply:
        catalog = self.backend.catalog
        row = catalog.row.get(request.match_info["ticker"])
        if row is None or row < catalog.refresh() or catalog.archived[row]:
            return NOT_FOUND
        return Reply(200, b'{"market":%b}' % catalog.market(row))

    def order_book(self, request: web.Request, key: Key | None) -> Reply:
        depth = listing.whole(request.query, "depth", 0, 100)
        return Reply(200, {"orderbook_fp": self._book(request.match_info["ticker"], depth)})

    def order_books(self, request: web.Request, key: Key | None) -> Reply:
        tickers = request.query.getall("tickers", [])
        if not 1 <= len(tickers) <= 100:
            return BAD_REQUEST
        # A comma list is one bogus ticker, and a ticker that does not exist has an empty book: as on the exchange.
        return Reply(200, {"orderbooks": [{"ticker": t, "orderbook_fp": self._book(t, 0)} for t in tickers]})

    def _book(self, ticker: str, depth: int) -> dict[str, list[list[str]]]:
        row = self.backend.catalog.row.get(ticker)
        yes, no = self.backend.catalog.book(row) if row is not None else ([], [])
        shown = {"yes_dollars": yes[-depth:] if depth else yes, "no_dollars": no[-depth:] if depth else no}
        return {side: [[dollars(price), count(size)] for price, size in levels] for side, levels in shown.items()}

    def balance(self, request: web.Request, key: Key | None) -> Reply:
        subaccount = listing.whole(request.query, "subaccount", 0, 63)
        pinned = key.subaccount if key is not None else None
        if self.backend.faults.in_force("pinned-subaccount"):
            pinned = 1
        if pinned is not None and "subaccount" in request.query and subaccount != pinned:
            raise Forbidden("subaccount not permitted for this API key")
        cents = key.balance_cents if key else 0
        text = f"{cents / 100:.4f}"
        body = {
            "balance": cents,
            "balance_dollars": text,
            "portfolio_value": 0,
            "updated_ts": int(time.time()),
            "balance_breakdown": [{"exchange_index": 0, "balance": text}],
        }
        return Reply(200, body)

    def account_limits(self, request: web.Request, key: Key | None) -> Reply:
        tier = key.tier if key else "basic"
        refill, capacity = TIERS[tier]
        limit = {"refill_rate": refill, "bucket_capacity": capacity}
        write = {"refill_rate": refill // 2, "bucket_capacity": refill // 2}
        return Reply(200, {"usage_tier": tier, "read": limit, "write": write, "grants": []})

    def api_keys(self, request: web.Request, key: Key | None) -> Reply:
        found = [
            {"api_key_id": k.key_id, "name": k.key_id, "scopes": list(k.scopes)}
            | ({} if k.subaccount is None else {"subaccount": k.subaccount})
            for k in self.backend.keys.keys.values()
            if key is not None and k.member_id == key.member_id and not k.revoked
        ]
        return Reply(200, {"api_keys": found})

    def endpoint_costs(self, request: web.Request, key: Key | None) -> Reply:
        return Reply(200, {"default_cost": 10, "endpoint_costs": []})

    def truth(self, request: web.Request, key: Key | None) -> Reply:
        """Not the exchange's: the hidden probabilities, for tests and benchmarks."""
        world = getattr(self.backend.catalog, "world", None)
        if world is None:
            return NOT_FOUND
        return Reply(200, {"truth": dict(zip(world.columns.ticker, world.truth.tolist(), strict=True))})


PUBLIC: dict[str, Handler] = {
    "/exchange/status": Exchange.status,
    "/series": Exchange.series_list,
    "/series/fee_changes": Exchange.series_fee_changes,
    "/series/{ticker}": Exchange.one_series,
    "/events": Exchange.events,
    "/events/fee_changes": Exchange.event_fee_changes,
    "/events/{ticker}": Exchange.one_event,
    "/markets": Exchange.markets,
    "/markets/orderbooks": Exchange.order_books,
    "/markets/{ticker}": Exchange.one_market,
    "/markets/{ticker}/orderbook": Exchange.order_book,
    "/account/endpoint_costs": Exchange.endpoint_costs,
}
PRIVATE: dict[str, tuple[Handler, str]] = {
    "/portfolio/balance": (Exchange.balance, "read::portfolio_balance"),
    "/account/limits": (Exchange.account_limits, "read"),
    "/api_keys": (Exchange.api_keys, "read"),
}


def make_app(backend: Backend, extra: Mapping[str, Handler] | None = None) -> web.Application:
    """The application: today's API under `/trade-api/v2`, `/sim/truth`, and whatever `extra` routes serve."""
    exchange = Exchange(backend)
    app = web.Application()

    def add(path: str, handler: Handler, auth: str, scope: str = "") -> None:
        app.router.add_get(path, _served(exchange, handler, auth, scope))

    for path, handler in PUBLIC.items():
        add(PREFIX + path, handler, "optional")
    for path, (handler, scope) in PRIVATE.items():
        add(PREFIX + path, handler, "signed", scope)
    app.router.add_get(WEBSOCKET, functools.partial(_websocket, backend))
    for path, handler in (extra or {}).items():
        add(path, handler, "token")
    add("/sim/truth", Exchange.truth, "none")
    app.router.add_route("*", "/{anything:.*}", _served(exchange, lambda *_: NOT_FOUND, "none"))
    return app


def _texts(series: Mapping[str, object], name: str) -> set[object]:
    """A list field of a series, which a recording may have as null or not at all."""
    values = series.get(name)
    return set(values) if isinstance(values, list) else set()


def _served(
    exchange: Exchange, handler: Handler, auth: str, scope: str = ""
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    backend = exchange.backend

    async def serve(request: web.Request) -> web.StreamResponse:
        backend.requests += 1
        backend.keys.offset_s = 45.0 * (
            backend.faults.in_force("clock-ahead") - backend.faults.in_force("clock-behind")
        )
        instead = await broken(request, backend)
        if instead is not None:
            return instead
        if backend.latency_s:
            await asyncio.sleep(backend.latency_s)
        try:
            key = _authenticate(request, backend, auth)
            if scope and key is not None and (backend.faults.in_force("no-scope") or not key.may(scope)):
                raise Forbidden(f"the API key lacks the scope {scope}")
            if not backend.limits.admit(key.key_id if key else request.remote or ""):
                reply = TOO_MANY
            else:
                reply = handler(exchange, request, key)
        except Refused as refused:
            reply = Reply(401, refused.body)
        except Forbidden as forbidden:
            reply = Reply(403, forbidden.body)
        except listing.BadRequest as bad:
            reply = Reply(400, {"msg": str(bad)})
        return await send(request, backend, reply)

    return serve


def _authenticate(request: web.Request, backend: Backend, auth: str) -> Key | None:
    headers = request.headers
    if backend.faults.in_force("strip-headers"):
        headers = CIMultiDictProxy(
            CIMultiDict((k, v) for k, v in headers.items() if not k.upper().startswith("KALSHI"))
        )
    if auth == "token" and not backend.faults.in_force("expired-token"):
        return backend.keys.check_token(headers.get("Authorization", ""))
    if auth == "token":
        raise Refused("token_authentication_failure", "token authentication failure")
    if auth == "signed" or (auth == "optional" and "KALSHI-ACCESS-KEY" in headers):
        key = backend.keys.check_signature(request.method, request.path, headers)
        if backend.faults.in_force("revoked-key"):
            raise Refused("authentication_error", details="NOT_FOUND")
        return key
    return None


async def _websocket(backend: Backend, request: web.Request) -> web.StreamResponse:
    """The signed handshake. The channels behind it are not simulated yet: each command is answered with an error."""
    try:
        _authenticate(request, backend, "signed")
    except Refused as refused:
        return await send(request, backend, Reply(401, refused.body))
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_json({"type": "error", "msg": {"code": 5, "msg": "Unknown command"}})
    return socket

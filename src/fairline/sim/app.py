"""The exchange's routes, and the steps that every request goes through. Holds no state."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from fairline.sim import feed, history, listing, market_data, members, portfolio, reference
from fairline.sim.auth import Forbidden, Key, Refused
from fairline.sim.feed_hub import FeedHub
from fairline.sim.reply import NOT_FOUND, PREFIX, TOO_MANY, Backend, Reply, faulty_response, send

WEBSOCKET = "/trade-api/ws/v2"

Handler = Callable[[Backend, web.Request, Key | None], Reply]

PUBLIC: dict[str, Handler] = {
    "/exchange/status": market_data.status,
    "/exchange/schedule": reference.schedule,
    "/exchange/user_data_timestamp": reference.user_data_timestamp,
    "/series": market_data.series_list,
    "/series/fee_changes": market_data.series_fee_changes,
    "/series/{ticker}": market_data.one_series,
    "/series/{series}/markets/{ticker}/candlesticks": history.market_candles,
    "/series/{series}/events/{ticker}/candlesticks": history.event_candles,
    "/events": market_data.events,
    "/events/multivariate": reference.multivariate_events,
    "/events/fee_changes": market_data.event_fee_changes,
    "/events/{ticker}": market_data.one_event,
    "/events/{ticker}/metadata": reference.event_metadata,
    "/markets": market_data.markets,
    "/markets/trades": history.trades,
    "/markets/candlesticks": history.batch_candles,
    "/markets/orderbooks": market_data.order_books,
    "/markets/{ticker}": market_data.one_market,
    "/markets/{ticker}/orderbook": market_data.order_book,
    "/historical/cutoff": history.cutoff,
    "/historical/markets": history.historical_markets,
    "/historical/markets/{ticker}": history.historical_market,
    "/historical/markets/{ticker}/candlesticks": history.historical_candles,
    "/historical/trades": history.historical_trades,
    "/milestones": reference.milestones,
    "/milestones/{id}": reference.one_milestone,
    "/live_data/batch": reference.live_datas,
    "/live_data/milestone/{id}": reference.live_data,
    "/live_data/{type}/milestone/{id}": reference.live_data,
    "/live_data/events/{ticker}": reference.event_live_data,
    "/structured_targets": reference.structured_targets,
    "/structured_targets/{id}": reference.one_target,
    "/multivariate_event_collections": reference.collections,
    "/multivariate_event_collections/{ticker}": reference.one_collection,
    "/search/tags_by_categories": reference.tags_by_categories,
    "/search/filters_by_sport": reference.filters_by_sport,
    "/incentive_programs": members.empty({"incentive_programs": []}),
    "/account/endpoint_costs": members.endpoint_costs,
}
PRIVATE: dict[str, tuple[Handler, str]] = {
    "/portfolio/balance": (portfolio.balance, "read::portfolio_balance"),
    "/portfolio/positions": (portfolio.positions, "read"),
    "/portfolio/fills": (portfolio.fills, "read"),
    "/portfolio/orders": (portfolio.orders, "read"),
    "/portfolio/settlements": (portfolio.settlements, "read"),
    "/portfolio/deposits": (portfolio.deposits, "read"),
    "/portfolio/subaccounts/balances": (portfolio.subaccount_balances, "read"),
    "/portfolio/subaccounts/transfers": (portfolio.transfers, "read"),
    "/historical/fills": (portfolio.archived_fills, "read"),
    "/historical/orders": (portfolio.archived_orders, "read"),
    "/historical/positions": (portfolio.archived_positions, "read"),
    "/account/limits": (members.account_limits, "read"),
    "/api_keys": (members.api_keys, "read"),
} | {path: (members.empty(body), "read") for path, body in members.EMPTY.items()}


def make_app(
    backend: Backend, extra: Mapping[str, Handler] | None = None, hub: feed.Hub | None = None
) -> web.Application:
    """Return the application: today's API under `/trade-api/v2`, `/sim/truth`, and the `extra` routes."""
    app = web.Application()

    def add(path: str, handler: Handler, auth: str, scope: str = "") -> None:
        app.router.add_get(path, _make_handler(backend, handler, auth, scope))

    for path, handler in PUBLIC.items():
        add(PREFIX + path, handler, "optional")
    for path, (handler, scope) in PRIVATE.items():
        add(PREFIX + path, handler, "signed", scope)
    app.router.add_get(WEBSOCKET, functools.partial(_websocket, backend, hub or FeedHub(backend)))
    for path, handler in (extra or {}).items():
        add(path, handler, "token")
    add("/sim/truth", market_data.truth, "none")
    add("/sim/account", portfolio.account_truth, "none")
    app.router.add_route("*", r"/{anything:[\s\S]*}", _make_handler(backend, _unknown_path, "none"))
    return app


def _unknown_path(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Redirect a path with a trailing slash to the one without; any other is not found."""
    slashed = request.path.endswith("/") and request.path != "/"
    return Reply(301, b"", location=request.path.rstrip("/")) if slashed else NOT_FOUND


def _make_handler(
    backend: Backend, handler: Handler, auth: str, scope: str = ""
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        backend.requests += 1
        ahead = backend.faults.in_force("clock-ahead") - backend.faults.in_force("clock-behind")
        backend.keys.offset_s = 45.0 * ahead
        faulty = await faulty_response(request, backend)
        if faulty is not None:
            return faulty
        if backend.latency_s:
            await asyncio.sleep(backend.latency_s)
        try:
            reply = _answer(backend, request, handler, auth, scope)
        except Refused as refused:
            reply = Reply(401, refused.body)
        except Forbidden as forbidden:
            reply = Reply(403, forbidden.body)
        except listing.BadRequest as bad:
            reply = Reply(400, {"msg": str(bad)})
        return await send(request, backend, reply)

    return serve


def _answer(backend: Backend, request: web.Request, handler: Handler, auth: str, scope: str) -> Reply:
    key = _authenticate(request, backend, auth)
    if key is None:
        admitted = backend.limits.admit(request.remote or "")
    else:
        if scope and (backend.faults.in_force("no-scope") or not key.may(scope)):
            raise Forbidden(f"the API key lacks the scope {scope}")
        admitted = backend.limits.admit(key.key_id, key.tier)
    return handler(backend, request, key) if admitted else TOO_MANY


def _authenticate(request: web.Request, backend: Backend, auth: str) -> Key | None:
    """Return the key of a request, None where a public route was requested without one. Raises `Refused`."""
    headers = request.headers
    if backend.faults.in_force("strip-headers"):
        remaining = ((name, value) for name, value in headers.items() if not name.upper().startswith("KALSHI"))
        headers = CIMultiDictProxy(CIMultiDict(remaining))
    if auth == "token":
        if backend.faults.in_force("expired-token"):
            raise Refused("token_authentication_failure", "token authentication failure")
        return backend.keys.check_token(headers.get("Authorization", ""))
    if auth == "signed" or (auth == "optional" and "KALSHI-ACCESS-KEY" in headers):
        key = backend.keys.check_signature(request.method, request.path, headers)
        if backend.faults.in_force("revoked-key"):
            raise Refused("authentication_error", details="NOT_FOUND")
        return key
    return None


async def _websocket(backend: Backend, hub: feed.Hub, request: web.Request) -> web.StreamResponse:
    """Check the signed handshake and serve the feed."""
    try:
        _authenticate(request, backend, "signed")
        if backend.faults.strikes("feed-refused"):
            raise Refused("authentication_error", details="NOT_FOUND")
    except Refused as refused:
        return await send(request, backend, Reply(401, refused.body))
    if backend.faults.strikes("feed-unavailable"):
        return web.Response(status=503)
    if backend.faults.strikes("feed-redirect"):
        return web.Response(status=302, headers={"Location": str(request.url.with_path("/elsewhere"))})
    socket = web.WebSocketResponse(heartbeat=None)
    await socket.prepare(request)
    transport = request.transport
    await feed.Connection(hub, socket, transport.abort if transport is not None else lambda: None).serve()
    return socket

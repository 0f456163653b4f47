"""The surface that an article of 2026 describes: `/v1/markets` in integer cents behind a client-signed token.

The real exchange offers no such surface to clients. It exists here so that a program written from the article runs
against the simulator with only its base URL and credentials changed, and can be compared with what works today.
"""

import json

from aiohttp import web

from fairline.sim import listing
from fairline.sim.app import Handler
from fairline.sim.auth import Key
from fairline.sim.catalog import Catalog
from fairline.sim.reply import Backend, Reply


def markets(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return at most 500 markets per page with prices in whole cents, and `cursor: null` at the end."""
    catalog = backend.catalog
    limit = listing.parse_int(request.query, "limit", 100, 500, 1)
    status = request.query.get("status") or "open"
    filters = {"status": {"active": "open"}.get(status, status), "mve_filter": "exclude"}
    if category := request.query.get("category"):
        filters["tickers"] = ",".join(_tickers_of(catalog, category)) or "none"
    page = listing.Selection(catalog, backend.index, filters).page(request.query.get("cursor", ""), limit)
    return Reply(200, {"markets": [_market(catalog, row) for row in page.rows], "cursor": page.cursor or None})


def _tickers_of(catalog: Catalog, category: str) -> list[str]:
    wanted = category.lower()
    events = [event for event in catalog.events if str(event.fields.get("category") or "").lower() == wanted]
    return [catalog.tickers[row] for event in events for row in event.rows]


def balance(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the balance in cents."""
    return Reply(200, {"balance": key.balance_cents if key else 0})


ROUTES: dict[str, Handler] = {"/v1/markets": markets, "/v1/member/balance": balance}


def _market(catalog: Catalog, row: int) -> dict[str, object]:
    """Return a market in the article's format; an empty side is a bid of 0 or an ask of 100 cents."""
    wire = json.loads(catalog.market(row))
    event = catalog.events[catalog.event_of[row]]

    def cents(price: str, size: str, empty: int) -> int:
        return round(float(wire.get(price) or 0) * 100) if float(wire.get(size) or 0) > 0 else empty

    bid = cents("yes_bid_dollars", "yes_bid_size_fp", 0)
    ask = cents("yes_ask_dollars", "yes_ask_size_fp", 100)
    return {
        "ticker": wire["ticker"],
        "event_ticker": event.ticker,
        "title": wire.get("title", ""),
        "category": str(event.fields.get("category") or ""),
        "status": wire["status"],
        "yes_bid": bid,
        "yes_ask": ask,
        "no_bid": 100 - ask,
        "no_ask": 100 - bid,
        "last_price": round(float(wire.get("last_price_dollars") or 0) * 100),
        "volume": int(float(wire.get("volume_fp") or 0)),
        "open_interest": int(float(wire.get("open_interest_fp") or 0)),
        "close_time": wire.get("close_time"),
    }

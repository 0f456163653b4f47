"""The endpoints of a member's account, and what every request costs."""

import time
import zlib
from collections.abc import Callable

import numpy as np
from aiohttp import web

from fairline.sim import listing
from fairline.sim.auth import Forbidden, Key
from fairline.sim.render import time_text
from fairline.sim.reply import BAD_REQUEST, Backend, Reply


def balance(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the balance of one subaccount."""
    _check_subaccount(backend, request, key)
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


def _check_subaccount(backend: Backend, request: web.Request, key: Key | None) -> int:
    """Return the requested subaccount. Raises `Forbidden` if the key is restricted to another one."""
    subaccount = listing.parse_int(request.query, "subaccount", 0, 63)
    allowed = key.subaccount if key is not None else None
    if backend.faults.in_force("pinned-subaccount"):
        allowed = 1
    if allowed is not None and "subaccount" in request.query and subaccount != allowed:
        raise Forbidden("subaccount not permitted for this API key")
    return subaccount


def subaccount_balances(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the balances of all subaccounts, of which the primary account is number 0."""
    number = key.subaccount or 0 if key is not None else 0
    cents = key.balance_cents if key is not None else 0
    balance = {"subaccount_number": number, "exchange_index": 0, "balance": f"{cents / 100:.4f}"}
    return Reply(200, {"subaccount_balances": [balance | {"updated_ts": int(time.time())}]})


def account_limits(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the rate limits that the exchange applies to the key."""
    tier, refill, capacity = backend.limits.effective(key.tier if key else None)
    limit = {"refill_rate": refill, "bucket_capacity": capacity}
    write = {"refill_rate": refill // 2, "bucket_capacity": refill // 2}
    return Reply(200, {"usage_tier": tier, "read": limit, "write": write, "grants": []})


def api_keys(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the keys of the member."""
    keys = [
        {"api_key_id": k.key_id, "name": k.key_id, "scopes": list(k.scopes)}
        | ({} if k.subaccount is None else {"subaccount": k.subaccount})
        for k in backend.keys.keys.values()
        if key is not None and k.member_id == key.member_id and not k.revoked
    ]
    return Reply(200, {"api_keys": keys})


def endpoint_costs(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return what requests cost: the default, without exceptions."""
    return Reply(200, {"default_cost": 10, "endpoint_costs": []})


def positions(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return a few invented holdings per key: the simulated exchange accepts no orders."""
    query = request.query
    limit = listing.parse_int(query, "limit", 100, 1000, 1)
    if query.get("settlement_status") not in (None, "", "unsettled", "settled", "all"):
        return BAD_REQUEST
    settled = {"settled": (True,), "all": (True, False)}.get(query.get("settlement_status", ""), (False,))
    held = np.array(_held(backend, key), dtype=np.int64)
    over = backend.catalog.with_status(("finalized",), held)
    found = [row for row, gone in zip(held.tolist(), over.tolist(), strict=True) if gone in settled]
    tickers, event = query.get("ticker"), query.get("event_ticker")
    entries = backend.catalog.events
    found = [
        row
        for row in found
        if tickers in (None, "", backend.catalog.tickers[row])
        and event in (None, "", entries[backend.catalog.event_of[row]].ticker)
    ]
    places, cursor = listing.offset_page(len(found), query.get("cursor", ""), limit)
    rows = [found[place] for place in places]
    body = {
        "cursor": cursor,
        "market_positions": [_position(backend, row) for row in rows],
        "event_positions": [_event_position(entries[backend.catalog.event_of[row]].ticker) for row in rows],
    }
    return Reply(200, body)


def _held(backend: Backend, key: Key | None) -> list[int]:
    """Return the rows of four markets of different events that were open when the key was first used."""
    catalog = backend.catalog
    first = catalog.refresh()
    if key is None or key.key_id in backend.positions:
        return backend.positions.get(key.key_id, []) if key is not None else []
    open_now = np.flatnonzero(catalog.with_status(("active",), np.arange(len(catalog.tickers))) & ~catalog.combos)
    open_now = open_now[open_now >= first]
    rng = np.random.default_rng(zlib.crc32(key.key_id.encode()))
    chosen = rng.choice(open_now, min(4, len(open_now)), replace=False).tolist()
    backend.positions[key.key_id] = list({int(catalog.event_of[row]): row for row in chosen}.values())
    return backend.positions[key.key_id]


def _position(backend: Backend, row: int) -> dict[str, object]:
    return {
        "ticker": backend.catalog.tickers[row],
        "exchange_index": 0,
        "total_traded_dollars": "10.0000",
        "position_fp": "20.00" if row % 2 else "-20.00",
        "market_exposure_dollars": "10.0000",
        "realized_pnl_dollars": "0.0000",
        "fees_paid_dollars": "0.3500",
        "last_updated_ts": time_text(int(backend.catalog.created_us[row])),
    }


def _event_position(event: str) -> dict[str, object]:
    return {
        "event_ticker": event,
        "total_cost_dollars": "10.0000",
        "total_cost_shares_fp": "20.00",
        "event_exposure_dollars": "10.0000",
        "realized_pnl_dollars": "0.0000",
        "fees_paid_dollars": "0.3500",
    }


# The simulated exchange accepts no orders and moves no money, so these lists are empty.
EMPTY: dict[str, dict[str, object]] = {
    "/portfolio/fills": {"fills": [], "cursor": ""},
    "/portfolio/orders": {"orders": [], "cursor": ""},
    "/portfolio/orders/queue_positions": {"queue_positions": []},
    "/portfolio/order_groups": {"order_groups": []},
    "/portfolio/settlements": {"settlements": [], "cursor": ""},
    "/portfolio/deposits": {"deposits": [], "cursor": ""},
    "/portfolio/withdrawals": {"withdrawals": [], "cursor": ""},
    "/portfolio/subaccounts/transfers": {"transfers": [], "cursor": ""},
    "/portfolio/subaccounts/netting": {"netting_configs": []},
    "/portfolio/intra_exchange_instance_transfers": {"transfers": [], "cursor": ""},
    "/portfolio/summary/total_resting_order_value": {
        "total_resting_order_value": 0,
        "resting_order_value_breakdown": [],
    },
    "/portfolio/target_balance_allocation": {"allocations": [], "resting_margin_reservation": "none"},
    "/communications/id": {"communications_id": "sim"},
    "/communications/rfqs": {"rfqs": [], "cursor": ""},
    "/communications/quotes": {"quotes": [], "cursor": ""},
    "/communications/rfq_batches": {"rfq_batches": [], "cursor": ""},
    "/communications/block-trade-proposals": {"block_trade_proposals": [], "cursor": ""},
    "/account/api_usage_level/volume_progress": {"volume_progress": []},
    "/historical/fills": {"fills": [], "cursor": ""},
    "/historical/orders": {"orders": [], "cursor": ""},
    "/historical/positions": {"market_positions": [], "event_positions": [], "cursor": ""},
}


def empty(body: dict[str, object]) -> Callable[[Backend, web.Request, Key | None], Reply]:
    """Return the handler of an endpoint whose answer never changes."""
    return lambda *_: Reply(200, body)

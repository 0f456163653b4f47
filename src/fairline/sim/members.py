"""The endpoints of a member: rate limits, API keys, what requests cost, and lists that are always empty."""

from collections.abc import Callable

from aiohttp import web

from fairline.sim.auth import Key
from fairline.sim.reply import Backend, Reply


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


# The simulated exchange accepts no orders, so these lists are empty.
EMPTY: dict[str, dict[str, object]] = {
    "/portfolio/orders/queue_positions": {"queue_positions": []},
    "/portfolio/order_groups": {"order_groups": []},
    "/portfolio/withdrawals": {"withdrawals": [], "cursor": ""},
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
}


def empty(body: dict[str, object]) -> Callable[[Backend, web.Request, Key | None], Reply]:
    """Return the handler of an endpoint whose answer never changes."""
    return lambda *_: Reply(200, body)

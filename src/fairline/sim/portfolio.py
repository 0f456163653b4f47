"""The portfolio endpoints: balance, positions, fills, orders, settlements, transfers, and their archived twins.

A member who trades (`Key.trader_seed`) has the account of a seeded script; any other member has cash and nothing else.
Balance and positions default to subaccount 0, all other endpoints to all subaccounts, as on the exchange.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from aiohttp import web

from fairline.sim import listing
from fairline.sim.auth import Forbidden, Key
from fairline.sim.columns import CLOSED, FINALIZED
from fairline.sim.history import ORDERS_WINDOW_US
from fairline.sim.portfolio_objects import (
    event_of,
    event_position,
    fill_object,
    market_position,
    order_id,
    order_object,
    portfolio_value,
    settlement_object,
)
from fairline.sim.reply import BAD_REQUEST, NOT_FOUND, Backend, Reply
from fairline.sim.trading import DEPOSIT_CENTS, SUBACCOUNT_CENTS, Holding, OrderState, TradingAccount
from fairline.sim.world import DAY_US

Item = TypeVar("Item")


def balance(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the balance of one subaccount."""
    subaccount = _permitted_subaccount(backend, request, key) or 0
    account = _account(backend, key)
    if account is None:
        cash = (key.balance_cents if key is not None else 0) * 10_000
        value = 0
    else:
        cash = account.cash.get(subaccount, 0)
        value = portfolio_value(account, subaccount)
    text = f"{cash / 1e6:.4f}"
    body = {
        "balance": cash // 10_000,
        "balance_dollars": text,
        "portfolio_value": value // 10_000,
        "updated_ts": int(time.time()),
        "balance_breakdown": [{"exchange_index": 0, "balance": text}],
    }
    return Reply(200, body)


def subaccount_balances(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the balances of all subaccounts, of which the primary account is number 0."""
    account = _account(backend, key)
    if account is not None:
        cash: Mapping[int, int] = account.cash
    else:
        cash = {0: (key.balance_cents if key is not None else 0) * 10_000}
    if key is not None and key.subaccount is not None:
        cash = {key.subaccount: cash.get(key.subaccount, 0)}
    now = int(time.time())
    balances = [
        {"subaccount_number": number, "exchange_index": 0, "balance": f"{amount / 1e6:.4f}", "updated_ts": now}
        for number, amount in cash.items()
    ]
    return Reply(200, {"subaccount_balances": balances})


def positions(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return a page of positions in unsettled markets, or in settled ones, including those of zero contracts."""
    wanted = request.query.get("settlement_status") or "unsettled"
    if wanted not in ("unsettled", "settled", "all"):
        return BAD_REQUEST
    subaccount = _permitted_subaccount(backend, request, key) or 0

    def matches(row: int, holding: Holding) -> bool:
        settled = holding.settled_us is not None
        status = wanted == "all" or settled == (wanted == "settled")
        return status and not (settled and backend.catalog.archived[row])

    return _positions_page(backend, request, key, subaccount, matches)


def archived_positions(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return a page of positions in archived markets."""
    subaccount = _permitted_subaccount(backend, request, key) or 0

    def matches(row: int, holding: Holding) -> bool:
        return holding.settled_us is not None and bool(backend.catalog.archived[row])

    return _positions_page(backend, request, key, subaccount, matches)


def _positions_page(
    backend: Backend,
    request: web.Request,
    key: Key | None,
    subaccount: int,
    matches: Callable[[int, Holding], bool],
) -> Reply:
    holdings = _holdings(backend, _account(backend, key), subaccount)
    rows = [(row, holding) for row, holding in holdings if matches(row, holding) and _is_named(backend, request, row)]
    page, cursor = _page(request, rows)
    events: dict[str, list[Holding]] = {}
    for row, holding in page:
        events.setdefault(event_of(backend, row), []).append(holding)
    body = {
        "cursor": cursor,
        "market_positions": [market_position(backend, row, holding) for row, holding in page],
        "event_positions": [event_position(event, each) for event, each in events.items()],
    }
    return Reply(200, body)


def _holdings(backend: Backend, account: TradingAccount | None, subaccount: int) -> list[tuple[int, Holding]]:
    if account is None:
        return []
    late = backend.faults.strikes("late-positions")
    holdings = account.holdings_without_newest(subaccount) if late else account.holdings
    return [(row, holding) for (number, row), holding in holdings.items() if number == subaccount]


def fills(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return a page of fills after the cut-off, the newest first."""
    return _fills_page(backend, request, key, archived=False)


def archived_fills(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return a page of fills before the cut-off, the newest first."""
    return _fills_page(backend, request, key, archived=True)


def _fills_page(backend: Backend, request: web.Request, key: Key | None, *, archived: bool) -> Reply:
    account = _account(backend, key)
    in_window = _time_window(request)
    subaccount = _permitted_subaccount(backend, request, key)
    order = request.query.get("order_id")
    rows = [
        fill
        for fill in sorted(account.fills if account is not None else [], key=lambda each: -each.at_us)
        if (fill.at_us < backend.catalog.cutoff_us) == archived
        and subaccount in (None, fill.order.subaccount)
        and in_window(fill.at_us)
        and order in (None, "", order_id(fill.order.number))
        and _is_named(backend, request, fill.order.row)
    ]
    page, cursor = _page(request, rows)
    return Reply(200, {"fills": [fill_object(backend, fill) for fill in page], "cursor": cursor})


def orders(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return a page of orders, the newest first. Resting orders are always among them."""
    return _orders_page(backend, request, key, archived=False)


def archived_orders(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return a page of orders that have not changed for two weeks."""
    return _orders_page(backend, request, key, archived=True)


def _orders_page(backend: Backend, request: web.Request, key: Key | None, *, archived: bool) -> Reply:
    account = _account(backend, key)
    status = request.query.get("status") or None
    if status not in (None, "resting", "canceled", "executed"):
        return BAD_REQUEST
    cutoff_us = backend.now_us // DAY_US * DAY_US - ORDERS_WINDOW_US
    subaccount = _permitted_subaccount(backend, request, key)
    in_window = _time_window(request)

    def matches(state: OrderState) -> bool:
        current = _order_status(backend, state)
        old = current != "resting" and state.updated_us < cutoff_us
        return old == archived and status in (None, current) and subaccount in (None, state.order.subaccount)

    states = sorted(account.orders if account is not None else [], key=lambda each: -each.order.at_us)
    rows = [
        state
        for state in states
        if matches(state) and in_window(state.order.at_us) and _is_named(backend, request, state.order.row)
    ]
    page, cursor = _page(request, rows)
    return Reply(
        200,
        {"orders": [order_object(backend, state, _order_status(backend, state)) for state in page], "cursor": cursor},
    )


def settlements(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return a page of settlements, the newest first. Archived markets only appear as archived positions."""
    account = _account(backend, key)
    subaccount = _permitted_subaccount(backend, request, key)
    in_window = _time_window(request)
    rows = [
        (row, holding)
        for (number, row), holding in (account.holdings.items() if account is not None else ())
        if holding.settled_us is not None
        and not backend.catalog.archived[row]
        and subaccount in (None, number)
        and in_window(holding.settled_us)
        and _is_named(backend, request, row)
    ]
    rows.sort(key=lambda each: -(each[1].settled_us or 0))
    page, cursor = _page(request, rows)
    objects = [settlement_object(backend, account, row, holding) for row, holding in page if account is not None]
    return Reply(200, {"settlements": objects, "cursor": cursor})


def deposits(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the deposit with which a trading account was opened."""
    account = _account(backend, key)
    if account is None:
        return Reply(200, {"deposits": [], "cursor": ""})
    deposit = {
        "id": "sim-deposit-1",
        "status": "applied",
        "type": "ach",
        "amount_cents": DEPOSIT_CENTS,
        "fee_cents": 0,
        "created_ts": account.opened_us // 1_000_000,
        "finalized_ts": account.opened_us // 1_000,
    }
    return Reply(200, {"deposits": [deposit], "cursor": ""})


def transfers(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the transfer to subaccount 1 of a trading account."""
    account = _account(backend, key)
    if account is None:
        return Reply(200, {"transfers": [], "cursor": ""})
    transfer = {
        "transfer_id": "sim-transfer-1",
        "from_subaccount": 0,
        "to_subaccount": 1,
        "amount_cents": SUBACCOUNT_CENTS,
        "created_ts": account.opened_us // 1_000_000,
        "exchange_index": 0,
    }
    return Reply(200, {"transfers": [transfer], "cursor": ""})


def account_truth(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return what a reader of the account of `key_id` should arrive at. The exchange has no such endpoint."""
    account = _account(backend, backend.keys.keys.get(request.query.get("key_id", "")))
    return NOT_FOUND if account is None else Reply(200, account.truth())


def _account(backend: Backend, key: Key | None) -> TradingAccount | None:
    """Return the up-to-date account of a key's member, None if the member does not trade."""
    if key is None or key.trader_seed is None or backend.world is None:
        return None
    backend.catalog.refresh()
    account = backend.accounts.get(key.member_id)
    if account is None:
        account = backend.accounts[key.member_id] = TradingAccount(backend.world, key.trader_seed)
    account.advance()
    return account


def _permitted_subaccount(backend: Backend, request: web.Request, key: Key | None) -> int | None:
    """Return the requested subaccount, None if none was named. Raises `Forbidden` if the key may not read it."""
    text = request.query.get("subaccount")
    subaccount = listing.parse_int(request.query, "subaccount", 0, 63) if text else None
    allowed = key.subaccount if key is not None else None
    if backend.faults.in_force("pinned-subaccount"):
        allowed = 1
    if allowed is None:
        return subaccount
    if subaccount not in (None, allowed):
        raise Forbidden("subaccount not permitted for this API key")
    return allowed


def _page(request: web.Request, rows: Sequence[Item]) -> tuple[list[Item], str]:
    limit = listing.parse_int(request.query, "limit", 100, 1000, 1)
    places, cursor = listing.offset_page(len(rows), request.query.get("cursor", ""), limit)
    return [rows[place] for place in places], cursor


def _time_window(request: web.Request) -> Callable[[int], bool]:
    low = listing.parse_int(request.query, "min_ts", 0, 2**40) * 1_000_000
    high = listing.parse_int(request.query, "max_ts", 2**40, 2**40) * 1_000_000 + 999_999
    return lambda at_us: low <= at_us <= high


def _is_named(backend: Backend, request: web.Request, row: int) -> bool:
    """Return whether a market is selected by the `ticker` and `event_ticker` parameters, which are comma lists."""
    tickers = [name for name in request.query.get("ticker", "").split(",") if name]
    events = [name for name in request.query.get("event_ticker", "").split(",") if name]
    return (not tickers or backend.catalog.tickers[row] in tickers) and (not events or event_of(backend, row) in events)


def _order_status(backend: Backend, state: OrderState) -> str:
    """Return an order's status: what still rests when its market closes is cancelled."""
    world = backend.world
    closed = world is not None and world.columns.status[state.order.row] in range(CLOSED, FINALIZED + 1)
    return "canceled" if state.status == "resting" and closed else state.status

"""The objects of an account as the exchange sends them: positions, fills, orders and settlements."""

from collections.abc import Iterable

from fairline.sim.columns import UNIT
from fairline.sim.render import count, dollars, time_text
from fairline.sim.reply import Backend
from fairline.sim.trading import AccountFill, Holding, OrderState, TradingAccount

Object = dict[str, object]


def event_of(backend: Backend, row: int) -> str:
    event = int(backend.catalog.event_of[row])
    return backend.catalog.tickers[row].rpartition("-")[0] if event < 0 else backend.catalog.events[event].ticker


def portfolio_value(account: TradingAccount, subaccount: int) -> int:
    """Return what the positions are worth at the middle of the quotes, or at the last price, in micro-dollars."""
    columns = account.world.columns
    value = 0
    for (number, row), holding in account.holdings.items():
        if number != subaccount or holding.settled_us is not None:
            continue
        bid = int(columns.bid[row])
        ask = int(columns.ask[row])
        yes = (bid + ask) // 2 if bid and ask else int(columns.last[row])
        value += holding.count * (yes if holding.side == "yes" else UNIT - yes)
    return value


def market_position(backend: Backend, row: int, holding: Holding) -> Object:
    signed = holding.count if holding.side == "yes" else -holding.count
    return {
        "ticker": backend.catalog.tickers[row],
        "exchange_index": 0,
        "position_fp": _signed_count(0 if holding.settled_us is not None else signed),
        "market_exposure_dollars": _money(0 if holding.settled_us is not None else holding.exposure),
        "realized_pnl_dollars": _money(holding.realized),
        "fees_paid_dollars": _money(holding.fees),
        "total_traded_dollars": _money(sum(holding.costs.values())),
        "last_updated_ts": time_text(holding.updated_us),
    }


def event_position(event: str, holdings: Iterable[Holding]) -> Object:
    each = list(holdings)
    return {
        "event_ticker": event,
        "total_cost_dollars": _money(sum(sum(holding.costs.values()) for holding in each)),
        "total_cost_shares_fp": count(sum(sum(holding.counts.values()) for holding in each)),
        "event_exposure_dollars": _money(sum(holding.exposure for holding in each if holding.settled_us is None)),
        "realized_pnl_dollars": _money(sum(holding.realized for holding in each)),
        "fees_paid_dollars": _money(sum(holding.fees for holding in each)),
    }


def _direction(outcome: str, *, sells: bool) -> Object:
    """Return the direction fields of an order or fill; the legacy `side` of a sale is the outcome moved to."""
    return {
        "outcome_side": outcome,
        "book_side": "bid" if outcome == "yes" else "ask",
        "action": "sell" if sells else "buy",
        "side": outcome,
    }


def fill_object(backend: Backend, fill: AccountFill) -> Object:
    order = fill.order
    ticker = backend.catalog.tickers[order.row]
    number = f"00000000-0000-4000-b000-{fill.number:012x}"
    return {
        "fill_id": number,
        "trade_id": number,
        "order_id": order_id(order.number),
        "ticker": ticker,
        "market_ticker": ticker,
        "exchange_index": 0,
        "count_fp": count(fill.count),
        "yes_price_dollars": dollars(order.price),
        "no_price_dollars": dollars(UNIT - order.price),
        "fee_cost": _money(fill.fee),
        "is_taker": fill.taker,
        "created_time": time_text(fill.at_us),
        "ts": fill.at_us // 1_000_000,
        "subaccount_number": order.subaccount,
        **_direction(order.outcome, sells=order.sells),
    }


def order_object(backend: Backend, state: OrderState, status: str) -> Object:
    order = state.order
    price = order.price if order.outcome == "yes" else UNIT - order.price
    parts = {taker: [fill for fill in state.fills if fill.taker == taker] for taker in (True, False)}
    return {
        "order_id": order_id(order.number),
        "user_id": "sim",
        "client_order_id": f"sim-{order.number}",
        "ticker": backend.catalog.tickers[order.row],
        "type": "limit",
        "status": status,
        "yes_price_dollars": dollars(order.price),
        "no_price_dollars": dollars(UNIT - order.price),
        "initial_count_fp": count(order.count),
        "fill_count_fp": count(state.filled),
        "remaining_count_fp": count(order.count - state.filled if status == "resting" else 0),
        "taker_fill_cost_dollars": _money(sum(fill.count for fill in parts[True]) * price),
        "maker_fill_cost_dollars": _money(sum(fill.count for fill in parts[False]) * price),
        "taker_fees_dollars": _money(sum(fill.fee for fill in parts[True])),
        "maker_fees_dollars": _money(sum(fill.fee for fill in parts[False])),
        "created_time": time_text(order.at_us),
        "last_update_time": time_text(state.updated_us),
        "expiration_time": None,
        "self_trade_prevention_type": None,
        "exchange_index": 0,
        "subaccount_number": order.subaccount,
        **_direction(order.outcome, sells=order.sells),
    }


def settlement_object(backend: Backend, account: TradingAccount, row: int, holding: Holding) -> Object:
    market_result = ("no", "yes")[int(account.world.columns.result[row])]
    value = account.value(row)
    return {
        "ticker": backend.catalog.tickers[row],
        "event_ticker": event_of(backend, row),
        "exchange_index": 0,
        "market_result": "scalar" if account.world.is_scalar(row) else market_result,
        "yes_count_fp": count(holding.counts["yes"]),
        "no_count_fp": count(holding.counts["no"]),
        "yes_total_cost_dollars": _money(holding.costs["yes"]),
        "no_total_cost_dollars": _money(holding.costs["no"]),
        "revenue": account.payout(row, holding) // 10_000,
        "value": value // 100,
        "fee_cost": _money(holding.fees),
        "settled_time": time_text(holding.settled_us or 0),
    }


def order_id(number: int) -> str:
    return f"00000000-0000-4000-c000-{number:012x}"


def _money(micro_dollars: int) -> str:
    """Return money with six decimals, as the account endpoints send it."""
    sign = "-" if micro_dollars < 0 else ""
    whole, fraction = divmod(abs(micro_dollars), 1_000_000)
    return f"{sign}{whole}.{fraction:06d}"


def _signed_count(hundredths: int) -> str:
    return f"{'-' if hundredths < 0 else ''}{count(abs(hundredths))}"

"""From decisions to trades: the sequential half of a backtest.

Decisions become orders by the entry rule, orders meet what was seen after them, fills cost their fee and bind capital,
and settlements pay once they had been published. Believed and unproven opportunities have an account each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

import polars as pl

from fairline.backtesting.fills import Execution, Order, Taker, Trade, Watched, rest
from fairline.backtesting.ledger import Agenda, Equity, Ledger, Position
from fairline.backtesting.trades import TRADES
from fairline.market.fees import TAKER, Policy, charge_u, coefficient, trade_fee_parts
from fairline.market.frame import FEE_UNIT, NOTIONAL_U
from fairline.pricing.sizing import Bankroll

ROUNDING_U = 10_000
"""A cent: what rounding can add to an order's fee."""

Enter = Literal["first", "each", "daily"]
FillRule = Literal["take", "rest, last in the queue", "rest, first in the queue"]


@dataclass(frozen=True, slots=True)
class TradingRules:
    """How decisions become trades.

    `enter`: buy a market's side once (`first`), once per UTC day (`daily`) or each time it is flagged again (`each`).
    An order that is not filled is tried again at the next decision.
    `every` is the interval of the decisions. An order reaches the exchange `lag` after its decision; nothing is filled
    more than `max_gap` after that without an observation. Resting orders stay for `rest_for`. Without a bankroll every
    order is for `size_cc`, with one it is the Kelly share of the equity, under the bankroll's caps.
    """

    enter: Enter
    fills: FillRule
    every: timedelta
    lag: timedelta
    max_gap: timedelta
    rest_for: timedelta
    size_cc: int
    bankroll: Bankroll | None
    fees: Policy


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one YES contract paid, in micro-dollars, and when that was published."""

    payout_u: int
    published_at: datetime


class Past(Protocol):
    """What was recorded of single markets after the decisions."""

    def market(self, ticker: str) -> Watched: ...

    def trades(self, ticker: str) -> Sequence[Trade]: ...

    def outcome(self, ticker: str) -> Outcome | None: ...

    def closing_mid(self, ticker: str) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Simulation:
    """TRADES of one account and its equity after every fill and settlement."""

    trades: pl.DataFrame
    curve: list[Equity]


def simulate(decisions: pl.DataFrame, past: Past, rules: TradingRules) -> Simulation:
    """Trade DECISIONS of one book, which are sorted by instant and then by rank."""
    account = _Account(past, rules)
    entries = _Entries(rules)
    for row in decisions.iter_rows(named=True):
        if entries.accept(row) and account.decide(row):
            entries.bought(row)
    return account.finish()


_Key = tuple[str, str, str]


@dataclass(slots=True)
class _Entries:
    """Applies the entry rule. An order that was not filled does not count as an entry: a user would try again."""

    rules: TradingRules
    last_flagged: dict[_Key, datetime] = field(default_factory=dict)
    last_bought: dict[_Key, datetime] = field(default_factory=dict)

    def accept(self, row: Mapping[str, Any]) -> bool:
        """Return whether a decision becomes an order."""
        key = self._key(row)
        asof: datetime = row["asof"]
        flagged_before = self.last_flagged.get(key)
        self.last_flagged[key] = asof
        bought = self.last_bought.get(key)
        if bought is None:
            return True
        if self.rules.enter == "daily":
            return asof.date() > bought.date()
        return self.rules.enter == "each" and flagged_before is not None and asof - flagged_before > self.rules.every

    def bought(self, row: Mapping[str, Any]) -> None:
        self.last_bought[self._key(row)] = row["asof"]

    def _key(self, row: Mapping[str, Any]) -> _Key:
        return row["model"], row["ticker"], row["side"]


@dataclass(frozen=True, slots=True)
class _Ended:
    """An order's end: what was reserved for it, its execution and the row that it came from."""

    row: Mapping[str, Any]
    execution: Execution
    reserved_u: int


class _Account:
    """One book's orders, in order of time."""

    def __init__(self, past: Past, rules: TradingRules) -> None:
        self._past = past
        self._rules = rules
        self._ledger = Ledger(rules.bankroll.total_u if rules.bankroll else None)
        self._agenda = Agenda()
        self._takers: dict[str, Taker] = {}
        self._awaited: set[str] = set()
        self._reserved: dict[str, int] = {}
        self._rows: list[dict[str, Any]] = []

    def decide(self, row: Mapping[str, Any]) -> bool:
        """Turn a decision into an order, execute it, and return whether anything is bought."""
        asof: datetime = row["asof"]
        self._run_until(asof)
        count_cc = self._size(row)
        order = Order(len(self._rows), asof, row["ticker"], row["side"], row["price_u"], count_cc)
        self._rows.append(_trade_row(order, row))
        if count_cc == 0:
            self._rows[-1]["outcome"] = "no money"
            return False
        execution = self._execute(order)
        reserved_u = _most_u(row, count_cc)
        event = row["event_ticker"]
        self._reserved[event] = self._reserved.get(event, 0) + reserved_u
        known_at = execution.fills[-1].filled_at if execution.fills else asof + self._rules.lag
        self._agenda.add(known_at, "fill", _Ended(row, execution, reserved_u))
        return bool(execution.fills)

    def finish(self) -> Simulation:
        """Carry out everything that is still due and return the trades."""
        self._run_until(datetime.max.replace(tzinfo=UTC))
        trades = pl.DataFrame(self._rows, schema=TRADES) if self._rows else TRADES.to_frame()
        return Simulation(trades, self._ledger.curve)

    def _run_until(self, at: datetime) -> None:
        """Book what is due up to an instant; a fill may bring a settlement that is due by then as well."""
        while pending := self._agenda.pop_until(at):
            for action in pending:
                if isinstance(action, _Ended):
                    self._book(action)
                elif isinstance(action, str):
                    self._settle(action)

    def _size(self, row: Mapping[str, Any]) -> int:
        """Return the order's size in hundredths of a contract: whole contracts that cash and caps allow."""
        bankroll = self._rules.bankroll
        if bankroll is None:
            return self._rules.size_cc
        unit_u = _most_u(row, 100) - ROUNDING_U
        equity_u = self._ledger.cash_u + self._ledger.bound_u
        event = row["event_ticker"]
        held_u = self._ledger.bound_in_event(event) + self._reserved.get(event, 0)
        budget_u = min(
            (row["share"] or 0.0) * equity_u,
            bankroll.per_event * equity_u - held_u,
            self._ledger.cash_u - sum(self._reserved.values()),
        )
        return max(0, int((budget_u - ROUNDING_U) // unit_u)) * 100

    def _execute(self, order: Order) -> Execution:
        rules = self._rules
        market = self._past.market(order.ticker)
        if rules.fills == "take":
            if order.ticker not in self._takers:
                self._takers[order.ticker] = Taker(market, rules.lag, rules.max_gap)
            return self._takers[order.ticker].execute(order)
        both = rest(
            order,
            market,
            self._past.trades(order.ticker),
            lag=rules.lag,
            until=order.decided_at + rules.rest_for,
            max_gap=rules.max_gap,
            notional_u=NOTIONAL_U,
        )
        return both.pessimistic if rules.fills == "rest, last in the queue" else both.optimistic

    def _book(self, ended: _Ended) -> None:
        self._reserved[ended.row["event_ticker"]] -= ended.reserved_u
        execution = ended.execution
        trade = self._rows[execution.order.number]
        trade["outcome"] = execution.outcome
        if not execution.fills:
            return
        fee_u = fill_fee_u(execution, ended.row, self._rules)
        cost_u = -(-sum(fill.price_u * fill.count_cc for fill in execution.fills) // 100)
        filled_at = execution.fills[-1].filled_at
        self._ledger.buy(
            Position(
                execution.order.number,
                execution.order.ticker,
                ended.row["event_ticker"],
                execution.order.side,
                execution.count_cc,
                cost_u,
                fee_u,
                filled_at,
            )
        )
        trade |= _fill_columns(execution, cost_u, fee_u)
        trade |= self._other_side(execution.order, filled_at, ended.row)
        closing = self._past.closing_mid(execution.order.ticker)
        if closing is not None:
            trade["closing_mid"] = closing if execution.order.side == "yes" else 1 - closing
        self._await_settlement(execution.order.ticker, filled_at)

    def _other_side(self, order: Order, at: datetime, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the price and fee of the opposite side when the order was filled, for the baselines."""
        seen = self._past.market(order.ticker).last_until(at)
        offers = seen.offers.get("no" if order.side == "yes" else "yes", ()) if seen else ()
        if not offers:
            return {}
        price_u = offers[0].price_u
        fee_u = order_fee(price_u, 100, row, self._rules, maker=False)
        return {"other_price_u": price_u, "other_fee_u": fee_u}

    def _await_settlement(self, ticker: str, held_since: datetime) -> None:
        outcome = self._past.outcome(ticker)
        if outcome is not None and ticker not in self._awaited:
            self._awaited.add(ticker)
            self._agenda.add(max(outcome.published_at, held_since), "settlement", ticker)

    def _settle(self, ticker: str) -> None:
        self._awaited.discard(ticker)
        outcome = self._past.outcome(ticker)
        if outcome is None:
            return
        first = len(self._ledger.closed)
        self._ledger.settle(ticker, outcome.payout_u, outcome.published_at)
        for closed in self._ledger.closed[first:]:
            position = closed.position
            yes = position.side == "yes"
            self._rows[position.order] |= {
                "payout_u": outcome.payout_u if yes else NOTIONAL_U - outcome.payout_u,
                "settled_ts": closed.settled_at,
                "profit_u": closed.profit_u,
            }


def _most_u(row: Mapping[str, Any], count_cc: int) -> int:
    """Return the most that an order can cost with its fee, in micro-dollars, whatever offers it meets.

    The fee k·M·P·(1 − P) is largest at half a dollar; a cent covers every published rounding.
    """
    multiplier_m: int = row["multiplier_m"]
    price_u: int = row["price_u"]
    fee_u = -(-TAKER * multiplier_m * NOTIONAL_U // (4 * 10_000 * FEE_UNIT))
    return -(-count_cc * (price_u + fee_u) // 100) + ROUNDING_U


def fill_fee_u(execution: Execution, row: Mapping[str, Any], rules: TradingRules) -> int:
    """Return what an order's fills are charged together, in micro-dollars, under the run's fee policy."""
    maker = rules.fills != "take"
    levels = pl.DataFrame(
        {"price_u": [fill.price_u for fill in execution.fills], "count_cc": [fill.count_cc for fill in execution.fills]}
    ).with_columns(fee_type=pl.lit(row["fee_type"], dtype=pl.String), multiplier_m=pl.lit(row["multiplier_m"]))
    rate = coefficient(pl.col("fee_type"), maker=maker)
    parts = trade_fee_parts(pl.col("price_u"), pl.col("count_cc"), pl.col("multiplier_m"), rate=rate).sum()
    cost = (pl.col("price_u") * pl.col("count_cc")).sum().cast(pl.Int128)
    return int(levels.select(charge_u(parts, cost, rules.fees)).item())


def order_fee(price_u: int, count_cc: int, row: Mapping[str, Any], rules: TradingRules, *, maker: bool) -> int:
    """Return the fee of an order filled at one price, in micro-dollars."""
    frame = pl.DataFrame({"fee_type": [row["fee_type"]]}, schema={"fee_type": pl.String})
    rate = coefficient(pl.col("fee_type"), maker=maker)
    parts = trade_fee_parts(pl.lit(price_u), pl.lit(count_cc), pl.lit(row["multiplier_m"]), rate=rate)
    cost = pl.lit(price_u * count_cc).cast(pl.Int128)
    return int(frame.select(charge_u(parts, cost, rules.fees)).item())


def _trade_row(order: Order, row: Mapping[str, Any]) -> dict[str, Any]:
    copied = ("book", "model", "ticker", "event_ticker", "series_ticker", "category", "side", "mid", "p", "q")
    blank: dict[str, Any] = dict.fromkeys(TRADES.names())
    return (
        blank
        | {name: row[name] for name in copied}
        | {
            "order": order.number,
            "decided_ts": order.decided_at,
            "count_cc": 0,
            "promised_u": row["promised_u"],
            "raw_promised_u": row["raw_promised_u"],
            "size_assumed": False,
        }
    )


def _fill_columns(execution: Execution, cost_u: int, fee_u: int) -> dict[str, Any]:
    """Return the columns of a filled order; price and fee per contract are rounded up to the micro-dollar."""
    count_cc = execution.count_cc
    return {
        "filled_ts": execution.fills[-1].filled_at,
        "count_cc": count_cc,
        "price_u": -(-cost_u * 100 // count_cc),
        "fee_u": -(-fee_u * 100 // count_cc),
        "size_assumed": any(fill.size_assumed for fill in execution.fills),
    }

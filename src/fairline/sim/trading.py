"""The account of a member who trades: orders, fills, positions that net at once, settlements and cash.

Amounts are exact integers: prices in 1/10,000 dollar times counts in 1/100 contract give micro-dollars.
"""

from collections import deque
from dataclasses import dataclass, field

from fairline.sim.columns import FINALIZED, UNIT
from fairline.sim.trading_script import Outcome, PlannedFill, PlannedOrder, write_script
from fairline.sim.world import World

DEPOSIT_CENTS = 100_000
SUBACCOUNT_CENTS = 20_000
"""The deposit into the primary account, and what was moved from there to subaccount 1."""
_TAKER, _MAKER = 700, {"quadratic_with_maker_fees": 175, "quadratic_with_combo_maker_fees": 350}
"""Fee coefficients in 1/10,000, by role and fee type."""
_FEE_STEP = 100
"""Fees are rounded up to a multiple of this many micro-dollars."""


@dataclass(frozen=True, slots=True)
class AccountFill:
    """A fill with its fee in micro-dollars."""

    number: int
    order: PlannedOrder
    at_us: int
    count: int
    taker: bool
    fee: int


@dataclass(slots=True)
class OrderState:
    """An order and how much of it was filled. `status` is resting, executed or canceled."""

    order: PlannedOrder
    status: str = "resting"
    updated_us: int = 0
    fills: list[AccountFill] = field(default_factory=list)

    @property
    def filled(self) -> int:
        return sum(fill.count for fill in self.fills)


@dataclass(slots=True)
class Holding:
    """What one subaccount did in one market, in micro-dollars and hundredths of a contract.

    `lots` are (count, price of the side held) of the contracts held, all of `side`. Gross counts and costs by side are
    what a settlement reports.
    """

    side: Outcome = "yes"
    lots: deque[tuple[int, int]] = field(default_factory=deque)
    counts: dict[str, int] = field(default_factory=lambda: {"yes": 0, "no": 0})
    costs: dict[str, int] = field(default_factory=lambda: {"yes": 0, "no": 0})
    realized: int = 0
    fees: int = 0
    pairs: int = 0
    updated_us: int = 0
    settled_us: int | None = None

    @property
    def count(self) -> int:
        return sum(count for count, _ in self.lots)

    @property
    def exposure(self) -> int:
        return sum(count * price for count, price in self.lots)

    def add(self, outcome: Outcome, count: int, price: int, fee: int) -> int:
        """Buy contracts of an outcome and return the change of cash. Pairs of both outcomes pay a dollar at once."""
        self.counts[outcome] += count
        self.costs[outcome] += count * price
        self.fees += fee
        cash = -count * price - fee
        while count and self.lots and self.side != outcome:
            held, bought_at = self.lots.popleft()
            closed = min(held, count)
            if held > closed:
                self.lots.appendleft((held - closed, bought_at))
            count -= closed
            self.pairs += closed
            self.realized += closed * (UNIT - bought_at - price)
            cash += closed * UNIT
        if count:
            self.side = outcome
            self.lots.append((count, price))
        return cash


class TradingAccount:
    """A member's account in a world, which follows a seeded script. `cash` is per subaccount, in micro-dollars."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.orders: list[OrderState] = []
        self.fills: list[AccountFill] = []
        self.holdings: dict[tuple[int, int], Holding] = {}
        self.cash = {0: (DEPOSIT_CENTS - SUBACCOUNT_CENTS) * 10_000, 1: SUBACCOUNT_CENTS * 10_000}
        self.opened_us = int(world.now.timestamp() * 1e6) - 200 * 86_400_000_000
        self._actions = deque(_actions(write_script(world, seed)))
        self._states: dict[int, OrderState] = {}
        self.advance()

    def advance(self) -> None:
        """Apply everything that has happened by now: orders, fills, cancellations and settlements."""
        now = self.world.now_us
        while self._actions and self._actions[0][0] <= now:
            at_us, order, fill = self._actions.popleft()
            if fill is None:
                self._place_or_cancel(at_us, order)
            else:
                self._fill(self._states[order.number], fill)
        self._settle()

    def holdings_without_newest(self, subaccount: int) -> dict[tuple[int, int], Holding]:
        """Return the holdings as they were before the newest fill of a subaccount."""
        own = [fill for fill in self.fills if fill.order.subaccount == subaccount]
        newest = max(own, key=lambda fill: fill.at_us, default=None)
        if newest is None:
            return self.holdings
        key = (subaccount, newest.order.row)
        before = Holding(settled_us=self.holdings[key].settled_us)
        for fill in own:
            if fill.order.row == newest.order.row and fill is not newest:
                _add(before, fill)
        return self.holdings | {key: before}

    def value(self, row: int) -> int:
        """Return what a YES contract of a settled market paid to accounts: whole cents, in 1/10,000 dollar."""
        return self.world.payout(row) // 100 * 100

    def payout(self, row: int, holding: Holding) -> int:
        """Return what the contracts held at settlement paid, in micro-dollars."""
        value = self.value(row)
        return holding.count * (value if holding.side == "yes" else UNIT - value)

    def profit(self, row: int, holding: Holding) -> int:
        """Return the profit of a settled market after fees, in micro-dollars."""
        return self.payout(row, holding) + holding.pairs * UNIT - sum(holding.costs.values()) - holding.fees

    def truth(self) -> dict[str, object]:
        """Return the account's state in dollars and contracts, for tests: what a reader should arrive at."""
        tickers = self.world.columns.ticker
        markets = [
            {
                "ticker": tickers[row],
                "subaccount": subaccount,
                "position": (holding.count if holding.side == "yes" else -holding.count) / 100,
                "cost": holding.exposure / 1e6,
                "realized": holding.realized / 1e6,
                "fees": holding.fees / 1e6,
                "settled_profit": None if holding.settled_us is None else self.profit(row, holding) / 1e6,
            }
            for (subaccount, row), holding in self.holdings.items()
        ]
        return {"cash": {str(number): cash / 1e6 for number, cash in self.cash.items()}, "markets": markets}

    def _place_or_cancel(self, at_us: int, order: PlannedOrder) -> None:
        state = self._states.get(order.number)
        if state is None:
            state = self._states[order.number] = OrderState(order, updated_us=at_us)
            self.orders.append(state)
        elif state.status == "resting":
            state.status = "canceled"
            state.updated_us = at_us

    def _fill(self, state: OrderState, planned: PlannedFill) -> None:
        order = state.order
        fee = self._fee(order, planned.count, taker=planned.taker)
        fill = AccountFill(len(self.fills), order, planned.at_us, planned.count, planned.taker, fee)
        self.fills.append(fill)
        state.fills.append(fill)
        state.updated_us = planned.at_us
        if state.filled >= order.count:
            state.status = "executed"
        holding = self.holdings.setdefault((order.subaccount, order.row), Holding())
        self.cash[order.subaccount] += _add(holding, fill)

    def _fee(self, order: PlannedOrder, count: int, *, taker: bool) -> int:
        """Return the fee in micro-dollars: k·M·C·P·(1 − P), rounded up to $0.0001."""
        fee_type, multiplier = self._terms(order.row)
        rate = _TAKER if taker else _MAKER.get(fee_type, 0)
        # Rate in 1e-4, multiplier in 1e-4, count in 1e-2 and both prices in 1e-4 leave micro-dollars over 1e12.
        product = rate * round(multiplier * 10_000) * count * order.price * (UNIT - order.price)
        return -(-product // (10**12 * _FEE_STEP)) * _FEE_STEP

    def _terms(self, row: int) -> tuple[str, float]:
        event = int(self.world.columns.event[row])
        if event < 0:
            combo = self.world.series[-1].family
            return combo.fee_type, combo.fee_multiplier
        override = self.world.events[event].fee_override
        family = self.world.series[self.world.events[event].series].family
        return override if override is not None else (family.fee_type, family.fee_multiplier)

    def _settle(self) -> None:
        """Credit the payout of markets that were settled since."""
        for (subaccount, row), holding in self.holdings.items():
            if holding.settled_us is None and self.world.columns.status[row] == FINALIZED:
                holding.settled_us = int(self.world.settled_us[row])
                self.cash[subaccount] += self.payout(row, holding)


def _add(holding: Holding, fill: AccountFill) -> int:
    """Add a fill to a holding and return the change of cash."""
    order = fill.order
    price = order.price if order.outcome == "yes" else UNIT - order.price
    holding.updated_us = fill.at_us
    return holding.add(order.outcome, fill.count, price, fill.fee)


def _actions(orders: list[PlannedOrder]) -> list[tuple[int, PlannedOrder, PlannedFill | None]]:
    """Return placements, fills and cancellations in the order in which they happen."""
    actions: list[tuple[int, PlannedOrder, PlannedFill | None]] = []
    for order in orders:
        actions.append((order.at_us, order, None))
        actions += [(fill.at_us, order, fill) for fill in order.fills]
        if order.cancelled_us is not None:
            actions.append((max(order.cancelled_us, *(fill.at_us + 1 for fill in order.fills), 0), order, None))
    return sorted(actions, key=lambda action: (action[0], action[1].number))

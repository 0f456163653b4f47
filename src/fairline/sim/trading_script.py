"""The seeded script of a member who trades: orders that rest, fill, are cancelled, and close what was bought before."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fairline.sim.columns import ACTIVE, FINALIZED, UNIT
from fairline.sim.world import World

Outcome = Literal["yes", "no"]
_OPEN_MARKETS = 24
_PAST_MARKETS = 14
_GAMES = 4
"""Games among the open and among the settled markets, beside the others: only they have a known start."""
_SECOND_SUBACCOUNT_SHARE = 0.2
_LATER_SHARE = 0.3
"""Share of orders in open markets that are placed only after the world began."""
_EARLIEST_US = 20 * 86_400_000_000
_LATEST_US = 6 * 3_600_000_000
_PLANS = ("hold", "round trip", "close in part", "turn around", "rest", "cancel")
_PLAN_SHARES = (0.3, 0.2, 0.15, 0.1, 0.15, 0.1)


@dataclass(frozen=True, slots=True)
class PlannedFill:
    """A fill of an order: `count` in 1/100 contract, `taker` if it took liquidity."""

    at_us: int
    count: int
    taker: bool


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """An order towards `outcome` at `price` (of YES, in 1/10,000 dollar) for `count` hundredths of a contract.

    `sells` marks orders that were entered as the sale of the opposite outcome. Orders without `cancelled_us` and with
    fewer fills than their count stay resting until the market closes.
    """

    number: int
    row: int
    subaccount: int
    at_us: int
    outcome: Outcome
    price: int
    count: int
    fills: tuple[PlannedFill, ...]
    sells: bool = False
    cancelled_us: int | None = None


class _Writer:
    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self._world = world
        self._rng = rng
        self.orders: list[PlannedOrder] = []

    def trade_market(self, row: int) -> None:
        """Add the orders of one market."""
        rng = self._rng
        plan = str(rng.choice(_PLANS, p=_PLAN_SHARES))
        outcome: Outcome = "yes" if rng.random() < 0.6 else "no"
        subaccount = int(rng.random() < _SECOND_SUBACCOUNT_SHARE)
        begin, end = self._period(row)
        times = np.sort(rng.integers(begin, end, 2)).tolist()
        count = int(rng.integers(1, 60)) * 100 + int(rng.random() < 0.15) * int(rng.integers(1, 100))
        if plan == "rest":
            self._order(row, subaccount, times[0], outcome, count, filled=float(rng.choice([0.0, 0.4])))
            return
        if plan == "cancel":
            self._order(row, subaccount, times[0], outcome, count, filled=0.5, cancelled_us=times[1])
            return
        self._order(row, subaccount, times[0], outcome, count)
        closing = {"round trip": 1.0, "close in part": 0.4, "turn around": 1.5}.get(plan)
        if closing is not None:
            opposite: Outcome = "no" if outcome == "yes" else "yes"
            closed = max(100, int(count * closing))
            self._order(row, subaccount, times[1], opposite, closed, sells=bool(rng.random() < 0.5))

    def _period(self, row: int) -> tuple[int, int]:
        """Return when a market is traded: in the 20 days before the world began, or in the six hours after."""
        columns = self._world.columns
        now_us = int(self._world.now.timestamp() * 1e6)
        ends_us = int(columns.ends_us[row])
        if ends_us > now_us and self._rng.random() < _LATER_SHARE:
            begin = now_us
            end = min(ends_us, now_us + _LATEST_US)
        else:
            end = min(ends_us, now_us)
            begin = max(int(columns.open_us[row]), end - _EARLIEST_US)
        # Fills follow their order within a few seconds, and must come before the end.
        return min(begin, end - 9_000_000), end - 5_000_000

    def _order(
        self,
        row: int,
        subaccount: int,
        at_us: int,
        outcome: Outcome,
        count: int,
        *,
        filled: float = 1.0,
        sells: bool = False,
        cancelled_us: int | None = None,
    ) -> None:
        rng = self._rng
        to_fill = int(count * filled)
        parts = [to_fill] if to_fill < 300 or rng.random() < 0.6 else [to_fill // 3, to_fill - to_fill // 3]
        fills = tuple(
            PlannedFill(at_us + int(rng.integers(1_000, 400_000)) * (i + 1), part, bool(rng.random() < 0.7))
            for i, part in enumerate(parts)
            if part
        )
        # Prices are whole cents, which every grid contains, around what the market is worth.
        cents = round(float(self._world.truth[row]) * 100 + rng.normal(0, 4))
        price = int(np.clip(cents, 1, 99)) * (UNIT // 100)
        self.orders.append(
            PlannedOrder(len(self.orders), row, subaccount, at_us, outcome, price, count, fills, sells, cancelled_us)
        )


def write_script(world: World, seed: int) -> list[PlannedOrder]:
    """Return the orders of a member, the earliest first, in markets that are open and in some that are settled."""
    rng = np.random.default_rng((world.seed, seed, 7))
    columns = world.columns
    now_us = int(world.now.timestamp() * 1e6)
    single = (columns.event >= 0) & (columns.created_us < now_us - 3_600_000_000)
    open_rows = np.flatnonzero(single & (columns.status == ACTIVE) & (columns.ends_us > now_us + 3_600_000_000))
    past_rows = np.flatnonzero(single & (columns.status == FINALIZED))
    combos = np.flatnonzero((columns.event < 0) & (columns.created_us < now_us - 3_600_000_000))
    writer = _Writer(world, rng)
    is_game = np.array([event.kind == "game" for event in world.events])
    games = open_rows[is_game[columns.event[open_rows]]]
    past_games = past_rows[is_game[columns.event[past_rows]]]
    chosen = [(open_rows, _OPEN_MARKETS), (past_rows, _PAST_MARKETS), (games, _GAMES), (past_games, _GAMES)]
    for rows, most in [*chosen, (combos, 1)]:
        for row in rng.choice(rows, min(most, len(rows)), replace=False).tolist():
            writer.trade_market(row)
    return sorted(writer.orders, key=lambda order: order.at_us)

"""Combos: parlays that pay if every leg wins. On the real exchange nine rows in ten are combos."""

from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from fairline.sim.columns import ACTIVE, UNIT, Columns, new_positions, without_quotes
from fairline.sim.errors import SimError
from fairline.sim.families import COMBO, GRID_NAMES

MAX_LEGS = 6


class Combos:
    """`count` combos on two to six of the markets in `singles`, as columns, with their legs.

    Almost none has a bid: 74 of 604,709 recorded ones were quoted on both sides (August 2026). They are created on
    request when somebody asks for a price, so most are hours old.
    """

    def __init__(self, singles: Columns, count: int, rng: np.random.Generator, now: datetime) -> None:
        self.columns = _columns(count, rng, now) if count else singles
        listed = singles.created_us <= int(now.timestamp() * 1e6)
        candidates = np.flatnonzero((singles.event >= 0) & (singles.status == ACTIVE) & listed)
        if count and len(np.unique(singles.event[candidates])) < MAX_LEGS:
            raise SimError(f"combos need open markets of at least {MAX_LEGS} events; ask for more markets")
        self._legs = _draw_legs(singles, candidates, count, rng)
        self._sizes = rng.integers(2, MAX_LEGS + 1, count).astype(np.int8)
        self._combo_of_row: NDArray[np.int32] = np.empty(0, dtype=np.int32)
        if count:
            self._price(singles, rng)

    def of(self, row: int) -> list[int]:
        """Return the rows of a combo's legs."""
        combo = int(self._combo_of_row[row])
        return [int(leg) for leg in self._legs[combo, : self._sizes[combo]]]

    def reorder(self, previous: NDArray[np.int64]) -> None:
        """Follow the rows after singles and combos were merged: row i was at `previous[i]`, combos after singles."""
        singles = len(previous) - len(self._legs)
        self._legs = new_positions(previous)[self._legs].astype(np.int32)
        self._combo_of_row = (previous - singles).astype(np.int32)

    def _price(self, singles: Columns, rng: np.random.Generator) -> None:
        """Price combos as if legs were independent; an ask, where there is one, lies well above the product."""
        columns = self.columns
        used = np.arange(MAX_LEGS) < self._sizes[:, None]
        truth = np.where(used, (singles.hi - singles.lo)[self._legs], 1.0).prod(axis=1)
        columns.hi[:] = truth
        columns.ends_us[:] = np.where(used, singles.ends_us[self._legs], 0).max(axis=1)
        columns.close_us[:] = np.where(used, singles.close_us[self._legs], 0).max(axis=1)
        offered = rng.random(len(truth)) < 0.02
        columns.ask[:] = np.where(offered, _on_grid(np.clip(truth * 1.2 * UNIT, 1, UNIT - 1)), 0)
        columns.ask_size[:] = np.where(offered, rng.integers(1, 500, len(truth)) * 100, 0)
        bid = offered & (rng.random(len(truth)) < 0.006) & (columns.ask > 2)
        columns.bid[:] = np.where(bid, _on_grid(columns.ask / 2), 0)
        columns.bid_size[:] = np.where(bid, 10_000, 0)


def _on_grid(price: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round prices down to the combos' grid, which has steps of 10 from 0.10 to 0.90 dollars and of 1 outside."""
    coarse = (price > UNIT / 10) & (price < UNIT * 9 / 10)
    rounded: NDArray[np.float64] = np.where(coarse, np.floor(price / 10) * 10, np.floor(price))
    return rounded


def _draw_legs(
    singles: Columns, candidates: NDArray[np.int64], count: int, rng: np.random.Generator
) -> NDArray[np.int32]:
    """Draw the legs of each combo from different events."""
    if not count:
        return np.empty((0, MAX_LEGS), np.int32)
    legs = rng.choice(candidates, size=(count, MAX_LEGS)).astype(np.int32)
    while True:
        events = np.sort(singles.event[legs], axis=1)
        repeated = np.flatnonzero((np.diff(events, axis=1) == 0).any(axis=1))
        if not len(repeated):
            return legs
        legs[repeated] = rng.choice(candidates, size=(len(repeated), MAX_LEGS))


def _columns(count: int, rng: np.random.Generator, now: datetime) -> Columns:
    now_us = int(now.timestamp() * 1e6)
    age = np.minimum(rng.exponential(8 * 3.6e9, count), 20 * 86.4e9).astype(np.int64)
    created = now_us - age - 1_000_000
    event_codes = rng.integers(0, 2**44, count).tolist()
    market_codes = rng.integers(0, 2**44, count).tolist()
    nothing = np.full(count, np.nan)
    return Columns(
        ticker=[f"{COMBO.series}-S2026{a:011X}-{b:011X}" for a, b in zip(event_codes, market_codes, strict=True)],
        event=np.full(count, -1, dtype=np.int32),
        label=[""] * count,
        floor=nothing,
        cap=nothing,
        strike=["custom"] * count,
        subject=np.full(count, -1, dtype=np.int16),
        created_us=created,
        open_us=created,
        close_us=np.zeros(count, dtype=np.int64),
        ends_us=np.zeros(count, dtype=np.int64),
        lo=np.zeros(count),
        hi=np.zeros(count),
        grid=np.full(count, GRID_NAMES.index(COMBO.grid), dtype=np.int8),
        **without_quotes(count),
    )

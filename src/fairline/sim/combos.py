"""Combos: parlays that pay if every one of their legs does. On the real exchange nine rows in ten are such."""

from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from fairline.sim.columns import ACTIVE, Columns, unquoted
from fairline.sim.errors import SimError
from fairline.sim.families import COMBO, GRID_NAMES

MOST_LEGS = 6
_UNIT = 10_000


class Combos:
    """`count` combos on two to six of the markets in `singles`, as columns, with their legs.

    Almost none has a bid: 74 of 604,709 recorded ones were quoted on both sides (August 2026). They are made to order
    by people who ask for a price, so most are hours old.
    """

    def __init__(self, singles: Columns, count: int, rng: np.random.Generator, now: datetime) -> None:
        self.columns = _columns(singles, count, rng, now) if count else singles
        listed = singles.created_us <= int(now.timestamp() * 1e6)
        candidates = np.flatnonzero((singles.event >= 0) & (singles.status == ACTIVE) & listed)
        if count and len(np.unique(singles.event[candidates])) < MOST_LEGS:
            raise SimError(f"combos need open markets of at least {MOST_LEGS} events; ask for more --markets")
        self._legs = _apart(singles, candidates, count, rng)
        self._sizes = rng.integers(2, MOST_LEGS + 1, count).astype(np.int8)
        self._of_row: NDArray[np.int32] = np.empty(0, dtype=np.int32)
        if count:
            self._price(singles, rng)

    def of(self, row: int) -> list[int]:
        """The rows of a combo's legs."""
        combo = int(self._of_row[row])
        return [int(leg) for leg in self._legs[combo, : self._sizes[combo]]]

    def moved(self, before: NDArray[np.int64]) -> None:
        """Singles and combos were put into one order; row i stood at `before[i]`, the combos after the singles."""
        singles = len(before) - len(self._legs)
        after = np.empty_like(before)
        after[before] = np.arange(len(before))
        self._legs = after[self._legs].astype(np.int32)
        self._of_row = (before - singles).astype(np.int32)

    def _price(self, singles: Columns, rng: np.random.Generator) -> None:
        """Legs are taken as independent; an ask, where there is one, lies well above the product."""
        columns = self.columns
        used = np.arange(MOST_LEGS) < self._sizes[:, None]
        true = np.where(used, (singles.hi - singles.lo)[self._legs], 1.0).prod(axis=1)
        columns.hi[:] = true
        columns.close_us[:] = np.where(used, singles.close_us[self._legs], 0).max(axis=1)
        asked = rng.random(len(true)) < 0.02
        columns.ask[:] = np.where(asked, np.clip(true * 1.2 * _UNIT, 1, _UNIT - 1), 0)
        columns.ask_size[:] = np.where(asked, rng.integers(1, 500, len(true)) * 100, 0)
        bid = asked & (rng.random(len(true)) < 0.006) & (columns.ask > 2)
        columns.bid[:] = np.where(bid, columns.ask // 2, 0)
        columns.bid_size[:] = np.where(bid, 10_000, 0)


def _apart(singles: Columns, candidates: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Legs of as many different events."""
    legs = (
        rng.choice(candidates, size=(count, MOST_LEGS)).astype(np.int32)
        if count
        else np.empty((0, MOST_LEGS), np.int32)
    )
    while True:
        events = np.sort(singles.event[legs], axis=1)
        again = np.flatnonzero((np.diff(events, axis=1) == 0).any(axis=1))
        if not len(again):
            return legs
        legs[again] = rng.choice(candidates, size=(len(again), MOST_LEGS))


def _columns(singles: Columns, count: int, rng: np.random.Generator, now: datetime) -> Columns:
    now_us = int(now.timestamp() * 1e6)
    age = np.minimum(rng.exponential(8 * 3.6e9, count), 20 * 86.4e9).astype(np.int64)
    created = now_us - age - 1_000_000
    codes, parts = rng.integers(0, 2**44, count).tolist(), rng.integers(0, 2**44, count).tolist()
    nothing = np.full(count, np.nan)
    return Columns(
        ticker=[f"{COMBO.series}-S2026{a:011X}-{b:011X}" for a, b in zip(codes, parts, strict=True)],
        event=np.full(count, -1, dtype=np.int32),
        label=[""] * count,
        floor=nothing,
        cap=nothing,
        strike=["custom"] * count,
        created_us=created,
        open_us=created,
        close_us=np.zeros(count, dtype=np.int64),
        lo=np.zeros(count),
        hi=np.zeros(count),
        grid=np.full(count, GRID_NAMES.index(COMBO.grid), dtype=np.int8),
        **unquoted(count),
    )

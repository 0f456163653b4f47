"""What the simulated exchange lists, generated or recorded, in paging order."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fairline.sim.families import COMBO
from fairline.sim.life import Trade
from fairline.sim.render import MarketRenderer, event_object, series_object
from fairline.sim.world import DAY_US, DETERMINED, FINALIZED, STATUSES, UNIT, World

LIVE_WINDOW_US = 90 * DAY_US
"""Markets settled earlier than this are archived: the exchange's target is three months."""
Level = tuple[int, int]
"""Price in 1/10,000 dollar and size in 1/100 contract."""


@dataclass(slots=True)
class EventEntry:
    """An event: its fields as the exchange sends them, and the rows of its markets."""

    ticker: str
    series: str
    fields: dict[str, object]
    rows: list[int] = field(default_factory=list)


class Catalog(Protocol):
    """Markets by row (created time descending, then ticker), with their events and series.

    Markets settled before the cut-off are archived: only the historical endpoints return them. `offset_s` is how far
    the exchange's clock is ahead of this machine's.
    """

    tickers: list[str]
    row: dict[str, int]
    created_us: NDArray[np.int64]
    close_us: NDArray[np.int64]
    event_of: NDArray[np.int32]
    combos: NDArray[np.bool_]
    settled_us: NDArray[np.int64]
    archived: NDArray[np.bool_]
    cutoff_us: int
    offset_s: float
    events: list[EventEntry]
    series: list[dict[str, object]]

    @property
    def now_us(self) -> int:
        """The exchange's time, in microseconds."""
        ...

    def refresh(self) -> int:
        """Apply everything that is due by now, and return the first row that is already listed."""
        ...

    def with_status(self, statuses: tuple[str, ...], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of the rows have one of these values in their `status` field."""
        ...

    def market(self, row: int) -> bytes:
        """Return a market object as JSON."""
        ...

    def book(self, row: int) -> tuple[list[Level], list[Level]]:
        """Return the bids for YES and for NO in ascending order: the best comes last."""
        ...

    def trades(self) -> Sequence[Trade]:
        """Return all known trades, the latest last."""
        ...

    def close_order(self) -> NDArray[np.int64]:
        """Return all rows, the last to close first."""
        ...


class WorldCatalog:
    """The catalog of a generated world."""

    def __init__(self, world: World) -> None:
        columns = world.columns
        self.world = world
        self.offset_s = 0.0
        self.tickers = columns.ticker
        self.row = world.row
        self.created_us = columns.created_us
        self.close_us = columns.close_us
        self.event_of = columns.event
        self.combos = columns.event < 0
        self.settled_us = world.settled_us
        self._archive()
        self.series = [series_object(series) for series in world.series]
        self.events = [
            EventEntry(event.ticker, world.series[event.series].ticker, event_object(world, event), event.rows)
            for event in world.events
        ]
        self.market = MarketRenderer(world)
        self._close_order = np.empty(0, dtype=np.int64)
        self._closings = -1

    @property
    def now_us(self) -> int:
        return self.world.now_us

    def refresh(self) -> int:
        self.world.tick()
        if self.world.now_us - self.cutoff_us >= LIVE_WINDOW_US + DAY_US:
            self._archive()
        return self.world.first

    def _archive(self) -> None:
        """Move markets settled before the cut-off to the archive, once a day."""
        self.cutoff_us = self.world.now_us // DAY_US * DAY_US - LIVE_WINDOW_US
        self.archived = (self.world.columns.status == FINALIZED) & (self.settled_us < self.cutoff_us)

    def with_status(self, statuses: tuple[str, ...], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        wanted = np.array([name in statuses for name in STATUSES])
        matches: NDArray[np.bool_] = wanted[self.world.columns.status[rows]]
        return matches

    def render_all(self) -> None:
        """Render every market that is not a combo, so that the first reader does not wait for it."""
        for row in np.flatnonzero(~self.combos).tolist():
            self.market(row)

    def book(self, row: int) -> tuple[list[Level], list[Level]]:
        columns = self.world.columns
        if columns.status[row] in (DETERMINED, FINALIZED):
            return [], []
        quotes = (columns.bid, columns.ask, columns.bid_size, columns.ask_size)
        return self.book_at(row, *(int(values[row]) for values in quotes))

    def book_at(self, row: int, bid: int, ask: int, bid_size: int, ask_size: int) -> tuple[list[Level], list[Level]]:
        """Return a market's book at these quotes; the depth behind them depends on nothing else."""
        rng = np.random.default_rng((self.world.seed, row))
        yes = _ladder(bid, bid_size, rng) if bid else []
        no = _ladder(UNIT - ask, ask_size, rng) if ask else []
        return yes, no

    def trades(self) -> Sequence[Trade]:
        return self.world.life.trades

    def close_order(self) -> NDArray[np.int64]:
        if self._closings != self.world.closings:
            # Markets that close early change their close time.
            self._close_order = np.argsort(-self.close_us, kind="stable")
            self._closings = self.world.closings
        return self._close_order


class Index:
    """Lookup tables of a catalog: events by ticker, rows by series and by combo event."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.event = {event.ticker: event for event in catalog.events}
        self.place = {event.ticker: place for place, event in enumerate(catalog.events)}

    @cached_property
    def sport(self) -> dict[str, str]:
        """Return the first tag of each series, which is the sport of a game."""
        tags = {str(series["ticker"]): series.get("tags") for series in self._catalog.series}
        return {name: str(own[0]).lower() if isinstance(own, list) and own else "sport" for name, own in tags.items()}

    @cached_property
    def rows_of_series(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        for event in self._catalog.events:
            rows.setdefault(event.series, []).extend(event.rows)
        rows.setdefault(COMBO.series, []).extend(np.flatnonzero(self._catalog.combos).tolist())
        return rows

    @cached_property
    def combo_of(self) -> dict[str, int]:
        """Return the row of a combo by its event, which contains only that combo."""
        tickers = self._catalog.tickers
        return {tickers[row].rpartition("-")[0]: row for row in np.flatnonzero(self._catalog.combos).tolist()}


def _ladder(best: int, size: int, rng: np.random.Generator) -> list[Level]:
    """Draw bids at and below `best` in ascending order; those below lie on whole cents, which every grid contains."""
    depth = int(rng.integers(0, 8))
    cent = (best - 1) // 100
    below = [(100 * (cent - i), int(rng.integers(1, 4000)) * 100) for i in range(depth)]
    return [level for level in reversed(below) if level[0] > 0] + [(best, size)]

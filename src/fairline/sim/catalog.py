"""What the simulated exchange lists, whether made up or recorded, in the order in which it is paged."""

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

KEPT_LIVE_US = 90 * DAY_US
"""What was settled longer ago is archived: the exchange's target is three months."""
Level = tuple[int, int]
"""Price in 1/10,000 dollar and size in 1/100 contract."""


@dataclass(slots=True)
class EventEntry:
    ticker: str
    series: str
    fields: dict[str, object]
    rows: list[int] = field(default_factory=list)


class Catalog(Protocol):
    """Markets by row (created time descending, then ticker), with their events and series.

    What was settled before the cutoff is archived: only the historical endpoints have it.
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
    events: list[EventEntry]
    series: list[dict[str, object]]

    def refresh(self) -> int:
        """Let what is due by now happen; the first row that is listed by now."""
        ...

    def having(self, statuses: tuple[str, ...], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the rows have one of these in their `status` field."""
        ...

    def market(self, row: int) -> bytes:
        """The market object as JSON."""
        ...

    def book(self, row: int) -> tuple[list[Level], list[Level]]:
        """Bids for YES and for NO, ascending: the best comes last."""
        ...

    def trades(self) -> Sequence[Trade]:
        """All trades that are known, the latest last."""
        ...


class WorldCatalog:
    """A generated world."""

    def __init__(self, world: World) -> None:
        columns = world.columns
        self.world = world
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

    def refresh(self) -> int:
        self.world.tick()
        if self.world.now_us - self.cutoff_us >= KEPT_LIVE_US + DAY_US:
            self._archive()
        return self.world.first

    def _archive(self) -> None:
        """Once a day: what was settled before the cutoff is only in the archive from now on."""
        self.cutoff_us = self.world.now_us // DAY_US * DAY_US - KEPT_LIVE_US
        self.archived = (self.world.columns.status == FINALIZED) & (self.settled_us < self.cutoff_us)

    def having(self, statuses: tuple[str, ...], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        kept = np.array([name in statuses for name in STATUSES])
        found: NDArray[np.bool_] = kept[self.world.columns.status[rows]]
        return found

    def render_all(self) -> None:
        """Every market that is not a combo, beforehand, so that no first reader waits for it."""
        for row in np.flatnonzero(~self.combos).tolist():
            self.market(row)

    def book(self, row: int) -> tuple[list[Level], list[Level]]:
        columns = self.world.columns
        if columns.status[row] in (DETERMINED, FINALIZED):
            return [], []
        quotes = (columns.bid, columns.ask, columns.bid_size, columns.ask_size)
        return self.book_at(row, *(int(values[row]) for values in quotes))

    def book_at(self, row: int, bid: int, ask: int, bid_size: int, ask_size: int) -> tuple[list[Level], list[Level]]:
        """A market's book at these quotes: the depth behind them is the same for as long as they stay."""
        rng = np.random.default_rng((self.world.seed, row))
        yes = _ladder(bid, bid_size, rng) if bid else []
        no = _ladder(UNIT - ask, ask_size, rng) if ask else []
        return yes, no

    def trades(self) -> Sequence[Trade]:
        return self.world.life.trades


class Index:
    """Where to find things in a catalog: rows by event and series, and rows in the order of closing."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.event = {event.ticker: event for event in catalog.events}
        self.place = {event.ticker: place for place, event in enumerate(catalog.events)}

    @cached_property
    def sport(self) -> dict[str, str]:
        """Each series' first tag, which of a game is its sport."""
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
        """The row of a combo by its event, which holds it alone."""
        tickers = self._catalog.tickers
        return {tickers[row].rpartition("-")[0]: row for row in np.flatnonzero(self._catalog.combos).tolist()}

    @cached_property
    def by_close(self) -> NDArray[np.int64]:
        """Rows, the last to close first: how close windows are paged."""
        return np.argsort(-self._catalog.close_us, kind="stable")

    @cached_property
    def place_by_close(self) -> NDArray[np.int64]:
        place = np.empty_like(self.by_close)
        place[self.by_close] = np.arange(len(place))
        return place


def _ladder(best: int, size: int, rng: np.random.Generator) -> list[Level]:
    """Bids at and below `best`, ascending: those below at whole cents, which every grid has."""
    depth, cent = int(rng.integers(0, 8)), (best - 1) // 100
    below = [(100 * (cent - i), int(rng.integers(1, 4000)) * 100) for i in range(depth)]
    return [level for level in reversed(below) if level[0] > 0] + [(best, size)]

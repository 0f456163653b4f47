"""What the simulated exchange lists, whether made up or recorded, in the order in which it is paged."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fairline.sim.render import MarketRenderer, event_object, series_object
from fairline.sim.world import DETERMINED, FINALIZED, STATUSES, UNIT, World

Level = tuple[int, int]
"""Price in 1/10,000 dollar and size in 1/100 contract."""


@dataclass(slots=True)
class EventEntry:
    ticker: str
    series: str
    fields: dict[str, object]
    rows: list[int] = field(default_factory=list)


class Catalog(Protocol):
    """Markets by row (created time descending, then ticker), with their events and series."""

    tickers: list[str]
    row: dict[str, int]
    created_us: NDArray[np.int64]
    close_us: NDArray[np.int64]
    event_of: NDArray[np.int32]
    combos: NDArray[np.bool_]
    events: list[EventEntry]
    series: list[dict[str, object]]

    def status(self) -> NDArray[np.str_]:
        """The wire's `status` field of every row."""
        ...

    def market(self, row: int) -> str:
        """The market object as JSON text."""
        ...

    def book(self, row: int) -> tuple[list[Level], list[Level]]:
        """Bids for YES and for NO, ascending: the best comes last."""
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
        self.combos = np.zeros(len(columns.ticker), dtype=np.bool_)
        self.series = [series_object(series) for series in world.series]
        self.events = [
            EventEntry(event.ticker, world.series[event.series].ticker, event_object(world, event), event.rows)
            for event in world.events
        ]
        self.market = MarketRenderer(world)
        self._names = np.array(STATUSES)

    def status(self) -> NDArray[np.str_]:
        return self._names[self.world.columns.status]

    def book(self, row: int) -> tuple[list[Level], list[Level]]:
        """Depth behind the best quote, the same for as long as the quote stays."""
        columns = self.world.columns
        if columns.status[row] in (DETERMINED, FINALIZED):
            return [], []
        rng = np.random.default_rng((self.world.seed, row))
        bid, ask = int(columns.bid[row]), int(columns.ask[row])
        yes = _ladder(bid, int(columns.bid_size[row]), rng) if bid else []
        no = _ladder(UNIT - ask, int(columns.ask_size[row]), rng) if ask else []
        return yes, no


def _ladder(best: int, size: int, rng: np.random.Generator) -> list[Level]:
    """Bids at and below `best`, ascending, whole cents apart, thinning out."""
    depth = int(rng.integers(0, 8))
    below = [(best - 100 * (i + 1), int(rng.integers(1, 4000)) * 100) for i in range(depth)]
    return [level for level in reversed(below) if level[0] > 0] + [(best, size)]

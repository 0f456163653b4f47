"""The exchange as it was known here, instant after instant.

`Store.asof` rebuilds the state from scratch. A timeline carries the last state forward and applies only what was
recorded since, which is what a backtest needs at thousands of instants.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fairline.errors import UsageError
from fairline.market.frame import MARKETS, with_probabilities
from fairline.store.datasets import QUOTES
from fairline.store.store import Store

Indices = NDArray[np.int64]

WINDOW = timedelta(days=1)
"""How much of the store is held in memory at once."""

_QUOTE_COLUMNS = [name for name in MARKETS if name in QUOTES]
_FACT_COLUMNS = [name for name in MARKETS if name not in QUOTES]


@dataclass(slots=True)
class _Rows:
    """Rows of one dataset in order of `seen_ts`, how many were applied, and the last applied row of each market."""

    table: pl.DataFrame
    seen: NDArray[np.datetime64]
    codes: Indices
    latest: Indices
    applied: int = 0

    @classmethod
    def of(cls, rows: pl.DataFrame, tickers: pl.Enum) -> "_Rows":
        codes = rows["ticker"].cast(tickers).to_physical().cast(pl.Int64).to_numpy()
        latest = np.full(len(tickers.categories), -1, dtype=np.int64)
        return cls(rows, rows["seen_ts"].dt.replace_time_zone(None).to_numpy(), codes, latest)

    def advance(self, at: np.datetime64) -> bool:
        """Apply the rows recorded up to `at`; return whether there were any."""
        end = int(np.searchsorted(self.seen, at, side="right"))
        if end <= self.applied:
            return False
        # With several rows of one market, the last assignment wins.
        self.latest[self.codes[self.applied : end]] = np.arange(self.applied, end)
        self.applied = end
        return True


class Timeline:
    """MARKETS at successive instants of a store, without anything recorded later.

    `at` may be called with the same or a later instant each time; an earlier one raises `UsageError`.
    """

    def __init__(self, store: Store, window: timedelta = WINDOW) -> None:
        self._store = store
        self._window = window
        self._until: datetime | None = None
        self._last: datetime | None = None
        self._quotes: _Rows | None = None
        self._facts: _Rows | None = None
        self._chosen: Indices | None = None
        self._chosen_facts: pl.DataFrame | None = None

    def at(self, instant: datetime) -> pl.DataFrame:
        """Return MARKETS with probabilities as known at `instant`, sorted by ticker. Raises `StoreError`."""
        if self._last is not None and instant < self._last:
            raise UsageError("a timeline only runs forward", remedy="Start a new timeline for an earlier instant")
        self._last = instant
        if self._until is None or instant > self._until:
            self._load(instant)
        return self._frame(instant)

    def _load(self, instant: datetime) -> None:
        until = instant + self._window
        parts = []
        for dataset in ("quotes", "facts"):
            before = self._store.latest(dataset, instant)
            after = self._store.read(dataset, since=instant, until=until)
            rows = pl.concat([before.sort("seen_ts", maintain_order=True), after])
            typed = [pl.col(name).cast(dtype) for name, dtype in MARKETS.items() if name in rows.columns]
            parts.append(rows.with_columns(typed).rechunk())
        names = pl.concat([part["ticker"] for part in parts]).unique().sort()
        tickers = pl.Enum(names)
        self._quotes, self._facts = (_Rows.of(part, tickers) for part in parts)
        self._chosen = None
        self._until = until

    def _frame(self, instant: datetime) -> pl.DataFrame:
        if self._quotes is None or self._facts is None:
            raise AssertionError("a window is loaded before a frame is made")
        moment = np.datetime64(instant.replace(tzinfo=None), "us")
        self._quotes.advance(moment)
        facts_changed = self._facts.advance(moment)
        known = np.flatnonzero(self._quotes.latest >= 0)
        listed = self._quotes.table["listed"].gather(self._quotes.latest[known]).to_numpy()
        chosen = known[listed]
        if facts_changed or self._chosen is None or not np.array_equal(chosen, self._chosen):
            self._chosen = chosen
            self._chosen_facts = _gather(self._facts, chosen)
        quotes = self._quotes.table.select(_QUOTE_COLUMNS)[self._quotes.latest[chosen]]
        if self._chosen_facts is None:
            raise AssertionError("facts are gathered with the chosen markets")
        together = pl.concat([quotes, self._chosen_facts], how="horizontal")
        return with_probabilities(together.select(MARKETS.names()))


def _gather(facts: _Rows, chosen: Indices) -> pl.DataFrame:
    """Return the latest facts of each chosen market, null where there are none yet."""
    table = facts.table.select(_FACT_COLUMNS)
    latest = facts.latest[chosen]
    if (latest >= 0).all():
        return table[latest]
    with_null_row = pl.concat([table, table.clear(1)]).rechunk()
    return with_null_row[np.where(latest < 0, table.height, latest)]

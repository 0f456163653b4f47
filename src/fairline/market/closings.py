"""The markets that are still to close, in the order of their close."""

import heapq
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import polars as pl

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Closings:
    """Rows by close time. The first ones come from a listing in bulk; changed and new ones are added."""

    def __init__(self, close_ts: pl.Series | None = None, now: datetime | None = None) -> None:
        self._times = np.zeros(0, dtype=np.int64)
        self._rows = np.zeros(0, dtype=np.int64)
        self._next = 0
        self._added: list[tuple[int, int]] = []
        if close_ts is not None and now is not None:
            times = close_ts.dt.epoch("us").fill_null(0).to_numpy()
            rows = np.flatnonzero(times > _micros(now))
            order = np.argsort(times[rows], kind="stable")
            self._rows, self._times = rows[order], times[rows][order]

    def add(self, at: datetime, row: int) -> None:
        heapq.heappush(self._added, (_micros(at), row))

    def take(self, now: datetime) -> Iterator[int]:
        """Yield the rows whose time is over, each once."""
        now_us = _micros(now)
        while self._next < len(self._times) and self._times[self._next] <= now_us:
            self._next += 1
            yield int(self._rows[self._next - 1])
        while self._added and self._added[0][0] <= now_us:
            yield heapq.heappop(self._added)[1]


def _micros(at: datetime) -> int:
    return round((at - _EPOCH).total_seconds() * 1_000_000)

"""Intervals in which nothing certain is known of a market."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class BlindInterval:
    """From when until when a market was without current data, and why."""

    ticker: str
    cause: str
    from_ts: datetime
    until_ts: datetime


@dataclass(slots=True)
class BlindLog:
    """The markets that are without current data now, and the intervals that have ended since the last `take`."""

    _since: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    _ended: list[BlindInterval] = field(default_factory=list)

    def begin(self, tickers: Iterable[str], now: datetime, cause: str, silent_s: float = 0.0) -> None:
        """Markets stop being current; they were not heard of for `silent_s` before."""
        since = now - timedelta(seconds=silent_s)
        for ticker in tickers:
            self._since.setdefault(ticker, (since, cause))

    def end(self, ticker: str, now: datetime) -> None:
        """A market is current again, or is not followed any more."""
        begun = self._since.pop(ticker, None)
        if begun is not None:
            since, cause = begun
            self._ended.append(BlindInterval(ticker, cause, since, max(since, now)))

    def take(self) -> list[BlindInterval]:
        ended, self._ended = self._ended, []
        return ended

    def __len__(self) -> int:
        return len(self._since)

    def __contains__(self, ticker: str) -> bool:
        return ticker in self._since

    @property
    def tickers(self) -> list[str]:
        return list(self._since)

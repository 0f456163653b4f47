"""Outages: intervals in which nothing certain is known about a market."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Outage:
    """From when until when a market was without current data, and why."""

    ticker: str
    cause: str
    from_ts: datetime
    until_ts: datetime


@dataclass(slots=True)
class OutageLog:
    """The markets that are without current data now, and the intervals that have ended since the last `take`."""

    _since: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    _ended: list[Outage] = field(default_factory=list)

    def begin(self, tickers: Iterable[str], now: datetime, cause: str, silent_s: float = 0.0) -> None:
        """Begin outages of these markets; nothing was heard of them for `silent_s` before."""
        since = now - timedelta(seconds=silent_s)
        for ticker in tickers:
            self._since.setdefault(ticker, (since, cause))

    def end(self, ticker: str, now: datetime) -> None:
        """End the outage of a market: it is current again, or no longer followed."""
        begun = self._since.pop(ticker, None)
        if begun is not None:
            since, cause = begun
            self._ended.append(Outage(ticker, cause, since, max(since, now)))

    def take(self) -> list[Outage]:
        ended, self._ended = self._ended, []
        return ended

    def __len__(self) -> int:
        return len(self._since)

    def __contains__(self, ticker: str) -> bool:
        return ticker in self._since

    @property
    def tickers(self) -> list[str]:
        return list(self._since)

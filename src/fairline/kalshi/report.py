"""The report of a crawl: what it did, and whether it read everything."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from fairline.kalshi.decoding import UNKNOWN_TYPE, Rejected
from fairline.kalshi.walk import Walk

FREE_GUESSES = 2
"""Guesses at the end of a batch that a crawl makes before their success counts."""


MAX_NAMED = 1_000
"""Unreadable rows that are named. Beyond that they are only counted, so that a broken exchange costs no memory."""


@dataclass(slots=True)
class Rejects:
    """The unreadable rows of a listing: the first of them by name, all of them by number.

    `unknown_types` are those of a market type that this version does not know.
    """

    named: list[Rejected] = field(default_factory=list)
    count: int = 0
    unknown_types: int = 0
    _tickers: set[str] = field(default_factory=set)

    def add(self, rows: Iterable[Rejected]) -> None:
        """Count rows, each ticker once."""
        for row in rows:
            if row.ticker in self._tickers:
                continue
            if row.ticker:
                self._tickers.add(row.ticker)
            self.count += 1
            self.unknown_types += row.reason == UNKNOWN_TYPE
            if len(self.named) < MAX_NAMED:
                self.named.append(row)

    def drop(self, tickers: Collection[str]) -> None:
        """Drop rows that were read on another page: they are not missing."""
        recovered = {ticker for ticker in self._tickers if ticker in tickers}
        self._tickers -= recovered
        self.count -= len(recovered)
        self.unknown_types -= sum(row.reason == UNKNOWN_TYPE for row in self.named if row.ticker in recovered)
        self.named[:] = [row for row in self.named if row.ticker not in recovered]


@dataclass(slots=True)
class CrawlReport:
    """What a crawl did. `complete` is an assertion about the listing; `incomplete_reasons` name what is missing.

    - `asof_s`: the Unix time for which the listing holds; everything created up to then was requested.
    - `late`: rows created while the crawl ran.
    - `conflicts`: duplicates that differ in a field that never changes.
    - `rechecked`: rows read again because their status was not the requested one.
    """

    pages: int = 0
    rows: int = 0
    duplicates: int = 0
    conflicts: int = 0
    late: int = 0
    rechecked: int = 0
    resumed_pages: int = 0
    asof_s: float = 0.0
    walks: list[Walk] = field(default_factory=list)
    rejects: Rejects = field(default_factory=Rejects)
    notes: list[str] = field(default_factory=list)
    incomplete_reasons: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return not self.incomplete_reasons

    @property
    def rejected(self) -> list[Rejected]:
        """The first unreadable rows; `rejects.count` is the number of all."""
        return self.rejects.named

    @property
    def guesses_pay(self) -> bool:
        """Whether guessing where a batch ends is worth a request.

        Most guesses are wrong where there are many small batches, and cost more requests than they save.
        """
        rows = [walk.rows for walk in self.walks if walk.guessed and walk.ended]
        return 2 * rows.count(0) < len(rows) + FREE_GUESSES

    @property
    def missing(self) -> list[Walk]:
        """The walks that did not reach their end."""
        return [walk for walk in self.walks if walk.failure]

"""The report of a crawl: what it did, and whether it read everything."""

from dataclasses import dataclass, field

from fairline.kalshi.decoding import Rejected
from fairline.kalshi.walk import Walk

FREE_GUESSES = 2
"""Guesses at the end of a batch that a crawl makes before their success counts."""


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
    rejected: list[Rejected] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    incomplete_reasons: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return not self.incomplete_reasons

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

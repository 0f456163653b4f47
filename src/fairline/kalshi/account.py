"""The account of a crawl: what it did, and whether what it brought is everything."""

from dataclasses import dataclass, field

from fairline.kalshi.decoding import Rejected
from fairline.kalshi.walk import Walk

_GUESSES = 2


@dataclass(slots=True)
class Account:
    """What a crawl did. `complete` is an assertion about the listing; `incomplete_reasons` name what is missing.

    `asof_s` is the Unix time for which it holds: what was created up to then was asked for. `late` rows were created
    while the crawl ran, `conflicts` are duplicates that contradict each other in what never changes, `rechecked` rows
    were read again because their status was not the one asked for.
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
        """Whether guesses at where a batch ends are worth a request. Where there are many small batches most are wrong,
        and cost more than they save: then no more are made.
        """
        guessed = [walk.rows for walk in self.walks if walk.guessed and walk.ended]
        return 2 * guessed.count(0) < len(guessed) + _GUESSES

    @property
    def missing(self) -> list[Walk]:
        """The walks that did not reach their end."""
        return [walk for walk in self.walks if walk.failure]

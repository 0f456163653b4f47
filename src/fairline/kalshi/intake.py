"""What comes in, page by page: each market once, what contradicts the question held back, and a sample kept."""

from contextlib import suppress
from dataclasses import dataclass, field

from fairline.kalshi.routes import Query
from fairline.kalshi.windows import CLOSE, CREATED, Axis, Profile, second_of
from fairline.kalshi.wire import STATUS_FIELDS, Market, Page, Rejected

_EVERY = 25
_MOST_DOUBTFUL = 3_000


@dataclass(slots=True)
class Intake:
    """Counts of a crawl's rows: `conflicts` are duplicates that contradict each other in what never changes."""

    query: Query
    duplicates: int = 0
    conflicts: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    doubtful: dict[str, Market] = field(default_factory=dict)
    _seen: dict[str, int] = field(default_factory=dict)
    _samples: dict[str, list[int]] = field(default_factory=lambda: {CREATED.field: [], CLOSE.field: []})
    _sampled: int = 0

    @property
    def rows(self) -> int:
        """Distinct markets so far."""
        return len(self._seen)

    def admit(self, page: Page[Market]) -> list[Market]:
        """The page's markets not seen before, without combos that slipped through and without doubtful ones: those
        whose status is not the one asked for changed while they were sent, and are to be read again.
        """
        if page.rejected:
            known = {rejected.ticker for rejected in self.rejected}
            self.rejected += [
                rejected for rejected in page.rejected if not rejected.ticker or rejected.ticker not in known
            ]
        wanted = () if self.query.tickers else STATUS_FIELDS.get(self.query.status or "", ())
        fresh = []
        for market in page.rows:
            if not self._is_new(market):
                continue
            if wanted and market.status not in wanted and len(self.doubtful) < _MOST_DOUBTFUL:
                self.doubtful[market.ticker] = market
            else:
                fresh.append(market)
        self._sample(fresh)
        return fresh

    def forgive(self) -> None:
        """What could not be read once, and then came again and could, is not missing."""
        self.rejected[:] = [rejected for rejected in self.rejected if rejected.ticker not in self._seen]

    def profile(self, axis: Axis, now_s: float) -> Profile:
        """How the markets lay on an axis."""
        return Profile.of(self._samples[axis.field], _EVERY, self.rows, now_s)

    def _is_new(self, market: Market) -> bool:
        identity = hash((market.event_ticker, market.created_time))
        known = self._seen.get(market.ticker)
        if known is not None:
            self.duplicates += 1
            self.conflicts += known != identity
            return False
        if market.mve_collection_ticker is not None and not self.query.combos:
            return False
        self._seen[market.ticker] = identity
        return True

    def _sample(self, fresh: list[Market]) -> None:
        start = -self._sampled % _EVERY
        self._sampled += len(fresh)
        for name, seconds in self._samples.items():
            with suppress(TypeError, ValueError):
                seconds += [second_of(getattr(market, name)) for market in fresh[start::_EVERY]]

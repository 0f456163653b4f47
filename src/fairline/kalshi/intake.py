"""What comes in, page by page: each market once, what contradicts the question held back, and a sample kept."""

from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter

from msgspec.structs import replace

from fairline.kalshi.decoding import Page, Rejected
from fairline.kalshi.routes import Query
from fairline.kalshi.windows import CLOSE, CREATED, Axis, Profile, second_of
from fairline.kalshi.wire import STATUS_FIELDS, Market

# What is done for every row is done by functions of the interpreter, not in it: this is the hot path of a crawl.
_TICKER, _CREATED, _STATUS = attrgetter("ticker"), attrgetter("created_time"), attrgetter("status")
_COLLECTION = attrgetter("mve_collection_ticker")

_EVERY = 25
_MOST_DOUBTFUL = 3_000


@dataclass(slots=True)
class Intake:
    """Counts of a crawl's rows: `conflicts` are duplicates with another creation time, which never changes."""

    query: Query
    duplicates: int = 0
    conflicts: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    doubtful: dict[str, Market] = field(default_factory=dict)
    _seen: dict[str, str | None] = field(default_factory=dict)
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
        rows = page.rows
        if not (self.query.combos or self.query.tickers) and any(map(_COLLECTION, rows)):
            rows = [market for market in rows if market.mve_collection_ticker is None]
        fresh = self._certain(self._new(rows))
        self._sample(fresh)
        return fresh

    def forgive(self) -> None:
        """What could not be read once, and then came again and could, is not missing."""
        self.rejected[:] = [rejected for rejected in self.rejected if rejected.ticker not in self._seen]

    def profile(self, axis: Axis, now_s: float) -> Profile:
        """How the markets lay on an axis."""
        return Profile.of(self._samples[axis.field], _EVERY, self.rows, now_s)

    def _new(self, rows: list[Market]) -> list[Market]:
        seen, tickers = self._seen, list(map(_TICKER, rows))
        if seen.keys().isdisjoint(tickers) and len(set(tickers)) == len(tickers):
            seen.update(zip(tickers, map(_CREATED, rows), strict=True))
            return rows
        fresh = []
        for market in rows:
            if market.ticker in seen:
                self.duplicates += 1
                self.conflicts += seen[market.ticker] != market.created_time
            else:
                seen[market.ticker] = market.created_time
                fresh.append(market)
        return fresh

    def _certain(self, rows: list[Market]) -> list[Market]:
        """Those in the state asked for; the others are held back."""
        wanted = frozenset(STATUS_FIELDS.get(self.query.status or "", ()))
        if not wanted or self.query.tickers or wanted.issuperset(map(_STATUS, rows)):
            return rows
        for market in rows:
            if market.status not in wanted and len(self.doubtful) < _MOST_DOUBTFUL:
                self.doubtful[market.ticker] = owned(market)
        return [market for market in rows if market.ticker not in self.doubtful]

    def _sample(self, fresh: list[Market]) -> None:
        start = -self._sampled % _EVERY
        self._sampled += len(fresh)
        for name, seconds in self._samples.items():
            with suppress(TypeError, ValueError):
                seconds += [second_of(getattr(market, name)) for market in fresh[start::_EVERY]]


def owned(market: Market) -> Market:
    """The market with bytes of its own. What is raw in it is a view of its page, whose place the next page takes."""
    return replace(market, price_ranges=market.price_ranges.copy(), custom_strike=market.custom_strike.copy())


def kept(page: Page[Market]) -> Page[Market]:
    """The page as it may still be looked at when another has been read."""
    return Page([owned(market) for market in page.rows], page.rejected, page.cursor)


def merged(answers: list[Page[Market]]) -> Page[Market]:
    """Several answers to one request as one page: the last one's, with the rows that only an earlier one had."""
    last = answers[-1]
    known = {row.ticker for row in last.rows}
    more = [row for page in answers[:-1] for row in page.rows if row.ticker not in known]
    rejected = [rejected for page in answers for rejected in page.rejected]
    rows = sorted([*last.rows, *more], key=lambda row: row.created_time or "", reverse=True) if more else last.rows
    return Page(rows, rejected, last.cursor) if len(answers) > 1 else last

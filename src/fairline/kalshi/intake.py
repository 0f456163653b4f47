"""The rows of a crawl as they arrive: each market once, rows in an unexpected status held back, and a sample kept."""

from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter

from msgspec.structs import replace

from fairline.kalshi.decoding import Page
from fairline.kalshi.report import Rejects
from fairline.kalshi.routes import Query
from fairline.kalshi.windows import CLOSE, CREATED, Axis, Profile, second_of
from fairline.kalshi.wire import STATUS_FIELDS, Market

# This is the hot path of a crawl, so per-row work is done by built-in functions in C where possible.
_TICKER = attrgetter("ticker")
_CREATED = attrgetter("created_time")
_STATUS = attrgetter("status")
_COLLECTION = attrgetter("mve_collection_ticker")

SAMPLE_EVERY = 25
MAX_UNCONFIRMED = 3_000


@dataclass(slots=True)
class Intake:
    """Counts of a crawl's rows. `conflicts` are duplicates with another creation time, which never changes.

    `unconfirmed` holds markets whose status was not the requested one: it changed during the crawl.
    """

    query: Query
    duplicates: int = 0
    conflicts: int = 0
    rejects: Rejects = field(default_factory=Rejects)
    unconfirmed: dict[str, Market] = field(default_factory=dict)
    _seen: dict[str, str | None] = field(default_factory=dict)
    _samples: dict[str, list[int]] = field(default_factory=lambda: {CREATED.field: [], CLOSE.field: []})
    _sampled: int = 0

    @property
    def rows(self) -> int:
        """Distinct markets so far."""
        return len(self._seen)

    def admit(self, page: Page[Market], *, closing: bool = False) -> list[Market]:
        """Return the page's new markets, without combos that passed the filter and without unconfirmed ones.

        Rejected rows without a ticker cannot be distinguished from earlier ones: the closing pass does not count them.
        """
        self.rejects.add(row for row in page.rejected if row.ticker or not closing)
        rows = page.rows
        if not (self.query.combos or self.query.tickers) and any(map(_COLLECTION, rows)):
            rows = [market for market in rows if market.mve_collection_ticker is None]
        fresh = self._in_requested_status(self._new(rows))
        self._sample(fresh)
        return fresh

    def drop_recovered(self) -> None:
        """Drop rejected rows that were read on another page: they are not missing."""
        self.rejects.drop(self._seen.keys())

    def profile(self, axis: Axis, now_s: float) -> Profile:
        """Return how the markets are distributed on an axis."""
        return Profile.of(self._samples[axis.field], SAMPLE_EVERY, self.rows, now_s)

    def _new(self, rows: list[Market]) -> list[Market]:
        seen = self._seen
        tickers = list(map(_TICKER, rows))
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

    def _in_requested_status(self, rows: list[Market]) -> list[Market]:
        """Return the rows in the requested status; hold the others back."""
        requested = frozenset(STATUS_FIELDS.get(self.query.status or "", ()))
        if not requested or self.query.tickers or requested.issuperset(map(_STATUS, rows)):
            return rows
        for market in rows:
            if market.status not in requested and len(self.unconfirmed) < MAX_UNCONFIRMED:
                self.unconfirmed[market.ticker] = copy_market(market)
        return [market for market in rows if market.ticker not in self.unconfirmed]

    def _sample(self, fresh: list[Market]) -> None:
        start = -self._sampled % SAMPLE_EVERY
        self._sampled += len(fresh)
        for name, seconds in self._samples.items():
            with suppress(TypeError, ValueError):
                seconds += [second_of(getattr(market, name)) for market in fresh[start::SAMPLE_EVERY]]


def copy_market(market: Market) -> Market:
    """Copy the market's raw fields, which are views of a buffer that the next page overwrites."""
    return replace(market, price_ranges=market.price_ranges.copy(), custom_strike=market.custom_strike.copy())


def copy_page(page: Page[Market]) -> Page[Market]:
    """Copy a page so that it stays valid after the next one is read."""
    return replace(page, rows=[copy_market(market) for market in page.rows])


def merge_pages(answers: list[Page[Market]]) -> Page[Market]:
    """Merge several answers to one request: the last one, with the rows that only an earlier one had."""
    last = answers[-1]
    if len(answers) == 1:
        return last
    tickers = {row.ticker for row in last.rows}
    others = [row for page in answers[:-1] for row in page.rows if row.ticker not in tickers]
    rejected = [rejected for page in answers for rejected in page.rejected]
    rows = last.rows
    if others:
        rows = sorted([*last.rows, *others], key=lambda row: row.created_time or "", reverse=True)
    return replace(last, rows=rows, rejected=rejected)

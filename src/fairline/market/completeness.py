"""Notice that an answer arrived but is not what it should be: unreadable, empty, shrunk, or without its required keys.

Pages that arrived are not the same as data that can be used. Each finding has a kind, so that a watch can raise an
alarm of its own for it, and makes the listing incomplete, so that nothing is called gone because of it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import polars as pl

from fairline.kalshi.bulk import BulkResult
from fairline.kalshi.cache import ExchangeCache, key_of
from fairline.kalshi.decoding import MARKET_TYPES, Page, Rejected
from fairline.kalshi.report import CrawlReport
from fairline.kalshi.routes import Query
from fairline.kalshi.wire import OrderBook, Series
from fairline.market.problem import Problem

MAX_UNREADABLE_SHARE = 0.01
"""Share of unreadable or missing rows above which an answer is incomplete."""
MIN_SHARE_OF_LAST = 0.5
"""A listing smaller than this share of what was expected from the last one is incomplete."""
MIN_COMPARED_ROWS = 20
"""Smaller listings vary too much to be compared with the last one."""
MAX_AGE_OF_LAST_S = 86_400.0
"""An older listing is not compared: the exchange may have delisted markets since."""
_SAMPLE_EVERY = 25

DriftKind = Literal["markets", "listing", "series", "events", "fees", "books", "settlements"]


@dataclass(frozen=True, slots=True)
class Drift:
    """Data of the exchange that is not what this version expects."""

    kind: DriftKind
    message: str


class ListingSize(msgspec.Struct):
    """The size of a complete listing, and when its markets were due to leave it: every `step`-th, in Unix seconds."""

    read_ts: float
    rows: int
    step: int
    leaves: list[float]

    def expected_rows(self, now_s: float) -> float:
        """Return how many markets should still be listed, counting no new ones."""
        left = sum(second <= now_s for second in self.leaves)
        return self.rows * (1 - left / len(self.leaves)) if self.leaves else float(self.rows)


def check_rows(report: CrawlReport) -> list[Drift]:
    """Return a finding if too many rows could not be read. Rows of an unknown market type do not count."""
    rejects = report.rejects
    unreadable = rejects.count - rejects.unknown_types
    total = report.rows + unreadable
    if unreadable <= MAX_UNREADABLE_SHARE * total:
        return []
    example = next((row for row in rejects.named if row.field != "market_type"), None)
    return [Drift("markets", f"{unreadable:,} of {total:,} markets could not be read, such as {example}")]


def check_size(
    markets: pl.DataFrame, query: Query, cache: ExchangeCache | None, now_s: float | None = None
) -> list[Drift]:
    """Return a finding if the listing is empty, or has less than half the markets expected from the last one.

    The expectation leaves out markets that were due to be decided or to close since then. Markets named by ticker are
    not compared.
    """
    now_s = time.time() if now_s is None else now_s
    if not _is_compared(query):
        return []
    if markets.is_empty() and not query.narrow:
        return [Drift("listing", "the exchange lists no open markets")]
    if cache is None:
        return []
    last = cache.load(_size_name(query), ListingSize)
    if last is not None and 0 <= now_s - last.read_ts <= MAX_AGE_OF_LAST_S:
        expected = last.expected_rows(now_s)
        if expected >= MIN_COMPARED_ROWS and markets.height < MIN_SHARE_OF_LAST * expected:
            message = (
                f"only {markets.height:,} markets are listed; by the last listing, about {expected:,.0f} should be"
            )
            return [Drift("listing", message)]
    return []


def save_size(markets: pl.DataFrame, query: Query, cache: ExchangeCache | None) -> None:
    """Save the size of a complete listing for the next `check_size`."""
    if cache is not None and markets.height and _is_compared(query):
        cache.save(_size_name(query), _size_of(markets, time.time()))


def _is_compared(query: Query) -> bool:
    return query.status == "open" and not query.tickers


def _size_name(query: Query) -> str:
    """Return the cache name of a query. A window of closing time moves with the clock, so only its length counts."""
    length = None if query.closes is None else query.closes[1] - query.closes[0]
    return key_of("listing-size", query.status, query.series, query.events, length, query.combos)


def _size_of(markets: pl.DataFrame, now_s: float) -> ListingSize:
    leaves = markets.select(
        pl.min_horizontal("close_ts", pl.col("decided_ts").fill_null(pl.col("close_ts"))).dt.epoch("us") / 1e6
    ).to_series()
    sample = leaves.drop_nulls().sort().gather_every(_SAMPLE_EVERY).to_list()
    return ListingSize(now_s, markets.height, _SAMPLE_EVERY, sample)


def usable_series(page: Page[Series]) -> bool:
    """Return whether a series list may be cached: nearly all of it is readable and has fee terms."""
    lacking = sum(series.fee_multiplier is None or series.fee_type is None for series in page.rows)
    return page.size > 0 and len(page.rejected) + lacking <= MAX_UNREADABLE_SHARE * page.size


def check_events(wanted: int, missing: int, *, combos: bool) -> list[Drift]:
    """Return a finding if the exchange left out events of listed markets. It never lists those of combos."""
    if combos or missing <= MAX_UNREADABLE_SHARE * wanted:
        return []
    message = f"{missing:,} of {wanted:,} events are missing from the answer: fee overrides are not known"
    return [Drift("events", message)]


def check_fees(markets: pl.DataFrame, series: Sequence[Series]) -> tuple[list[Drift], list[Problem]]:
    """Return findings about listed markets whose fee terms are missing, if the series could be read."""
    if markets.is_empty() or not series:
        return [], []
    lacking = markets.filter(
        pl.col("series_ticker").is_not_null() & (pl.col("fee_multiplier_m").is_null() | pl.col("fee_type").is_null())
    )
    if lacking.is_empty():
        return [], []
    names = lacking["series_ticker"].unique().sort()
    message = (
        f"fee_type or fee_multiplier is missing for {lacking.height:,} markets of {len(names):,} series, such as "
        f"{names[0]}: the usual taker fee is assumed"
    )
    if lacking.height > MAX_UNREADABLE_SHARE * markets.height:
        return [Drift("fees", message)], []
    return [], [Problem(message, stage="fees")]


def check_books(tickers: Sequence[str], books: BulkResult[OrderBook]) -> list[Drift]:
    """Return a finding if order books are missing from the answer or could not be read."""
    answered = {book.ticker for book in books.rows} | {row.ticker for row in books.rejected}
    missing = len(set(tickers) - answered) - books.unread
    bad = len(books.rejected) + max(missing, 0)
    if bad <= MAX_UNREADABLE_SHARE * len(tickers):
        return []
    example = f", such as {books.rejected[0]}" if books.rejected else ""
    return [Drift("books", f"{bad:,} of {len(tickers):,} order books could not be read{example}")]


def name_unknown_types(markets: pl.DataFrame, rejected: Sequence[Rejected]) -> list[Problem]:
    """Return a problem for each market type that this version does not know. Such markets are not priced."""
    unknown = markets.filter(~pl.col("market_type").is_in(MARKET_TYPES))["market_type"].to_list()
    unknown += [row.value.strip('"') for row in rejected if row.field == "market_type"]
    return [
        Problem(f"{unknown.count(name):,} markets of unknown type {name!r} are not priced", stage="prices")
        for name in sorted(set(unknown))
    ]

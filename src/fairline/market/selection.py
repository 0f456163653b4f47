"""Apply filters: what the exchange can filter itself, and what is filtered after reading."""

from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl

from fairline.kalshi.routes import Query
from fairline.kalshi.wire import STATUS_FIELDS, Series
from fairline.market.filters import Filters
from fairline.market.funnel import FunnelStep

_REQUESTS_FOR_ALL_MARKETS = 120
"""Requests that a full crawl takes if nothing is known: 117,187 markets were open in September 2026."""


def build_query(filters: Filters, series: Sequence[Series] = (), full_requests: int | None = None) -> Query:
    """Return what the exchange can filter itself; `apply_filters` does the rest.

    The exchange does not filter by category. Given the `series` list, a category is replaced by its series if
    asking for each of them takes fewer requests than a full crawl (`full_requests`).
    """
    names = filters.series
    if series and filters.categories and not names:
        tickers = tuple(_series_in_category(filters, series))
        names = tickers if len(tickers) < (full_requests or _REQUESTS_FOR_ALL_MARKETS) else ()
    now = int(datetime.now(UTC).timestamp())
    closes = None if filters.closes_within is None else (now, now + int(filters.closes_within.total_seconds()))
    return Query(filters.status, names, filters.events, filters.tickers, closes, filters.combos)


def apply_filters(
    filters: Filters, markets: pl.DataFrame, series: Sequence[Series], asof: datetime
) -> tuple[pl.DataFrame, list[FunnelStep]]:
    """Return the markets that match, and one funnel step per filter in use."""
    steps: list[FunnelStep] = []
    for label, test in _tests(filters, series, asof).items():
        matching = markets.filter(test.fill_null(value=False))
        steps.append(FunnelStep(label, matching.height, markets.height - matching.height))
        markets = matching
    return markets, steps


def _tests(filters: Filters, series: Sequence[Series], asof: datetime) -> dict[str, pl.Expr]:
    # A market can change its status between being selected and being sent.
    still = pl.col("status").is_in(STATUS_FIELDS[filters.status])
    tests = {f"still {filters.status}": still & (pl.col("close_ts") > asof) if filters.status == "open" else still}
    tests |= _name_tests(filters, series)
    if filters.decided_within is not None:
        tests[f"decided within {filters.decided_within}"] = pl.col("decided_ts") <= asof + filters.decided_within
    if filters.closes_within is not None:
        tests[f"closes within {filters.closes_within}"] = pl.col("close_ts") <= asof + filters.closes_within
    if filters.min_volume:
        tests[f"volume of at least {filters.min_volume:g}"] = pl.col("volume_cc") >= filters.min_volume * 100
    if filters.search:
        text = pl.concat_str("ticker", "title", "yes_sub_title", separator=" ", ignore_nulls=True)
        tests[f"contains {filters.search!r}"] = text.str.to_lowercase().str.contains(
            filters.search.lower(), literal=True
        )
    return tests


def _name_tests(filters: Filters, series: Sequence[Series]) -> dict[str, pl.Expr]:
    tests: dict[str, pl.Expr] = {}
    if filters.events and filters.tickers:
        tests[f"in event {', '.join(filters.events)}"] = pl.col("event_ticker").is_in(list(filters.events))
    if filters.series and (filters.events or filters.tickers):
        tests[f"in series {', '.join(filters.series)}"] = pl.col("series_ticker").is_in(list(filters.series))
    if filters.categories:
        names = _series_in_category(filters, series)
        tests[f"in category {', '.join(filters.categories)}"] = pl.col("series_ticker").is_in(names)
    return tests


def _series_in_category(filters: Filters, series: Sequence[Series]) -> list[str]:
    wanted = {category.casefold() for category in filters.categories}
    return [s.ticker for s in series if wanted & {c.casefold() for c in categories_of(s)}]


def categories_of(series: Series) -> set[str]:
    """Return all categories of a series."""
    return {name for name in (series.category, *(series.categories or ())) if name}

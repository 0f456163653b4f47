"""Which markets a listing is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

import polars as pl

from fairline.errors import UsageError
from fairline.kalshi.routes import Query
from fairline.kalshi.wire import STATUS_FIELDS, Series
from fairline.market.funnel import FunnelStep

Status = Literal["unopened", "open", "paused", "closed", "settled"]
STATUSES: tuple[str, ...] = get_args(Status)
_REQUESTS_FOR_ALL_MARKETS = 120
"""Requests that a full crawl takes if nothing is known: 117,187 markets were open in September 2026."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which markets to read. Categories match in any case and by any category of the market's series.

    `closes_within` is relative to the scan; `min_volume` counts contracts traded so far; `search` is a text in ticker,
    title or outcome, in any case. Multivariate events (`combos`) are left out unless asked for.
    Raises `UsageError` for an unknown status.
    """

    status: Status = "open"
    categories: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    tickers: tuple[str, ...] = ()
    closes_within: timedelta | None = None
    min_volume: float = 0
    search: str = ""
    combos: bool = False

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise UsageError(f"expected one of {', '.join(STATUSES)}, not {self.status!r}", field="status")

    def query(self, series: Sequence[Series] = (), full_requests: int | None = None) -> Query:
        """Return what the exchange can filter itself; `apply` does the rest.

        The exchange does not filter by category. Given the `series` list, a category is replaced by its series if
        asking for each of them takes fewer requests than a full crawl (`full_requests`).
        """
        names = self.series
        if series and self.categories and not names:
            tickers = tuple(self._series_in_category(series))
            names = tickers if len(tickers) < (full_requests or _REQUESTS_FOR_ALL_MARKETS) else ()
        now = int(datetime.now(UTC).timestamp())
        closes = None if self.closes_within is None else (now, now + int(self.closes_within.total_seconds()))
        return Query(self.status, names, self.events, self.tickers, closes, self.combos)

    def apply(
        self, markets: pl.DataFrame, series: Sequence[Series], asof: datetime
    ) -> tuple[pl.DataFrame, list[FunnelStep]]:
        """Return the markets that match, and one funnel step per filter in use."""
        steps: list[FunnelStep] = []
        for label, test in self._tests(series, asof).items():
            matching = markets.filter(test.fill_null(value=False))
            steps.append(FunnelStep(label, matching.height, markets.height - matching.height))
            markets = matching
        return markets, steps

    def _tests(self, series: Sequence[Series], asof: datetime) -> dict[str, pl.Expr]:
        # A market can change its status between being selected and being sent.
        still = pl.col("status").is_in(STATUS_FIELDS[self.status])
        tests = {f"still {self.status}": still & (pl.col("close_ts") > asof) if self.status == "open" else still}
        tests |= self._name_tests(series)
        if self.closes_within is not None:
            tests[f"closes within {self.closes_within}"] = pl.col("close_ts") <= asof + self.closes_within
        if self.min_volume:
            tests[f"volume of at least {self.min_volume:g}"] = pl.col("volume_cc") >= self.min_volume * 100
        if self.search:
            text = pl.concat_str("ticker", "title", "yes_sub_title", separator=" ", ignore_nulls=True)
            tests[f"contains {self.search!r}"] = text.str.to_lowercase().str.contains(self.search.lower(), literal=True)
        return tests

    def _name_tests(self, series: Sequence[Series]) -> dict[str, pl.Expr]:
        tests: dict[str, pl.Expr] = {}
        if self.events and self.tickers:
            tests[f"in event {', '.join(self.events)}"] = pl.col("event_ticker").is_in(list(self.events))
        if self.series and (self.events or self.tickers):
            tests[f"in series {', '.join(self.series)}"] = pl.col("series_ticker").is_in(list(self.series))
        if self.categories:
            names = self._series_in_category(series)
            tests[f"in category {', '.join(self.categories)}"] = pl.col("series_ticker").is_in(names)
        return tests

    def _series_in_category(self, series: Sequence[Series]) -> list[str]:
        wanted = {category.casefold() for category in self.categories}
        return [s.ticker for s in series if wanted & {c.casefold() for c in categories_of(s)}]


def categories_of(series: Series) -> set[str]:
    """Return all categories of a series."""
    return {name for name in (series.category, *(series.categories or ())) if name}

"""For any world, page size and fault mix, the crawl has every market or names where some are missing."""

import asyncio
import os
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairline.kalshi import Kalshi, Rate, Retry, TokenBucket, Transport
from fairline.kalshi.cache import ExchangeCache
from fairline.kalshi.crawl import MarketCrawl
from fairline.kalshi.errors import KalshiError
from fairline.kalshi.routes import Query
from fairline.kalshi.windows import second_of, tile
from fairline.sim import Exchange, Fault
from fairline.sim.catalog import WorldCatalog
from fairline.sim.world import World

# Faults a reader can notice. A row silently missing from the last page of a walk cannot be noticed.
FAULTS = (
    "429", "500", "502-html", "reset", "reset-body", "truncated-gzip", "not-json", "wrong-type", "repeat-cursor",
    "duplicate-row", "malformed-row", "unknown-values", "skew", "shuffled-rows", "refused-windows", "ignored-windows",
    "endless-cursor",
)  # fmt: skip
STATES = {"refused-windows", "ignored-windows", "endless-cursor"}

mixes = st.dictionaries(st.sampled_from(FAULTS), st.sampled_from([0.02, 0.1, 0.3]), max_size=4)


async def crawl(url, size, cache):
    bucket = TokenBucket(Rate(1e9, 1e9))
    retry = Retry(tries=4, base_s=0.001, cap_s=0.002)
    async with Kalshi(Transport(url, bucket=bucket, retry=retry)) as kalshi:
        market_crawl = MarketCrawl(kalshi, Query(page_size=size), list, cache=cache)
        tickers = [market.ticker async for page in market_crawl.pages() for market in page]
    return tickers, market_crawl.report


def check(exchange, tickers, report):
    """Check that the tickers are complete as of the report's instant, or that the report names what is missing."""
    columns = exchange.world.columns
    # Where the fault is a wrong `Date`, the instant computed from it is off by as much.
    asof = int((report.asof_s - 46 * exchange.faults.in_force("skew")) * 1e6)
    assert len(tickers) == len(set(tickers))
    surely = {t for t, c, o in zip(columns.ticker, columns.created_us, columns.status == 1, strict=True)
              if o and c <= asof}  # fmt: skip
    known = set(tickers) | {rejected.ticker for rejected in report.rejected}
    missing = surely - known
    assert not set(tickers) - set(columns.ticker)
    if report.complete:
        assert not missing
        return
    second = dict(zip(columns.ticker, columns.created_us // 1_000_000, strict=True))
    for ticker in missing:
        assert any(inside(walk, int(second[ticker])) for walk in report.missing), (ticker, report.incomplete_reasons)


def inside(walk, second):
    low, high = walk.unread.low, walk.unread.high
    return walk.axis is None or ((low is None or second >= low) and (high is None or second <= high + 1))


def one_example(markets, arrivals, seed, size, mix, folder):
    faults = [Fault(name, 1.0 if name in STATES else share) for name, share in mix.items()]
    world = World(markets, arrivals=arrivals, arrival_hours=1 / 3600, seed=seed)
    with Exchange(catalog=WorldCatalog(world), faults=faults) as exchange:
        cache = ExchangeCache(folder, exchange.url)
        for turn in range(2):  # the second one has the first one's profile, or its journal
            try:
                tickers, report = asyncio.run(crawl(exchange.url, size, cache if turn else None))
            except KalshiError:
                continue  # nothing could be read, which is an error
            check(exchange, tickers, report)


examples = given(
    markets=st.integers(1, 900),
    arrivals=st.integers(0, 40),
    seed=st.integers(0, 2**20),
    size=st.sampled_from([7, 50, 100, 1000]),
    mix=mixes,
)
patient = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def test_every_market_or_the_windows_where_some_are_missing(tmp_path_factory):
    @examples
    @settings(max_examples=50, **patient)
    def run(markets, arrivals, seed, size, mix):
        one_example(markets, arrivals, seed, size, mix, tmp_path_factory.mktemp("cache"))

    run()


@pytest.mark.slow
def test_every_market_or_the_windows_where_some_are_missing_500_times(tmp_path_factory):
    @examples
    @settings(max_examples=int(os.environ.get("EXAMPLES", "500")), **patient)
    def run(markets, arrivals, seed, size, mix):
        one_example(markets, arrivals, seed, size, mix, tmp_path_factory.mktemp("cache"))

    run()


@given(st.lists(st.integers(1_600_000_000, 1_800_000_000), min_size=1, max_size=60))
def test_windows_that_tile_hold_every_second_exactly_once_or_at_a_meeting(seconds):
    windows = tile(seconds)
    assert windows[0].high is None
    assert windows[-1].low is None
    for moment in np.unique([*seconds, *(s + 1 for s in seconds), *(s - 1 for s in seconds)]).tolist():
        holders = [w for w in windows if (w.low is None or moment >= w.low) and (w.high is None or moment <= w.high)]
        assert 1 <= len(holders) <= 2
        assert len(holders) == 1 or moment in seconds


@given(st.datetimes(min_value=datetime(2021, 1, 1)))
def test_the_second_of_a_time_is_rounded_down(moment):
    assert second_of(moment.isoformat() + "Z") == (moment - datetime(1970, 1, 1)) // timedelta(seconds=1)

"""How markets ended, collected: from the listing, from the archive, amended, and after a failure in between."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest

from fairline.kalshi import Kalshi, KalshiError, Rate, Retry, TokenBucket, Transport
from fairline.kalshi.http import Response
from fairline.store.datasets import EDGES
from fairline.store.store import Store
from fairline.watch.settlements import Settling
from fairline.watch.state import State

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Answers:
    """An exchange in a function: settled markets by when, some in the archive."""

    def __init__(self):
        self.live, self.archive, self.asked, self.archive_fails = {}, {}, [], False

    async def __call__(self, request):
        parts = urlsplit(request.url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked.append((parts.path.removeprefix("/trade-api/v2"), query))
        if "historical" in parts.path and self.archive_fails:
            return Response(404, {}, b"{}")
        rows = self.archive if "historical" in parts.path else self.live
        found = [row for row in rows.values() if row["settlement_ts"] >= since(query)]
        if "tickers" in query:
            found = [row for row in found if row["ticker"] in query["tickers"].split(",")]
        return Response(
            200, {"Content-Type": "application/json"}, json.dumps({"markets": found, "cursor": ""}).encode()
        )

    def settle(self, ticker, result, value=None, at=NOW, archived=False):
        row = {"ticker": ticker, "event_ticker": "E", "status": "finalized", "result": result,
               "settlement_value_dollars": value, "settlement_ts": f"{at:%Y-%m-%dT%H:%M:%SZ}"}  # fmt: skip
        (self.archive if archived else self.live)[ticker] = row


def since(query):
    return f"{datetime.fromtimestamp(int(query.get('min_settled_ts', 0)), UTC):%Y-%m-%dT%H:%M:%SZ}"


class Collector:
    def __init__(self, folder):
        self.answers, self.store, self.state, self.learned = Answers(), Store(folder), State(folder), []
        self.store.acquire()
        transport = Transport("http://x/trade-api/v2", send=self.answers, bucket=TokenBucket(Rate(1e9, 1e9)),
                              retry=Retry(tries=1))  # fmt: skip
        self.kalshi = Kalshi(transport)
        self.settling = Settling(self.kalshi, self.store, self.state)

    async def collect(self, minutes=0):
        at = NOW + timedelta(minutes=minutes)
        return await self.settling.collect(at, lambda rows: self.learned.extend(rows["ticker"]))

    def flag(self, *tickers, close=NOW - timedelta(days=100)):
        same = dict.fromkeys(EDGES) | {"side": "yes", "model": "m", "change": "appeared", "close_ts": close}
        rows = [same | {"ticker": ticker} for ticker in tickers]
        self.store.append("edges", pl.DataFrame(rows, schema=EDGES), self.store.tick(NOW - timedelta(days=1)))

    def kept(self):
        return self.store.read("settlements").select("ticker", "result", "payout_u").rows()


@pytest.fixture
def collector(tmp_path):
    made = Collector(tmp_path)
    yield made
    made.store.release()
    made.state.close()


async def test_each_ending_is_kept_once_as_what_it_is(collector):
    collector.answers.settle("A", "yes")
    collector.answers.settle("B", "scalar", "0.2400")
    collector.answers.settle("C", "")
    assert await collector.collect() == 3
    assert await collector.collect(5) == 0
    collector.answers.settle("D", "no", at=NOW + timedelta(minutes=6))
    assert await collector.collect(10) == 1
    assert sorted(collector.kept()) == [
        ("A", "yes", 1_000_000),
        ("B", "scalar", 240_000),
        ("C", "", None),
        ("D", "no", 0),
    ]
    assert collector.learned == ["A", "B", "C", "D"]


async def test_it_asks_for_what_was_settled_since_with_some_overlap(collector):
    collector.answers.settle("A", "yes", at=NOW - timedelta(minutes=3))
    await collector.collect()
    await collector.collect(5)
    asked = [int(query["min_settled_ts"]) for path, query in collector.answers.asked if "min_settled_ts" in query]
    assert asked[0] == int((NOW - timedelta(minutes=70)).timestamp())
    assert asked[1] == int((NOW - timedelta(minutes=13)).timestamp())


async def test_what_is_amended_counts_as_it_is_last_also_if_it_is_amended_back(collector):
    for minute, result in enumerate(("yes", "no", "yes")):
        collector.answers.settle("A", result, at=NOW + timedelta(minutes=minute))
        await collector.collect(minute)
    assert [row[1] for row in collector.kept()] == ["yes", "no", "yes"]


async def test_what_was_flagged_long_ago_is_asked_for_by_name_in_the_archive_too(collector):
    collector.flag("OLD", "GONE")
    collector.flag("OPEN", close=NOW + timedelta(days=5))
    collector.answers.settle("OLD", "no", at=NOW - timedelta(days=95), archived=True)
    assert await collector.collect() == 1
    assert collector.kept() == [("OLD", "no", 0)]
    named = [query["tickers"] for path, query in collector.answers.asked if "historical" in path]
    assert named == ["GONE,OLD"]


async def test_an_archive_that_fails_costs_nothing_of_what_is_new_and_is_asked_again(collector):
    collector.flag("OLD")
    collector.answers.settle("NEW", "yes")
    collector.answers.settle("OLD", "no", at=NOW - timedelta(days=95), archived=True)
    collector.answers.archive_fails = True
    with pytest.raises(KalshiError):
        await collector.collect()
    assert collector.kept() == [("NEW", "yes", 1_000_000)]
    collector.answers.archive_fails = False
    assert await collector.collect(5) == 1
    assert sorted(row[0] for row in collector.kept()) == ["NEW", "OLD"]


async def test_a_time_that_is_still_to_come_leaves_nothing_out(collector):
    collector.answers.settle("WRONG", "yes", at=NOW + timedelta(days=30_000))
    await collector.collect()
    collector.answers.settle("A", "yes", at=NOW + timedelta(minutes=3))
    assert await collector.collect(5) == 1

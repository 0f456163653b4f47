"""Collecting settlements: from the listing, from the archive, amended, and after a failure."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest

from fairline.kalshi import Kalshi, KalshiError, Rate, Retry, TokenBucket, Transport
from fairline.kalshi.http import Response
from fairline.store.datasets import EDGES
from fairline.store.store import Store
from fairline.watch.settlements import SettlementCollector
from fairline.watch.state import State

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class FakeExchange:
    """An exchange as a function: settled markets by time, some of them in the archive."""

    def __init__(self):
        self.live, self.archive, self.requested, self.archive_fails = {}, {}, [], False

    async def __call__(self, request):
        parts = urlsplit(request.url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.requested.append((parts.path.removeprefix("/trade-api/v2"), query))
        if "historical" in parts.path and self.archive_fails:
            return Response(404, {}, b"{}")
        rows = self.archive if "historical" in parts.path else self.live
        rows = [row for row in rows.values() if row["settlement_ts"] >= since(query)]
        if "tickers" in query:
            rows = [row for row in rows if row["ticker"] in query["tickers"].split(",")]
        return Response(200, {"Content-Type": "application/json"}, json.dumps({"markets": rows, "cursor": ""}).encode())

    def settle(self, ticker, result, value=None, at=NOW, archived=False):
        row = {"ticker": ticker, "event_ticker": "E", "status": "finalized", "result": result,
               "settlement_value_dollars": value, "settlement_ts": f"{at:%Y-%m-%dT%H:%M:%SZ}"}  # fmt: skip
        (self.archive if archived else self.live)[ticker] = row


def since(query):
    return f"{datetime.fromtimestamp(int(query.get('min_settled_ts', 0)), UTC):%Y-%m-%dT%H:%M:%SZ}"


class Collector:
    def __init__(self, folder):
        self.exchange, self.store, self.state, self.reported = FakeExchange(), Store(folder), State(folder), []
        self.store.acquire()
        transport = Transport("http://x/trade-api/v2", send=self.exchange, bucket=TokenBucket(Rate(1e9, 1e9)),
                              retry=Retry(tries=1))  # fmt: skip
        self.kalshi = Kalshi(transport)
        self.settlements = SettlementCollector(self.kalshi, self.store, self.state)

    async def collect(self, minutes=0):
        at = NOW + timedelta(minutes=minutes)
        return await self.settlements.collect(at, lambda rows: self.reported.extend(rows["ticker"]))

    def flag(self, *tickers, close=NOW - timedelta(days=100)):
        same = dict.fromkeys(EDGES) | {"side": "yes", "model": "m", "change": "appeared", "close_ts": close}
        rows = [same | {"ticker": ticker} for ticker in tickers]
        self.store.append("edges", pl.DataFrame(rows, schema=EDGES), self.store.next_ts(NOW - timedelta(days=1)))

    def read_rows(self):
        return self.store.read("settlements").select("ticker", "result", "payout_u").rows()


@pytest.fixture
def collector(tmp_path):
    collector = Collector(tmp_path)
    yield collector
    collector.store.release()
    collector.state.close()


async def test_each_settlement_is_recorded_once(collector):
    collector.exchange.settle("A", "yes")
    collector.exchange.settle("B", "scalar", "0.2400")
    collector.exchange.settle("C", "")
    assert await collector.collect() == 3
    assert await collector.collect(5) == 0
    collector.exchange.settle("D", "no", at=NOW + timedelta(minutes=6))
    assert await collector.collect(10) == 1
    assert sorted(collector.read_rows()) == [
        ("A", "yes", 1_000_000),
        ("B", "scalar", 240_000),
        ("C", "", None),
        ("D", "no", 0),
    ]
    assert collector.reported == ["A", "B", "C", "D"]


async def test_it_requests_settlements_since_the_last_one_with_an_overlap(collector):
    collector.exchange.settle("A", "yes", at=NOW - timedelta(minutes=3))
    await collector.collect()
    await collector.collect(5)
    starts = [int(query["min_settled_ts"]) for path, query in collector.exchange.requested if "min_settled_ts" in query]
    assert starts[0] == int((NOW - timedelta(minutes=70)).timestamp())
    assert starts[1] == int((NOW - timedelta(minutes=13)).timestamp())


async def test_every_amendment_is_recorded_even_back_to_an_earlier_result(collector):
    for minute, result in enumerate(("yes", "no", "yes")):
        collector.exchange.settle("A", result, at=NOW + timedelta(minutes=minute))
        await collector.collect(minute)
    assert [row[1] for row in collector.read_rows()] == ["yes", "no", "yes"]


async def test_old_flagged_markets_are_requested_by_ticker_and_from_the_archive(collector):
    collector.flag("OLD", "GONE")
    collector.flag("OPEN", close=NOW + timedelta(days=5))
    collector.exchange.settle("OLD", "no", at=NOW - timedelta(days=95), archived=True)
    assert await collector.collect() == 1
    assert collector.read_rows() == [("OLD", "no", 0)]
    named = [query["tickers"] for path, query in collector.exchange.requested if "historical" in path]
    assert named == ["GONE,OLD"]


async def test_a_failing_archive_loses_no_new_settlement_and_is_requested_again(collector):
    collector.flag("OLD")
    collector.exchange.settle("NEW", "yes")
    collector.exchange.settle("OLD", "no", at=NOW - timedelta(days=95), archived=True)
    collector.exchange.archive_fails = True
    with pytest.raises(KalshiError):
        await collector.collect()
    assert collector.read_rows() == [("NEW", "yes", 1_000_000)]
    collector.exchange.archive_fails = False
    assert await collector.collect(5) == 1
    assert sorted(row[0] for row in collector.read_rows()) == ["NEW", "OLD"]


async def test_a_settlement_time_in_the_future_skips_nothing(collector):
    collector.exchange.settle("WRONG", "yes", at=NOW + timedelta(days=30_000))
    await collector.collect()
    collector.exchange.settle("A", "yes", at=NOW + timedelta(minutes=3))
    assert await collector.collect(5) == 1

"""Collecting trades: each once, over pages and restarts."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from fairline.kalshi import Kalshi, Rate, Retry, TokenBucket, Transport
from fairline.kalshi.http import Response
from fairline.store.store import Store
from fairline.watch import trades as trades_module
from fairline.watch.trades import TradeCollector

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class FakeExchange:
    """An exchange as a function: trades of each ticker, two on a page, the latest first."""

    def __init__(self):
        self.trades, self.requested = {}, []

    async def __call__(self, request):
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}
        self.requested.append(query)
        rows = [row for row in self.trades.get(query["ticker"], []) if row["at"] >= int(query["min_ts"])]
        first = int(query.get("cursor", 0))
        page = list(reversed(rows))[first : first + 2]
        cursor = str(first + 2) if len(rows) > first + 2 else ""
        body = {"trades": [row["wire"] for row in page], "cursor": cursor}
        return Response(200, {"Content-Type": "application/json"}, json.dumps(body).encode())

    def trade(self, ticker, number, at):
        wire = {"trade_id": f"{ticker}-{number}", "ticker": ticker, "count_fp": "1.00", "yes_price_dollars": "0.5000",
                "taker_side": "yes", "created_time": f"{at:%Y-%m-%dT%H:%M:%S.%fZ}"}  # fmt: skip
        self.trades.setdefault(ticker, []).append({"at": at.timestamp(), "wire": wire})


@pytest.fixture
def exchange():
    return FakeExchange()


@pytest.fixture
def collector(tmp_path, exchange):
    store = Store(tmp_path)
    store.acquire()
    transport = Transport("http://x/trade-api/v2", send=exchange, bucket=TokenBucket(Rate(1e9, 1e9)),
                          retry=Retry(tries=1))  # fmt: skip
    yield TradeCollector(Kalshi(transport), store)
    store.release()


async def test_each_trade_is_recorded_once_over_pages_rounds_and_a_restart(collector, exchange, tmp_path):
    for number in range(5):
        exchange.trade("A", number, NOW + timedelta(seconds=number // 2))
    assert await collector.collect(["A"], NOW + timedelta(minutes=1)) == 5
    exchange.trade("A", 5, NOW + timedelta(seconds=2))
    assert await collector.collect(["A"], NOW + timedelta(minutes=6)) == 1
    restarted = TradeCollector(collector._kalshi, collector._store)
    exchange.trade("A", 6, NOW + timedelta(minutes=7))
    assert await restarted.collect(["A"], NOW + timedelta(minutes=11)) == 1
    rows = collector._store.read("trades")
    assert sorted(rows["trade_id"]) == [f"A-{number}" for number in range(7)]
    assert rows["price_u"].unique().to_list() == [500_000]


async def test_a_new_candidate_is_read_from_an_hour_back_and_then_from_its_last_trade(collector, exchange):
    exchange.trade("A", 0, NOW - timedelta(minutes=5))
    await collector.collect(["A"], NOW)
    await collector.collect(["A"], NOW + timedelta(minutes=5))
    starts = [int(query["min_ts"]) for query in exchange.requested]
    assert starts == [int((NOW - timedelta(hours=1)).timestamp()), int((NOW - timedelta(minutes=5)).timestamp())]


async def test_with_too_many_markets_those_not_asked_for_the_longest_come_first(collector, exchange, monkeypatch):
    monkeypatch.setattr(trades_module, "MAX_TICKERS", 2)
    for number in range(3):
        await collector.collect(["A", "B", "C"], NOW + timedelta(minutes=6 * number))
    assert [query["ticker"] for query in exchange.requested] == ["A", "B", "C", "A", "B", "A"]


async def test_a_market_is_requested_every_five_minutes_at_most(collector, exchange):
    for second in range(0, 300, 5):
        await collector.collect(["A"], NOW + timedelta(seconds=second))
    assert len(exchange.requested) == 1
    await collector.collect(["A"], NOW + timedelta(minutes=5))
    assert len(exchange.requested) == 2

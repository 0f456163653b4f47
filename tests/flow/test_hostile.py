"""One bad value costs one row, page or cache file, which is named; a scan raises only its own errors."""

import json
import random

import polars as pl
import pytest

from fairline.errors import FairlineError
from fairline.kalshi import Kalshi, KalshiError, Retry, Transport
from fairline.kalshi.cache import ExchangeCache
from fairline.kalshi.http import Response
from fairline.kalshi.journal import Journal
from fairline.kalshi.report import MAX_NAMED
from fairline.market.frame import PREDICTIONS
from fairline.market.listing import read_listing
from fairline.models.coherent import CoherentModel
from fairline.pricing.rules import Rules
from fairline.scanner import ScanOptions, run_scan
from tests.unit.kalshi.test_wire import MARKET

OPTIONS = ScanOptions(rules=Rules(max_spread_percent=50))
EVENT = {"event_ticker": "KX", "series_ticker": "KX", "title": "Rain?", "category": "Weather"}
SERIES = {"ticker": "KX", "title": "Rain", "category": "Weather", "fee_type": "quadratic", "fee_multiplier": 1}
BOOK = {"yes_dollars": [["0.5800", "10.00"]], "no_dollars": [["0.3800", "20.00"]]}


class Above:
    """A model that is ten points above every price."""

    name = "above"
    version = "1"

    def covers(self, markets):
        return pl.col("p_mid").is_not_null()

    def requests(self, markets, asof):
        return []

    def predict(self, markets, payloads, asof):
        p = (pl.col("p_mid") + 0.1).clip(0.01, 0.99)
        rows = markets.select("ticker", p=p, p_sd=0.01, model=pl.lit("above"), asof=asof, note=None)
        return rows.select(pl.col(name).cast(dtype) for name, dtype in PREDICTIONS.items())


def exchange(markets=None, event=None, series=None, book=None, fee_change=None):
    """Return a client of an exchange with 300 markets, of which some rows are replaced."""
    rows = [json.dumps(MARKET | {"ticker": f"KX-{n}", "created_time": "2026-11-01T00:00:00Z"}) for n in range(300)]
    rows[: len(markets or [])] = markets or []

    books = [{"ticker": f"KX-{n}", "orderbook_fp": BOOK} for n in range(300)]
    answers = {
        "/markets": '{"markets":[' + ",".join(rows) + '],"cursor":""}',
        "/events": '{"events":[' + json.dumps(EVENT | (event or {})) + '],"cursor":""}',
        "/series": '{"series":[' + json.dumps(SERIES | (series or {})) + "]}",
        "/markets/orderbooks": json.dumps({"orderbooks": [*books, *([book] if book else [])]}),
        "/series/fee_changes": '{"series_fee_change_arr":[' + (fee_change or "") + "]}",
        "/events/fee_changes": '{"event_fee_changes":[],"cursor":""}',
    }

    async def send(request):
        path, _, query = request.url.removeprefix("https://host/v2").partition("?")
        body = '{"markets":[],"cursor":""}' if "min_created_ts" in query else answers[path]
        return Response(200, {}, body.encode())

    return send


def client(send, bucket):
    return Kalshi(Transport("https://host/v2", send=send, bucket=bucket, retry=Retry(tries=1)))


VALUES = [
    "1e400", "-1e400", "1e18", "-1e18", "1e-400", "0", "-0.0", "NaN", "null", "true", '""', '"x"', '"-1"', '"1e5"',
    '"0.123456789"', '"99999999999999999999"', '"\\u0000"', '"\\ud800"', '"=cmd()"', '"\\u202e"', "[]", "{}",
    '"0000-00-00T00:00:00Z"', '"9999-12-31T23:59:59.999999999Z"', '"2026-02-30T00:00:00Z"', "123456789012345678901",
    '"' + "long" * 50_000 + '"', "[" * 2_000 + "]" * 2_000,
]  # fmt: skip
FIELDS = [
    "ticker", "event_ticker", "status", "market_type", "yes_bid_dollars", "yes_ask_dollars", "yes_bid_size_fp",
    "yes_ask_size_fp", "close_time", "created_time", "open_time", "expected_expiration_time", "occurrence_datetime",
    "fee_waiver_expiration_time", "title", "yes_sub_title", "last_price_dollars", "volume_fp", "volume_24h_fp",
    "open_interest_fp", "notional_value_dollars", "strike_type", "floor_strike", "cap_strike", "price_level_structure",
    "price_ranges", "is_provisional", "mve_collection_ticker", "custom_strike", "rules_primary",
    "settlement_bounds_type", "settlement_floor_dollars", "settlement_cap_dollars",
]  # fmt: skip


def row_with(field, value, number=0):
    row = json.dumps(
        {k: v for k, v in MARKET.items() if k != field} | ({} if field == "ticker" else {"ticker": f"KX-{number}"})
    )
    return f'{row[:-1]},"{field}":{value}}}'


@pytest.mark.parametrize("field", FIELDS)
async def test_a_hostile_value_in_a_market_costs_at_most_its_row(unhurried, field):
    rows = [row_with(field, value, number) for number, value in enumerate(VALUES)]
    async with client(exchange(rows), unhurried) as kalshi:
        result = await run_scan(kalshi, [Above(), CoherentModel()], OPTIONS)
    listing = result.listing
    assert listing.listed >= 300 - len(VALUES)
    assert listing.unreadable <= len(VALUES)
    assert len(listing.quarantined) == listing.unreadable
    hostile = {f"KX-{number}" for number in range(len(VALUES))}
    if field != "ticker":
        assert {row.ticker for row in listing.quarantined} <= hostile
    others = result.opportunities.filter(
        pl.col("ticker").str.starts_with("KX-") & ~pl.col("ticker").is_in(list(hostile))
    )
    assert others["ticker"].n_unique() == 300 - len(VALUES), "the other rows are not affected"


async def test_hostile_values_in_several_rows_at_once_raise_only_our_own_errors(unhurried):
    chance = random.Random(7)
    for _ in range(25):
        rows = [row_with(chance.choice(FIELDS), chance.choice(VALUES), n) for n in range(100)]
        event = {chance.choice(list(EVENT)): chance.choice([None, "", "x", 5, [], 1e300])}
        series = {chance.choice(list(SERIES)): chance.choice([None, "", "x", 5, [], 1e10])}
        async with client(exchange(rows, event, series), unhurried) as kalshi:
            try:
                listing = (await run_scan(kalshi, [Above(), CoherentModel()], OPTIONS)).listing
            except (KalshiError, FairlineError):
                continue
            assert listing.listed + listing.unreadable >= 250


@pytest.mark.parametrize("multiplier", [1e10, -1, "x", 1e300])
async def test_a_hostile_multiplier_of_an_event_or_series_is_named(unhurried, multiplier):
    for place in ({"series": {"fee_multiplier": multiplier}}, {"event": {"fee_multiplier_override": multiplier}}):
        async with client(exchange(**place), unhurried) as kalshi:
            result = await run_scan(kalshi, [Above()], OPTIONS)
        assert any("fee_multiplier" in row.field for row in result.listing.quarantined)
        assert not result.complete
        assert (result.evaluation.edges["fee_u"].drop_nulls() > 0).all(), "an impossible multiplier is not free"


@pytest.mark.parametrize("header", ["²", "1e9999", "-5", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", "9" * 400, ""])
async def test_a_strange_retry_after_does_not_break_the_retry(unhurried, header):
    answers = [
        Response(429, {"Retry-After": header}, b"\xff not text"),
        Response(200, {}, b'{"series":[],"cursor":""}'),
    ]

    async def send(request):
        return answers.pop(0)

    async def sleep(seconds):
        assert 0 <= seconds <= 10

    transport = Transport("https://host/v2", send=send, bucket=unhurried, retry=Retry(tries=2), sleep=sleep)
    async with Kalshi(transport) as kalshi:
        assert (await kalshi.series.list()).rows == []


DAMAGES = [
    b"",
    b"null\n\n",
    b"[]\n\n",
    b'{"version":2}\n\n',
    b'{"version":2,"began":"x"}\n\n',
    b"\xff\xfe\n",
    b"{" * 9_999,
    b'{"version":99,"began":1.0}\n\n',
    b'{"version":2,"began":1e308}\n\n{"kind":"page","walk":0,"bytes":-5}\n',
]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_journal_is_removed_and_the_scan_goes_on(unhurried, tmp_path, damage):
    cache = ExchangeCache(tmp_path, "https://host/v2")
    async with client(exchange(), unhurried) as kalshi:
        await read_listing(kalshi, memory=cache)
        (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
        journal = cache.journal("key", 100)
        assert isinstance(journal, Journal)
        journal.close(keep=True)
        for path in folder.glob("*.pages"):
            path.write_bytes(damage)
        again = cache.journal("key", 100)
        assert again.records == []
        again.close(keep=False)
        for path in (*folder.glob("*.json"), *folder.glob("*.gz")):
            path.write_bytes(damage)
        assert (await read_listing(kalshi, memory=cache)).complete


async def test_a_cache_dated_in_the_future_is_not_fresh(unhurried, tmp_path):
    import os
    import time

    asked = []
    send = exchange()

    async def counting(request):
        asked.append(request.url)
        return await send(request)

    cache = ExchangeCache(tmp_path, "https://host/v2")
    async with client(counting, unhurried) as kalshi:
        await read_listing(kalshi, memory=cache)
        fresh = len(asked)
        await read_listing(kalshi, memory=cache)
        assert not [url for url in asked[fresh:] if "/series" in url or "/events" in url], "all of it is fresh"
        future = time.time() + 5 * 365 * 86_400
        for path in tmp_path.rglob("*.gz"):
            os.utime(path, (future, future))
        for path in tmp_path.rglob("*.json"):
            path.write_text(path.read_text().replace('"read_ts":1', '"read_ts":9'))
        del asked[:]
        assert (await read_listing(kalshi, memory=cache)).complete
        assert [url for url in asked if "/series?" in url or url.endswith("/series")]
        assert [url for url in asked if "/events?" in url]
        assert [url for url in asked if "fee_changes" in url]


async def test_only_unreadable_rows_cost_little_memory(unhurried):
    import tracemalloc

    body = b'{"markets":[' + b",".join([b"{}"] * 1_000) + b'],"cursor":"%d"}'
    pages = iter(range(200))

    async def send(request):
        number = next(pages, None)
        return Response(200, {}, body % number if number is not None else b'{"markets":[],"cursor":""}')

    tracemalloc.start()
    async with client(send, unhurried) as kalshi:
        from fairline.kalshi.crawl import MarketCrawl
        from fairline.kalshi.routes import Query

        crawl = MarketCrawl(kalshi, Query(status="paused"), list)
        async for _ in crawl.pages():
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(crawl.report.rejected) <= MAX_NAMED
    assert peak < 20e6


async def test_a_fee_change_that_cannot_be_read_is_named(unhurried, tmp_path):
    change = '{"series_ticker":"KX","fee_type":"quadratic","fee_multiplier":1e18,"scheduled_ts":"2026-12-01T00:00:00Z"}'
    async with client(exchange(fee_change=change), unhurried) as kalshi:
        listing = await read_listing(kalshi, memory=ExchangeCache(tmp_path, "https://host/v2"))
    (problem,) = [problem for problem in listing.problems if problem.stage == "fees"]
    assert "1 scheduled fee changes could not be read, such as KX: fee_multiplier" in problem.message

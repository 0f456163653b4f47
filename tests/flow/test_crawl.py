"""The crawl over real sockets: the outcome of each fault, late arrivals, resumption, kill -9, the clock."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from msgspec.structs import replace

from fairline.kalshi import Kalshi, Rate, Retry, Timeouts, TokenBucket, Transport
from fairline.kalshi.cache import ExchangeCache, key_of
from fairline.kalshi.crawl import MarketCrawl
from fairline.kalshi.errors import KalshiError, ResponseError
from fairline.kalshi.fee_changes import FeeChanges
from fairline.kalshi.http import Response, Unpacker
from fairline.kalshi.journal import Record
from fairline.kalshi.routes import Query
from fairline.market.filters import Filters
from fairline.market.listing import read_listing, read_market
from fairline.market.plan import plan_requests
from fairline.sim import Exchange, Fault
from fairline.sim.catalog import WorldCatalog
from fairline.sim.world import World
from tests.unit.kalshi.test_wire import MARKET

SMALL = Query(page_size=100)


def kalshi_of(url, silence_s=0.3):
    retry = Retry(tries=3, base_s=0.001, cap_s=0.002)
    timeouts = Timeouts(silence_s=silence_s, total_s=5)
    return Kalshi(Transport(url, bucket=TokenBucket(Rate(1e9, 1e9)), retry=retry, timeouts=timeouts))


async def crawl(url, query=SMALL, cache=None, **more):
    async with kalshi_of(url) as kalshi:
        market_crawl = MarketCrawl(kalshi, query, list, cache=cache, **more)
        tickers = [market.ticker async for page in market_crawl.pages() for market in page]
        return tickers, market_crawl.report, kalshi.transport.traffic


def everything(exchange):
    columns = exchange.world.columns
    return {ticker for ticker, status in zip(columns.ticker, columns.status, strict=True) if status == 1}


@pytest.fixture(scope="module")
def thousand():
    with Exchange(markets=1_000, seed=8) as exchange:
        yield exchange


# Each fault, how often it strikes, and what a crawl makes of it: whole in spite of it, whole and with a note, whole
# but for rows named, or openly incomplete.
MATRIX = {
    "429": (0.2, "whole"),
    "500": (0.2, "whole"),
    "502-html": (0.2, "whole"),
    "reset": (0.2, "whole"),
    "jitter": (0.2, "whole"),
    "reset-body": (0.2, "whole"),
    "stall": (0.05, "whole"),
    "truncated-gzip": (0.2, "whole"),
    "not-json": (0.2, "whole"),
    "wrong-type": (0.2, "whole"),
    "endless-body": (0.05, "whole"),
    "captive-page": (0.2, "whole"),
    "skew": (0.5, "whole"),
    "clock-ahead": (1.0, "whole"),
    "clock-behind": (1.0, "whole"),
    "repeat-cursor": (0.1, "whole"),
    "duplicate-row": (0.5, "whole"),
    "unknown-values": (0.5, "whole"),
    "shuffled-rows": (0.5, "whole"),
    "malformed-row": (0.5, "rows named"),
    "refused-windows": (1.0, "noted"),
    "ignored-windows": (1.0, "noted"),
    "endless-cursor": (1.0, "incomplete"),
    "moved": (1.0, "nothing"),
    "redirect": (1.0, "nothing"),
}


@pytest.mark.parametrize("name", MATRIX)
async def test_each_fault_has_its_outcome(thousand, name):
    share, outcome = MATRIX[name]
    # Accidents that a crawl survives, no oftener than it tries: else it would now and then rightly be incomplete.
    times = None if outcome != "whole" or share == 1 else 1 if name == "repeat-cursor" else 2
    thousand.faults.set(Fault(name, max(share, 0.5) if times else share, times))
    try:
        if outcome == "nothing":
            with pytest.raises(KalshiError):
                await crawl(thousand.url)
            return
        tickers, report, _ = await crawl(thousand.url)
    finally:
        thousand.faults.set()
    assert len(tickers) == len(set(tickers))
    assert report.complete == (outcome != "incomplete")
    assert bool(report.notes) == (outcome == "noted") or outcome == "incomplete"
    named = {rejected.ticker for rejected in report.rejected}
    assert bool(named) == (outcome == "rows named")
    assert set(tickers) | named - {""} == everything(thousand) or "" in named


async def test_a_row_missing_from_a_full_page_is_read_when_the_page_is_repeated(thousand):
    thousand.faults.set(Fault("vanished-row", 1.0, 1))
    tickers, report, _ = await crawl(thousand.url)
    thousand.faults.set()
    assert set(tickers) == everything(thousand)
    assert report.complete


async def test_markets_listed_during_the_crawl_are_read_by_the_closing_pass():
    with Exchange(markets=600, arrivals=300, speed=3_600, seed=2, latency_ms=60) as exchange:
        tickers, report, _ = await crawl(exchange.url)
        columns = exchange.world.columns
    began = exchange.world.now.timestamp() * 1e6
    late = {t for t, c in zip(columns.ticker, columns.created_us, strict=True) if c > began}
    assert report.late > 0
    assert set(tickers) & late
    assert report.complete


async def test_the_second_crawl_uses_the_profile_of_the_first(thousand, tmp_path):
    cache = ExchangeCache(tmp_path, thousand.url)
    async with kalshi_of(thousand.url) as kalshi:
        first = MarketCrawl(kalshi, SMALL, list, cache=cache)
        assert first.route().requests is None
        [_ async for _ in first.pages()]
        route = MarketCrawl(kalshi, SMALL, list, cache=cache).route()
    assert len(route.windows) > 5
    tickers, report, traffic = await crawl(thousand.url, cache=cache)
    assert set(tickers) == everything(thousand)
    assert len({walk.window for walk in report.walks}) >= len(route.windows)
    assert traffic.requests <= 1.5 * route.requests
    assert not cache.has_unfinished_crawl()


async def test_a_stopped_crawl_continues_where_it_was(thousand, tmp_path):
    cache = ExchangeCache(tmp_path, thousand.url)
    async with kalshi_of(thousand.url) as kalshi:
        pages = MarketCrawl(kalshi, SMALL, list, cache=cache).pages()
        for _ in range(4):
            await anext(pages)
        await pages.aclose()
    assert cache.has_unfinished_crawl()
    whole = (await crawl(thousand.url))[2].requests
    tickers, report, traffic = await crawl(thousand.url, cache=cache)
    assert report.resumed_pages >= 4
    assert "continued a crawl begun" in report.notes[0]
    assert set(tickers) == everything(thousand)
    assert traffic.requests + report.resumed_pages <= whole + 4
    assert not cache.has_unfinished_crawl()


async def test_a_journal_that_is_too_old_held_or_damaged_is_not_used(thousand, tmp_path):
    cache = ExchangeCache(tmp_path, thousand.url)
    key = key_of(SMALL)
    held = cache.journal(key, 100)
    other = cache.journal(key, 100)
    assert other.records == [], "another process holds the first one"
    other.close(keep=False)
    held.add(Record(kind="started", walk=0, filters=SMALL.base()))
    held.add(Record(kind="page", walk=0), b"{}")
    held.close(keep=True)
    (path,) = tmp_path.rglob("*.pages")
    path.write_bytes(path.read_bytes() + b'{"kind":"page","walk":0,"bytes":500}\nhalf a pa')
    again = cache.journal(key, 100)
    assert [len(body) for _, body in again.records] == [0, 2], "the incomplete record is truncated"
    again.close(keep=True)
    fresh = cache.journal(key, -1)
    assert fresh.records == []
    assert not path.exists(), "what is too old is removed"
    fresh.close(keep=False)
    (path.parent / f"{key}-0-0.pages").write_bytes(b"no journal\n")
    tickers, report, _ = await crawl(thousand.url, cache=cache)
    assert not report.notes
    assert set(tickers) == everything(thousand)


async def test_an_unwritable_folder_costs_only_the_cache(thousand, tmp_path):
    (tmp_path / "file").write_text("")
    tickers, report, _ = await crawl(thousand.url, cache=ExchangeCache(tmp_path / "file", thousand.url))
    assert set(tickers) == everything(thousand)
    assert report.complete


CRAWL = """
import asyncio, sys
from pathlib import Path
from fairline.kalshi import Kalshi, Rate, TokenBucket, Transport
from fairline.kalshi.crawl import MarketCrawl
from fairline.kalshi.cache import ExchangeCache
from fairline.kalshi.routes import Query

async def main(url, folder):
    async with Kalshi(Transport(url, bucket=TokenBucket(Rate(1e9, 1e9)))) as kalshi:
        crawl = MarketCrawl(kalshi, Query(page_size=100), list, cache=ExchangeCache(Path(folder), url))
        async for page in crawl.pages():
            print(len(page), flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def test_kill_9_loses_at_most_the_pages_in_flight(tmp_path):
    with Exchange(markets=2_000, seed=8, latency_ms=40) as exchange:
        for pages in (1, 3, 7):
            with subprocess.Popen(
                [sys.executable, "-c", CRAWL, exchange.url, str(tmp_path)], stdout=subprocess.PIPE, text=True
            ) as running:
                for _ in range(pages):
                    running.stdout.readline()
                running.send_signal(signal.SIGKILL)
            assert running.returncode == -signal.SIGKILL
        tickers, report, _ = asyncio.run(crawl(exchange.url, cache=ExchangeCache(tmp_path, exchange.url)))
        assert set(tickers) == everything(exchange)
        assert report.complete
        assert report.resumed_pages >= 7, "the third process had begun with the pages of the second"


def test_ctrl_c_ends_at_once_and_says_how_to_continue(tmp_path):
    with Exchange(markets=2_000, seed=8, latency_ms=300) as exchange:
        command = [sys.executable, "-m", "fairline", "markets", "--exchange", exchange.url, "--max-age", "5m"]
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        ) as run:
            deadline = time.monotonic() + 20
            while exchange.backend.requests < 4 and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(0.35)
            sent = time.monotonic()
            run.send_signal(signal.SIGINT)
            _, errors = run.communicate(timeout=10)
        # A tenth of a second where nothing else runs; this tells it from one that goes on, beside other tests as well.
        assert time.monotonic() - sent < 5.0
        assert run.returncode == 130
        assert "run the command again within 300 s to resume" in errors
        done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, env=environment)
    scan = json.loads(done.stdout)["scan"]
    assert scan["complete"]
    assert scan["crawl"]["resumed_pages"] >= 1
    assert scan["markets"] == 2_000


async def test_windows_of_closing_time_select_the_same_markets(thousand):
    from datetime import timedelta

    soon = Filters(closes_within=timedelta(days=3))
    async with kalshi_of(thousand.url) as kalshi:
        narrow = await read_listing(kalshi, soon)
        asked = kalshi.transport.traffic.requests
        whole = await read_listing(kalshi)
    assert narrow.narrowed
    limit = narrow.started_ts + timedelta(days=3)
    expected = whole.markets.filter(whole.markets["close_ts"] <= limit)["ticker"]
    assert set(narrow.markets["ticker"]) == set(expected)
    assert asked < 6


async def test_fresh_series_and_events_are_not_requested_again(thousand, tmp_path):
    cache = ExchangeCache(tmp_path, thousand.url)
    asked = []
    async with kalshi_of(thousand.url) as kalshi:
        send = kalshi.transport._send

        async def send_scripted(request):
            asked.append(request.url.split("/trade-api/v2")[1].split("?")[0])
            return await send(request)

        kalshi.transport._send = send_scripted
        first = await read_listing(kalshi, memory=cache)
        changes = {"/series/fee_changes", "/events/fee_changes"}
        assert set(asked) == {"/series", "/markets", "/events"} | changes
        asked.clear()
        steps = {step.path: step.requests for step in plan_requests(thousand.url, Filters(), cache)}
        second = await read_listing(kalshi, memory=cache)
    assert steps["/series"] == 0
    assert set(asked) == {"/markets"}
    columns = ["ticker", "series_ticker", "category", "fee_type", "mutually_exclusive", "milestone_ts", "home_target"]
    assert second.markets.sort("ticker").select(columns).equals(first.markets.sort("ticker").select(columns))
    # The world's last event may be cut off after one market, and has no milestone then.
    games = first.markets.filter((pl.col("series_ticker") == "KXNFLGAME") & (pl.len().over("event_ticker") == 2))
    assert games.height > 0
    home = pl.col("title").str.contains(pl.format("at {}", "yes_sub_title"))
    expected = pl.when(home).then("home_target").otherwise("away_target")
    assert games.select((pl.col("target") == expected).all()).item(), "as in: Jorford at Wesville"
    assert (games["decided_ts"] - games["milestone_ts"]).unique().to_list() == [timedelta(hours=3)]
    one = games["ticker"][0]
    async with kalshi_of(thousand.url) as kalshi:
        alone = await read_market(kalshi, one)
    assert alone["milestone_ts"].to_list() == games["milestone_ts"].to_list()[:1]


@pytest.mark.parametrize("content,reason", [(b"\x1f\x8bnonsense", "damaged"), (b"", "truncated")])
def test_a_damaged_compressed_answer_is_named(content, reason):
    with pytest.raises(ResponseError, match=reason):
        Unpacker()(content)


def test_a_compressed_answer_of_several_members_is_read_to_the_end():
    import gzip

    assert bytes(Unpacker()(gzip.compress(b'{"a":') + gzip.compress(b"1}"))) == b'{"a":1}'


def test_an_endless_compressed_answer_is_given_up():
    import zlib

    packer = zlib.compressobj(wbits=31)
    bomb = packer.compress(b" " * (80 << 20)) + packer.flush()
    with pytest.raises(ResponseError, match="longer than 64 MiB"):
        Unpacker()(bomb)
    small = zlib.compressobj(wbits=31)
    assert bytes(Unpacker()(small.compress(b"{}") + small.flush())) == b"{}"


async def test_an_endless_listing_of_one_series_ends(thousand):
    thousand.faults.set(Fault("endless-cursor"))
    _, report, _ = await asyncio.wait_for(crawl(thousand.url, Query(series=("KXHOUSERACE",))), 20)
    thousand.faults.set()
    assert "with nothing new" in report.incomplete_reasons[0]


def test_rows_of_the_world_are_as_many_as_asked_for(thousand):
    assert len(everything(thousand)) == 1_000
    assert np.all(np.diff(thousand.world.columns.created_us) <= 0)


async def test_a_failed_walk_is_repeated_when_the_crawl_continues(thousand, tmp_path):
    cache = ExchangeCache(tmp_path, thousand.url)
    async with kalshi_of(thousand.url) as kalshi:
        send, count = kalshi.transport._send, 0

        async def breaking(request):
            nonlocal count
            count += 1
            if count > 12:
                return Response(500, {}, b"")
            return await send(request)

        kalshi.transport._send = breaking
        market_crawl = MarketCrawl(kalshi, SMALL, list, cache=cache)
        first = [market.ticker async for page in market_crawl.pages() for market in page]
    assert not market_crawl.report.complete
    assert len(first) < 1_000
    tickers, report, _ = await crawl(thousand.url, cache=cache)
    assert report.complete
    assert set(tickers) == everything(thousand)


@pytest.mark.parametrize("odd", ["0001-01-01T00:00:00Z", "2019-01-01T00:00:00Z", "2023-05-01T00:00:00Z"])
async def test_one_row_with_an_odd_time_does_not_end_a_walk(odd):
    with Exchange(markets=1_500, seed=8) as exchange:
        catalog = exchange.backend.catalog
        real, opens = catalog.market, np.flatnonzero(exchange.world.columns.status == 1)
        for place in (199, 299, 399):
            strange = int(opens[place])
            text = json.dumps(json.loads(real(strange)) | {"created_time": odd}).encode()
            catalog.market = lambda row, strange=strange, text=text: text if row == strange else real(row)
            tickers, report, _ = await crawl(exchange.url)
            assert set(tickers) == everything(exchange)
            assert report.complete


@pytest.mark.parametrize(
    "faults", [("refused-windows", "shuffled-rows"), ("refused-windows",), ("ignored-windows",), ()]
)
async def test_arrivals_are_complete_as_of_the_stated_instant(faults, tmp_path):
    world = World(700, arrivals=400, arrival_hours=4 / 3600, seed=6)
    with Exchange(catalog=WorldCatalog(world), latency_ms=90, faults=[Fault(name) for name in faults]) as exchange:
        for turn in range(2):
            cache = ExchangeCache(tmp_path, exchange.url) if turn else None
            if turn:
                async with kalshi_of(exchange.url) as kalshi:
                    pages = MarketCrawl(kalshi, SMALL, list, cache=cache).pages()
                    for _ in range(3):
                        await anext(pages)
                    await pages.aclose()
            tickers, report, _ = await crawl(exchange.url, cache=cache)
            columns, asof = world.columns, int(report.asof_s * 1e6)
            created = {
                t
                for t, c, s in zip(columns.ticker, columns.created_us, columns.status, strict=True)
                if c <= asof and s == 1
            }
            assert report.complete
            assert not created - set(tickers)


async def test_one_row_outside_its_window_does_not_drop_the_windows(thousand):
    from datetime import timedelta

    catalog, real = thousand.backend.catalog, thousand.backend.catalog.market
    soon = np.flatnonzero((thousand.world.columns.status == 1) & (catalog.close_us < (time.time() + 2 * 86_400) * 1e6))
    strange = int(soon[len(soon) // 2])
    text = json.dumps(json.loads(real(strange)) | {"close_time": "2030-01-01T00:00:00Z"}).encode()
    catalog.market = lambda row: text if row == strange else real(row)
    try:
        async with kalshi_of(thousand.url) as kalshi:
            listing = await read_listing(kalshi, Filters(closes_within=timedelta(days=2)))
    finally:
        catalog.market = real
    assert not listing.report.notes
    assert listing.complete


async def test_pages_that_repeat_under_ever_new_cursors_end():
    count = 0

    async def send_scripted(request):
        nonlocal count
        count += 1
        rows = [MARKET | {"ticker": f"T{i}"} for i in range(3)]
        return Response(200, {}, json.dumps({"markets": rows, "cursor": f"c{count}"}).encode())

    kalshi = Kalshi(Transport("http://h/trade-api/v2", send=send_scripted, bucket=TokenBucket(Rate(1e9, 1e9))))
    market_crawl = MarketCrawl(kalshi, Query(page_size=3), list)
    [_ async for _ in market_crawl.pages()]
    assert not market_crawl.report.complete
    assert count < 40


async def test_a_damaged_or_full_disk_costs_only_the_journal(thousand, tmp_path, monkeypatch):
    cache = ExchangeCache(tmp_path, thousand.url)
    async with kalshi_of(thousand.url) as kalshi:
        pages = MarketCrawl(kalshi, SMALL, list, cache=cache).pages()
        for _ in range(3):
            await anext(pages)
        await pages.aclose()
    (path,) = tmp_path.rglob("*.pages")
    content = bytearray(path.read_bytes())
    at = content.index(b"\x1f\x8b") + 200
    content[at : at + 40] = bytes(40)
    path.write_bytes(content)
    tickers, report, _ = await crawl(thousand.url, cache=cache)
    assert set(tickers) == everything(thousand)
    assert report.complete
    assert not list(tmp_path.rglob("*.pages"))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fairline.kalshi.journal.Journal.add", full)
    tickers, report, _ = await crawl(thousand.url, cache=cache)
    assert set(tickers) == everything(thousand)


async def test_a_series_newer_than_the_cached_list_causes_a_new_read(thousand, tmp_path):
    cache = ExchangeCache(tmp_path, thousand.url)
    series = thousand.backend.catalog.series
    hidden = next(s for s in series if s["ticker"] == "KXHOUSERACE")
    series.remove(hidden)
    try:
        async with kalshi_of(thousand.url) as kalshi:
            await read_listing(kalshi, memory=cache)
    finally:
        series.append(hidden)
    async with kalshi_of(thousand.url) as kalshi:
        listing = await read_listing(kalshi, memory=cache)
    rows = listing.markets.filter(listing.markets["series_ticker"] == "KXHOUSERACE")
    assert rows.height > 0
    assert rows["fee_type"].null_count() == 0


async def test_tickers_series_and_events_narrow_each_other_and_a_closed_market_is_named(thousand):
    columns = thousand.world.columns
    ticker = columns.ticker[int(np.flatnonzero(columns.status == 1)[0])]
    paused = columns.ticker[int(np.flatnonzero(columns.status == 2)[0])]
    async with kalshi_of(thousand.url) as kalshi:
        assert (await read_listing(kalshi, Filters(tickers=(ticker,)))).markets.height == 1
        other = "KXHOUSERACE" if not ticker.startswith("KXHOUSERACE-") else "KXBTC"
        assert (await read_listing(kalshi, Filters(tickers=(ticker,), series=(other,)))).markets.is_empty()
        listing = await read_listing(kalshi, Filters(tickers=(paused,)))
    assert listing.markets.is_empty()
    assert "its status is inactive, not open" in listing.problems[0].message


@pytest.mark.parametrize(
    "faults", [(), ("refused-windows",), ("ignored-windows",), ("repeat-cursor:0.1",), ("500:0.3",)]
)
def test_a_journal_truncated_at_any_byte_leads_to_a_complete_crawl(faults, tmp_path):
    """Killed at any byte of its journal, a crawl can be continued, and the result has every market."""

    async def stopped_late(url, cache):
        async with kalshi_of(url) as kalshi:
            pages = MarketCrawl(kalshi, Query(page_size=20), list, cache=cache).pages()
            with contextlib.suppress(StopAsyncIteration, KalshiError):
                for _ in range(24):
                    await anext(pages)
            await pages.aclose()

    with Exchange(markets=500, seed=11, faults=[Fault.parse(text) for text in faults]) as exchange:
        asyncio.run(stopped_late(exchange.url, ExchangeCache(tmp_path / "first", exchange.url)))
        exchange.faults.set(*(fault for fault in map(Fault.parse, faults) if "windows" in fault.name))
        (path,) = (tmp_path / "first").rglob("*.pages")
        content = path.read_bytes()
        rng = np.random.default_rng(5)
        lines = [i + 1 for i, byte in enumerate(content) if byte == 10]
        # Where windows are given up there is a moment for each record in which one is written and the next is not.
        turning = [
            end for end in lines if b"windowless" in content[end - 120 : end] or b"taken" in content[end - 120 : end]
        ]
        for cut in [*rng.integers(1, len(content), 5).tolist(), *rng.choice(lines, 5).tolist(), *turning]:
            again = tmp_path / "again" / path.parent.name / path.name
            again.parent.mkdir(parents=True, exist_ok=True)
            again.write_bytes(content[:cut])
            cache = ExchangeCache(tmp_path / "again", exchange.url)
            tickers, report, _ = asyncio.run(crawl(exchange.url, Query(page_size=20), cache=cache))
            assert set(tickers) == everything(exchange), cut
            assert report.complete


async def test_a_fee_change_that_takes_effect_while_facts_are_cached_counts(thousand, tmp_path):
    cache = ExchangeCache(tmp_path, thousand.url)
    async with kalshi_of(thousand.url) as kalshi:
        first = await read_listing(kalshi, memory=cache)
        changes = cache.load("fee-changes", FeeChanges)
        changed = changes.series[0]
        assert changed.scheduled_ts > datetime.now(UTC)
        before = first.markets.filter(pl.col("series_ticker") == changed.series_ticker)
        assert before.height > 0
        assert 0 not in before["fee_multiplier_m"]
        past = replace(changed, fee_multiplier=0.0, scheduled_ts=datetime.now(UTC) - timedelta(seconds=1))
        cache.save("fee-changes", replace(changes, series=[past]))
        second = await read_listing(kalshi, memory=cache)
    after = second.markets.filter(pl.col("series_ticker") == changed.series_ticker)
    assert 0 in after["fee_multiplier_m"]


async def test_unreadable_fee_changes_are_only_a_problem(thousand, tmp_path):
    async with kalshi_of(thousand.url) as kalshi:
        send = kalshi.transport._send

        async def send_scripted(request):
            return Response(404, {}, b"") if "fee_changes" in request.url else await send(request)

        kalshi.transport._send = send_scripted
        listing = await read_listing(kalshi, memory=ExchangeCache(tmp_path, thousand.url))
    assert listing.complete
    assert "scheduled fee changes could not be read" in listing.problems[0].message

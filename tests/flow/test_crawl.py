"""The crawl over real sockets: each fault and what becomes of it, late arrivals, resumption, kill -9, the clock."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from fairline.kalshi import Kalshi, Rate, Retry, Timeouts, TokenBucket, Transport
from fairline.kalshi.crawl import MarketCrawl
from fairline.kalshi.errors import KalshiError, ResponseError
from fairline.kalshi.http import Unpacker
from fairline.kalshi.memory import Memory, key_of
from fairline.kalshi.routes import Query
from fairline.listing import Filters, plan, read_listing
from fairline.sim import Exchange, Fault

SMALL = Query(page_size=100)


def kalshi_of(url, silence_s=0.3):
    retry = Retry(tries=3, base_s=0.001, cap_s=0.002)
    timeouts = Timeouts(silence_s=silence_s, total_s=5)
    return Kalshi(Transport(url, bucket=TokenBucket(Rate(1e9, 1e9)), retry=retry, timeouts=timeouts))


async def crawl(url, query=SMALL, memory=None, **more):
    async with kalshi_of(url) as kalshi:
        made = MarketCrawl(kalshi, query, list, memory=memory, **more)
        tickers = [market.ticker async for page in made.pages() for market in page]
        return tickers, made.account, kalshi.transport.traffic


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
    thousand.faults.set(Fault(name, share))
    try:
        if outcome == "nothing":
            with pytest.raises(KalshiError):
                await crawl(thousand.url)
            return
        tickers, account, _ = await crawl(thousand.url)
    finally:
        thousand.faults.set()
    assert len(tickers) == len(set(tickers))
    assert account.complete == (outcome != "incomplete")
    assert bool(account.notes) == (outcome == "noted")
    named = {rejected.ticker for rejected in account.rejected}
    assert bool(named) == (outcome == "rows named")
    assert set(tickers) | named - {""} == everything(thousand) or "" in named


async def test_a_row_left_out_of_a_full_page_is_found_by_asking_again(thousand):
    thousand.faults.set(Fault("vanished-row", 1.0, 1))
    tickers, account, _ = await crawl(thousand.url)
    thousand.faults.set()
    assert set(tickers) == everything(thousand)
    assert account.complete


async def test_markets_listed_while_it_runs_are_caught_by_the_closing_pass():
    with Exchange(markets=600, arrivals=300, speed=3_600, seed=2, latency_ms=60) as exchange:
        tickers, account, _ = await crawl(exchange.url)
        columns = exchange.world.columns
        asof = int(account.asof_s * 1e6)
    late = {
        t for t, c in zip(columns.ticker, columns.created_us, strict=True) if c > exchange.world.now.timestamp() * 1e6
    }
    assert account.late > 0
    assert set(tickers) & late
    # World time runs an hour a second here, so what was created by then is in doubt by that much.
    assert account.complete
    assert asof > exchange.world.now.timestamp() * 1e6


async def test_the_second_crawl_starts_from_what_the_first_one_learnt(thousand, tmp_path):
    memory = Memory(tmp_path, thousand.url)
    async with kalshi_of(thousand.url) as kalshi:
        first = MarketCrawl(kalshi, SMALL, list, memory=memory)
        assert first.route().requests is None
        [_ async for _ in first.pages()]
        route = MarketCrawl(kalshi, SMALL, list, memory=memory).route()
    assert len(route.windows) > 5
    tickers, account, traffic = await crawl(thousand.url, memory=memory)
    assert set(tickers) == everything(thousand)
    assert len({walk.window for walk in account.walks}) >= len(route.windows)
    assert traffic.requests <= 1.5 * route.requests
    assert not memory.unfinished


async def test_a_crawl_that_was_stopped_goes_on_where_it_was(thousand, tmp_path):
    memory = Memory(tmp_path, thousand.url)
    async with kalshi_of(thousand.url) as kalshi:
        pages = MarketCrawl(kalshi, SMALL, list, memory=memory).pages()
        for _ in range(4):
            await anext(pages)
        await pages.aclose()
    assert memory.unfinished
    whole = (await crawl(thousand.url))[2].requests
    tickers, account, traffic = await crawl(thousand.url, memory=memory)
    assert account.resumed_pages >= 4
    assert "went on with a crawl begun" in account.notes[0]
    assert set(tickers) == everything(thousand)
    assert traffic.requests + account.resumed_pages <= whole + 4
    assert not memory.unfinished


async def test_a_journal_that_is_too_old_held_or_damaged_is_not_used(thousand, tmp_path):
    memory = Memory(tmp_path, thousand.url)
    key = key_of(SMALL, None)
    held = memory.journal(key, 100)
    other = memory.journal(key, 100)
    assert other.found == [], "another process has the first one"
    other.close(keep=False)
    held.add({"walk": 0, "filters": SMALL.base(), "axis": "", "low": None, "high": None})
    held.close(keep=True)
    (path,) = tmp_path.rglob("*.pages")
    path.write_bytes(path.read_bytes() + b'{"walk":0,"bytes":500}\nhalf a pa')
    again = memory.journal(key, 100)
    assert [record["walk"] for record, _ in again.found] == [0], "the half record is cut off"
    again.close(keep=True)
    fresh = memory.journal(key, -1)
    assert fresh.found == []
    assert not path.exists(), "what is too old is removed"
    fresh.close(keep=False)
    (path.parent / f"{key}-0-0.pages").write_bytes(b"no journal\n")
    tickers, account, _ = await crawl(thousand.url, memory=memory)
    assert not account.notes
    assert set(tickers) == everything(thousand)


async def test_a_folder_that_cannot_be_written_costs_nothing_but_the_memory(thousand, tmp_path):
    (tmp_path / "file").write_text("")
    tickers, account, _ = await crawl(thousand.url, memory=Memory(tmp_path / "file", thousand.url))
    assert set(tickers) == everything(thousand)
    assert account.complete


CRAWL = """
import asyncio, sys
from pathlib import Path
from fairline.kalshi import Kalshi, Rate, TokenBucket, Transport
from fairline.kalshi.crawl import MarketCrawl
from fairline.kalshi.memory import Memory
from fairline.kalshi.routes import Query

async def main(url, folder):
    async with Kalshi(Transport(url, bucket=TokenBucket(Rate(1e9, 1e9)))) as kalshi:
        crawl = MarketCrawl(kalshi, Query(page_size=100), list, memory=Memory(Path(folder), url))
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
        tickers, account, _ = asyncio.run(crawl(exchange.url, memory=Memory(tmp_path, exchange.url)))
        assert set(tickers) == everything(exchange)
        assert account.complete
        assert account.resumed_pages >= 1 + 3 + 7


def test_ctrl_c_ends_within_a_second_and_says_how_to_go_on(tmp_path):
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
            _, said = run.communicate(timeout=10)
        assert time.monotonic() - sent < 1.0
        assert run.returncode == 130
        assert "the same command goes on with it within 5m" in said
        done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, env=environment)
    told = json.loads(done.stdout)["scan"]
    assert told["complete"]
    assert told["crawl"]["resumed_pages"] >= 1
    assert told["markets"] == 2_000


async def test_closing_time_is_asked_for_by_close_windows_and_gives_the_same(thousand):
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


async def test_facts_that_were_read_are_not_asked_for_again_while_they_are_fresh(thousand, tmp_path):
    memory = Memory(tmp_path, thousand.url)
    async with kalshi_of(thousand.url) as kalshi:
        first = await read_listing(kalshi, memory=memory)
        before = kalshi.transport.traffic.requests
        steps = {step.path: step.requests for step in plan(kalshi, Filters(), memory)}
        second = await read_listing(kalshi, memory=memory)
    assert steps["/series"] == 0
    assert second.requests - before <= before
    columns = ["ticker", "series_ticker", "category", "fee_type", "mutually_exclusive"]
    assert second.markets.sort("ticker").select(columns).equals(first.markets.sort("ticker").select(columns))


@pytest.mark.parametrize("content,words", [(b"\x1f\x8bnonsense", "damaged"), (b"", "ends too early")])
def test_a_compressed_answer_that_is_none_is_named(content, words):
    with pytest.raises(ResponseError, match=words):
        Unpacker()(content)


def test_a_compressed_answer_without_end_is_given_up():
    import zlib

    packer = zlib.compressobj(wbits=31)
    bomb = packer.compress(b" " * (80 << 20)) + packer.flush()
    with pytest.raises(ResponseError, match="longer than 64 MiB"):
        Unpacker()(bomb)
    small = zlib.compressobj(wbits=31)
    assert bytes(Unpacker()(small.compress(b"{}") + small.flush())) == b"{}"


async def test_an_endless_listing_of_one_series_ends(thousand):
    thousand.faults.set(Fault("endless-cursor"))
    _, account, _ = await asyncio.wait_for(crawl(thousand.url, Query(series=("KXHOUSERACE",))), 20)
    thousand.faults.set()
    assert "empty pages in a row" in account.incomplete_reasons[0]


def test_rows_of_the_world_are_as_many_as_asked_for(thousand):
    assert len(everything(thousand)) == 1_000
    assert np.all(np.diff(thousand.world.columns.created_us) <= 0)

"""A live watch: it prices between scans, records what changes, compares with REST, and survives a refused feed."""

import asyncio
import contextlib
import time
from datetime import timedelta

import polars as pl
import pytest

from fairline.config.model_settings import model_settings
from fairline.kalshi import Kalshi, Rate, TokenBucket, Transport
from fairline.kalshi.feed import Feed
from fairline.models import load
from fairline.sim import Fault
from fairline.store.store import Store
from fairline.watch.alerts import Rule
from fairline.watch.live_loop import LivePace
from fairline.watch.loop import Watch, WatchConfig
from fairline.watch.state import State
from tests.flow.watching import MODEL
from tests.live_world import LiveWorld

CHANNELS = ("ticker", "market_lifecycle_v2", "trade")
QUICK = LivePace(tick_s=0.05, check_s=0.5, facts_s=0.2, inputs_s=0.5, outage_s=0.5)


@pytest.fixture
def live(rsa_pem):
    with LiveWorld(rsa_pem, markets=400, moves=200, speed=10) as live:
        yield live


@contextlib.contextmanager
def open_store(folder):
    store, state = Store(folder), State(folder)
    store.acquire()
    try:
        yield store, state
    finally:
        store.release()
        state.close()


def run_watch(live, folder, seconds, during=None, *, until=lambda _: False, pace=QUICK, **config):
    """Run a live watch for some seconds, or `until` something.

    Return it, its store, and how many requests it sent after its first scan.
    """
    (folder / "model.py").write_text(MODEL)
    models = [load(f"{folder / 'model.py'}:Above", model_settings())]
    options = {"every": timedelta(seconds=1), "alerts": [Rule("all", min_edge=2.0)]} | config

    async def run():
        transport = Transport(live.exchange.url, bucket=TokenBucket(Rate(1e9, 1e9)))
        async with Kalshi(transport) as kalshi:
            feed = Feed(live.exchange.websocket_url, live.auth, channels=CHANNELS)
            watch = Watch(kalshi, WatchConfig(models, **options), store, state, feed=feed, pace=pace)
            running = asyncio.create_task(watch.run())
            while not watch.health.scans:  # noqa: ASYNC110  the watch has no event for it
                await asyncio.sleep(0.05)
            before = transport.traffic.requests
            end = time.monotonic() + seconds
            while time.monotonic() < end and not until(watch):
                await asyncio.sleep(0.05)
                if during is not None:
                    during(watch)
            watch.stop()
            await running
            return watch, transport.traffic.requests - before

    with open_store(folder / "store") as (store, state):
        watch, requests = asyncio.run(run())
    return watch, Store(folder / "store"), requests


def test_opportunities_quotes_trades_and_depth_are_recorded_between_scans(live, tmp_path):
    ticks = []

    def has_seen_enough(watch):
        ticks.append(watch.health.changes.total())
        return len(set(ticks)) > 15 and watch.health.changes["gone"] > 5

    watch, store, _ = run_watch(live, tmp_path, 60, until=has_seen_enough)
    assert sum(watch.health.scans.values()) == 1
    edges = store.read("edges")
    assert edges["seen_ts"].n_unique() > 10
    assert {"appeared", "gone"} <= set(edges["change"])
    quotes = store.read("quotes")
    assert quotes.filter(pl.col("seen_ts") > quotes["seen_ts"].min()).height > 100
    assert store.read("trades").height > 20
    assert store.read("depth").height > 100
    assert watch.health.changes["appeared"] > 0
    assert watch.health.opportunities == watch.live.session.opportunities.height
    assert store.warnings == []


def test_the_store_ends_with_the_live_quotes(live, tmp_path):
    watch, store, _ = run_watch(live, tmp_path, 2.5)
    session = watch.live.session
    latest = {row["ticker"]: row for row in store.latest("quotes").iter_rows(named=True)}
    for ticker, row in session.state.rows.items():
        if session.state.current[row] and not session.state.closed[row]:
            bid_u, ask_u, _, _ = session.state.quote_of(ticker)
            assert ((latest[ticker]["yes_bid_u"] or 0), (latest[ticker]["yes_ask_u"] or 0)) == (bid_u, ask_u)


def test_live_opportunities_are_those_of_a_fresh_evaluation(live, tmp_path):
    from datetime import UTC, datetime

    from fairline.market.live_frame import live_markets
    from fairline.scanner import price

    watch, _, _ = run_watch(live, tmp_path, 2.5)
    session = watch.live.session
    rows = [row for row in range(len(session.state)) if session.state.current[row]]
    markets = live_markets(session.markets, session.state, rows)
    fresh = price(markets, session._predictions, [], asof=datetime.now(UTC), rules=session._rules, misses=0)
    key = ["ticker", "side", "model"]
    assert len(rows) == len(session.state)
    assert set(session.opportunities.select(key).rows()) == set(fresh.opportunities.select(key).rows())


def test_requests_fall_by_95_percent(live, tmp_path):
    """A scan of this exchange takes 1 page, where a real one takes 117: so requests are counted, not estimated."""
    pace = LivePace(tick_s=0.05, check_s=60, facts_s=60, inputs_s=60)
    _, _, requests = run_watch(live, tmp_path, 3, pace=pace)
    assert requests == 0


def test_random_books_are_compared_with_rest_and_agree(live, tmp_path):
    watch, _, _ = run_watch(live, tmp_path, 60, until=lambda w: w.live and w.live._loop.checked > 0)
    assert watch.live._loop.checked > 0
    assert list(watch.live._loop.wrong) == []
    assert "feed" not in watch.health.errors


def test_a_quote_that_the_feed_lost_raises_an_alarm_and_is_corrected(live, tmp_path):
    seen = []

    def corrupt(watch):
        session = watch.live.session
        if not seen and session.state.rows and sum(session.state.current) == len(session.state):
            live.set_speed(0)
            for row in range(len(session.state)):
                session.state.bid_u[row] = 10_000
                session.state.bid_cc[row] = 12_345
            seen.append(0)
        if "feed" in watch.health.errors and len(seen) == 1:
            seen.append(watch.health.errors["feed"])

    def is_corrected(watch):
        return len(seen) == 2 and "feed" not in watch.health.errors and not live.wrong(watch.live.session.state)

    watch, _, _ = run_watch(live, tmp_path, 150, corrupt, until=is_corrected)
    assert "differ from the order books" in seen[1]
    assert sum(watch.health.scans.values()) > 1
    assert not live.wrong(watch.live.session.state)


def test_a_new_market_is_read_priced_and_followed(rsa_pem, tmp_path):
    with LiveWorld(rsa_pem, markets=200, moves=100, speed=10) as live:
        world = live.world
        row = world.first
        ticker = world.columns.ticker[row]
        world.columns.created_us[row] = world.now_us + 30_000_000
        world._listed = world.first
        watch, _, _ = run_watch(live, tmp_path, 60, until=lambda w: w.live and ticker in w.live.session.state.rows)
        assert world.first <= row
    session = watch.live.session
    assert ticker in session.state.rows
    assert session.markets["ticker"].to_list() == session.state.tickers


def test_a_refused_feed_is_an_alarm_and_scans_go_on(live, tmp_path):
    live.exchange.faults.set(Fault("feed-refused"))
    watch, store, _ = run_watch(live, tmp_path, 4)
    assert "no live feed" in watch.health.errors["feed"]
    assert not watch.live.active
    assert store.read("scans").height >= 3


def test_a_feed_that_stays_closed_is_an_alarm_until_it_is_open_again(live, tmp_path):
    texts = []

    def interrupt(watch):
        if not texts and watch.live.session.feed.connected:
            live.exchange.faults.set(Fault("feed-unavailable"), Fault("socket-drop"))
            texts.append("")
        text = watch.health.errors.get("feed", "")
        if text != texts[-1:][0] if texts else False:
            texts.append(text)
            if text:
                live.exchange.faults.set()

    run_watch(live, tmp_path, 40, interrupt, until=lambda _: len(texts) >= 3)
    assert texts[:3] == ["", "the feed is closed and cannot be opened again so far", ""]


def test_outages_are_recorded_with_their_cause(live, tmp_path):
    done = []

    def drop(watch):
        if not done and watch.live.session.feed.connected and not watch.live.session.stale:
            live.exchange.faults.set(Fault("socket-drop", 1.0, 1))
            done.append(True)

    def is_over(watch):
        session = watch.live.session
        return done and session.feed.counts.connections > 1 and not session.stale

    _, store, _ = run_watch(live, tmp_path, 30, drop, until=is_over)
    outages = store.read("outages")
    assert "the connection ended" in set(outages["cause"])
    assert (outages["until_ts"] >= outages["from_ts"]).all()

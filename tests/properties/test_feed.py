"""For any mix of faults, a live session heals to the exchange's state, and every outage is recorded."""

import asyncio
import contextlib
import time
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairline.kalshi import Kalshi, Rate, TokenBucket, Transport
from fairline.kalshi.feed import Feed
from fairline.market.filters import Filters
from fairline.market.listing import read_listing
from fairline.scanner import price
from fairline.sim import Fault
from fairline.watch.live import LiveSession
from tests.live_world import LiveWorld

ONE_MESSAGE = {
    "sequence-gap": 0.05,
    "feed-duplicate": 0.1,
    "feed-reorder": 0.05,
    "socket-drop": 0.005,
    "feed-no-snapshot": 0.3,
    "feed-unknown-message": 0.05,
    "feed-unknown-market": 0.05,
}
STATES = ("feed-silence", "feed-lag")
MIXES = st.lists(st.sampled_from([*ONE_MESSAGE, *STATES]), min_size=1, max_size=4, unique=True)
HEALED_S = 8.0
"""Two seconds are the feed's; the rest is for a busy machine."""


class Observer:
    """A session under faults, and which markets were without current data at which instants."""

    def __init__(self, live):
        self.live = live
        self.feed = Feed(live.exchange.websocket_url, live.auth)
        self.session = LiveSession(self.feed)
        self.unknown = {}
        self.outages = []

    def tick(self):
        now = datetime.now(UTC)
        tick = self.session.tick(now)
        self.outages += tick.outages
        state = self.session.state
        for ticker, row in state.rows.items():
            if not state.current[row]:
                self.unknown.setdefault(ticker, []).append(now)

    async def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await asyncio.sleep(0.03)
            self.tick()

    async def heal(self):
        state = self.session.state
        end = time.monotonic() + HEALED_S
        while time.monotonic() < end:
            await asyncio.sleep(0.03)
            self.tick()
            if not self.live.wrong(state) and not self.live.wrong_books(state):
                return True
        return False


async def live_through(live, mix):
    transport = Transport(live.exchange.url, bucket=TokenBucket(Rate(1e9, 1e9)))
    async with Kalshi(transport) as kalshi:
        listing = await read_listing(kalshi, Filters())
    observer = Observer(live)
    now = datetime.now(UTC)
    evaluation = price(listing.markets, no_predictions(), [], asof=now, misses=0)
    observer.session.load(listing, evaluation, now)
    books = listing.markets["ticker"].to_list()[:60]
    observer.session.state.follow(books)
    observer.feed.follow_books(books)
    running = asyncio.create_task(observer.feed.run())
    try:
        await observer.run(0.5)
        live.exchange.faults.set(*(Fault(name, ONE_MESSAGE.get(name, 1.0)) for name in mix))
        await observer.run(1.5)
        live.exchange.faults.set()
        live.set_speed(0)
        healed = await observer.heal()
    finally:
        live.set_speed(10)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    return observer, healed


def no_predictions():
    from fairline.market.frame import PREDICTIONS

    return PREDICTIONS.to_frame().drop("note")


@pytest.fixture(scope="module")
def live(rsa_pem):
    with LiveWorld(rsa_pem, markets=150, moves=150) as live:
        yield live


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(mix=MIXES)
def test_any_mix_of_faults_heals_to_the_exchanges_state_and_every_outage_is_recorded(live, mix):
    check(live, mix)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(6))
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(mix=MIXES)
def test_many_mixes_of_faults_heal(live, part, mix):
    check(live, mix)


def check(live, mix):
    observer, healed = asyncio.run(live_through(live, mix))
    state = observer.session.state
    assert healed, (mix, live.wrong(state)[:3], live.wrong_books(state)[:3])
    assert not observer.session.stale
    recorded = {}
    for outage in observer.outages:
        recorded.setdefault(outage.ticker, []).append((outage.from_ts, outage.until_ts))
    for ticker, instants in observer.unknown.items():
        for instant in instants:
            assert any(begin <= instant <= end for begin, end in recorded.get(ticker, [])), (mix, ticker, instant)

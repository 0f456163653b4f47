"""The feed's client against the simulated exchange, with every fault that a feed can have."""

import asyncio

import pytest

from fairline.kalshi.errors import AuthError, KalshiError
from fairline.kalshi.feed import Feed, Pace
from fairline.kalshi.feed_messages import Gap, Lost, Opened, UnknownMessage
from fairline.market.live import apply
from fairline.sim import Fault
from tests.live_world import Follower, LiveWorld

HEALED_S = 2.0
SLOW_MACHINE_S = 4.0
"""What a busy machine may take in addition; the rest of the time is the feed's."""


@pytest.fixture
def live(rsa_pem):
    with LiveWorld(rsa_pem) as live:
        yield live


def test_quotes_and_books_become_the_exchanges_and_stay_so(live):
    async def follow():
        async with Follower(live) as follower:
            await follower.run(2)
            live.set_speed(0)
            return await follower.heal(HEALED_S + SLOW_MACHINE_S), follower

    seconds, follower = asyncio.run(follow())
    assert seconds < HEALED_S + SLOW_MACHINE_S, live.wrong(follower.state)[:3]
    assert follower.feed.counts.gaps == 0
    assert sum(follower.state.current) == len(follower.state)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("sequence-gap", 0.05),
        Fault("feed-duplicate", 0.1),
        Fault("feed-reorder", 0.05),
        Fault("socket-drop", 0.005),
        Fault("feed-silence"),
        Fault("feed-lag"),
        Fault("feed-no-snapshot", 0.3),
        Fault("feed-unknown-message", 0.1),
        Fault("feed-unknown-market", 0.1),
        Fault("feed-unavailable"),
    ],
    ids=lambda fault: fault.name,
)
def test_a_fault_heals_within_two_seconds_of_its_end(live, fault):
    async def follow():
        async with Follower(live) as follower:
            await follower.run(0.8)
            live.exchange.faults.set(fault)
            if fault.name in ("feed-unavailable", "feed-no-snapshot"):
                # These strike at a connection, so there has to be a new one.
                live.exchange.faults.set(fault, Fault("socket-drop", 1.0, 1))
            await follower.run(2.5)
            assert live.exchange.faults.struck or fault.name in ("feed-silence", "feed-lag")
            live.exchange.faults.set()
            live.set_speed(0)
            return await follower.heal(HEALED_S + SLOW_MACHINE_S), follower

    seconds, follower = asyncio.run(follow())
    assert seconds < HEALED_S + SLOW_MACHINE_S, (live.wrong(follower.state)[:3], live.wrong_books(follower.state)[:3])


def test_a_refused_handshake_is_an_error_and_not_an_endless_attempt(live):
    live.exchange.faults.set(Fault("revoked-key"))
    with pytest.raises(AuthError, match="401"):
        asyncio.run(asyncio.wait_for(Feed(live.exchange.websocket_url, live.auth).run(), 20))


def test_the_signature_is_not_sent_on_to_where_a_redirect_leads(live):
    live.exchange.faults.set(Fault("redirect"))
    url = live.exchange.websocket_url.replace("/ws/v2", "/ws/v2/")
    with pytest.raises(KalshiError, match="redirect"):
        asyncio.run(asyncio.wait_for(Feed(url, live.auth).run(), 20))


def test_a_quiet_exchange_is_not_taken_for_a_dead_feed(rsa_pem):
    async def follow(live):
        async with Follower(live, pace=Pace(idle_s=0.2, answer_s=1.0)) as follower:
            await follower.run(3)
            return follower.feed.counts.connections

    with LiveWorld(rsa_pem, moves=0) as live:
        assert asyncio.run(follow(live)) == 1


def test_silence_behind_a_healthy_ping_is_found_and_reported(live):
    async def follow():
        async with Follower(live) as follower:
            await follower.run(0.8)
            live.exchange.faults.set(Fault("feed-silence"))
            lost = []
            for _ in range(400):
                await asyncio.sleep(0.02)
                messages = follower.feed.take()
                for message in messages:
                    apply(follower.state, message)
                lost += [message for message in messages if isinstance(message, Lost)]
                if lost:
                    break
            return lost[0], sum(follower.state.current)

    lost, current = asyncio.run(follow())
    assert lost.reason == "a command was not answered"
    assert lost.silent_s > 1
    assert current == 0


def test_what_was_missed_is_among_the_messages(live):
    async def follow():
        async with Follower(live) as follower:
            await follower.run(0.8)
            live.exchange.faults.set(Fault("sequence-gap", 1.0, 1), Fault("feed-unknown-message", 0.2, 3))
            messages = []
            for _ in range(50):
                await asyncio.sleep(0.02)
                messages += follower.feed.take()
            return messages, follower.feed.counts

    messages, counts = asyncio.run(follow())
    gaps = [message for message in messages if isinstance(message, Gap)]
    assert len(gaps) == counts.gaps == 1
    assert len(gaps[0].tickers) == 100
    assert counts.unknown == {"market_weather": 3}
    assert sum(isinstance(message, UnknownMessage) for message in messages) == 3


def test_more_markets_than_a_subscription_takes_are_followed_without_naming_them(rsa_pem):
    async def follow(live):
        messages = []
        async with Follower(live, books=20) as follower:
            for _ in range(60):
                await asyncio.sleep(0.02)
                messages += follower.feed.take()
        return messages

    with LiveWorld(rsa_pem, feed_market_limit=50) as live:
        messages = asyncio.run(follow(live))
    assert isinstance(messages[0], Opened)
    assert [message.channel for message in messages if isinstance(message, Gap)] == ["ticker"]
    tickers = {message.msg.market_ticker for message in messages if type(message).__name__ == "Ticker"}
    assert len(tickers) > 50


def test_a_market_that_closes_has_no_quotes_and_then_an_empty_book(rsa_pem):
    async def follow(live, ticker):
        world = live.world
        async with Follower(live) as follower:
            await follower.run(0.8)
            before = follower.state.quote_of(ticker)
            world.end_at(world.row[ticker], world.now_us)
            await follower.run(2.0)
            return before, follower.state

    with LiveWorld(rsa_pem) as live:
        ticker = next(ticker for ticker in live.tickers[:100] if live.quote(ticker)[0])
        before, state = asyncio.run(follow(live, ticker))
    assert before[0] > 0
    assert state.quote_of(ticker) == (0, 0, 0, 0)
    assert state.books[ticker].yes == state.books[ticker].no == {}

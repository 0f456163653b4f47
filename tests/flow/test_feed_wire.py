"""The simulated feed against what was recorded of the exchange's (shared notes on the feed, section 9)."""

import asyncio
import json
import threading
import time

import pytest
import requests
from cryptography.hazmat.primitives import serialization

from fairline.kalshi import ApiKeyAuth, parse_private_key
from fairline.sim import Exchange, Fault, Key
from fairline.sim.catalog import WorldCatalog
from fairline.sim.world import World
from tests.feed_client import feed, subscribe, update


@pytest.fixture(scope="module")
def member(rsa_pem):
    return ApiKeyAuth("feed", parse_private_key(rsa_pem))


@pytest.fixture
def exchange_of(rsa_pem):
    """Return a function that serves a world with the member's key until the test ends."""
    public = serialization.load_pem_private_key(rsa_pem.encode(), None).public_key()
    served = []

    def serve(world=None, **options):
        if world is not None:
            options["catalog"] = WorldCatalog(world)
        served.append(Exchange(keys=[Key("feed", public)], **options).__enter__())
        return served[-1]

    yield serve
    for exchange in served:
        exchange.__exit__(None, None, None)


def open_tickers(world, count):
    columns = world.columns
    listed = [ticker for ticker, status in zip(columns.ticker, columns.status, strict=True) if status == 1]
    return [ticker for ticker in listed if world.row[ticker] >= world.first][:count]


def test_a_second_subscribe_is_answered_by_a_numbered_ok_and_then_the_new_books(exchange_of, member):
    world = World(200, moves=0, seed=1)
    first, second = open_tickers(world, 2)
    received = asyncio.run(
        feed(
            exchange_of(world),
            member,
            subscribe("orderbook_delta", market_ticker=first),
            subscribe("orderbook_delta", market_ticker=second),
            seconds=0.5,
        )
    )
    assert [(each["type"], each.get("sid"), each.get("seq")) for each in received] == [
        ("subscribed", None, None),
        ("orderbook_snapshot", 1, 1),
        ("ok", 1, 2),
        ("orderbook_snapshot", 1, 3),
    ]
    assert received[2]["msg"] == {"market_tickers": sorted([first, second])}
    assert received[3]["msg"]["market_ticker"] == second


def test_answers_do_not_come_in_the_order_of_the_commands(exchange_of, member):
    world = World(200, moves=0, seed=1)
    commands = [subscribe("orderbook_delta", market_ticker=ticker) for ticker in open_tickers(world, 12)]
    received = asyncio.run(feed(exchange_of(world), member, *commands, seconds=0.7, together=True))
    numbers = [each["id"] for each in received if "id" in each]
    assert sorted(numbers) == list(range(1, 13))
    assert numbers != sorted(numbers)
    seqs = [each["seq"] for each in received if "seq" in each]
    assert seqs == list(range(1, len(seqs) + 1))


def test_a_side_without_levels_has_no_key(exchange_of, member):
    world = World(400, moves=0, seed=3)
    columns = world.columns
    tickers = open_tickers(world, 300)
    received = asyncio.run(
        feed(exchange_of(world), member, subscribe("orderbook_delta", market_tickers=tickers), seconds=1)
    )
    snapshots = [each["msg"] for each in received if each["type"] == "orderbook_snapshot"]
    one_sided = [body for body in snapshots if not columns.bid[world.row[body["market_ticker"]]]]
    assert len(snapshots) == 300
    assert one_sided
    assert all("yes_dollars_fp" not in body for body in one_sided)


def closing_world(count=40):
    """Return a world in which this many quoted markets close within the next seconds, and their tickers."""
    world = World(600, moves=0, speed=8, seed=5)
    columns = world.columns
    tickers = [ticker for ticker in open_tickers(world, 600) if columns.bid[world.row[ticker]]][:count]
    for number, ticker in enumerate(tickers):
        world.end_at(world.row[ticker], world.now_us + 4_000_000 + number * 100_000)
    return world, tickers


def test_at_a_close_no_delta_comes_but_a_last_ticker_and_an_empty_snapshot(exchange_of, member):
    world, closing = closing_world()
    received = asyncio.run(
        feed(
            exchange_of(world),
            member,
            subscribe("orderbook_delta", "ticker", market_tickers=closing),
            seconds=3,
        )
    )
    assert not [each for each in received if each["type"] == "orderbook_delta"]
    last = [each["msg"] for each in received if each["type"] == "ticker"]
    assert {body["market_ticker"] for body in last} == set(closing)
    for body in last:
        assert (body["yes_bid_dollars"], body["yes_ask_dollars"]) == ("0.0000", "1.0000")
        assert (body["yes_bid_size_fp"], body["yes_ask_size_fp"]) == ("0.00", "0.00")
    empty = [each["msg"] for each in received if each["type"] == "orderbook_snapshot"][len(closing) :]
    assert {body["market_ticker"] for body in empty} == set(closing)
    assert not [body for body in empty if "yes_dollars_fp" in body or "no_dollars_fp" in body]


def test_nothing_is_said_when_a_market_opens_or_closes_by_its_clock(exchange_of, member):
    world, closing = closing_world()
    received = asyncio.run(feed(exchange_of(world), member, subscribe("market_lifecycle_v2"), seconds=2))
    assert all(world.columns.status[world.row[ticker]] == 3 for ticker in closing)
    assert [each["type"] for each in received] == ["subscribed"]


def test_trades_and_lifecycle_are_numbered_and_tickers_are_not(exchange_of, member):
    world = World(400, moves=300, speed=60, arrivals=60, arrival_hours=0.03, seed=2)
    channels = ("ticker", "trade", "market_lifecycle_v2")
    received = asyncio.run(feed(exchange_of(world), member, subscribe(*channels), seconds=2))
    kinds = {kind: [each.get("seq") for each in received if each["type"] == kind] for kind in channels}
    assert set(kinds["ticker"]) == {None}
    assert kinds["trade"] == list(range(1, len(kinds["trade"]) + 1))
    assert kinds["market_lifecycle_v2"] == list(range(1, len(kinds["market_lifecycle_v2"]) + 1))
    assert all(kinds.values())


def test_the_clock_of_a_change_is_the_same_on_every_connection(exchange_of, member):
    world = World(300, moves=200, speed=30, seed=4)
    exchange = exchange_of(world)
    command = subscribe("orderbook_delta", market_tickers=open_tickers(world, 100))

    async def both():
        first = asyncio.create_task(feed(exchange, member, command, seconds=2))
        await asyncio.sleep(0.6)
        return await asyncio.gather(first, feed(exchange, member, command, seconds=1.2))

    early, late = asyncio.run(both())

    def clocks(received):
        bodies = [each["msg"] for each in received if each["type"] == "orderbook_delta"]
        return {
            (b["market_ticker"], b["ts_ms"], b["side"], b["price_dollars"], b["delta_fp"]): b["clock"] for b in bodies
        }

    shared = clocks(early).keys() & clocks(late).keys()
    assert len(shared) > 20
    assert all(clocks(early)[change] == clocks(late)[change] for change in shared)
    snapshots = {e["msg"]["market_ticker"]: e["msg"]["clock"] for e in late if e["type"] == "orderbook_snapshot"}
    for (ticker, *_), clock in clocks(late).items():
        assert clock > snapshots[ticker]


def test_markets_can_be_named_by_id_on_the_ticker_channel_only(exchange_of, member):
    world = World(200, moves=0, seed=1)
    exchange = exchange_of(world)
    (ticker,) = open_tickers(world, 1)
    named = asyncio.run(
        feed(
            exchange,
            member,
            subscribe("ticker", market_ticker=ticker, send_initial_snapshot=True),
            seconds=0.4,
        )
    )
    identifier = named[1]["msg"]["market_id"]
    received = asyncio.run(
        feed(
            exchange,
            member,
            subscribe("ticker", market_ids=[identifier], send_initial_snapshot=True),
            subscribe("orderbook_delta", market_id=identifier),
            subscribe("ticker", market_ids=["00000000-0000-4000-8000-00000000ffff"]),
            seconds=0.6,
        )
    )
    assert received[1]["msg"]["market_ticker"] == ticker
    assert received[2]["msg"]["code"] == 11
    assert received[3]["msg"] == {"market_ids": [identifier]}


def test_lists_are_left_out_of_answers_where_they_were_declined(exchange_of, member):
    world = World(200, moves=0, seed=1)
    first, second = open_tickers(world, 2)
    received = asyncio.run(
        feed(
            exchange_of(world),
            member,
            subscribe("orderbook_delta", market_ticker=first, skip_ticker_ack=True),
            update(1, "add_markets", market_ticker=second),
            seconds=0.5,
        )
    )
    assert [each["msg"] for each in received if each["type"] == "ok"] == [{}]


@pytest.mark.parametrize("number", ["missing", None, "1", -1, True, 1.5])
def test_a_command_without_a_whole_id_is_refused(exchange_of, member, number):
    world = World(100, moves=0, seed=1)
    command = {"cmd": "list_subscriptions"} | ({} if number == "missing" else {"id": number})
    (answer,) = asyncio.run(feed(exchange_of(world), member, json.dumps(command), seconds=0.3))
    assert answer["msg"]["code"] == 1
    assert "id" not in answer


def test_id_zero_counts_as_none(exchange_of, member):
    command = json.dumps({"id": 0, "cmd": "list_subscriptions"})
    (answer,) = asyncio.run(feed(exchange_of(World(100, moves=0, seed=1)), member, command, seconds=0.3))
    assert answer == {"type": "ok", "msg": []}


def test_more_markets_than_a_subscription_may_name_are_refused(exchange_of, member):
    world = World(200, moves=0, seed=1)
    tickers = open_tickers(world, 12)
    exchange = exchange_of(world, feed_market_limit=10)
    received = asyncio.run(
        feed(
            exchange,
            member,
            subscribe("ticker", market_tickers=tickers[:9]),
            update(1, "add_markets", market_tickers=tickers[9:]),
            seconds=0.5,
        )
    )
    assert [each["type"] for each in received] == ["subscribed", "error"]
    assert received[1]["msg"]["code"] == 26


def test_two_hundred_clients_of_the_feed_do_not_keep_others_waiting(exchange_of, member):
    world = World(2_000, moves=60, seed=6)
    exchange = exchange_of(world)

    def fastest():
        times = []
        for _ in range(15):
            began = time.perf_counter()
            requests.get(f"{exchange.url}/markets?limit=1", timeout=20)
            times.append(time.perf_counter() - began)
        return sorted(times)[7]

    alone = fastest()

    async def crowd():
        await asyncio.gather(*(feed(exchange, member, subscribe("ticker"), seconds=6) for _ in range(200)))

    thread = threading.Thread(target=asyncio.run, args=(crowd(),))
    thread.start()
    time.sleep(3)
    among = fastest()
    thread.join()
    assert among < alone + 0.25


def test_every_fault_of_the_feed_can_be_had(exchange_of, member):
    world = World(300, moves=300, speed=60, seed=2)
    exchange = exchange_of(world)
    tickers = open_tickers(world, 200)

    def received_with(*faults, channel="orderbook_delta", seconds=1.2):
        exchange.faults.set(*faults)
        return asyncio.run(feed(exchange, member, subscribe(channel, market_tickers=tickers), seconds=seconds))

    seqs = [each["seq"] for each in received_with(Fault("feed-duplicate", 0.2)) if "seq" in each]
    assert len(set(seqs)) < len(seqs)
    seqs = [each["seq"] for each in received_with(Fault("feed-reorder", 0.2)) if "seq" in each]
    assert seqs != sorted(seqs)
    assert len(set(seqs)) == len(seqs)
    assert received_with(Fault("feed-silence")) == []
    assert received_with(Fault("feed-lag")) == []
    received = received_with(Fault("feed-no-snapshot", 1, 5))
    assert sum(each["type"] == "orderbook_snapshot" for each in received) == 195
    assert "market_weather" in {each["type"] for each in received_with(Fault("feed-unknown-message", 0.2))}
    received = received_with(Fault("feed-unknown-market", 0.2), channel="ticker")
    assert any(each["msg"].get("market_ticker") not in world.row for each in received[1:])
    exchange.faults.set(Fault("feed-unavailable"))
    with pytest.raises(Exception, match="503"):
        asyncio.run(feed(exchange, member, subscribe("ticker"), seconds=0.3))


def test_a_recorded_feed_is_served_as_it_was_recorded(exchange_of, member, shared):
    path = shared / "kalshi_ws_market_close_2026-05" / "close_frames.jsonl.gz"
    exchange = exchange_of(markets=50, replay_feed=path, feed_speed=20)
    tickers = sorted({frame.body["market_ticker"] for frame in exchange.hub._frames})
    received = asyncio.run(
        feed(exchange, member, subscribe("orderbook_delta", "ticker", market_tickers=tickers), seconds=2.5)
    )
    kinds = [each["type"] for each in received]
    assert [kinds.count(kind) for kind in ("orderbook_snapshot", "ticker", "orderbook_delta")] == [24, 43, 479]
    assert not [each for each in received if "yes_bid" in each["msg"]]


def test_the_gaps_of_a_recording_are_gaps_on_the_wire_too(exchange_of, member, tmp_path):
    path = tmp_path / "frames.jsonl"
    body = {"market_ticker": "KXA-1", "market_id": "x"}
    delta = body | {"price_dollars": "0.5000", "delta_fp": "1.00", "side": "yes"}
    frames = [
        ("orderbook_snapshot", 1, body),
        ("ok", 2, {}),
        ("orderbook_delta", 3, delta),
        ("orderbook_delta", 5, delta),
    ]
    path.write_text("".join(
        json.dumps({"received_ns": n * 10**6, "frame": {"type": kind, "sid": 1, "seq": seq, "msg": msg}}) + "\n"
        for n, (kind, seq, msg) in enumerate(frames)
    ))  # fmt: skip
    exchange = exchange_of(markets=50, replay_feed=path)
    received = asyncio.run(feed(exchange, member, subscribe("orderbook_delta", market_ticker="KXA-1"), seconds=0.6))
    assert [(each["type"], each["seq"]) for each in received[1:]] == [
        ("orderbook_snapshot", 1),
        ("orderbook_delta", 2),
        ("orderbook_delta", 4),
    ]

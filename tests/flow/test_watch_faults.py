"""Every fault of the simulator, for a few beats each: a watch is never ended by one, and sees again afterwards."""

from datetime import timedelta

import pytest

from fairline.kalshi import Kalshi, Retry, Timeouts, Transport
from fairline.sim import FAULTS, Exchange, Fault
from fairline.store.store import Store
from fairline.watch.loop import Duty, Watch
from fairline.watch.state import State
from tests.unit.test_scanner import Stub

# These want another server, or a key that is refused; the doctor's tests have them all.
_ELSEWHERE = {"tls", "revoked-key", "no-scope", "pinned-subaccount", "expired-token", "strip-headers"}


@pytest.fixture
def stores(tmp_path):
    store, state = Store(tmp_path), State(tmp_path)
    store.acquire()
    yield store, state
    store.release()
    state.close()


def watching(exchange, stores, bucket, **duty):
    """A watch that gives up on a request sooner than one would."""
    patience = {"retry": Retry(tries=3, base_s=0.01, cap_s=0.05), "timeouts": Timeouts(0.5, 0.4, 1.0)}
    transport = Transport(exchange.url, bucket=bucket, **patience)
    return Watch(Kalshi(transport), Duty([Stub()], every=timedelta(seconds=1), **duty), *stores)


@pytest.mark.parametrize("name", sorted(set(FAULTS) - _ELSEWHERE))
async def test_it_is_survived_and_over_when_it_is_over(world, stores, unhurried, name):
    watch = watching(world, stores, unhurried)
    try:
        for probability in (1.0, 0.3):
            world.faults.set(Fault(name, probability))
            await watch.round()
        world.faults.set()
        await watch.round()
    finally:
        world.faults.set()
        await watch.kalshi.transport.close()
    outcomes = stores[0].read("scans")["outcome"].to_list()
    assert len(outcomes) == 3
    assert outcomes[-1] == "done"
    assert watch.health.trouble == {}
    assert "Error: " not in "".join(stores[0].read("scans")["detail"].drop_nulls()), "nothing that nobody foresaw"


async def test_an_exchange_that_is_gone_is_waited_for_and_told_of_once(stores, unhurried):
    with Exchange(markets=200, seed=1) as first:
        port = first.url.split(":")[2].split("/")[0]
        watch = watching(first, stores, unhurried, dead_man=timedelta(0), receivers={"phone": None})
        await watch.round()
    for _ in range(3):
        await watch.round()
    with Exchange(markets=200, seed=1, port=int(port)):
        await watch.round()
    await watch.kalshi.transport.close()
    store, state = stores
    assert store.read("scans")["outcome"].to_list() == ["done", "failed", "failed", "failed", "done"]
    told = [letter.title for letter in state.outbox(watch.health.started_ts + timedelta(days=1), all_of_it=True)]
    assert [title for title in told if "blind" in title] == ["Fairline: Fairline is blind"]


async def test_what_nobody_foresaw_is_a_failed_scan_and_the_next_beat_comes(world, stores, unhurried, monkeypatch):
    watch = watching(world, stores, unhurried)

    async def broken(*_, **__):
        raise ZeroDivisionError("nobody foresaw this")

    with monkeypatch.context() as patch:
        patch.setattr("fairline.watch.loop.run_scan", broken)
        await watch.round()
    await watch.round()
    await watch.kalshi.transport.close()
    scans = stores[0].read("scans")
    assert scans["outcome"].to_list() == ["failed", "done"]
    assert scans["detail"][0] == "ZeroDivisionError: nobody foresaw this"


async def test_a_store_that_cannot_be_written_is_an_alarm_until_it_can(world, stores, unhurried, monkeypatch):
    watch, (store, state) = watching(world, stores, unhurried), stores
    append = store.append

    def full(dataset, *rest, **more):
        from fairline.errors import StoreError

        raise StoreError("cannot write (No space left on device)")

    monkeypatch.setattr(store, "append", full)
    await watch.round()
    assert "No space left" in state.alarms()["store"][1]
    assert watch.health.scans["done"] == 1
    monkeypatch.setattr(store, "append", append)
    await watch.round()
    await watch.kalshi.transport.close()
    assert state.alarms() == {}
    assert store.asof(watch.health.last_ts + timedelta(minutes=1)).height == 400

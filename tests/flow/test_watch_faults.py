"""Every fault of the simulator for a few ticks each: none ends a watch, and it recovers afterwards."""

from datetime import timedelta

import pytest

from fairline.kalshi import Kalshi, Retry, Timeouts, Transport
from fairline.sim import FAULTS, Exchange, Fault
from fairline.store.store import Store
from fairline.watch.config import WatchConfig
from fairline.watch.loop import Watch
from fairline.watch.state import State
from tests.unit.test_scanner import Stub

# These need another server, or a key that is refused; the tests of the doctor cover them.
_TESTED_ELSEWHERE = {"tls", "revoked-key", "no-scope", "pinned-subaccount", "expired-token", "strip-headers"}


@pytest.fixture
def stores(tmp_path):
    store, state = Store(tmp_path), State(tmp_path)
    store.acquire()
    yield store, state
    store.release()
    state.close()


def create_watch(exchange, stores, bucket, **config):
    """Return a watch with short timeouts and few retries."""
    patience = {"retry": Retry(tries=3, base_s=0.01, cap_s=0.05), "timeouts": Timeouts(0.5, 0.4, 1.0)}
    transport = Transport(exchange.url, bucket=bucket, **patience)
    return Watch(Kalshi(transport), WatchConfig([Stub()], every=timedelta(seconds=1), **config), *stores)


@pytest.mark.parametrize("name", sorted(set(FAULTS) - _TESTED_ELSEWHERE))
async def test_a_watch_survives_the_fault_and_recovers(world, stores, unhurried, name):
    watch = create_watch(world, stores, unhurried)
    try:
        for probability in (1.0, 0.3):
            world.faults.set(Fault(name, probability))
            await watch.tick()
        world.faults.set()
        await watch.tick()
    finally:
        world.faults.set()
        await watch.kalshi.transport.close()
    outcomes = stores[0].read("scans")["outcome"].to_list()
    assert len(outcomes) == 3
    assert outcomes[-1] == "done"
    assert watch.health.errors == {}
    assert "Error: " not in "".join(stores[0].read("scans")["detail"].drop_nulls()), "no unexpected error"


async def test_an_unreachable_exchange_is_reported_once_and_awaited(stores, unhurried):
    with Exchange(markets=200, seed=1) as first:
        port = first.url.split(":")[2].split("/")[0]
        watch = create_watch(first, stores, unhurried, dead_man=timedelta(0), receivers={"phone": None})
        await watch.tick()
    for _ in range(3):
        await watch.tick()
    with Exchange(markets=200, seed=1, port=int(port)):
        await watch.tick()
    await watch.kalshi.transport.close()
    store, state = stores
    assert store.read("scans")["outcome"].to_list() == ["done", "failed", "failed", "failed", "done"]
    titles = [message.title for message in state.pending_messages()]
    assert [title for title in titles if "no complete scan" in title] == ["Fairline: no complete scan"]


async def test_an_unexpected_error_is_a_failed_scan_and_the_next_tick_comes(world, stores, unhurried, monkeypatch):
    watch = create_watch(world, stores, unhurried)

    async def fail_scan(*_, **__):
        raise ZeroDivisionError("unexpected")

    with monkeypatch.context() as patch:
        patch.setattr("fairline.watch.loop.run_scan", fail_scan)
        await watch.tick()
    await watch.tick()
    await watch.kalshi.transport.close()
    scans = stores[0].read("scans")
    assert scans["outcome"].to_list() == ["failed", "done"]
    assert scans["detail"][0] == "ZeroDivisionError: unexpected"


async def test_a_store_that_cannot_be_written_is_an_alarm_until_it_can(world, stores, unhurried, monkeypatch):
    watch = create_watch(world, stores, unhurried)
    store, state = stores
    append = store.append

    def fail(dataset, *rest, **more):
        from fairline.errors import StoreError

        raise StoreError("cannot write (No space left on device)")

    monkeypatch.setattr(store, "append", fail)
    await watch.tick()
    assert "No space left" in state.alarms()["store"][1]
    assert watch.health.scans["done"] == 1
    monkeypatch.setattr(store, "append", append)
    await watch.tick()
    await watch.kalshi.transport.close()
    assert state.alarms() == {}
    assert store.asof(watch.health.last_ts + timedelta(minutes=1)).height == 400

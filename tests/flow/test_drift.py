"""Data that arrives but is not what it should be: every drift is a named incompleteness, and nothing is called gone."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from fairline.kalshi import Kalshi, Retry, Transport
from fairline.kalshi.cache import ExchangeCache
from fairline.kalshi.report import MAX_NAMED
from fairline.kalshi.routes import Query
from fairline.market.completeness import check_size
from fairline.market.filters import Filters
from fairline.market.frame import PREDICTIONS
from fairline.market.listing import read_listing
from fairline.scanner import run_scan
from fairline.sim import Exchange, Fault
from fairline.store.store import Store
from fairline.watch.config import WatchConfig
from fairline.watch.loop import Watch
from fairline.watch.state import State


class Above:
    """A model that is six points above every price."""

    name = "above"
    version = "1"

    def covers(self, markets):
        return pl.col("p_mid").is_not_null()

    def requests(self, markets, asof):
        return []

    def predict(self, markets, payloads, asof):
        p = (pl.col("p_mid") + 0.06).clip(0.01, 0.99)
        rows = markets.select("ticker", p=p, p_sd=0.01, model=pl.lit("above"), asof=asof, note=None)
        return rows.select(pl.col(name).cast(dtype) for name, dtype in PREDICTIONS.items())


@pytest.fixture
def place():
    with Exchange(markets=1_500, seed=3) as exchange:
        yield exchange


@pytest.fixture
def client(place, unhurried):
    return Kalshi(Transport(place.url, bucket=unhurried, retry=Retry(tries=2, base_s=0.001)))


KIND_OF_DRIFT = {
    "drift-price-name": ("markets", "could not be read"),
    "drift-empty-objects": ("markets", "could not be read"),
    "drift-no-markets": ("listing", "no open markets"),
    "drift-no-series": ("series", "no series"),
    "drift-no-events": ("events", "events are missing"),
    "drift-no-multiplier": ("fees", "fee_multiplier is missing"),
    "drift-book-names": ("books", "order books could not be read"),
    "drift-book-side": ("books", "order books could not be read"),
    "drift-book-sizes": ("books", "order books could not be read"),
}


PER_ANSWER = ("drift-no-markets", "drift-no-series", "drift-no-events")
"""Faults that are drawn once per answer, not per row."""


@pytest.mark.parametrize(
    ("name", "share"),
    [(name, share) for name in KIND_OF_DRIFT for share in (1.0, 0.9) if share == 1 or name not in PER_ANSWER],
)
async def test_every_drift_makes_a_scan_incomplete_and_is_named(place, client, name, share):
    place.faults.set(Fault(name, share))
    async with client:
        result = await run_scan(client, [Above()])
    kind, message = KIND_OF_DRIFT[name]
    findings = [drift.message for drift in result.listing.drift if drift.kind == kind]
    assert len(findings) == 1
    assert message in findings[0]
    assert not result.complete
    assert findings[0] in result.listing.incomplete_reasons


@pytest.mark.parametrize("name", ["drift-book-names", "drift-book-side", "drift-book-sizes"])
async def test_drifted_order_books_remove_no_opportunity(place, client, name):
    async with client:
        healthy = await run_scan(client, [Above()])
        place.faults.set(Fault(name))
        drifted = await run_scan(client, [Above()])
    assert healthy.opportunities.height > 10
    assert drifted.opportunities.height >= healthy.opportunities.height / 2
    assert drifted.listing.moved == 0


@pytest.mark.parametrize("name", ["drift-no-cursor", "drift-cursor-name"])
async def test_a_full_page_without_a_cursor_does_not_end_the_listing_as_complete(place, client, name):
    place.faults.set(Fault(name))
    async with client:
        listing = await read_listing(client)
    assert listing.listed < 1_500
    assert any("has no cursor" in reason for reason in listing.incomplete_reasons)


async def test_null_for_an_empty_side_of_a_book_is_an_empty_side(place, client):
    place.faults.set(Fault("drift-book-null"))
    async with client:
        result = await run_scan(client, [Above()])
    assert result.complete
    assert result.listing.books > 0


async def test_less_than_one_percent_of_unreadable_rows_is_named_and_complete(place, client):
    place.faults.set(Fault("drift-price-name", 1.0, times=5))
    async with client:
        listing = await read_listing(client)
    assert listing.unreadable == 5
    assert len(listing.quarantined) == 5
    assert listing.complete


async def test_rows_of_an_unknown_market_type_are_named_and_do_not_count(place, client):
    place.faults.set(Fault("drift-market-type", 0.5), Fault("drift-price-name", 0.0))
    async with client:
        listing = await read_listing(client)
    assert listing.complete
    assert any("unknown type 'perpetual'" in problem.message for problem in listing.problems)


async def test_unreadable_rows_of_an_unknown_market_type_do_not_count_either(place, client):
    place.faults.set(Fault("drift-market-type"), Fault("drift-price-name"))
    async with client:
        listing = await read_listing(client)
    assert listing.listed == 0
    assert {row.field for row in listing.quarantined} == {"market_type"}
    assert not any("could not be read" in reason for reason in listing.incomplete_reasons)


async def test_the_quarantine_is_bounded_and_counts_everything(place, client):
    place.faults.set(Fault("drift-price-name"))
    async with client:
        listing = await read_listing(client)
    assert len(listing.quarantined) == MAX_NAMED
    assert listing.unreadable == 1_500


@pytest.mark.parametrize("share", [1.0, 0.6])
async def test_a_listing_of_less_than_half_the_last_one_is_incomplete(place, client, tmp_path, share):
    cache = ExchangeCache(tmp_path, place.url)
    async with client:
        assert (await read_listing(client, memory=cache)).complete
        place.faults.set(Fault("drift-fewer-markets", share))
        shrunk = await read_listing(client, memory=cache)
        place.faults.set()
        recovered = await read_listing(client, memory=cache)
    assert [drift.kind for drift in shrunk.drift] == ["listing"]
    assert recovered.complete


async def test_markets_due_to_close_or_to_be_decided_are_not_missed(place, client, tmp_path):
    cache = ExchangeCache(tmp_path, place.url)
    later = datetime.now(UTC) + timedelta(days=400)
    async with client:
        listing = await read_listing(client, memory=cache)
    few = listing.markets.head(30)
    assert check_size(few, Query(), cache, now_s=datetime.now(UTC).timestamp())
    assert not check_size(few, Query(), cache, now_s=later.timestamp()), "all were due"


async def test_filters_of_another_kind_are_not_compared_with_each_other(place, client, tmp_path):
    cache = ExchangeCache(tmp_path, place.url)
    async with client:
        await read_listing(client, memory=cache)
        narrow = await read_listing(client, Filters(series=("KXHOUSERACE",)), memory=cache)
    assert narrow.complete


@pytest.mark.parametrize("name", ["drift-no-series", "drift-no-multiplier", "drift-no-events", "drift-huge-multiplier"])
async def test_drifted_series_and_events_are_not_cached(place, client, tmp_path, name):
    cache = ExchangeCache(tmp_path, place.url)
    place.faults.set(Fault(name))
    async with client:
        assert not (await read_listing(client, memory=cache)).complete
        place.faults.set()
        assert (await read_listing(client, memory=cache)).complete


@pytest.fixture
def watch(place, client, tmp_path):
    store = Store(tmp_path / "store")
    state = State(tmp_path / "store")
    store.acquire()
    cache = ExchangeCache(tmp_path / "cache", place.url)
    config = WatchConfig([Above()], receivers={"phone": None}, every=timedelta(seconds=1), facts_s=0)
    yield Watch(client, config, store, state, memory=cache)
    store.release()
    state.close()


@pytest.mark.parametrize("name", [*KIND_OF_DRIFT, "drift-fewer-markets"])
async def test_a_watch_raises_an_alarm_of_its_own_and_calls_nothing_gone(place, watch, name):
    kind = KIND_OF_DRIFT.get(name, ("listing", ""))[0]
    async with watch.kalshi.transport:
        await watch.tick()
        assert watch.health.alarms(datetime.now(UTC), timedelta(minutes=10)) == {}
        place.faults.set(Fault(name))
        await watch.tick()
        alarms = watch.health.alarms(datetime.now(UTC), timedelta(minutes=10))
        assert f"data {kind}" in alarms
        assert not watch.health.is_current(datetime.now(UTC), timedelta(minutes=10))
        assert watch.health.changes["gone"] == 0
        place.faults.set()
        await watch.tick()
        assert watch.health.alarms(datetime.now(UTC), timedelta(minutes=10)) == {}
    titles = [message.title for message in watch.state.pending_messages()]
    assert len(titles) == 2, "the alarm and its end"


@pytest.mark.parametrize("name", ["drift-payout", "drift-result-name"])
async def test_settlements_that_cannot_be_used_are_an_alarm_and_none_is_recorded(unhurried, tmp_path, name):
    with Exchange(markets=2_000, seed=5, faults=[Fault(name)]) as exchange:
        store = Store(tmp_path)
        state = State(tmp_path)
        store.acquire()
        kalshi = Kalshi(Transport(exchange.url, bucket=unhurried))
        watch = Watch(kalshi, WatchConfig([Above()]), store, state)
        state.set_note("settled_since", (datetime.now(UTC) - timedelta(days=30)).isoformat())
        try:
            await watch._settle()
            rejected = watch.health.alarms(datetime.now(UTC), timedelta(minutes=10))
            assert "data settlements" in rejected
            assert store.read("settlements").is_empty()
            exchange.faults.set()
            await watch._settle()
            assert "data settlements" not in watch.health.alarms(datetime.now(UTC), timedelta(minutes=10))
            settlements = store.read("settlements")
            assert settlements.height > 0
            assert settlements["payout_u"].drop_nulls().is_between(0, 1_000_000).all()
        finally:
            await kalshi.transport.close()
            store.release()
            state.close()


async def test_markets_without_a_time_of_decision_are_counted_when_a_filter_needs_it(place, client):
    async with client:
        listing = await read_listing(client, Filters(decided_within=timedelta(days=400)))
        everything = await read_listing(client)
    unknown = everything.markets["decided_ts"].null_count()
    messages = [problem.message for problem in listing.problems if problem.stage == "filters"]
    assert bool(messages) == bool(unknown)
    assert listing.markets["decided_ts"].null_count() == 0

"""Ingesting from the simulated exchange: what is ingested afterwards equals what was recorded live."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from fairline.kalshi import Kalshi, Transport
from fairline.scanner import ScanOptions, run_scan
from fairline.sim import Exchange
from fairline.sim.catalog import WorldCatalog
from fairline.sim.world import World
from fairline.store.check import check_store
from fairline.store.ingest.batch import IngestStore
from fairline.store.ingest.exchange import ExchangeIngest
from fairline.store.ingest.plan import ExchangeOptions
from fairline.store.store import Store
from fairline.watch.recorder import Recorder
from tests.unit.test_scanner import Stub

BEGIN = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
MINUTE = timedelta(minutes=1)
QUOTE = ["ticker", "yes_bid_u", "yes_ask_u"]


class MovingWorld:
    """A simulated exchange whose clock the test sets."""

    def __init__(self, markets=300, moves=40, seed=5, past=60):
        self.seconds = 0.0
        world = World(markets, moves=moves, seed=seed, past=past, now=BEGIN, clock=lambda: self.seconds)
        self.exchange = Exchange(catalog=WorldCatalog(world))
        self.world = world

    def __enter__(self):
        self.exchange.__enter__()
        return self

    def __exit__(self, *exception):
        self.exchange.__exit__(*exception)

    @property
    def now(self):
        return BEGIN + timedelta(seconds=self.seconds)

    def past_series(self):
        """Return the series of settled markets, and of nothing else where that is possible."""
        columns = self.world.columns
        events = set(columns.event[columns.result >= 0].tolist()) - {-1}
        return tuple(sorted({self.world.series[self.world.events[event].series].ticker for event in events}))

    def series(self):
        return tuple(sorted({self.world.series[event.series].ticker for event in self.world.events}))


@pytest.fixture(scope="module")
def moving():
    with MovingWorld() as moving:
        yield moving


async def record_live(kalshi, moving, folder, scans, every):
    """Scan every `every` minutes of the world's time, and return the instants of the scans."""
    store = Store(folder, "simulated")
    store.acquire()
    recorder = Recorder(store)
    instants = []
    for _ in range(scans):
        moving.seconds += every * 60
        result = await run_scan(kalshi, [Stub()], ScanOptions(books=False))
        recorder.record(result, moving.now)
        instants.append(moving.now)
    store.release()
    return instants


async def ingest(kalshi, moving, folder, **options):
    options = {"series": moving.series(), "since": BEGIN - timedelta(hours=2), "every": 1} | options
    with IngestStore(folder, "simulated") as target:
        run = ExchangeIngest(kalshi, target, ExchangeOptions(**options), moving.now)
        plan = await run.prepare()
        return plan, await run.run()


async def test_a_store_ingested_afterwards_equals_one_recorded_live(moving, unhurried, tmp_path):
    async with Kalshi(Transport(moving.exchange.url, bucket=unhurried)) as kalshi:
        instants = await record_live(kalshi, moving, tmp_path / "live", scans=25, every=7)
        _, report = await ingest(kalshi, moving, tmp_path / "ingested")
    assert report.mismatches == []
    live, ingested = Store(tmp_path / "live"), Store(tmp_path / "ingested")
    compared, quoted = 0, 0
    for instant in instants:
        expected = live.asof(instant).filter(pl.col("status") == "active")
        actual = ingested.asof(instant).join(expected, on="ticker", how="semi")
        assert actual.select(QUOTE).sort("ticker").equals(expected.select(QUOTE).sort("ticker")), instant
        compared += expected.height
        quoted += expected.drop_nulls("yes_bid_u").height
    assert compared > 5_000
    assert quoted > compared / 2
    moved = ingested.read("quotes").filter(pl.col("seen_ts") >= BEGIN).select(pl.struct(QUOTE)).n_unique()
    assert moved > 1_000, "the quotes moved"


async def test_facts_equal_those_recorded_live(moving, unhurried, tmp_path):
    async with Kalshi(Transport(moving.exchange.url, bucket=unhurried)) as kalshi:
        await record_live(kalshi, moving, tmp_path / "live", scans=1, every=1)
        await ingest(kalshi, moving, tmp_path / "ingested", every=60)
    expected = Store(tmp_path / "live").asof(moving.now)
    actual = Store(tmp_path / "ingested").asof(moving.now).join(expected, on="ticker", how="semi")
    facts = ["ticker", "event_ticker", "series_ticker", "category", "title", "strike_type", "floor_strike",
             "cap_strike", "created_ts", "open_ts", "close_ts", "decided_ts", "fee_type"]  # fmt: skip
    assert actual.select(facts).sort("ticker").equals(expected.select(facts).sort("ticker"))


@pytest.mark.parametrize("every", [1, 60, 1440])
async def test_a_candle_that_has_not_ended_is_not_known_yet(moving, unhurried, tmp_path, every):
    moving.seconds += 90
    series = moving.series()[:3]
    async with Kalshi(Transport(moving.exchange.url, bucket=unhurried)) as kalshi:
        await ingest(kalshi, moving, tmp_path, series=series, every=every, since=BEGIN - timedelta(days=3))
    store = Store(tmp_path)
    quotes = store.read("quotes")
    assert quotes.height > 0
    assert quotes["seen_ts"].max() <= moving.now
    candles = store.read("coverage").filter(pl.col("source") == f"candles:{every}")
    assert candles["to_ts"].max() <= moving.now
    assert (candles["to_ts"].dt.epoch("s") % (60 * every) == 0).all()


PAST = {"since": BEGIN - timedelta(days=210), "every": 60, "trades": True}


async def test_settled_and_archived_markets_are_ingested_once_with_their_results(moving, unhurried, tmp_path):
    async with Kalshi(Transport(moving.exchange.url, bucket=unhurried)) as kalshi:
        await ingest(kalshi, moving, tmp_path, series=moving.past_series(), **PAST)
        with IngestStore(tmp_path, "simulated") as target:
            run = ExchangeIngest(kalshi, target, ExchangeOptions(series=moving.past_series(), **PAST), moving.now)
            await run.prepare()
            markets = run._markets()
            assert [market.ticker for job in run._jobs() for market in job.markets if market.settled] == []
            assert [market.ticker for market in run._trade_markets() if market.settled] == []
    store = Store(tmp_path)
    settled = {market.ticker for market in markets if market.settled}
    assert {market.archived for market in markets if market.settled} == {True, False}
    assert set(store.read("settlements")["ticker"]) == settled
    assert store.read("settlements")["payout_u"].null_count() == 0
    trades = store.read("trades")
    assert settled & set(trades["ticker"])
    assert trades["trade_id"].is_duplicated().sum() == 0
    last = store.latest("quotes").filter(pl.col("ticker").is_in(list(settled)))
    assert not last["listed"].any(), "a settled market is no longer listed"
    assert list(check_store(tmp_path)) == []


async def test_an_interrupted_ingest_continues_and_loses_at_most_what_was_in_flight(moving, unhurried, tmp_path):
    class Killed(BaseException):
        pass

    def kill(done, total):
        if done == 3:
            raise Killed

    options = ExchangeOptions(moving.past_series(), PAST["since"], 60)
    async with Kalshi(Transport(moving.exchange.url, bucket=unhurried)) as kalshi:
        target = IngestStore(tmp_path / "killed", "simulated")
        target.__enter__()
        run = ExchangeIngest(kalshi, target, options, moving.now)
        plan = await run.prepare()
        with pytest.raises(Killed):
            await run.run(kill)
        target.store.release()  # killed: nothing was merged
        with IngestStore(tmp_path / "killed", "simulated") as target:
            run = ExchangeIngest(kalshi, target, options, moving.now)
            rest = await run.prepare()
            await run.run()
        await ingest(kalshi, moving, tmp_path / "whole", series=options.series, since=options.since, every=60)
    assert rest.candle_requests < plan.candle_requests
    columns = ["seen_ts", *QUOTE]
    whole, continued = (Store(tmp_path / name).read("quotes").select(columns).sort(columns[:2])
                        for name in ("whole", "killed"))  # fmt: skip
    assert continued.equals(whole)

"""What is written of a scan, and how opportunities change from one scan to the next."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from fairline.errors import StoreError
from fairline.kalshi.decoding import Rejected
from fairline.market.listing import Listing
from fairline.pricing.rules import Rules
from fairline.scanner import ScanResult, evaluate
from fairline.store.store import Store
from fairline.watch.recorder import Recorder
from tests.unit.pricing.test_edge import NOW as ASOF
from tests.unit.pricing.test_edge import markets
from tests.unit.test_scanner import Stub

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FLAGGED = ("T0", 0.75, None)


def listing(frame, reasons=()):
    return Listing(frame, "http://x", NOW, 1.0, frame.height, frame["ticker"], 3, 0, 100, list(reasons), [], 0, [])


class Scans:
    """Scans of invented markets into a store, a minute apart."""

    def __init__(self, folder):
        self.store = Store(folder)
        self.store.acquire()
        self.recorder, self.now = Recorder(self.store), NOW
        self.recorder.resume(NOW)

    def scan(self, *changes, answers=(FLAGGED,), models=None, reasons=(), silent=(), rules=None):
        frame = markets(*changes)
        models = models or [Stub(*answers)]
        evaluation = evaluate(frame, models, {}, asof=ASOF, rules=rules or Rules(max_spread_percent=200))
        self.now += timedelta(minutes=1)
        edges = self.recorder.record(ScanResult(listing(frame, reasons), evaluation), self.now, silent)
        return edges.select("change", "ticker", "side", "reason").rows()

    def restart(self):
        """Continue as after a kill."""
        self.store.release()
        now = self.now
        self.__init__(self.store.folder)
        self.now = now
        self.recorder.resume(now)
        return self


@pytest.fixture
def scans(tmp_path):
    scans = Scans(tmp_path / "store")
    yield scans
    scans.store.release()


def test_changes_are_written_each_time_and_everything_once_an_hour(scans):
    scans.scan({}, {}, {})
    scans.scan({}, {"yes_ask_dollars": "0.7000"}, {})
    scans.scan({}, {"yes_ask_dollars": "0.7000"}, {"volume_24h_fp": "99.00"})
    assert [scans.store.read("quotes").height, scans.store.read("facts").height] == [4, 3]
    assert scans.store.read("scans")["outcome"].to_list() == ["done"] * 3
    scans.now += timedelta(hours=1)
    scans.scan({}, {"yes_ask_dollars": "0.7000"}, {})
    assert len(list(scans.store.folder.glob("quotes/*/*-full.parquet"))) == 2
    assert scans.store.read("quotes").height == 4
    assert scans.store.asof(scans.now)["yes_ask_u"].to_list() == [620_000, 700_000, 620_000]


def test_a_delisted_market_disappears_unless_the_scan_was_incomplete(scans):
    scans.scan({}, {})
    scans.scan({}, reasons=["a window is missing"])
    assert scans.store.asof(scans.now).height == 2
    before = scans.now
    scans.scan({})
    assert scans.store.asof(scans.now)["ticker"].to_list() == ["T0"]
    assert scans.store.asof(before).height == 2
    scans.scan({}, {})
    assert scans.store.asof(scans.now).height == 2


def test_after_a_restart_it_continues_from_what_was_recorded(scans):
    assert scans.scan({}, {})[0][0] == "appeared"
    restarted = scans.restart()
    assert restarted.scan({}, {}) == []
    assert scans.store.read("quotes").height == 2


def test_an_opportunity_appears_changes_and_is_gone_for_a_reason(scans):
    assert scans.scan({}) == [("appeared", "T0", "yes", None)]
    assert scans.scan({}) == []
    assert scans.scan({"yes_ask_dollars": "0.6300"}) == [("changed", "T0", "yes", None)]
    assert scans.scan({"yes_ask_dollars": "0.7400"}) == [("gone", "T0", "yes", "edge")]
    assert scans.scan({"yes_ask_dollars": "0.7400"}) == []
    assert scans.scan({}) == [("appeared", "T0", "yes", None)]
    assert scans.scan({}, answers=[("T0", None, None)]) == [("gone", "T0", "yes", "model")]


def test_markets_that_were_not_read_are_not_gone(scans):
    scans.scan({}, {})
    assert scans.scan(answers=[], reasons=["nothing came"]) == []
    assert scans.scan(answers=[]) == [("gone", "T0", "yes", "no longer listed")]


def test_opportunities_of_a_silent_model_stay_and_those_of_another_are_gone(scans):
    one, two = Stub(FLAGGED, name="one"), Stub(FLAGGED, name="two")
    assert len(scans.scan({}, models=[one, two])) == 2
    assert scans.scan({}, models=[Stub(("T0", 0.6, None), name="two")], silent=["one"]) == [
        ("gone", "T0", "yes", "edge")
    ]
    assert scans.scan({}, models=[one, two]) == [("appeared", "T0", "yes", None)]


def test_a_market_that_is_unreadable_once_is_neither_gone_nor_delisted(scans):
    scans.scan({}, {})
    frame, unread = markets({"ticker": "T1"}), [Rejected("T0", "yes_bid_dollars", "x", "no amount")]
    incomplete = replace(listing(frame), quarantined=unread)
    evaluation = evaluate(frame, [Stub(FLAGGED)], {}, asof=ASOF, rules=Rules(max_spread_percent=200))
    edges = scans.recorder.record(ScanResult(incomplete, evaluation), scans.now + timedelta(seconds=1))
    assert edges.is_empty()
    assert scans.store.asof(scans.now + timedelta(minutes=1))["ticker"].to_list() == ["T0", "T1"]


def test_a_market_that_returns_has_its_facts_again(scans):
    scans.scan({}, {})
    scans.scan({})
    scans.now += timedelta(days=1)
    scans.scan({})  # a snapshot without it
    scans.scan({}, {})
    markets_then = scans.store.asof(scans.now).sort("ticker")
    assert markets_then["event_ticker"].null_count() == markets_then["close_ts"].null_count() == 0


def test_changes_that_could_not_be_written_are_written_later(scans, monkeypatch):
    scans.scan({})
    append, failing = scans.store.append, {"quotes", "edges"}

    def fail(dataset, *rest, **more):
        if dataset in failing:
            raise StoreError("no room")
        return append(dataset, *rest, **more)

    monkeypatch.setattr(scans.store, "append", fail)
    moved = {"yes_ask_dollars": "0.6300"}
    with pytest.raises(StoreError):
        scans.scan(moved, {})
    failing.remove("quotes")
    with pytest.raises(StoreError):
        scans.scan(moved, {})
    failing.clear()
    assert scans.scan(moved, {}) == [("changed", "T0", "yes", None)]
    assert scans.store.asof(scans.now)["yes_ask_u"].to_list() == [630_000, 620_000]


def test_the_opportunity_of_a_model_that_no_longer_prices_it_fails_the_model_step(scans):
    one, two = Stub(FLAGGED, name="one"), Stub(FLAGGED, name="two")
    scans.scan({}, models=[one, two])
    silent = Stub(name="two")
    assert scans.scan({}, models=[one, silent], reasons=["incomplete"]) == [("gone", "T0", "yes", "model")]


def test_a_clock_set_back_over_a_restart_repeats_nothing(scans):
    scans.scan({})
    restarted = scans.restart()
    restarted.now = NOW - timedelta(hours=2)
    restarted.recorder.resume(restarted.now)
    assert restarted.scan({}) == []


def test_a_prediction_is_written_when_it_changes_with_the_markets_quotes(scans):
    scans.scan({})
    scans.scan({"yes_bid_dollars": "0.5000"})
    scans.scan({}, answers=[("T0", 0.7, 0.1)])
    rows = scans.store.read("predictions").select("p", "p_sd", "p_bid", "p_ask", "model").rows()
    assert rows == [(0.75, None, 0.58, 0.62, "stub"), (0.7, 0.1, 0.58, 0.62, "stub")]


def test_the_row_of_a_scan_contains_its_funnel(scans):
    scans.scan({}, reasons=["a window is missing"])
    row = scans.store.read("scans").row(0, named=True)
    assert (row["outcome"], row["detail"], row["kept"], row["complete"]) == (
        "incomplete",
        "a window is missing",
        1,
        False,
    )
    assert '"step": "listed and readable"' in row["funnel"]


def test_money_columns_are_integers(scans):
    scans.scan({})
    for dataset in ("quotes", "edges"):
        schema = scans.store.read(dataset).schema
        assert {schema[name] for name in schema if name.endswith(("_u", "_cc"))} == {pl.Int64()}

"""Recordings served as an exchange."""

import json
from datetime import UTC, datetime

import pytest
import requests

import fairline
from fairline.sim import Exchange, SimError
from fairline.sim.recording import read_recording
from fairline.sim.replay import ReplayCatalog

MARKET = {
    "ticker": "KXTEST-26JUL10-A",
    "event_ticker": "KXTEST-26JUL10",
    "status": "active",
    "created_time": "2026-07-01T00:00:00Z",
    "close_time": "2026-07-20T00:00:00Z",
    "yes_bid_dollars": "0.4200",
    "yes_bid_size_fp": "150.00",
    "yes_ask_dollars": "0.4500",
    "yes_ask_size_fp": "20.50",
}


@pytest.fixture
def recorded(tmp_path):
    def record(*objects):
        path = tmp_path / "recording.jsonl"
        path.write_text("\n".join(json.dumps(item) for item in objects))
        return path

    return record


def test_quotes_without_a_recorded_book_are_served_as_a_book_of_one_level(recorded):
    catalog = ReplayCatalog(recorded(MARKET))
    assert catalog.book(0) == ([(4200, 15_000)], [(5500, 2_050)])


def test_a_recorded_book_is_served_rather_than_the_quotes(recorded):
    book = {"ticker": MARKET["ticker"], "orderbook_fp": {"yes_dollars": [["0.4100", "3.00"]], "no_dollars": []}}
    catalog = ReplayCatalog(recorded(MARKET, book))
    assert catalog.book(0) == ([(4100, 300)], [])


@pytest.mark.parametrize(
    ("changes", "book"),
    [
        ({"yes_bid_size_fp": "0.00"}, ([], [(5500, 2_050)])),
        ({"yes_ask_dollars": "1.0000", "yes_ask_size_fp": "0.00"}, ([(4200, 15_000)], [])),
        ({"yes_bid_dollars": "0.0000"}, ([], [(5500, 2_050)])),
        ({"yes_bid_dollars": None, "yes_bid": 41}, ([(4100, 15_000)], [(5500, 2_050)])),
        ({"yes_bid_dollars": "abc"}, ([], [(5500, 2_050)])),
        ({"status": "closed"}, ([], [])),
    ],
)
def test_only_sides_that_were_quoted_have_a_level(recorded, changes, book):
    assert ReplayCatalog(recorded(MARKET | changes)).book(0) == book


def test_a_quote_of_unknown_size_is_served_as_one_contract(recorded):
    sizeless = {name: value for name, value in MARKET.items() if not name.endswith("_size_fp")}
    assert ReplayCatalog(recorded(sizeless)).book(0) == ([(4200, 100)], [(5500, 100)])


def test_a_scan_of_recorded_markets_finds_a_book_for_every_quote(shared):
    catalog = ReplayCatalog(shared / "kalshi_markets_raw_2026-07-10")
    quoted = 0
    for row in range(len(catalog.tickers)):
        market = json.loads(catalog.market(row))
        if market["status"] == "active" and float(market["yes_bid_size_fp"]) and float(market["yes_ask_size_fp"]):
            yes, no = catalog.book(row)
            assert round(yes[-1][0]) == round(float(market["yes_bid_dollars"]) * 10_000)
            assert 10_000 - no[-1][0] == round(float(market["yes_ask_dollars"]) * 10_000)
            quoted += 1
    assert quoted > 50


def test_a_replay_can_have_a_clock_of_its_own(recorded):
    at = datetime(2026, 7, 10, 18, 30, tzinfo=UTC)
    with Exchange(replay=recorded(MARKET), at=at) as exchange:
        answer = requests.get(f"{exchange.url}/exchange/user_data_timestamp", timeout=20)
        shown = datetime.fromisoformat(answer.json()["as_of_time"])
        assert 0 <= (shown - at).total_seconds() < 20
        assert "10 Jul 2026 18:30" in answer.headers["Date"]


def test_only_a_replay_has_a_clock_of_its_own():
    with pytest.raises(SimError, match="only a replay"):
        Exchange(markets=10, at=datetime(2026, 7, 10, tzinfo=UTC))


def test_a_replay_of_the_past_accepts_signatures_by_either_clock(recorded):
    at = datetime(2026, 7, 10, tzinfo=UTC)
    with Exchange(replay=recorded(MARKET), at=at) as exchange:
        keys = exchange.backend.keys
        for now in (keys.now(), keys.now() + keys.replay_offset_s):
            assert keys._in_window(now)
        assert not keys._in_window(keys.now() - 120)


def test_objects_are_found_at_any_depth_and_the_last_recording_counts(tmp_path):
    later = MARKET | {"yes_bid_dollars": "0.4300"}
    (tmp_path / "a.json").write_text(json.dumps({"pages": [{"markets": [MARKET]}]}))
    (tmp_path / "b.json").write_text(json.dumps([{"event": {"event_ticker": "E", "series_ticker": "S"}}, later]))
    recording = read_recording(tmp_path)
    assert recording.markets[MARKET["ticker"]]["yes_bid_dollars"] == "0.4300"
    assert list(recording.events) == ["E"]


def test_a_scan_of_a_replay_counts_from_its_clock(recorded):
    soon = MARKET | {"ticker": "KXTEST-26JUL10-B", "occurrence_datetime": "2026-07-11T00:00:00Z"}
    later = MARKET | {"ticker": "KXTEST-26JUL10-C", "occurrence_datetime": "2026-07-19T00:00:00Z"}
    fields = {"market_type": "binary", "no_bid_dollars": "0.5500", "no_ask_dollars": "0.5800"}
    path = recorded(soon | fields, later | fields)
    at = datetime(2026, 7, 10, 18, 30, tzinfo=UTC)
    with Exchange(replay=path, at=at) as exchange:
        listed = fairline.markets(exchange=exchange.url, fresh=True)
        within = fairline.markets(exchange=exchange.url, decided_within="2d", fresh=True)
    assert listed.markets.height == 2
    assert within.markets["ticker"].to_list() == [soon["ticker"]]
    with Exchange(replay=path) as exchange:
        assert fairline.markets(exchange=exchange.url, fresh=True).markets.is_empty()

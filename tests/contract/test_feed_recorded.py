"""Recorded feeds through the client's decoding, sequence and live books."""

import gzip
import json

import pytest

from fairline.kalshi.feed_messages import Delta, Lifecycle, Ok, Snapshot, Ticker, Trade, UnknownMessage, decode
from fairline.kalshi.feed_sequence import Place, Sequences
from fairline.market.feed_check import FeedCheck
from fairline.market.live import LiveState, apply, ticker_quote
from fairline.sim.feed_replay import _ADDED


def read_rows(path):
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


@pytest.fixture(scope="module")
def recorded(shared):
    """The recorded session of 14 May 2026 as frames in the order of their receipt, without the recorder's fields."""
    folder = shared / "kalshi_feed_btc15m_2026-05-14"
    rows = [
        row
        for kind in ("ws_subscribed", "orderbook_snapshot", "orderbook_delta", "ticker")
        for row in read_rows(folder / f"{kind}.ndjson.gz")
    ]
    rows.sort(key=lambda row: row["local_recv_ns"])
    frames = []
    for row in rows:
        if row["event_type"] == "ws_subscribed":
            frames.append((row["local_recv_ns"], json.dumps(row["payload_json"]).encode()))
            continue
        body = {name: value for name, value in row["payload_json"].items() if name not in _ADDED}
        sequence = {"seq": row["sequence_number"]} if row["sequence_number"] else {}
        frame = {"type": row["event_type"], "sid": 2 if sequence else 1} | sequence | {"msg": body}
        frames.append((row["local_recv_ns"], json.dumps(frame).encode()))
    return frames


def markets_of(messages):
    return sorted({message.msg.market_ticker for message in messages if isinstance(message, Snapshot | Ticker)})


def test_the_rebuilt_book_equals_the_ticker_in_842_of_842_cases(recorded):
    check = FeedCheck()
    for _, frame in recorded:
        check.add(decode(frame))
    report = check.finish()
    assert (report.compared, report.equal) == (842, 842)
    assert (report.connections, report.unreadable, report.unknown, report.gaps) == (3, 0, 0, 0)


def test_by_arrival_the_book_equals_the_ticker_less_often(recorded):
    messages = [decode(frame) for _, frame in recorded]
    tickers = markets_of(messages)
    state = LiveState(tickers)
    state.follow(tickers)
    equal = compared = 0
    for message in messages:
        apply(state, message)
        if isinstance(message, Ticker) and state.books[message.msg.market_ticker].valid:
            compared += 1
            equal += state.books[message.msg.market_ticker].quote == ticker_quote(message.msg)
    assert compared == 842
    assert equal < 842


def test_the_live_quote_ends_at_the_last_ticker_or_a_later_change(recorded):
    messages = [decode(frame) for _, frame in recorded]
    tickers = markets_of(messages)
    state = LiveState(tickers)
    state.follow(tickers)
    for message in messages:
        apply(state, message)
    for ticker in tickers:
        newest = max(m.msg.ts_ms for m in messages if isinstance(m, Delta | Ticker) and m.msg.market_ticker == ticker)
        assert state.ts_ms[state.rows[ticker]] <= newest
        assert state.current[state.rows[ticker]]


def test_a_recorded_connection_has_268_numbered_messages_without_a_gap(shared):
    document = json.loads((shared / "kalshi_api_recorded_2026-08" / "ws_orderbook_stream.json").read_text())
    messages = [decode(json.dumps(row["frame"]).encode()) for row in document["frames"]]
    sequences = Sequences()
    places = [sequences.place(message.sid, message.seq) for message in messages]
    assert set(places) == {Place.NEXT}
    assert sum(message.seq is not None for message in messages) == 268
    assert sum(isinstance(message, Ok) for message in messages) == 11
    assert not [message for message in messages if isinstance(message, UnknownMessage)]


def test_frames_of_every_version_are_read(shared):
    rows = [
        json.loads(line) for line in (shared / "kalshi_ws_frames_by_version" / "frames.jsonl").read_text().splitlines()
    ]
    private = {"fill", "market_position"}
    for row in rows:
        message = decode(json.dumps(row["frame"]).encode())
        unknown = isinstance(message, UnknownMessage)
        assert unknown == (row["frame"]["type"] in private), row
        assert message.sid == row["frame"].get("sid", 0)
        assert message.seq == row["frame"].get("seq")
    trades = [decode(json.dumps(row["frame"]).encode()) for row in rows if row["frame"]["type"] == "trade"]
    assert [trade.msg.count_fp or trade.msg.count for trade in trades] == [7, "113.90"]
    assert all(isinstance(trade, Trade) for trade in trades)


def test_at_a_recorded_close_the_quotes_go_with_the_ticker_and_the_book_with_the_empty_snapshot(shared):
    rows = read_rows(shared / "kalshi_ws_market_close_2026-05" / "close_frames.jsonl.gz")
    tickers = sorted({row["market_ticker"] for row in rows})
    state = LiveState(tickers)
    state.follow(tickers)
    empty = 0
    for row in rows:
        sequence = {} if row["seq"] is None else {"seq": row["seq"]}
        message = decode(json.dumps({"type": row["type"], "sid": 1, "msg": row["msg"]} | sequence).encode())
        assert isinstance(message, Snapshot | Ticker | Delta)
        apply(state, message)
        if isinstance(message, Snapshot):
            empty += 1
            assert state.books[row["market_ticker"]].quote == (0, 0, 0, 0)
    assert empty == 24
    assert all(state.quote_of(ticker) == (0, 0, 0, 0) for ticker in tickers)


def test_an_unknown_lifecycle_event_changes_nothing():
    state = LiveState(["A"])
    message = decode(
        b'{"type":"market_lifecycle_v2","sid":1,"seq":5,"msg":{"market_ticker":"A","event_type":"painted"}}'
    )
    assert isinstance(message, Lifecycle)
    assert list(apply(state, message)) == []

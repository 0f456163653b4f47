"""Decoding of feed messages: every version, and what cannot be read."""

import pytest

from fairline.kalshi.feed_messages import Delta, Snapshot, Subscribed, Ticker, Trade, UnknownMessage, decode

DELTA = (
    b'{"type":"orderbook_delta","sid":2,"seq":7,'
    b'"msg":{"market_ticker":"A","price_dollars":"0.6200","delta_fp":"-2.00","side":"yes"}}'
)


def test_a_delta_is_read_with_its_place_in_sequence():
    message = decode(DELTA)
    assert isinstance(message, Delta)
    assert (message.sid, message.seq) == (2, 7)
    assert (message.msg.price_dollars, message.msg.delta_fp, message.msg.ts_ms) == ("0.6200", "-2.00", 0)


def test_sides_without_levels_are_absent_keys():
    message = decode(b'{"type":"orderbook_snapshot","sid":1,"seq":9,"msg":{"market_ticker":"A","market_id":"x"}}')
    assert isinstance(message, Snapshot)
    assert (message.msg.yes_dollars_fp, message.msg.no_dollars_fp) == ([], [])


def test_numbers_may_come_as_text_or_as_numbers():
    message = decode(
        b'{"type":"ticker","sid":1,"msg":{"market_ticker":"A","yes_bid_dollars":0.41,"yes_ask_dollars":"0.4200",'
        b'"yes_bid_size_fp":7,"yes_ask_size_fp":"9.00","ts_ms":5}}'
    )
    assert isinstance(message, Ticker)
    assert (message.msg.yes_bid_dollars, message.msg.yes_bid_size_fp) == (0.41, 7)


def test_a_trade_of_october_2025_has_cents_and_a_count():
    message = decode(
        b'{"type":"trade","sid":1,"seq":16,"msg":{"trade_id":"t","market_ticker":"A","yes_price":27,"no_price":73,'
        b'"yes_price_dollars":"0.2700","no_price_dollars":"0.7300","count":7,"taker_side":"yes","ts":1759350609}}'
    )
    assert isinstance(message, Trade)
    assert (message.msg.count, message.msg.count_fp) == (7, "")


def test_the_answer_to_a_subscription_names_channel_and_sid():
    message = decode(b'{"type":"subscribed","id":1,"msg":{"channel":"ticker","sid":3}}')
    assert isinstance(message, Subscribed)
    assert (message.id, message.msg.channel, message.msg.sid) == (1, "ticker", 3)


@pytest.mark.parametrize(
    ("frame", "kind", "seq"),
    [
        (b'{"type":"market_weather","sid":2,"seq":4,"msg":{}}', "market_weather", 4),
        (DELTA.replace(b'"0.6200"', b'{"a":1}'), "orderbook_delta", 7),
        (DELTA.replace(b'"market_ticker":"A",', b""), "orderbook_delta", 7),
        (b"[1,2]", "", None),
        (b"not json", "", None),
        (b"", "", None),
        (b'{"type":"ticker","msg":"\xff"}', "ticker", None),
        (b"[" * 100_000, "", None),
    ],
)
def test_what_cannot_be_read_is_an_unknown_message_that_keeps_its_place(frame, kind, seq):
    message = decode(frame)
    assert isinstance(message, UnknownMessage)
    assert (message.kind, message.seq) == (kind, seq)
    assert message.reason

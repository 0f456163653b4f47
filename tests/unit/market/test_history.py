"""Candles and trades in every form that the exchange has used."""

import json
from datetime import UTC, datetime

import pytest

from fairline.kalshi.history import batch_candles, one_series_of_candles, trades_page
from fairline.market.history import candles_frame, trades_frame

END = 1_790_462_760


def side(close, **more):
    return {"open_dollars": close, "low_dollars": close, "high_dollars": close, "close_dollars": close} | more


def candle(bid, ask, **more):
    return {"end_period_ts": END, "yes_bid": bid, "yes_ask": ask, "price": {}, "volume_fp": "0.00",
            "open_interest_fp": "3.00"} | more  # fmt: skip


def read(*candles):
    body = json.dumps({"ticker": "T", "candlesticks": candles}).encode()
    return candles_frame([("T", one_series_of_candles(body).candlesticks)])


def quotes(*candles):
    return read(*candles).select("yes_bid_u", "yes_ask_u").rows()


def test_the_close_of_a_candle_is_its_quote_at_its_end():
    row = read(candle(side("0.4500"), side("0.4700"), price=side("0.4600"), volume_fp="12.50")).row(0, named=True)
    assert row["end_ts"] == datetime.fromtimestamp(END, UTC)
    assert (row["yes_bid_u"], row["yes_ask_u"], row["last_price_u"]) == (450_000, 470_000, 460_000)
    assert (row["volume_cc"], row["open_interest_cc"]) == (1_250, 300)


def test_a_bid_of_0_and_an_ask_of_1_are_missing_sides():
    assert quotes(candle(side("0.0000"), side("0.0100"))) == [(None, 10_000)]
    assert quotes(candle(side("0.9900"), side("1.0000"))) == [(990_000, None)]


def test_a_candle_without_bid_and_ask_has_null_quotes_whatever_its_low_was():
    after = candle(side("0.0000"), side("1.0000", open_dollars="0.0010", low_dollars="0.0010"))
    assert quotes(after) == [(None, None)]


def test_a_synthetic_candle_without_quotes_is_no_observation():
    assert quotes(candle({"open_dollars": None}, {}, price={"previous_dollars": "0.4000"})) == []


def test_archived_candles_have_dollars_without_the_suffix():
    archived = candle({"close": "0.6700"}, {"close": "0.6900"}, price={"close": None}, volume="4.00")
    del archived["volume_fp"]
    row = read(archived).row(0, named=True)
    assert (row["yes_bid_u"], row["yes_ask_u"], row["last_price_u"], row["volume_cc"]) == (670_000, 690_000, None, 400)


@pytest.mark.parametrize("cents", [{"close": 67}, {"close": 67.0}])
def test_numbers_without_a_suffix_are_cents(cents):
    assert quotes(candle(cents, {"close": 69})) == [(670_000, 690_000)]


def test_dollars_are_preferred_to_cents():
    assert quotes(candle({"close": 67, "close_dollars": "0.6750"}, side("0.6900"))) == [(675_000, 690_000)]


def test_a_batch_names_its_markets():
    body = {"markets": [{"market_ticker": "A", "candlesticks": [candle(side("0.1000"), side("0.2000"))]}]}
    [market] = batch_candles(json.dumps(body).encode()).markets
    assert (market.market_ticker, len(market.candlesticks)) == ("A", 1)


def test_trades_are_read_in_both_forms():
    now = {
        "trade_id": "a",
        "ticker": "T",
        "count_fp": "50.25",
        "yes_price_dollars": "0.1200",
        "taker_side": "yes",
        "taker_outcome_side": "yes",
        "created_time": "2026-09-26T23:04:11.793723Z",
        "is_block_trade": False,
    }
    then = {
        "trade_id": "b",
        "ticker": "T",
        "count": 7,
        "yes_price": 12,
        "price": 0.12,
        "taker_side": "no",
        "created_time": "2026-01-05T01:02:03Z",
    }
    rows = trades_page(json.dumps({"trades": [now, then], "cursor": ""}).encode()).rows
    trades = trades_frame(rows)
    assert trades.select("trade_id", "price_u", "count_cc", "taker_side", "is_block").rows() == [
        ("a", 120_000, 5_025, "yes", False),
        ("b", 120_000, 700, "no", None),
    ]
    assert trades["created_ts"][0] == datetime(2026, 9, 26, 23, 4, 11, 793_723, tzinfo=UTC)

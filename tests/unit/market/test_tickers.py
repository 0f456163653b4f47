"""Tickers as people write them."""

import polars as pl
import pytest

from fairline.errors import FairlineError
from fairline.kalshi import KalshiError
from fairline.market.tickers import parse_event_ticker, parse_market_ticker, parse_series_ticker, ticker_expr

MARKET = "KXHIGHNY-26NOV23-B54.5"
WRITTEN = [
    MARKET,
    "kxhighny-26nov23-b54.5",
    f"  {MARKET} ",
    "https://kalshi.com/markets/kxhighny/highest-temperature-in-nyc/kxhighny-26nov23-b54.5",
    "https://kalshi.com/markets/kxhighny/highest-temperature-in-nyc/kxhighny-26nov23-b54.5?utm=x",
    "kalshi.com/markets/kxhighny/highest-temperature-in-nyc#kxhighny-26nov23-b54.5",
    "https://www.kalshi.com/markets/kxhighny/highest-temperature-in-nyc/kxhighny-26nov23-b54.5/",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_a_market_is_found_in_any_case_and_in_addresses(text):
    assert parse_market_ticker(text) == MARKET


def test_columns_are_read_the_same_way():
    assert pl.DataFrame({"ticker": WRITTEN}).select(ticker_expr("ticker")).to_series().to_list() == [MARKET] * 7


def test_events_and_series_are_other_parts_of_an_address():
    address = "https://kalshi.com/markets/kxhighny/highest-temperature-in-nyc/kxhighny-26nov23"
    assert parse_event_ticker(address) == "KXHIGHNY-26NOV23"
    assert parse_series_ticker(address) == "KXHIGHNY"
    assert parse_series_ticker("kxhighny ") == "KXHIGHNY"


@pytest.mark.parametrize("text", ["A,B", "A B", "../x", ""])
def test_characters_that_no_ticker_has_are_refused(text):
    with pytest.raises((FairlineError, KalshiError, ValueError)):
        parse_market_ticker(text)

"""Names and addresses of markets."""

import polars as pl
import pytest

from fairline.market.labels import label, label_of, page_address


@pytest.mark.parametrize(
    ("outcome", "question", "expected"),
    [
        ("54° to 55°", "High in New York?", "54° to 55° · High in New York?"),
        ("", "Will it rain?", "Will it rain?"),
        ("Rain", "Rain", "Rain"),
        (None, "Will it rain?", "Will it rain?"),
        ("Rain", None, "Rain"),
    ],
)
def test_the_outcome_stands_before_the_question(outcome, question, expected):
    schema = {"yes_sub_title": pl.String, "title": pl.String}
    frame = pl.DataFrame([(outcome, question)], schema=schema, orient="row")
    assert frame.select(label()).item() == expected
    assert label_of(outcome, question) == expected


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        ("https://api.elections.kalshi.com/trade-api/v2", "https://kalshi.com/markets/kxhighny"),
        ("production", "https://kalshi.com/markets/kxhighny"),
        ("http://127.0.0.1:80/trade-api/v2", "http://127.0.0.1:80/trade-api/v2/markets/KXHIGHNY-1"),
        ("127.0.0.1:80", None),
        ("", None),
    ],
)
def test_a_market_has_a_page_where_its_exchange_is_known(exchange, expected):
    frame = pl.DataFrame({"ticker": ["KXHIGHNY-1"], "series_ticker": ["KXHIGHNY"]})
    assert frame.select(page_address(exchange)).item() == expected

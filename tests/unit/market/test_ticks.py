import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairline.market.ticks import better_prices, grid_of, is_on_grid, next_above_u, next_below_u, off_grid

CENT = json.dumps([{"start": "0.0000", "end": "1.0000", "step": "0.0100"}])
TAPERED = json.dumps(
    [
        {"start": "0.0000", "end": "0.1000", "step": "0.0010"},
        {"start": "0.1000", "end": "0.9000", "step": "0.0100"},
        {"start": "0.9000", "end": "1.0000", "step": "0.0010"},
    ]
)


def market_at(bid, ask, ranges=TAPERED):
    return pl.DataFrame(
        {"ticker": ["T"], "price_ranges": [ranges], "yes_bid_u": [bid], "yes_ask_u": [ask]},
        schema_overrides={"price_ranges": pl.Categorical(), "yes_bid_u": pl.Int64, "yes_ask_u": pl.Int64},
    )


@pytest.mark.parametrize(
    "price,below,above",
    [
        (99_000, 98_000, 100_000),
        (100_000, 99_000, 110_000),
        (890_000, 880_000, 900_000),
        (900_000, 890_000, 901_000),
        (1_000, None, 2_000),
        (999_000, 998_000, None),
        (104_000, 100_000, 110_000),
    ],
)
def test_the_step_is_that_of_the_range_that_the_price_moves_into(price, below, above):
    grid = grid_of(TAPERED)
    assert (next_below_u(price, grid), next_above_u(price, grid)) == (below, above)


@given(st.integers(1, 999_999))
def test_neighbours_are_on_the_grid_with_no_price_between_them(price):
    grid = grid_of(TAPERED)
    below, above = next_below_u(price, grid), next_above_u(price, grid)
    assert below is None or (is_on_grid(below, grid) and below < price)
    assert above is None or (is_on_grid(above, grid) and above > price)
    between = range((below or 0) + 1, above or 1_000_000)
    assert [p for p in between if is_on_grid(p, grid)] == ([price] if is_on_grid(price, grid) else [])


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "null",
        "{}",
        '[{"start":"0","end":"1"}]',
        '[{"start":"0","end":"1","step":"0"}]',
        '[{"start":"0","end":"1","step":"-0.01"}]',
        '[{"start":"1/0","end":"1","step":"0.01"}]',
        '[{"start":"x","end":"1","step":"0.01"}]',
        '[{"start":"0","end":"1","step":"0.00000001"}]',
        '[{"start":"0","end":"0.5","step":"0.01"},{"start":"0.6","end":"1","step":"0.01"}]',
    ],
)
def test_an_unreadable_grid_is_empty_and_flags_no_quotes(text):
    assert grid_of(text) == ()
    assert off_grid(market_at(123_456, None, text)).is_empty()
    assert better_prices(market_at(400_000, 500_000, text)).row(0) == ("T", None, None)


def test_the_better_price_is_a_tick_better_unless_it_meets_the_other_side():
    assert better_prices(market_at(98_000, 120_000)).row(0) == ("T", 99_000, 890_000)
    assert better_prices(market_at(400_000, 410_000)).row(0) == ("T", None, None)
    assert better_prices(market_at(400_000, None)).row(0) == ("T", 410_000, None)
    assert better_prices(market_at(None, 410_000)).row(0) == ("T", None, 600_000)


def test_quotes_off_the_grid_are_found():
    off = off_grid(market_at(104_000, 120_000))
    assert off.rows() == [("T", 104_000)]
    assert off_grid(market_at(99_000, 120_000)).is_empty()
    assert off_grid(market_at(99_000, 120_000, CENT)).rows() == [("T", 99_000)]

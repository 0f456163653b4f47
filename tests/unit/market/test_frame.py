import msgspec
import polars as pl
import pytest

from fairline.kalshi.wire import Event, Market, Series
from fairline.market.frame import MARKETS, markets_frame, with_context, with_probabilities
from tests.unit.kalshi.test_wire import MARKET


def frame(**changes):
    result, rejected = markets_frame([msgspec.convert(MARKET | changes, Market)])
    return result, rejected


def row(**changes):
    result, rejected = frame(**changes)
    assert not rejected
    return with_probabilities(result).row(0, named=True)


def test_an_empty_page_has_the_columns_of_markets():
    assert frame()[0].schema == MARKETS
    assert markets_frame([])[0].schema == MARKETS


def test_a_bid_of_58_and_an_ask_of_62_imply_a_midpoint_of_60():
    got = row()
    assert (got["yes_bid_u"], got["yes_ask_u"]) == (580_000, 620_000)
    assert (got["p_bid"], got["p_mid"], got["p_ask"]) == (0.58, 0.60, 0.62)
    assert got["spread_u"] == 40_000
    assert got["spread_percent"] == pytest.approx(6.6667, abs=1e-4)


def test_without_a_bid_there_is_an_ask_but_no_midpoint():
    got = row(yes_bid_dollars="0.0000", yes_bid_size_fp="0.00")
    assert (got["p_bid"], got["p_mid"], got["spread_percent"]) == (None, None, None)
    assert got["p_ask"] == 0.62


def test_an_empty_book_has_no_probabilities():
    got = row(yes_bid_dollars="0.0000", yes_ask_dollars="1.0000", yes_bid_size_fp="0.00", yes_ask_size_fp="0.00")
    assert [got[name] for name in ("p_bid", "p_ask", "p_mid", "spread_u")] == [None] * 4


@pytest.mark.parametrize("ask", ["1.0000", "0.0000"])
def test_both_spellings_of_an_empty_ask_are_null(ask):
    assert row(yes_ask_dollars=ask, yes_ask_size_fp="0.00")["yes_ask_u"] is None


def test_a_side_without_size_does_not_exist_at_any_price():
    assert row(yes_bid_size_fp="0.00")["yes_bid_u"] is None


def test_a_size_at_an_invalid_price_does_not_exist():
    assert row(yes_bid_dollars="0.0000")["yes_bid_u"] is None
    assert row(yes_ask_dollars="1.0000")["yes_ask_u"] is None


@pytest.mark.parametrize(
    "text,micro", [("0.5", 500_000), ("0.0001", 100), ("0.123456", 123_456), ("0.99990000", 999_900), ("1", None)]
)
def test_prices_are_exact_to_the_micro_dollar(text, micro):
    assert row(yes_ask_dollars=text)["yes_ask_u"] == micro


def test_counts_are_hundredths_of_a_contract():
    assert row(yes_ask_size_fp="861265.22")["yes_ask_size_cc"] == 86_126_522


@pytest.mark.parametrize(
    "field,value",
    [
        ("yes_bid_dollars", "abc"),
        ("yes_bid_dollars", ""),
        ("yes_bid_dollars", "-0.10"),
        ("yes_bid_dollars", "1.2"),
        ("yes_bid_dollars", "0.1234567"),
        ("yes_bid_dollars", "-0.1"),
        ("yes_bid_dollars", "0.12345678901234567"),
        ("yes_ask_dollars", "NaN"),
        ("yes_bid_size_fp", "1.234"),
        ("yes_ask_size_fp", "-3.00"),
        ("close_time", "tomorrow"),
        ("notional_value_dollars", "100.0000"),
        ("notional_value_dollars", "junk"),
    ],
)
def test_an_unreadable_value_quarantines_its_row_by_name(field, value):
    result, (bad,) = frame(**{field: value})
    assert result.is_empty()
    assert (bad.ticker, bad.field, bad.value) == ("KX-1", field, f'"{value}"')
    assert bad.reason


def test_an_unreadable_optional_field_is_null_and_its_row_is_used():
    assert row(volume_fp="many", open_time="x")["volume_cc"] is None


def test_times_of_any_precision_and_offset_become_utc():
    got = row(close_time="2026-12-01T00:00:00.5Z", created_time="2026-12-01T01:00:00+02:00")
    assert got["close_ts"].isoformat() == "2026-12-01T00:00:00.500000+00:00"
    assert got["created_ts"].isoformat() == "2026-11-30T23:00:00+00:00"


def test_a_market_is_decided_at_its_occurrence_else_its_expected_expiration():
    assert row(expected_expiration_time="2026-11-30T00:00:00Z")["decided_ts"].day == 30
    both = row(expected_expiration_time="2026-11-30T00:00:00Z", occurrence_datetime="2026-11-29T00:00:00Z")
    assert both["decided_ts"].day == 29


def contextual(markets=None, series=(), events=()):
    return with_context(frame(event_ticker="KXA-1")[0] if markets is None else markets, series, events).row(
        0, named=True
    )


def test_series_category_and_fees_come_from_event_and_series():
    event = Event("KXA-1", "KXOTHER", title="Who?", mutually_exclusive=True)
    series = Series("KXOTHER", category="Sports", fee_type="quadratic", fee_multiplier=0.5)
    got = contextual(series=[series], events=[event])
    assert (got["series_ticker"], got["category"], got["title"]) == ("KXOTHER", "Sports", "Who?")
    assert (got["fee_type"], got["fee_multiplier_m"], got["mutually_exclusive"]) == ("quadratic", 5_000, True)


def test_an_override_of_the_event_replaces_the_fee_of_its_series():
    event = Event("KXA-1", "KXA", fee_type_override="flat", fee_multiplier_override=0.0)
    got = contextual(series=[Series("KXA", fee_type="quadratic", fee_multiplier=1)], events=[event])
    assert (got["fee_type"], got["fee_multiplier_m"]) == ("flat", 0)


def test_a_ticker_prefix_is_a_series_only_if_that_series_exists():
    assert contextual(series=[Series("KXA", category="World")])["series_ticker"] == "KXA"
    assert contextual(series=[Series("KXB", category="World")])["series_ticker"] is None


def test_a_multiplier_finer_than_the_unit_is_rounded_up():
    got = contextual(series=[Series("KXA", fee_multiplier=0.12341)])
    assert got["fee_multiplier_m"] == 1_235


def test_an_event_listed_twice_does_not_double_its_markets():
    event = Event("KXA-1", "KXA")
    assert with_context(frame(event_ticker="KXA-1")[0], [], [event, event]).height == 1


def test_probabilities_of_crossed_quotes_show_the_crossing():
    got = row(yes_bid_dollars="0.62", yes_ask_dollars="0.58")
    assert got["spread_u"] == -40_000


def test_the_price_of_a_scalar_market_is_not_a_probability():
    got = row(market_type="scalar")
    assert (got["p_bid"], got["p_mid"], got["p_ask"]) == (None, None, None)
    assert got["yes_ask_u"] == 620_000


def test_no_markets_column_could_hold_an_outcome():
    assert not {"result", "settlement_value", "settlement_ts", "expiration_value"} & set(MARKETS)
    assert isinstance(MARKETS["yes_bid_u"], pl.Int64)

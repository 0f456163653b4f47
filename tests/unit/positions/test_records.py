"""Exact conversion of account rows, and the traps in them."""

import json

import pytest

from fairline.kalshi import portfolio_wire as wire
from fairline.positions.records import cost_u, oldest_first, parse_fill, parse_order, parse_position, parse_settlement

FILL = {
    "fill_id": "f1",
    "ticker": "KXT-1-A",
    "count_fp": "10.00",
    "yes_price_dollars": "0.4800",
    "fee_cost": "0.017500",
    "outcome_side": "yes",
    "created_time": "2026-07-06T01:55:17Z",
    "is_taker": True,
}
SETTLED = {
    "ticker": "KXT-1-A",
    "event_ticker": "KXT-1",
    "market_result": "no",
    "yes_count_fp": "0.00",
    "no_count_fp": "10.00",
    "yes_total_cost_dollars": "0.000000",
    "no_total_cost_dollars": "5.300000",
    "revenue": 1000,
    "value": 0,
    "fee_cost": "0.174300",
    "settled_time": "2026-08-10T04:00:00Z",
}


def fill(**changes):
    page = wire.fills_page(json.dumps({"fills": [FILL | changes], "cursor": ""}).encode())
    assert not page.rejected
    return parse_fill(page.rows[0])


def settlement(**changes):
    page = wire.settlements_page(json.dumps({"settlements": [SETTLED | changes], "cursor": ""}).encode())
    assert not page.rejected
    return parse_settlement(page.rows[0])


@pytest.mark.parametrize(
    ("fields", "direction"),
    [
        ({"outcome_side": "yes", "action": "sell", "side": "no"}, "yes"),
        ({"outcome_side": "no", "action": "buy", "side": "yes"}, "no"),
        ({"outcome_side": None, "book_side": "ask", "side": "yes"}, "no"),
        ({"outcome_side": None, "action": "sell", "side": "yes"}, "yes"),
        ({"outcome_side": None, "action": "buy", "side": "no"}, "no"),
    ],
)
def test_direction_comes_from_outcome_side_and_never_from_the_action(fields, direction):
    assert fill(**fields).direction == direction


def test_closing_no_reads_sell_yes_and_moves_towards_yes():
    closing = fill(action="sell", side="yes", outcome_side="yes", yes_price_dollars="0.5200")
    assert (closing.signed_cc, closing.price_u) == (1_000, 520_000)


def test_a_fill_towards_no_costs_the_no_price():
    towards_no = fill(outcome_side="no", yes_price_dollars="0.4800")
    assert (towards_no.price_u, towards_no.yes_price_u, towards_no.cost_u) == (520_000, 480_000, 5_200_000)


@pytest.mark.parametrize(
    "fields",
    [
        {"outcome_side": None},
        {"count_fp": "many"},
        {"count_fp": None},
        {"count_fp": "0.00"},
        {"yes_price_dollars": None},
        {"yes_price_dollars": "1.2"},
        {"fee_cost": "NaN"},
    ],
)
def test_an_unusable_fill_costs_one_row_that_is_named(fields):
    page = wire.fills_page(json.dumps({"fills": [FILL, FILL | fields], "cursor": ""}).encode())
    assert (len(page.rows), len(page.rejected)) == (1, 1)
    assert page.rejected[0].ticker == "KXT-1-A"


def test_a_settlement_pays_by_side_and_value_is_always_the_yes_payout():
    row = settlement()
    assert row.value_u == 0
    assert row.profit_u == 10_000_000 - 5_300_000 - 174_300


def test_a_round_trip_pays_a_dollar_for_every_pair_that_revenue_does_not_show():
    row = settlement(
        market_result="yes", value=100, revenue=0, yes_count_fp="168.00", no_count_fp="168.00",
        yes_total_cost_dollars="97.080000", no_total_cost_dollars="151.340000", fee_cost="3.890000",
    )  # fmt: skip
    assert row.profit_u == -84_310_000
    assert row.closed_early_cc == 16_800


def test_a_scalar_value_is_paid_to_both_sides():
    row = settlement(market_result="scalar", value=45, yes_count_fp="4.00", yes_total_cost_dollars="1.000000")
    assert row.profit_u == 4 * 450_000 + 10 * 550_000 - 6_300_000 - 174_300


def test_a_settlement_without_a_value_has_no_profit_unless_the_result_says_it():
    assert settlement(value=None, market_result="scalar").profit_u is None
    assert settlement(value=None).profit_u == settlement().profit_u


def test_a_losing_combo_pays_its_no_side_a_dollar_minus_the_value():
    row = settlement(
        ticker="KXMVECROSSCATEGORY-S1-2", no_count_fp="3.19", no_total_cost_dollars="0.210540", fee_cost="0"
    )
    assert row.profit_u == 3_190_000 - 210_540


def test_a_position_of_zero_contracts_keeps_its_profit_and_its_time_is_text():
    body = {
        "ticker": "KXT-1-A",
        "position_fp": "0.00",
        "market_exposure_dollars": "0.000000",
        "realized_pnl_dollars": "0.040000",
        "fees_paid_dollars": "0.035000",
        "last_updated_ts": "2026-07-06T01:55:31.1Z",
    }
    page = wire.positions_page(json.dumps({"market_positions": [body], "event_positions": []}).encode())
    assert parse_position(page.rows[0]).realized_u == 40_000
    assert page.rows[0].last_updated_ts == "2026-07-06T01:55:31.1Z"


def test_a_zero_price_and_fractions_of_contracts_are_exact():
    assert fill(yes_price_dollars="0.0000", count_fp="227.27").cost_u == 0
    assert fill(yes_price_dollars="0.0130", count_fp="71.94").cost_u == 935_220
    assert cost_u(1, 100) == 1


def test_a_resting_order_costs_the_price_of_its_own_side():
    body = {"order_id": "o", "ticker": "KXT-1-A", "outcome_side": "no", "yes_price_dollars": "0.3000"}
    page = wire.orders_page(json.dumps({"orders": [body | {"remaining_count_fp": "5.00"}], "cursor": ""}).encode())
    order = parse_order(page.rows[0])
    assert (order.direction, order.price_u, order.count_cc) == ("no", 700_000, 500)


def test_fills_of_one_moment_keep_the_order_in_which_they_happened():
    newest_first = [fill(fill_id="c"), fill(fill_id="b"), fill(fill_id="a", created_time="2026-07-05T00:00:00Z")]
    assert [each.fill_id for each in oldest_first(newest_first)] == ["a", "b", "c"]

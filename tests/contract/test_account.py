"""Recorded account data: every figure of the exchange reproduced to the last digit."""

import json
from fractions import Fraction

import pytest

from fairline.kalshi import portfolio_wire as wire
from fairline.kalshi.wire import Balance
from fairline.positions.fee_fit import FeeTerms, fit_fees
from fairline.positions.lots import build_lots
from fairline.positions.reconcile import Transfers, cash_identity, compare_positions
from fairline.positions.records import dollars_u, parse_fill, parse_order, parse_position, parse_settlement

FILLS = "kalshi_account_fills_2026-08"
NETTING = "kalshi_account_netting_demo_2026-07"
OLD_FORMAT = "kalshi_account_recorded_2026-01"
OPENING_U = 1_000_000_000


@pytest.fixture(scope="module")
def fills(shared):
    payload = json.loads((shared / FILLS / "fills.json").read_text())["payload"]
    page = wire.fills_page(json.dumps(payload).encode())
    assert not page.rejected
    return page.rows


@pytest.fixture(scope="module")
def settlements(shared):
    payload = json.loads((shared / FILLS / "settlements.json").read_text())["payload"]
    page = wire.settlements_page(json.dumps(payload).encode())
    assert not page.rejected
    return page.rows


@pytest.fixture(scope="module")
def states(shared):
    """Return the eight recorded states of two accounts: before and after opening, before and after closing."""
    recorded = []
    for scenario in ("accept_yes", "accept_no"):
        for line in (shared / NETTING / f"scenario_{scenario}.jsonl").read_text().splitlines():
            step = json.loads(line)
            if "balance" in step["data"]:
                recorded.append((scenario, step["step"], step["data"]))
    assert len(recorded) == 8
    return recorded


def read_state(state):
    positions = wire.positions_page(json.dumps(state["positions"]).encode())
    page = wire.fills_page(json.dumps(state["fills"]).encode())
    assert not positions.rejected
    assert not page.rejected
    return [parse_position(row) for row in positions.rows], [parse_fill(row) for row in page.rows]


def test_33_of_33_fills_and_22_of_22_settlements_are_read(fills, settlements):
    assert (len(fills), len(settlements)) == (33, 22)
    assert {fill.direction for fill in fills} == {"yes", "no"}
    for fill in fills:
        assert fill.direction == fill.outcome_side


def test_the_settlements_add_up_to_1_0283_dollars(settlements):
    assert sum(parse_settlement(row).profit_u for row in settlements) == 1_028_300


def test_32_of_33_fees_are_rounded_to_a_hundredth_of_a_cent_and_none_cautiously(fills):
    series = {fill.ticker.split("-")[0] for fill in fills}
    terms = {name: FeeTerms(multiplier=0.5) for name in series if "MLB" in name}
    fit = fit_fees([parse_fill(fill) for fill in fills], terms)
    by_name = {each.policy.name: each for each in fit.fits}
    assert (fit.fills, by_name["balance-centicent"].exact) == (33, 32)
    assert by_name["order-centicent"].exact == 29
    assert by_name["balance-cent"].exact == 1
    assert (by_name["cautious"].exact, by_name["cautious"].too_low) == (0, 0)
    assert by_name["cautious"].ratio == pytest.approx(1.063, abs=0.001)
    assert fit.policy.name == "balance-centicent"


def test_fills_give_position_profit_fees_and_cash_of_all_8_recorded_states(states):
    for scenario, step, state in states:
        positions, fills = read_state(state)
        lots = build_lots(fills)
        assert not compare_positions(positions, lots), (scenario, step)
        for position in positions:
            market = lots[position.ticker]
            assert market.realized_u == position.realized_u, (scenario, step)
            assert market.fees_u == position.fees_u
        recorded = state["positions"]["market_positions"]
        for row in recorded:
            assert lots[row["ticker"]].traded_u == Fraction(row["total_traded_dollars"]) * 1_000_000
        for row in state["positions"]["event_positions"]:
            event = [market for ticker, market in lots.items() if ticker.startswith(row["event_ticker"])]
            assert sum(market.traded_cc for market in event) == Fraction(row["total_cost_shares_fp"]) * 100
        cash_u = OPENING_U + sum(market.cash_u for market in lots.values())
        assert cash_u == Fraction(state["balance"]["balance_dollars"]) * 1_000_000, (scenario, step)


def test_the_cash_identity_holds_in_all_8_recorded_states(states):
    for scenario, step, state in states:
        positions, _ = read_state(state)
        balance_u = int(Fraction(state["balance"]["balance_dollars"]) * 1_000_000)
        identity = cash_identity(balance_u, positions, [], Transfers(deposits_u=OPENING_U))
        assert identity.difference_u == 0, (scenario, step)


def test_a_pair_pays_at_once_and_a_closed_no_position_reads_sell_yes(states):
    (after,) = [state for scenario, step, state in states if (scenario, step) == ("accept_no", "after_requester")]
    positions, fills = read_state(after)
    closing = after["fills"]["fills"][0]
    assert (closing["action"], closing["side"]) == ("sell", "yes")
    assert [position.count_cc for position in positions] == [0]
    assert build_lots(fills)[closing["ticker"]].realized_u == -40_000


def test_cents_of_the_balance_are_rounded_down_so_the_dollar_string_is_used(states):
    for _, _, state in states:
        balance = Balance(
            **{name: state["balance"][name] for name in ("balance", "portfolio_value", "balance_dollars")}
        )
        assert dollars_u(balance.dollars) == int(Fraction(state["balance"]["balance_dollars"]) * 1_000_000)
        assert balance.balance == int(balance.dollars * 100)


def test_46_exposures_with_six_decimals_are_exact(shared):
    rows = json.loads((shared / NETTING / "live_positions_20260726.json").read_text())["market_positions"]
    page = wire.positions_page(json.dumps({"market_positions": rows, "cursor": ""}).encode())
    assert (len(page.rows), len(page.rejected)) == (46, 0)
    for row, position in zip(rows, map(parse_position, page.rows), strict=True):
        assert position.exposure_u == Fraction(row["market_exposure_dollars"]) * 1_000_000
        assert position.count_cc == Fraction(row["position_fp"]) * 100


def test_the_format_of_january_2026_is_read(shared):
    def response(name):
        return json.dumps(json.loads((shared / OLD_FORMAT / f"portfolio_{name}_response.json").read_text())["response"])

    fills = wire.fills_page(response("fills").encode())
    assert fills.rows
    assert not fills.rejected
    for fill, raw in zip(fills.rows, json.loads(response("fills"))["fills"], strict=True):
        converted = parse_fill(fill)
        assert (converted.count_cc, converted.yes_price_u) == (raw["count"] * 100, raw["yes_price"] * 10_000)
    settled = wire.settlements_page(response("settlements").encode())
    assert not settled.rejected
    for row, raw in zip(settled.rows, json.loads(response("settlements"))["settlements"], strict=True):
        assert parse_settlement(row).no_cost_u == raw["no_total_cost"] * 10_000
    positions = wire.positions_page(response("positions").encode())
    assert positions.rows
    assert not positions.rejected
    orders = wire.orders_page(response("orders").encode())
    assert not orders.rejected
    assert [parse_order(order).order_id for order in orders.rows]

"""A simulated account cannot borrow, binds what it spends until settlement, and adds up to the micro-dollar."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairline.backtesting.ledger import Agenda, Equity, Ledger, Position, measure_drawdown
from fairline.errors import UsageError

BEGIN = datetime(2026, 11, 22, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
DOLLAR = 1_000_000


def position(ticker="A", side="yes", count=10, cost=4.0, fee=0.07):
    cost_u = round(cost * DOLLAR)
    fee_u = round(fee * DOLLAR)
    return Position(1, ticker, "E", side, count * 100, cost_u, fee_u, BEGIN)


def test_a_win_pays_a_dollar_per_contract_and_a_loss_nothing():
    ledger = Ledger(100 * DOLLAR)
    ledger.buy(position("A"))
    ledger.buy(position("B"))
    ledger.settle("A", DOLLAR, BEGIN + HOUR)
    ledger.settle("B", 0, BEGIN + HOUR)
    assert [closed.profit_u for closed in ledger.closed] == [5_930_000, -4_070_000]
    assert ledger.cash_u == 101_860_000


def test_a_no_position_is_paid_the_rest_of_the_dollar():
    ledger = Ledger(100 * DOLLAR)
    ledger.buy(position(side="no"))
    ledger.settle("A", 250_000, BEGIN + HOUR)
    assert ledger.closed[0].payout_u == 7_500_000


def test_capital_is_bound_until_settlement():
    ledger = Ledger(5 * DOLLAR)
    ledger.buy(position())
    assert ledger.affordable_cc(400_000, 1_000) == 232
    with pytest.raises(UsageError, match="cannot borrow"):
        ledger.buy(position("B"))
    ledger.settle("A", 0, BEGIN + HOUR)
    assert ledger.affordable_cc(400_000, 1_000) == 232
    assert ledger.bound_u == 0


def test_without_a_bankroll_every_order_is_paid():
    ledger = Ledger(None)
    assert ledger.affordable_cc(999_999, 10**9) == 10**9
    ledger.buy(position())
    assert ledger.cash_u == -4_070_000


trades = st.lists(
    st.tuples(st.sampled_from("ABC"), st.sampled_from(["yes", "no"]), st.integers(1, 50), st.integers(1, 99)),
    max_size=20,
)


@given(trades=trades, payouts=st.tuples(*[st.integers(0, DOLLAR)] * 3))
def test_profit_equals_the_change_of_cash_once_everything_is_settled(trades, payouts):
    ledger = Ledger(1_000_000 * DOLLAR)
    for ticker, side, count, cents in trades:
        ledger.buy(position(ticker, side, count, count * cents / 100))
    for ticker, payout in zip("ABC", payouts, strict=True):
        ledger.settle(ticker, payout, BEGIN + HOUR)
    assert sum(closed.profit_u for closed in ledger.closed) == ledger.cash_u - 1_000_000 * DOLLAR
    assert ledger.bound_u == 0


def curve(*totals):
    return [Equity(BEGIN + hour * HOUR, total, 0) for hour, total in enumerate(totals)]


@pytest.mark.parametrize(
    ("totals", "deepest", "hours"),
    [
        ([], 0, 0),
        ([10, 12, 15], 0, 0),
        ([10, 8, 9, 10], 2, 3),
        ([10, 15, 11, 14, 16, 15], 4, 3),
        ([10, 4, 6], 6, 2),
        ([10, 10, 10], 0, 0),
    ],
)
def test_drawdown_is_the_deepest_fall_and_the_longest_time_below_a_high(totals, deepest, hours):
    measured = measure_drawdown(curve(*totals))
    assert (measured.deepest_u, measured.longest_s) == (deepest, hours * 3600)


def test_at_one_instant_settlements_come_before_fills():
    agenda = Agenda()
    agenda.add(BEGIN + HOUR, "fill", "buy B")
    agenda.add(BEGIN + HOUR, "settlement", "settle A")
    agenda.add(BEGIN, "fill", "buy A")
    agenda.add(BEGIN + 2 * HOUR, "fill", "buy C")
    assert agenda.pop_until(BEGIN + HOUR) == ["buy A", "settle A", "buy B"]
    assert agenda.pop_until(BEGIN + HOUR) == []

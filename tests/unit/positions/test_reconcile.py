"""The cash identity and its explanations."""

from datetime import UTC, datetime

from fairline.positions.lots import build_lots
from fairline.positions.reconcile import Transfers, cash_identity, compare_positions
from fairline.positions.records import Fill, Position, RestingOrder, SettledMarket

AT = datetime(2026, 7, 6, tzinfo=UTC)
HELD = Position("KXT-1-A", 500, 2_000_000, 100_000, 30_000)
WON = SettledMarket("KXT-0-A", "KXT-0", "yes", 1_000, 0, 4_000_000, 0, 50_000, 10_000_000, 1_000_000, AT)
PAID = Transfers(deposits_u=100_000_000)


def identity(balance_u, **more):
    arguments = {"positions": [HELD], "settlements": [WON], "transfers": PAID} | more
    return cash_identity(balance_u, **arguments)


def test_deposits_settled_profit_and_open_markets_give_the_balance():
    result = identity(100_000_000 + 5_950_000 - 1_930_000)
    assert (result.difference_u, result.holds, result.explanations) == (0, True, ())


def test_a_settled_market_is_not_counted_as_an_open_position_too():
    repeated = Position(WON.ticker, 1_000, 4_000_000, 0, 50_000)
    assert identity(100_000_000 + 5_950_000 - 1_930_000, positions=[HELD, repeated]).holds


def test_a_difference_names_the_amounts_that_explain_it():
    expected = 100_000_000 + 5_950_000 - 1_930_000
    order = RestingOrder("o", "KXT-2-A", "no", 300, 700_000)
    assert identity(expected - 2_100_000, orders=[order]).explanations == ("cash reserved for resting orders",)
    fees = Transfers(deposits_u=100_000_000, fees_u=2_000_000)
    assert identity(expected - 2_000_000, transfers=fees).explanations == ("fees of deposits and withdrawals",)
    (not_credited,) = identity(expected - 10_000_000).explanations
    assert "settlement of KXT-0-A" in not_credited
    (unknown,) = identity(expected + 1_234_500).explanations
    assert "subaccounts" in unknown
    (no_transfers,) = identity(expected, transfers=Transfers()).explanations
    assert "deposits" in no_transfers


def test_a_position_that_lags_its_fills_is_reported_with_both_counts():
    lots = build_lots([Fill("1", "KXT-1-A", "o", "yes", 700, 400_000, 0, True, AT)])
    (mismatch,) = compare_positions([HELD], lots)
    assert (mismatch.reported_cc, mismatch.from_fills_cc) == (500, 700)
    assert "older fills are missing, or the newest are not in the position yet" in str(mismatch)

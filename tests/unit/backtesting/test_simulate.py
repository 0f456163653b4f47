"""Decisions become trades by the entry rule; money is bound, fees are charged, and settlements pay when published."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from fairline.backtesting.decide import DECISIONS
from fairline.backtesting.fills import Level, Observation, Trade, Watched
from fairline.backtesting.simulate import Outcome, TradingRules, simulate
from fairline.market.fees import CAUTIOUS, POLICIES
from fairline.pricing.sizing import Bankroll

BEGIN = datetime(2026, 11, 22, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
DOLLAR = 1_000_000


@dataclass
class Memory:
    """A past that is written down by hand."""

    markets: dict[str, Watched] = field(default_factory=dict)
    tapes: dict[str, list[Trade]] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    closing: dict[str, float] = field(default_factory=dict)

    def market(self, ticker):
        return self.markets.get(ticker, Watched(()))

    def trades(self, ticker):
        return self.tapes.get(ticker, [])

    def outcome(self, ticker):
        return self.outcomes.get(ticker)

    def closing_mid(self, ticker):
        return self.closing.get(ticker)


def steady(ask=0.40, bid=0.38, contracts=1_000):
    """Return a market that shows the same quotes every minute for a day."""
    size_cc = contracts * 100
    offers = {
        "yes": [Level(round(ask * DOLLAR), size_cc)],
        "no": [Level(DOLLAR - round(bid * DOLLAR), size_cc)],
    }
    scans = [BEGIN + number * MINUTE for number in range(1440)]
    return Watched([Observation(BEGIN, offers, {})], scans)


def decision(hours=0.0, ticker="A", *, price=0.40, share=None, side="yes", event=None):
    values = {
        "asof": BEGIN + hours * HOUR, "place": 0, "book": "believed", "model": "m", "ticker": ticker,
        "event_ticker": event or f"E{ticker}", "side": side, "p": 0.5, "q": 0.45, "mid": 0.39,
        "price_u": round(price * DOLLAR), "fee_u": 16_800, "promised_u": 33_200, "raw_promised_u": 83_200,
        "share": share, "fee_type": "quadratic", "multiplier_m": 10_000,
    }  # fmt: skip
    return {name: values.get(name) for name in DECISIONS}


def decisions(*rows):
    return pl.DataFrame(rows, schema=DECISIONS)


RULES = TradingRules(
    enter="first", fills="take", every=HOUR, lag=MINUTE, max_gap=10 * MINUTE, rest_for=4 * HOUR,
    size_cc=1_000, bankroll=None, fees=POLICIES["exact"],
)  # fmt: skip


def past(**outcomes):
    published = {ticker: Outcome(round(paid * DOLLAR), BEGIN + 10 * HOUR) for ticker, paid in outcomes.items()}
    return Memory({ticker: steady() for ticker in "ABC"}, outcomes=published)


def test_a_trade_costs_its_price_and_fee_and_is_paid_at_settlement():
    simulation = simulate(decisions(decision()), past(A=1.0), RULES)
    trade = simulation.trades.row(0, named=True)
    assert trade["outcome"] == "filled"
    assert trade["filled_ts"] == BEGIN + MINUTE
    assert (trade["price_u"], trade["fee_u"]) == (400_000, 16_800)
    assert trade["profit_u"] == 10 * DOLLAR - 4 * DOLLAR - 168_000
    assert trade["settled_ts"] == BEGIN + 10 * HOUR
    assert (trade["other_price_u"], trade["other_fee_u"]) == (620_000, 16_492)


def test_a_trade_in_an_unsettled_market_stays_open():
    trade = simulate(decisions(decision()), past(), RULES).trades.row(0, named=True)
    assert trade["outcome"] == "filled"
    assert trade["payout_u"] is None
    assert trade["profit_u"] is None


@pytest.mark.parametrize(
    ("enter", "hours", "bought"),
    [("first", [0, 1, 5, 30], [0]), ("each", [0, 1, 5, 6, 30], [0, 5, 30]), ("daily", [0, 1, 14, 20, 30], [0, 20])],
)
def test_the_entry_rule_decides_how_often_a_side_is_bought(enter, hours, bought):
    rows = decisions(*(decision(hour) for hour in hours))
    trades = simulate(rows, past(), replace(RULES, enter=enter, max_gap=100 * HOUR)).trades
    assert [(row - BEGIN) / HOUR for row in trades["decided_ts"]] == bought


def test_two_models_and_two_sides_enter_on_their_own():
    rows = decisions(decision(), decision(side="no", price=0.62), decision() | {"model": "other"})
    assert simulate(rows, past(), RULES).trades.height == 3


def test_a_kelly_stake_is_a_share_of_the_equity_and_never_more_than_the_cash():
    rules = replace(RULES, bankroll=Bankroll(100 * DOLLAR, per_event=1.0))
    trade = simulate(decisions(decision(share=0.1)), past(A=1.0), rules).trades.row(0, named=True)
    assert trade["count_cc"] == 2_300
    poor = simulate(decisions(decision(share=0.9), decision(ticker="B", share=0.9)), past(), rules).trades
    spent = (poor["count_cc"] * (poor["price_u"] + poor["fee_u"])).sum() / 100
    assert poor["outcome"].to_list() == ["filled", "filled"]
    assert 95 * DOLLAR < spent <= 100 * DOLLAR


def test_money_comes_back_at_settlement_and_not_earlier():
    rules = replace(RULES, bankroll=Bankroll(100 * DOLLAR, per_event=1.0))
    rows = decisions(decision(share=1.0), decision(9, "B", share=1.0), decision(10.5, "C", share=1.0))
    trades = simulate(rows, past(A=1.0), rules).trades
    assert trades["outcome"].to_list() == ["filled", "no money", "filled"]


def test_one_event_binds_no_more_than_its_cap():
    rules = replace(RULES, bankroll=Bankroll(100 * DOLLAR, per_event=0.10))
    rows = decisions(decision(share=0.5, event="E"), decision(1, "B", share=0.5, event="E"))
    trades = simulate(rows, past(), rules).trades
    bound = (trades["count_cc"] * (trades["price_u"] + trades["fee_u"])).sum() / 100
    assert bound <= 10 * DOLLAR
    assert trades["outcome"].to_list() == ["filled", "no money"]


def test_resting_orders_wait_for_trades_and_pay_the_maker_fee():
    market = past(A=1.0)
    market.tapes["A"] = [Trade(BEGIN + 30 * MINUTE, 400_000, 400), Trade(BEGIN + 50 * MINUTE, 390_000, 10_000)]
    resting = [
        simulate(decisions(decision()), market, replace(RULES, fills=f"rest, {place} in the queue")).trades
        for place in ("last", "first")
    ]
    last, first = (trades.row(0, named=True) for trades in resting)
    assert last["filled_ts"] == BEGIN + 50 * MINUTE
    assert first["filled_ts"] == BEGIN + 50 * MINUTE
    assert first["fee_u"] == last["fee_u"] == 0
    market.tapes["A"] = [Trade(BEGIN + 30 * MINUTE, 400_000, 400)]
    last = simulate(decisions(decision()), market, replace(RULES, fills="rest, last in the queue")).trades
    assert last["outcome"].to_list() == ["not reached"]


def test_a_scalar_result_pays_each_side_its_part():
    rows = decisions(decision(), decision(side="no", price=0.62))
    trades = simulate(rows, past(A=0.25), RULES).trades
    assert trades["payout_u"].to_list() == [250_000, 750_000]


def test_the_closing_line_is_that_of_the_side_bought():
    market = past()
    market.closing["A"] = 0.43
    trades = simulate(decisions(decision(), decision(side="no", price=0.62)), market, RULES).trades
    assert trades["closing_mid"].to_list() == [0.43, pytest.approx(0.57)]


def test_rounding_never_overdraws_the_account():
    rules = replace(RULES, bankroll=Bankroll(10 * DOLLAR, per_event=1.0), fees=CAUTIOUS)
    rows = decisions(*(decision(number / 10, ticker, share=0.97) for number, ticker in enumerate("ABC")))
    simulation = simulate(rows, past(A=0.0, B=1.0, C=0.0), rules)
    assert min(point.cash_u for point in simulation.curve) >= 0


def test_without_decisions_there_are_no_trades():
    assert simulate(decisions(), past(), RULES).trades.is_empty()

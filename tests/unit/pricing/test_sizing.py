import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairline.errors import UsageError
from fairline.market.frame import PREDICTIONS
from fairline.pricing.belief import Beliefs
from fairline.pricing.edge import edges
from fairline.pricing.rules import Rules
from fairline.pricing.sizing import Bankroll, joint_kelly, size_bets, states
from tests.unit.pricing.test_edge import NOW, markets

WHOLE = Bankroll(1_000_000_000, fraction=1.0, per_market=1.0, per_event=1.0, per_series=1.0, per_day=1.0)


def predictions(*rows):
    return pl.DataFrame(
        [(ticker, p, sd, "m", NOW) for ticker, p, sd in rows],
        schema={name: dtype for name, dtype in PREDICTIONS.items() if name != "note"},
        orient="row",
    )  # fmt: skip


BIG = {"yes_ask_size_fp": "100000.00", "yes_bid_size_fp": "100000.00"}
LOOSE = Rules(min_edge_points=-99, min_ev=-0.99, max_spread_percent=200, min_believed_ev=-0.99)


def bets(rows, priced, bankroll=WHOLE, exclusive=False, beliefs=None, rules=None):
    frame = markets(*rows).with_columns(mutually_exclusive=pl.lit(exclusive))
    rows = edges(frame, predictions(*priced), asof=NOW, rules=rules or LOOSE, beliefs=beliefs)
    return size_bets(rows, frame, bankroll)


def test_one_bet_gets_its_kelly_share_in_whole_contracts():
    (result,) = bets([{"ticker": "A", **BIG}], [("A", 0.75, None)]).to_dicts()
    frame = markets({"ticker": "A", **BIG})
    row = edges(frame, predictions(("A", 0.75, None)), asof=NOW, rules=LOOSE).row(0, named=True)
    cost = (row["price_u"] + row["fee_u"]) / 1e6
    assert result["share"] == pytest.approx((0.75 - cost) / (1 - cost))
    assert result["contracts"] == int(result["share"] * 1_000 / cost)
    # 0.07 · 490 · 0.62 · 0.38 = $8.081, up to the cent: the fee of so many, not of the 100 that were looked at.
    assert (result["contracts"], result["risk_u"]) == (490, 490 * 620_000 + 8_090_000)


@pytest.mark.parametrize("dollars", [3, 5, 17, 40])
def test_the_risk_is_the_cost_of_the_order_and_never_above_the_budget(dollars):
    frame = markets({"ticker": "A", **BIG})
    rows = edges(frame, predictions(("A", 0.75, None)), asof=NOW, rules=LOOSE)
    result = size_bets(rows, frame, Bankroll(dollars * 1_000_000, 1, 1, 1, 1, 1)).row(0, named=True)
    n = result["contracts"]
    fee_u = -(-7 * n * 62 * 38 // 10_000) * 10_000
    assert result["risk_u"] == n * 620_000 + fee_u * (n > 0)
    assert result["risk_u"] <= dollars * 1_000_000 * result["share"] + 1


def test_a_resting_order_is_never_larger_than_the_wanted_size():
    frame = markets({"ticker": "A", **BIG})
    rows = edges(
        frame, predictions(("A", 0.75, None)), asof=NOW, rules=Rules(max_spread_percent=200, rest=True, size=30)
    )
    result = size_bets(rows, frame, Bankroll(10**12, 1, 1, 1, 1, 1))
    assert result["contracts"].to_list() == [30]


def test_only_the_believed_part_of_an_edge_is_staked_and_the_offer_limits_it():
    row, priced = {"ticker": "A", **BIG}, [("A", 0.75, 0.1)]
    full, partial = (bets([row], priced, beliefs=Beliefs(trust=trust))["share"][0] for trust in (1.0, 0.5))
    assert 0 < partial < full
    assert full == bets([row], [("A", 0.75, None)])["share"][0], "belief is the only caution"
    assert bets([row], priced, beliefs=Beliefs(trust=0.0), rules=Rules(max_spread_percent=200)).is_empty()
    thin = {"ticker": "A", "yes_ask_size_fp": "7.50", "yes_bid_size_fp": "9.00"}
    assert bets([thin], [("A", 0.75, None)])["contracts"].to_list() == [7]


def test_two_subjects_of_one_event_do_not_hedge_each_other():
    """Stake less: the wider rung of one team and the narrower of another may both lose."""

    def rung(ticker, name, strike):
        texts = {"yes_sub_title": f"{name} over {strike}", "title": "Runs?"}
        return {"ticker": ticker, "event_ticker": "E", "strike_type": "greater", "floor_strike": strike, **texts, **BIG}

    priced = [("E-A1", 0.8, None), ("E-B2", 0.1, None)]
    one = bets([rung("E-A1", "Ann", 1.5), rung("E-A2", "Ann", 2.5)], [("E-A1", 0.8, None), ("E-A2", 0.1, None)])
    two = bets([rung("E-A1", "Ann", 1.5), rung("E-B2", "Bob", 2.5)], priced)
    assert two["share"].sum() < one["share"].sum()


def test_caps_hold_for_market_event_series_and_day():
    rows = [{"ticker": f"T{i}", "event_ticker": f"E{i // 2}", **BIG} for i in range(6)]
    priced = [(f"T{i}", 0.8, None) for i in range(6)]
    tight = Bankroll(10**9, 1.0, per_market=0.2, per_event=0.25, per_series=0.6, per_day=0.4)
    result = bets(rows, priced, tight)
    assert result["share"].max() <= 0.2
    assert result["share"].sum() == pytest.approx(0.4)
    assert bets([], [], tight).is_empty()


@pytest.mark.parametrize("values", [(0, 0.5), (-1, 0.5), (100, 0), (100, 1.5)])
def test_an_invalid_bankroll_is_refused(values):
    with pytest.raises(UsageError, match="^invalid .*: expected"):
        Bankroll(*values)


def test_two_outcomes_of_an_exclusive_event_hedge_each_other_unlike_unrelated_ones():
    win, chance = states("exclusive", np.array([0.5, 0.4]), ())
    cost = np.array([0.4, 0.3])
    exclusive = joint_kelly(win, chance, cost)
    together = joint_kelly(*states("other", np.array([0.5, 0.4]), ()), cost)
    single = (np.array([0.5, 0.4]) - cost) / (1 - cost)
    assert exclusive.sum() > single.max()
    assert together.sum() < single.sum()
    # Smoczynski and Tomkins (2010): what is put on each is its chance less its cost times the reserve.
    reserve = 0.1 / (1 - cost.sum())
    assert exclusive == pytest.approx(np.array([0.5, 0.4]) - cost * reserve, abs=1e-4)


@given(
    st.lists(st.tuples(st.floats(0.05, 0.95), st.floats(0.05, 0.95)), min_size=1, max_size=4),
    st.sampled_from(["exclusive", "ladder", "other"]),
)
@settings(deadline=None)
def test_no_other_shares_have_a_higher_growth_rate(bets_, kind):
    yes, cost = (np.array(values) for values in zip(*bets_, strict=True))
    pays, chance = states(kind, yes, range(len(yes)))
    assert chance.sum() == pytest.approx(1)
    assert (chance >= -1e-12).all()
    share = joint_kelly(pays, chance, cost)

    def growth(f):
        wealth = 1 + (pays / cost - 1) @ f
        return float(chance @ np.log(np.maximum(wealth, 1e-9)))

    best = growth(share)
    assert best >= -1e-9, "nothing at all is always possible"
    rng = np.random.default_rng(0)
    for _ in range(60):
        other = np.clip(share + rng.normal(0, 0.05, len(share)), 0, 1)
        if other.sum() < 0.999:
            assert growth(other) <= best + 1e-5


def test_ladder_states_are_nested_and_exclusive_states_have_one_winner():
    pays, chance = states("ladder", np.array([0.3, 0.9, 0.6]), [1, 2, 0])
    assert pays.tolist() == [[0, 0, 0], [0, 1, 0], [0, 1, 1], [1, 1, 1]]
    assert chance == pytest.approx([0.1, 0.3, 0.3, 0.3])
    pays, chance = states("exclusive", np.array([0.7, 0.6]), ())
    assert chance.sum() == pytest.approx(1)
    assert chance[-1] == 0


def test_what_is_held_already_counts_towards_every_cap():
    row, priced = {"ticker": "A", **BIG}, [("A", 0.75, None)]
    frame = markets(row)
    rows = edges(frame, predictions(*priced), asof=NOW, rules=LOOSE)
    bankroll = Bankroll(1_000_000_000, 1.0, 0.10, 0.10, 0.10, 0.10)

    def share(**held):
        group = {"ticker": "other", "event_ticker": None, "series_ticker": None, "day": None} | held
        schema = {"ticker": pl.String, "event_ticker": pl.String, "series_ticker": pl.String, "day": pl.Date,
                  "cost_u": pl.Int64}  # fmt: skip
        exposed = pl.DataFrame([group], schema=schema)
        return size_bets(rows, frame, bankroll, held=exposed)["share"][0]

    known = frame.row(0, named=True)
    assert share(cost_u=0) == pytest.approx(0.10)
    assert share(ticker="A", cost_u=40_000_000) == pytest.approx(0.06)
    assert share(event_ticker=known["event_ticker"], cost_u=70_000_000) == pytest.approx(0.03)
    assert share(event_ticker=known["event_ticker"], cost_u=300_000_000) == 0
    assert share(event_ticker="elsewhere", cost_u=70_000_000) == pytest.approx(0.10)
    assert share(event_ticker="elsewhere", cost_u=980_000_000) == pytest.approx(0.02)

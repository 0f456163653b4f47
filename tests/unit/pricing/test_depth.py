"""Orders compared with the same walk in plain fractions, and the largest EV with trying every size."""

from fractions import Fraction
from math import ceil

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairline.market.books import levels
from fairline.market.fees import CAUTIOUS, POLICIES, fills_fee_u
from fairline.pricing.depth import best_sizes, executions, fill_opportunities, offers, size_violations
from tests.unit.market.test_books import book

BOOK = book("A", yes=[("0.3000", "10.00"), ("0.2500", "5.00")], no=[("0.6000", "8.00"), ("0.5500", "20.00")])


def frame(*rows):
    return pl.DataFrame(
        rows, schema={"ticker": pl.String, "side": pl.String, "price_u": pl.Int64, "size_cc": pl.Int64}, orient="row"
    )


def test_offers_are_the_bids_of_the_other_side_cheapest_first():
    assert offers(levels([BOOK])).rows() == [
        ("A", "no", 700_000, 1_000), ("A", "no", 750_000, 500),
        ("A", "yes", 400_000, 800), ("A", "yes", 450_000, 2_000),
    ]  # fmt: skip


def test_an_order_of_twenty_contracts_costs_what_the_worked_example_says():
    result = executions(offers(levels([BOOK])), [2_000]).filter(side="yes").row(0, named=True)
    # 8 at 40 cents and 12 at 45: $8.60, 43 cents on average; fee 0.07·(8·0.24 + 12·0.2475) = $0.3423, up to 35 cents.
    assert result == {
        "ticker": "A", "side": "yes", "order_cc": 2_000, "fill_cc": 2_000, "cost": 860_000_000, "worst_u": 450_000,
        "average_u": 430_000, "fee_u": 350_000,
    }  # fmt: skip


def test_an_order_larger_than_the_book_is_filled_in_part():
    result = executions(offers(levels([BOOK])), [10_000_000]).filter(side="no").row(0, named=True)
    assert (result["fill_cc"], result["worst_u"]) == (1_500, 750_000)
    assert executions(offers(levels([book("A")])), [100]).is_empty()


ladders = st.lists(
    st.tuples(st.integers(1, 9_999).map(lambda p: p * 100), st.integers(1, 50_000)), min_size=1, max_size=8,
    unique_by=lambda level: level[0],
)  # fmt: skip


@given(ladders, st.integers(1, 120_000), st.sampled_from([0, 5_000, 10_000]), st.sampled_from(sorted(POLICIES)))
def test_cost_and_fee_agree_with_exact_fractions(ladder, size, multiplier, name):
    policy, rest, cost, trade, fills = POLICIES[name], size, Fraction(0), Fraction(0), 0
    for price_u, size_cc in sorted(ladder):
        take = min(rest, size_cc)
        rest, fills = rest - take, fills + (take > 0)
        price, count = Fraction(price_u, 10**6), Fraction(take, 100)
        cost += price * count
        trade += Fraction(7, 100) * Fraction(multiplier, 10_000) * count * price * (1 - price)
    terms = pl.DataFrame({"ticker": ["A"], "rate": [700], "multiplier_m": [multiplier]})
    result = executions(frame(*(("A", "yes", *level) for level in sorted(ladder))), [size], terms, policy=policy).row(
        0, named=True
    )
    assert Fraction(result["cost"], 10**8) == cost
    assert result["fill_cc"] == size - rest
    charged = Fraction(result["fee_u"], 10**6)
    assert charged >= trade
    unit = Fraction(max(policy.fee_unit_u, policy.balance_unit_u), 10**6)
    assert charged <= trade + unit + Fraction(fills + 1, 10**6)
    assert (charged == 0) == (trade == 0)


def fill_by_fill(ladder, size):
    """(what the rule of September 2026 charges fill by fill, what the default says, the number of fills)"""
    rest, fills = size, []
    for price_u, size_cc in sorted(ladder):
        take = min(rest, size_cc)
        rest -= take
        if take:
            fills.append((price_u, take))
    charged = sum(fee + rounding - rebate for fee, rounding, rebate in fills_fee_u(fills, 10_000))
    result = executions(frame(*(("A", "yes", *level) for level in sorted(ladder))), [size], policy=CAUTIOUS)
    return charged, result["fee_u"][0], len(fills)


whole = st.lists(
    st.tuples(st.integers(1, 99).map(lambda p: p * 10_000), st.integers(1, 500).map(lambda c: c * 100)), min_size=1,
    max_size=8, unique_by=lambda level: level[0],
)  # fmt: skip


@given(whole, st.integers(1, 1_200))
def test_the_default_never_understates_the_fee_of_whole_contracts_at_whole_cents(ladder, contracts):
    charged, charge, _ = fill_by_fill(ladder, contracts * 100)
    assert charge >= charged


@given(ladders, st.integers(1, 120_000))
def test_the_default_understates_fees_of_fractional_contracts_by_less_than_a_cent_per_fill(ladder, size):
    charged, charge, fills = fill_by_fill(ladder, size)
    assert charge > charged - 10_000 * fills


@given(ladders, st.integers(1, 999_999))
def test_the_best_size_beats_all_other_sizes_and_ev_is_zero_at_breakeven(ladder, p_u):
    ladder = sorted(ladder)
    fair = pl.DataFrame({"ticker": ["A"], "side": ["yes"], "payout_u": [p_u]})
    result = best_sizes(frame(*(("A", "yes", *level) for level in ladder)), fair).row(0, named=True)

    def ev(size_cc):
        total, rest = 0.0, size_cc
        for price_u, offered in ladder:
            take = min(rest, offered)
            rest -= take
            total += take / 100 * (p_u - price_u - 0.07 * price_u * (1e6 - price_u) / 1e6)
        return total

    edges = [0]
    for _, offered in ladder:
        edges.append(edges[-1] + offered)
    assert ev(result["best_cc"]) == pytest.approx(max(map(ev, edges)), abs=1e-3)
    assert result["best_ev_u"] == pytest.approx(ev(result["best_cc"]), abs=1)
    if result["breakeven_cc"] is None:
        assert all(ev(edge) >= -1e-6 for edge in edges) or ev(edges[1]) < 0
    else:
        assert ev(result["breakeven_cc"] + 2) < 1e-3
        assert ceil(ev(result["breakeven_cc"])) >= 0


def test_each_model_has_its_own_best_size():
    offered = frame(("A", "yes", 620_000, 10_000), ("A", "yes", 660_000, 10_000), ("A", "yes", 690_000, 10_000))
    rows = {"ticker": ["A", "A"], "side": ["yes"] * 2, "model": ["a", "b"], "believed_u": [700_000, 650_000],
            "expected_u": [0, 0], "bin": ["kept"] * 2,
            "fee_type": ["quadratic"] * 2, "multiplier_m": [10_000] * 2}  # fmt: skip
    result = fill_opportunities(pl.DataFrame(rows), offered, 100)
    alone = fill_opportunities(pl.DataFrame(rows).tail(1), offered, 100)
    assert result.filter(model="b").equals(alone)
    assert result["best_cc"].to_list() == [20_000, 10_000]


def violation(payoff_u, *legs):
    """Return one violation of coherence with a hundred contracts of each leg."""
    row = {"kind": "ladder", "event_ticker": "E", "certainty": "locked", "size_cc": 10_000, "cost_u": 0, "fee_u": 0,
           "payoff_u": payoff_u * 100, "profit_u": 0, "needs": "",
           "legs": [{"ticker": t, "side": s, "price_u": 0, "fee_u": 0} for t, s in legs]}  # fmt: skip
    return pl.DataFrame([row])


@given(ladders, ladders, st.integers(1, 2))
def test_two_legs_are_walked_through_their_books_while_another_contract_of_each_gains(one, other, dollars):
    one, other = sorted(one), sorted(other)
    offered = frame(*(("A", "yes", *level) for level in one), *(("B", "no", *level) for level in other))
    result = size_violations(violation(dollars * 1_000_000, ("A", "yes"), ("B", "no")), offered).row(0, named=True)

    def cost(ladder, size_cc, *, fee):
        total, rest = Fraction(0), size_cc
        for price_u, offered in ladder:
            take = min(rest, offered)
            rest -= take
            a_contract = Fraction(7, 100) * price_u * (1_000_000 - price_u) / 1_000_000 if fee else 0
            total += Fraction(take, 100) * (price_u + a_contract)
        return total

    def gain(size_cc):
        return (
            Fraction(dollars * 1_000_000 * size_cc, 100) - cost(one, size_cc, fee=True) - cost(other, size_cc, fee=True)
        )

    ends = {sum(size for _, size in ladder[: n + 1]) for ladder in (one, other) for n in range(len(ladder))}
    most = min(sum(size for _, size in ladder) for ladder in (one, other))
    size = result["size_cc"]
    best = max(gain(end) for end in ends if end <= most)
    assert size in ends
    assert gain(size) >= best - 2 * size / 100 or (best <= 0 and size == min(one[0][1], other[0][1]))
    assert result["cost_u"] == ceil(cost(one, size, fee=False) + cost(other, size, fee=False))
    assert result["payoff_u"] == dollars * 10_000 * size
    assert result["profit_u"] == result["payoff_u"] - result["cost_u"] - result["fee_u"]
    assert [leg["ticker"] for leg in result["legs"]] == ["A", "B"]


def test_a_violation_without_one_of_its_legs_is_left_out():
    violated = violation(1_000_000, ("A", "yes"), ("B", "no"))
    assert size_violations(violated, frame(("A", "yes", 300_000, 500))).is_empty()
    assert size_violations(violated, frame(("A", "yes", 300_000, 500), ("B", "yes", 300_000, 500))).is_empty()


def test_a_level_with_zero_gain_does_not_end_the_walk():
    # At half a dollar the fee of a contract is 1.75 cents: p = 0.5175 gains exactly nothing there.
    fair = pl.DataFrame({"ticker": ["A"], "side": ["yes"], "payout_u": [517_500]})
    result = best_sizes(frame(("A", "yes", 400_000, 100), ("A", "yes", 500_000, 100)), fair).row(0, named=True)
    assert (result["best_cc"], result["breakeven_cc"]) == (100, None)

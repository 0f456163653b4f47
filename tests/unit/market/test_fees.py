from datetime import UTC, datetime
from fractions import Fraction
from math import ceil

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairline.market.fees import (
    CAUTIOUS,
    COEFFICIENTS,
    POLICIES,
    coefficient,
    fills_fee_u,
    is_waived,
    order_fee_u,
    per_contract_u,
)

ORDER_CENT, CENTICENT, EXACT = POLICIES["order-cent"], POLICIES["order-centicent"], POLICIES["exact"]


def fee(price_u, count_cc, multiplier_m=10_000, policy=CAUTIOUS, rate=700):
    frame = pl.DataFrame({"p": [price_u], "c": [count_cc], "m": [multiplier_m]})
    return frame.select(order_fee_u(pl.col("p"), pl.col("c"), pl.col("m"), rate=rate, policy=policy)).item()


def up(value, unit):
    return ceil(value / unit) * unit


def exact(price_u, count_cc, multiplier_m, policy, rate):
    """Return the schedule in rationals: k·M·C·P·(1−P) dollars, rounded as the policy says."""
    p, count = Fraction(price_u, 10**6), Fraction(count_cc, 100)
    micros = Fraction(rate, 10**4) * Fraction(multiplier_m, 10**4) * count * p * (1 - p) * 10**6
    by_fee = up(micros, policy.fee_unit_u)
    if policy.balance_unit_u == 1 or micros == 0:
        return by_fee
    cost = p * count * 10**6
    return max(by_fee, ceil(up(cost + ceil(micros), policy.balance_unit_u) - cost))


@given(
    st.integers(0, 1_000_000),
    st.integers(1, 100_000_000),
    st.integers(0, 50_000),
    st.sampled_from(list(POLICIES.values())),
    st.sampled_from([700, 350, 175, 0]),
)
def test_fees_equal_exact_rationals(price_u, count_cc, multiplier_m, policy, rate):
    assert fee(price_u, count_cc, multiplier_m, policy, rate) == exact(price_u, count_cc, multiplier_m, policy, rate)


def test_fees_match_the_published_table_where_floats_are_a_cent_wrong():
    assert fee(100_000, 100 * 100) == 630_000, "100 contracts at 10 cents cost 63 cents; floats say 64"
    assert fee(500_000, 100) == 20_000
    assert fee(500_000, 100, policy=CENTICENT) == 17_500


def test_the_official_rounding_example_is_reproduced():
    assert fee(55_000, 100, policy=EXACT) == 3_639, "0.07 · 0.055 · 0.945 = 0.00363825, rounded up"


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_every_whole_cent_and_count_up_to_500_is_exact_where_floats_are_not(name):
    policy = POLICIES[name]
    grid = pl.DataFrame({"c": range(1, 501)}).join(pl.DataFrame({"p": range(1, 100)}), how="cross")
    fees = grid.select(order_fee_u(pl.col("p") * 10_000, pl.col("c") * 100, pl.lit(10_000), policy=policy)).to_series()
    # 0.07·C·p·(100−p) in micro-dollars is a whole number for whole cents, and so is the cost in cents.
    whole = 7 * grid["c"] * grid["p"] * (100 - grid["p"])
    unit = max(policy.fee_unit_u, policy.balance_unit_u)
    expected = (whole + (unit - 1)) // unit * unit
    assert grid.height == 49_500
    assert (fees == expected).all()
    if name == "order-cent":
        floats = [ceil(0.07 * c * (p / 100) * (1 - p / 100) * 100) * 10_000 for c, p in grid.iter_rows()]
        wrong = sum(a != b for a, b in zip(floats, expected, strict=True))
        assert wrong == 189, "the customary float formula is a cent wrong in these, and the columns in none"


@given(st.integers(1, 999_999), st.integers(1, 1_000_000), st.integers(0, 20_000))
def test_the_default_is_never_below_any_published_rule(price_u, count_cc, multiplier_m):
    cautious = fee(price_u, count_cc, multiplier_m)
    assert all(cautious >= fee(price_u, count_cc, multiplier_m, policy) for policy in POLICIES.values())


def test_makers_pay_by_fee_type_and_unknown_types_pay_the_taker_fee():
    types = pl.DataFrame({"t": [*COEFFICIENTS, "flat", "brand_new", None]})
    assert types.select(coefficient(pl.col("t"), maker=True)).to_series().to_list() == [0, 175, 350, 700, 700, 700]
    assert types.select(coefficient(pl.col("t"))).to_series().to_list() == [700] * 6


def test_a_single_fill_follows_the_balance_rule():
    ((trade, rounding, rebate),) = fills_fee_u([(55_000, 100)], 10_000)
    assert (trade, rounding, rebate) == (3_639, 1_361, 0)
    assert fee(55_000, 100, policy=POLICIES["balance-cent"]) == trade + rounding - rebate


@given(st.lists(st.tuples(st.integers(1, 9_999), st.integers(1, 50_000)), min_size=1, max_size=30))
def test_the_accumulator_rebates_whole_units_and_no_fee_is_negative(fills):
    result = fills_fee_u([(price * 100, count) for price, count in fills], 10_000)
    saved = 0
    for (price, count), (trade, rounding, rebate) in zip(fills, result, strict=True):
        assert (price * count + trade + rounding) % 10_000 == 0, "every change of balance is whole cents"
        assert rebate % 10_000 == 0
        assert trade + rounding - rebate >= 0
        saved += rounding - rebate
        assert saved >= 0


def test_fees_are_symmetric_in_yes_and_no_and_free_at_multiplier_zero():
    assert fee(300_000, 700) == fee(700_000, 700)
    assert fee(300_000, 700, 0) == 0


def test_nulls_stay_null():
    assert fee(None, 100) is None


def test_the_fee_per_contract_is_rounded_up():
    frame = pl.DataFrame({"f": [20_000], "c": [300]})
    assert frame.select(per_contract_u(pl.col("f"), pl.col("c"))).item() == 6_667


def test_a_waiver_applies_until_it_expires():
    now = datetime(2026, 11, 22, tzinfo=UTC)
    times = [datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC), None]
    frame = pl.DataFrame({"fee_waiver_ts": times})
    assert frame.select(is_waived(pl.lit(now))).to_series().to_list() == [True, False, False]

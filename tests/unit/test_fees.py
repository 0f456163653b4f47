from datetime import UTC, datetime
from fractions import Fraction
from math import ceil

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairline.fees import Rounding, per_contract_u, taker_fee_u, waived


def fee(price_u, count_c, multiplier_m=10_000, rounding=Rounding.CENT):
    frame = pl.DataFrame({"p": [price_u], "c": [count_c], "m": [multiplier_m]})
    return frame.select(taker_fee_u(pl.col("p"), pl.col("c"), pl.col("m"), rounding)).item()


def exact(price_u, count_c, multiplier_m, rounding):
    """The schedule in rationals: 0.07·M·C·P·(1−P) dollars, rounded up to the unit."""
    p = Fraction(price_u, 10**6)
    dollars = Fraction(7, 100) * Fraction(multiplier_m, 10**4) * Fraction(count_c, 100) * p * (1 - p)
    return ceil(dollars * 10**6 / int(rounding)) * int(rounding)


@given(
    st.integers(0, 1_000_000),
    st.integers(1, 100_000_000),
    st.integers(0, 50_000),
    st.sampled_from(list(Rounding)),
)
def test_fees_equal_exact_rationals(price_u, count_c, multiplier_m, rounding):
    assert fee(price_u, count_c, multiplier_m, rounding) == exact(price_u, count_c, multiplier_m, rounding)


def test_the_published_table_holds_where_floats_are_a_cent_wrong():
    assert fee(100_000, 100 * 100) == 630_000, "100 contracts at 10 cents cost 63 cents; floats say 64"
    assert fee(500_000, 100) == 20_000
    assert fee(500_000, 100, rounding=Rounding.CENTICENT) == 17_500


def test_the_official_rounding_example_is_met():
    assert fee(55_000, 100, rounding=Rounding.MICRO) == 3_639, "0.07 · 0.055 · 0.945 = 0.00363825, rounded up"


@pytest.mark.parametrize("rounding", list(Rounding))
def test_every_whole_cent_and_count_up_to_500_is_exact(rounding):
    grid = pl.DataFrame({"c": range(1, 501)}).join(pl.DataFrame({"p": range(1, 100)}), how="cross")
    grid = grid.with_columns(
        fee=taker_fee_u(pl.col("p") * 10_000, pl.col("c") * 100, pl.lit(10_000), rounding),
        # 0.07·C·P·(1−P) in micro-dollars is 7·C·p·(100−p), a whole number for whole cents.
        exact=7 * pl.col("c") * pl.col("p") * (100 - pl.col("p")),
    )
    unit = int(rounding)
    expected = (grid["exact"] + (unit - 1)) // unit * unit
    assert grid.height == 49_500
    assert (grid["fee"] == expected).all()


def test_the_cents_rule_never_understates_the_others():
    cent, centicent, micro = (fee(370_000, 25_000, rounding=r) for r in Rounding)
    assert cent >= centicent >= micro


def test_fees_are_symmetric_in_yes_and_no_and_free_at_multiplier_zero():
    assert fee(300_000, 700) == fee(700_000, 700)
    assert fee(300_000, 700, 0) == 0


def test_nulls_stay_null():
    assert fee(None, 100) is None


def test_a_contracts_share_is_rounded_up():
    frame = pl.DataFrame({"f": [20_000], "c": [300]})
    assert frame.select(per_contract_u(pl.col("f"), pl.col("c"))).item() == 6_667


def test_a_waiver_counts_until_it_expires():
    now = datetime(2026, 11, 22, tzinfo=UTC)
    times = [datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC), None]
    frame = pl.DataFrame({"fee_waiver_ts": times})
    assert frame.select(waived(pl.lit(now))).to_series().to_list() == [True, False, False]

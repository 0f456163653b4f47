import math
import tomllib
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairline.errors import InputError
from fairline.pricing.belief import BUILT_IN_MODELS, Beliefs, Record, believed_probability, believed_share
from fairline.pricing.records import parse_records, shipped_records

RECORD = Record("elo", "Sports", k=0.4, cap=0.05, estimate=0.5, standard_error=0.1, events=2_000)
ROW = """
[[record]]
model = "elo"
category = "Sports"
k = {k}
cap = 0.05
estimate = 0.5
standard_error = 0.1
events = 2000
first_day = "2025-04-16"
last_day = "2025-10-01"
data = "x"
command = "y"
"""


def believe(p, mid, k, cap):
    frame = pl.DataFrame(
        {"p": [p], "m": [mid], "belief_k": [k], "belief_cap": [cap]}, schema_overrides={"p": pl.Float64}
    )
    return frame.select(believed_probability(pl.col("p"), pl.col("m"))).item()


def test_half_of_a_disagreement_is_believed_up_to_the_cap():
    assert believe(0.60, 0.50, 0.5, 1.0) == pytest.approx(0.55)
    assert believe(0.60, 0.50, 0.5, 0.02) == pytest.approx(0.52)
    assert believe(0.40, 0.50, 0.5, 0.02) == pytest.approx(0.48)
    assert believe(None, 0.50, 0.5, 0.02) is None


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_believed_probability_lies_between_midpoint_and_model_and_mirrors_for_no(p, mid, k, cap):
    q = believe(p, mid, k, cap)
    assert min(p, mid) - 1e-12 <= q <= max(p, mid) + 1e-12
    assert believe(1 - p, 1 - mid, k, cap) == pytest.approx(1 - q, abs=1e-12)


def test_two_standard_errors_are_taken_off_below_1000_events_and_one_above():
    assert believed_share(0.5, 0.1, 999) == pytest.approx(0.3)
    assert believed_share(0.5, 0.1, 1_000) == pytest.approx(0.4)
    assert believed_share(0.1, 0.1, 500) == 0.0
    assert believed_share(1.5, 0.1, 5_000) == 1.0
    assert believed_share(0.9, 0.01, 29) == 0.0


def test_a_built_in_model_without_a_record_is_not_believed():
    belief = Beliefs().for_model("elo", "Sports")
    assert (belief.k, belief.events, belief.source) == (0.0, 0, "none")
    assert belief.move(0.1) == 0.0


def test_a_users_own_model_is_trusted_until_its_record_says_otherwise():
    assert Beliefs(trust=0.5).for_model("mine.csv", "Sports").k == 0.5
    own = Record("mine.csv", "any", k=0.2, cap=0.05, estimate=0.3, standard_error=0.05, events=300)
    belief = Beliefs((own,)).for_model("mine.csv", "Politics")
    assert belief.k == pytest.approx((100 * 1 + 300 * 0.2) / 400)
    assert belief.cap == 0.05


def test_few_events_of_a_users_own_model_do_not_set_a_cap():
    own = Record("mine.csv", "any", k=0.0, cap=0.01, estimate=0.3, standard_error=0.5, events=10)
    belief = Beliefs((own,)).for_model("mine.csv", None)
    assert (belief.k, belief.cap) == (pytest.approx(100 / 110), 1.0)


def test_the_category_comes_before_any_category_and_more_events_before_fewer():
    anywhere = Record("elo", "any", k=0.1, cap=0.05, estimate=0.2, standard_error=0.05, events=5_000)
    shorter = Record("elo", "Sports", k=0.9, cap=0.05, estimate=1.0, standard_error=0.05, events=100)
    beliefs = Beliefs((RECORD, anywhere, shorter))
    assert beliefs.for_model("elo", "Sports").k == 0.4
    assert beliefs.for_model("elo", "Politics").k == 0.1


def test_a_record_of_one_category_does_not_speak_for_another():
    assert Beliefs((RECORD,)).for_model("elo", "Politics").k == 0.0


def test_beliefs_of_many_pairs_are_one_table():
    table = Beliefs((RECORD,)).table([("elo", "Sports"), ("elo", None), (None, "Sports")])
    assert table.select("model", "category", "belief_k", "belief_events").rows() == [
        ("elo", "Sports", 0.4, 2_000),
        ("elo", None, 0.0, 0),
    ]


def test_the_built_in_models_are_the_entry_points():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert set(project["project"]["entry-points"]["fairline.models"]) == BUILT_IN_MODELS


def test_the_shipped_records_are_of_built_in_models_and_follow_the_rule():
    for record in shipped_records():
        assert record.model in BUILT_IN_MODELS
        assert record.command
        assert record.k == pytest.approx(
            believed_share(record.estimate, record.standard_error, record.events), abs=0.005
        )


def test_a_table_of_records_is_read_and_checked():
    (record,) = parse_records(ROW.format(k=0.4))
    assert (record.model, record.k, record.source) == ("elo", 0.4, "shipped")
    with pytest.raises(InputError, match="invalid record of elo in Sports"):
        parse_records(ROW.format(k=1.5))
    with pytest.raises(InputError, match="invalid table of records"):
        parse_records("[[record]]\nmodel = 3")
    assert math.isinf(Beliefs().for_model("elo", None).standard_error)

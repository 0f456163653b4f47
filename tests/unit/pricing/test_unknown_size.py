"""A price whose size was not recorded is a price: it is evaluated, and its size is counted as an assumption."""

import polars as pl

from fairline.market.frame import with_probabilities
from fairline.pricing.rules import Rules
from fairline.scanner import evaluate
from tests.unit.pricing.test_edge import NOW, markets
from tests.unit.test_scanner import Stub

LOOSE = Rules(max_spread_percent=200, min_contracts=10)


def price(**changes):
    frame = markets({}).with_columns(**changes)
    return evaluate(with_probabilities(frame), [Stub(("T0", 0.75, None))], {}, asof=NOW, rules=LOOSE)


def test_an_unknown_size_passes_as_the_wanted_size_and_is_counted():
    evaluation = price(yes_ask_size_cc=pl.lit(None, dtype=pl.Int64), yes_bid_size_cc=pl.lit(None, dtype=pl.Int64))
    row = evaluation.opportunities.row(0, named=True)
    assert row["size_cc"] == LOOSE.size * 100
    messages = [problem.message for problem in evaluation.problems if problem.stage == "prices"]
    assert messages == ["the size of 1 opportunities was not recorded; the wanted size is assumed to be on offer"]
    details = {outcome.step: outcome.detail for side in evaluation.explain("T0") for outcome in side.steps if
               side.side == "yes"}  # fmt: skip
    assert any("size unknown" in detail for detail in details.values())


def test_a_known_size_of_too_little_is_still_too_little():
    evaluation = price(yes_ask_size_cc=pl.lit(500, dtype=pl.Int64))
    assert evaluation.opportunities.is_empty()
    assert [problem for problem in evaluation.problems if problem.stage == "prices"] == []


def test_a_missing_side_is_missing_whatever_its_size():
    nothing = pl.lit(None, dtype=pl.Int64)
    evaluation = price(yes_ask_u=nothing, yes_ask_size_cc=nothing)
    assert "yes" not in evaluation.opportunities["side"].to_list()

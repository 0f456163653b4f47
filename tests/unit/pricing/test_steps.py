import json

import polars as pl
import pytest

from fairline.output.documents import scan_document
from fairline.pricing import steps
from fairline.pricing.steps import Gap, Step, bins, bins_before, failure_text
from fairline.scanner import ScanResult, evaluate
from fairline.watch.alerts import Kind, describe
from tests.unit.output.reports import listing
from tests.unit.pricing.test_edge import NOW, markets
from tests.unit.test_scanner import Stub

CHEAP = Step(
    "cheap",
    label=lambda _: "costs less than 10 cents",
    failure="it costs too much",
    test=lambda *_: pl.col("price_u") >= 100_000,
    detail=lambda row, _: f"{row['price_u'] / 10_000:.0f} cents",
    gap=lambda _: Gap(pl.col("price_u") / 10_000 - 10, 10.0, pl.format("{} cents", pl.col("price_u") // 10_000)),
)


@pytest.fixture
def evaluation(monkeypatch):
    monkeypatch.setattr(steps, "STEPS", (*steps.STEPS, CHEAP))
    return evaluate(markets({"yes_bid_dollars": "0.61"}), [Stub(("T0", 0.9, None))], {}, asof=NOW)


def test_an_added_step_is_a_bin_of_the_edges(evaluation):
    assert evaluation.edges.filter(pl.col("side") == "yes")["bin"].to_list() == ["cheap"]
    assert bins()[-2:] == ("cheap", "kept")
    assert bins_before("cheap")[-1] == "yearly"


def test_an_added_step_is_in_the_funnel_and_its_json(evaluation):
    assert (evaluation.funnel[-1].step, evaluation.funnel[-1].dropped) == ("costs less than 10 cents", 1)
    result = ScanResult(listing(markets({})), evaluation)
    document = json.loads(json.dumps(scan_document(result, *[pl.DataFrame()] * 3)["funnel"]))
    assert document[-1]["step"] == "costs less than 10 cents"


def test_an_added_step_is_explained(evaluation):
    last = evaluation.explain("T0")[0].steps[-1]
    assert (last.step, last.result, last.detail) == ("costs less than 10 cents", "stop", "62 cents")


def test_an_added_step_has_near_misses(evaluation):
    (miss,) = evaluation.nearest_misses.filter(pl.col("bin") == "cheap").to_dicts()
    assert miss["missed_by"] == "62 cents"
    assert miss["shortfall"] == pytest.approx(5.2)


def test_an_added_step_is_named_by_alerts(evaluation):
    row = {"side": "yes", "ticker": "T0", "price_u": 620_000, "reason": "cheap"}
    assert describe(Kind.GONE, row) == "gone: YES T0: it costs too much"


def test_every_step_can_be_explained_for_a_market_without_any_quote():
    nothing = {"yes_bid_size_fp": "0.00", "yes_ask_size_fp": "0.00"}
    result = evaluate(markets(nothing), [], {}, asof=NOW)
    sides = result.explain("T0")
    assert [side.bin for side in sides] == ["offered", "offered"]
    assert {step.result for step in sides[0].steps} == {"pass", "stop", "–"}


def test_a_side_that_only_its_record_does_not_support_is_explained_as_unproven():
    evaluation = evaluate(markets({"yes_bid_dollars": "0.61"}), [Stub(("T0", 0.7, None), name="elo")], {}, asof=NOW)
    yes, no = evaluation.explain("T0")
    assert yes.outcome == "unproven: the thresholds are met, but no record supports it"
    assert "0% of the disagreement is believed (no record)" in yes.steps[-1].detail
    assert (no.outcome, no.is_opportunity) == ("no opportunity", False)


def test_an_unknown_bin_is_shown_as_it_is():
    assert failure_text("no longer listed") == "no longer listed"

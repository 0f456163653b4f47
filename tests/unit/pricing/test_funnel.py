"""The funnel and its nearest misses."""

import polars as pl
import pytest

from fairline.pricing.edge import edges
from fairline.pricing.funnel import funnel, nearest_misses
from fairline.pricing.rules import Rules
from tests.unit.pricing.test_edge import NOW, edges_of, markets, predictions


def test_the_funnel_adds_up_and_counts_a_market_once():
    frame = edges(
        markets({}, {"status": "closed"}, {"yes_bid_dollars": "0.61"}, {"yes_bid_dollars": "0.61"}),
        predictions(("T2", 0.9, None), ("T3", 0.62, None)),
        asof=NOW,
        rules=Rules(),
    )
    steps = funnel(frame, Rules())
    assert sum(step.dropped for step in steps) + steps[-1].kept == 4
    assert steps[-1].kept == 1
    assert [step.dropped for step in steps] == [1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]
    assert sum(step.share for step in steps) == pytest.approx(3 / 4)


def test_a_near_miss_is_named_with_what_it_missed():
    frame = edges_of({"yes_bid_dollars": "0.61"}, 0.639, rules=Rules(2.0, 0.0))
    misses = nearest_misses(frame, Rules(2.0, 0.0), 5, asof=NOW)
    assert misses.row(0, named=True)["missed_by"] == "edge 1.9 points (needs above 2.0)"


def test_each_bin_with_a_threshold_has_its_own_nearest_misses():
    near = {"yes_bid_dollars": "0.61"}
    frame = edges(
        markets(
            {"yes_bid_dollars": "0.58"}, {"yes_bid_dollars": "0.50"}, near | {"yes_ask_size_fp": "0.90"}, near, near
        ),
        predictions(*((f"T{i}", p, None) for i, p in enumerate((0.7, 0.9, 0.9, 0.63, 0.645)))),
        asof=NOW,
        rules=Rules(side="yes"),
    )
    result = nearest_misses(frame, Rules(side="yes"), 1, asof=NOW)
    missed = dict(result.select(pl.col("bin").cast(pl.String), "missed_by").iter_rows())
    assert missed == {
        "spread": "spread 6.67 % (needs below 5.0)",
        "thin": "0.9 contracts on offer (needs 1.0)",
        "edge": "edge 1.0 points (needs above 2.0); EV $-0.0065 (needs above 0.01)",
        "ev": "EV $0.0085 (needs above 0.01)",
    }
    assert result["shortfall"].is_sorted()
    assert nearest_misses(frame, Rules(side="yes"), 5, asof=NOW).height == 5

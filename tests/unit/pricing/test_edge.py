from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl
import pytest

from fairline.errors import UsageError
from fairline.kalshi.wire import Market
from fairline.market.frame import PREDICTIONS, markets_frame, with_probabilities
from fairline.pricing.belief import Beliefs, Record
from fairline.pricing.edge import edges
from fairline.pricing.funnel import funnel
from fairline.pricing.rules import Rules
from fairline.pricing.steps import KEPT_BIN, active_steps, explain_row
from tests.unit.kalshi.test_wire import MARKET

NOW = datetime(2026, 11, 22, tzinfo=UTC)
LOOSE = Rules(max_spread_percent=200)


def markets(*changes):
    rows = [msgspec.convert(MARKET | {"ticker": f"T{i}"} | change, Market) for i, change in enumerate(changes)]
    return with_probabilities(markets_frame(rows)[0])


def predictions(*rows):
    return pl.DataFrame(
        [(ticker, p, sd, "m", NOW, None) for ticker, p, sd in rows], schema=PREDICTIONS, orient="row"
    ).drop("note")


def edges_of(change, p, *, sd=None, rules=LOOSE, beliefs=None):
    return edges(markets(change), predictions(("T0", p, sd)), asof=NOW, rules=rules, beliefs=beliefs)


def side(frame, name):
    return frame.filter(pl.col("side") == name).row(0, named=True)


def test_65_percent_against_an_ask_of_62_is_an_edge_of_3_points():
    yes = side(edges_of({"fee_waiver_expiration_time": "2027-01-01T00:00:00Z"}, 0.65), "yes")
    assert yes["edge_points"] == 3.0
    assert yes["ev_u"] == 30_000, "3 cents before the fee, which is waived here"
    assert yes["ev_per_dollar"] == pytest.approx(0.03 / 0.62)


def test_ev_is_after_the_fee_of_an_order_of_the_available_size():
    yes = side(edges_of({"yes_ask_size_fp": "20.00"}, 0.65), "yes")
    # 0.07 · 20 · 0.62 · 0.38 = 0.329840, up to 33 cents for 20 contracts.
    assert (yes["size_cc"], yes["order_fee_u"], yes["fee_u"]) == (2_000, 330_000, 16_500)
    assert yes["ev_u"] == 650_000 - 620_000 - 16_500


def test_the_no_side_costs_one_minus_the_bid_and_takes_its_size():
    no = side(edges_of({"yes_bid_size_fp": "7.00"}, 0.50), "no")
    assert (no["price_u"], no["p"], no["size_cc"]) == (420_000, 0.5, 700)
    assert no["edge_points"] == pytest.approx(8.0)


def test_without_a_bid_only_the_yes_side_is_priced():
    frame = edges_of({"yes_bid_dollars": "0.0000", "yes_bid_size_fp": "0.00"}, 0.65)
    assert side(frame, "yes")["edge_points"] == 3.0
    no = side(frame, "no")
    assert (no["price_u"], no["edge_points"], no["ev_u"], no["kelly"]) == (None, None, None, None)


def test_the_articles_defaults_are_2_points_1_cent_and_5_percent():
    rules = Rules()
    assert (rules.min_edge_points, rules.min_ev, rules.max_spread_percent) == (2.0, 0.01, 5.0)


@pytest.mark.parametrize(
    "change,p,step",
    [
        ({"status": "closed"}, 0.9, "open"),
        ({"close_time": "2026-11-21T00:00:00Z"}, 0.9, "open"),
        ({"status": "something_new"}, 0.9, "open"),
        ({"yes_ask_size_fp": "0.00", "yes_bid_size_fp": "0.00"}, 0.9, "offered"),
        ({"yes_bid_size_fp": "0.00"}, 0.9, "two-sided"),
        ({"market_type": "scalar"}, 0.9, "binary"),
        ({"yes_bid_dollars": "0.70", "yes_ask_dollars": "0.60"}, 0.9, "crossed"),
        ({"yes_bid_dollars": "0.62"}, 0.9, "crossed"),
        ({}, 0.9, "spread"),
        ({"yes_bid_dollars": "0.61", "yes_ask_size_fp": "0.50"}, 0.9, "thin"),
        ({"yes_bid_dollars": "0.61"}, None, "model"),
        ({"yes_bid_dollars": "0.61"}, 0.63, "edge"),
        ({"yes_bid_dollars": "0.61"}, 0.645, "ev"),
        ({"yes_bid_dollars": "0.61"}, 0.70, KEPT_BIN),
    ],
)
def test_each_market_ends_in_exactly_one_bin(change, p, step):
    frame = edges(markets(change), predictions(("T0", p, None)).drop_nulls("p"), asof=NOW, rules=Rules())
    assert side(frame, "yes")["bin"] == step


def test_thresholds_are_strict():
    change = {"yes_bid_dollars": "0.61", "fee_waiver_expiration_time": "2027-01-01T00:00:00Z"}
    assert side(edges_of(change, 0.64), "yes")["bin"] == "edge", "an edge of exactly 2.0 points is not above 2.0"
    assert side(edges_of(change, 0.64, rules=Rules(1.0, 0.02)), "yes")["bin"] == "ev"


def test_only_the_wanted_side_is_considered():
    frame = edges_of({"yes_bid_dollars": "0.61"}, 0.9, rules=Rules(side="no"))
    assert side(frame, "yes")["bin"] == "side"


def test_kept_rows_come_first_by_ev_per_dollar():
    frame = edges(
        markets({"yes_bid_dollars": "0.61"}, {"yes_bid_dollars": "0.08", "yes_ask_dollars": "0.0900"}, {"status": "x"}),
        predictions(("T0", 0.7, None), ("T1", 0.2, None)),
        asof=NOW,
        rules=LOOSE,
    )
    assert frame["ticker"].to_list()[:2] == ["T1", "T0"]
    assert frame["bin"].to_list()[:2] == [KEPT_BIN, KEPT_BIN]
    assert KEPT_BIN not in frame["bin"].to_list()[2:]


def test_a_resting_order_joins_the_best_bid_of_its_side_and_pays_the_maker_fee():
    change = {"yes_bid_dollars": "0.58", "yes_bid_size_fp": "7.00", "yes_ask_size_fp": "9.00"}
    rules = Rules(max_spread_percent=200, rest=True, size=50)
    frame = edges(
        markets(change).with_columns(
            fee_type=pl.lit("quadratic_with_maker_fees"),
            price_ranges=pl.lit('[{"start":"0","end":"1","step":"0.01"}]').cast(pl.Categorical),
        ),
        predictions(("T0", 0.65, None)),
        asof=NOW,
        rules=rules,
    )
    yes, no = side(frame, "yes"), side(frame, "no")
    assert (yes["price_u"], yes["ahead_cc"], yes["size_cc"], yes["better_u"]) == (580_000, 700, 5_000, 590_000)
    assert (no["price_u"], no["ahead_cc"], no["size_cc"], no["better_u"]) == (380_000, 900, 5_000, 390_000)
    # 0.0175 · 50 · 0.58 · 0.42 = 0.21315, up to 22 cents.
    assert (yes["order_fee_u"], yes["ev_u"]) == (220_000, 650_000 - 580_000 - 4_400)
    assert (yes["bin"], no["bin"]) == (KEPT_BIN, "edge")
    assert "behind 7.00 contracts, first at $0.5900" in explain_row(yes, rules)[3].detail
    assert explain_row(yes, rules)[-2].detail.endswith("if filled")
    assert "thin" not in [step.name for step in active_steps(rules)]


def test_a_resting_order_under_the_usual_terms_pays_no_fee_and_needs_a_bid_to_join():
    rules = Rules(max_spread_percent=200, rest=True)
    listed = markets({}, {"yes_bid_size_fp": "0.00"}).with_columns(fee_type=pl.lit("quadratic"))
    frame = edges(listed, predictions(("T0", 0.7, None), ("T1", 0.7, None)),
                  asof=NOW, rules=rules)  # fmt: skip
    rows = {(row["ticker"], row["side"]): row for row in frame.to_dicts()}
    assert rows["T0", "yes"]["fee_u"] == 0
    assert rows["T1", "yes"]["bin"] == "offered"
    assert [step.step for step in funnel(frame, rules)][3] == "has a bid to join"


def test_kelly_is_the_believed_share_and_never_negative():
    change = {"fee_waiver_expiration_time": "2027-01-01T00:00:00Z"}
    trusted = side(edges_of(change, 0.65), "yes")
    assert trusted["kelly"] == pytest.approx((0.65 - 0.62) / 0.38)
    assert side(edges_of(change, 0.65, sd=0.03), "yes")["kelly"] == trusted["kelly"], "p_sd is for display only"
    half = side(edges_of(change, 0.65, beliefs=Beliefs(trust=0.8)), "yes")
    assert half["p_believed"] == pytest.approx(0.60 + 0.8 * 0.05)
    assert half["kelly"] == pytest.approx((0.64 - 0.62) / 0.38)
    assert side(edges_of(change, 0.10), "yes")["kelly"] == 0.0


def test_an_unknown_fee_multiplier_is_taken_as_the_full_one():
    assert side(edges_of({}, 0.65), "yes")["multiplier_m"] == 10_000


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_edge_points": 100},
        {"min_edge_points": float("nan")},
        {"min_ev": 1},
        {"max_spread_percent": 0},
        {"max_spread_percent": 201},
        {"side": "maybe"},
        {"size": 0},
        {"kelly_fraction": 2},
    ],
)
def test_invalid_thresholds_are_refused_by_field(wrong):
    with pytest.raises(UsageError, match="^invalid .*: expected"):
        Rules(**wrong)


RECORD = Record("m", "any", k=0.5, cap=0.04, estimate=0.6, standard_error=0.1, events=2_000)
CLOSE = {"yes_bid_dollars": "0.61", "yes_ask_dollars": "0.62"}


def believe(p, *records, trust=1.0, built_in=frozenset({"m"}), change=CLOSE):
    beliefs = Beliefs(tuple(records), trust, built_in)
    return edges(markets(change), predictions(("T0", p, None)), asof=NOW, rules=Rules(), beliefs=beliefs)


def test_without_a_record_a_built_in_model_is_unproven_whatever_it_says():
    row = side(believe(0.80), "yes")
    assert (row["bin"], row["believed_ev_u"] < 0, row["kelly"], row["belief_source"]) == ("unproven", True, 0.0, "none")
    assert row["ev_u"] > 10_000


def test_a_record_moves_the_midpoint_towards_the_model_up_to_its_cap():
    row = side(believe(0.65, RECORD), "yes")
    assert row["p_believed"] == pytest.approx(0.615 + 0.5 * 0.035)
    far = side(believe(0.80, RECORD), "yes")
    assert far["p_believed"] == pytest.approx(0.615 + 0.04)
    assert far["believed_ev_u"] == round(655_000 - 620_000 - far["fee_u"])
    assert far["bin"] == KEPT_BIN
    assert row["bin"] == "edge" or row["bin"] == "unproven"


def test_the_no_side_mirrors_the_believed_probability():
    frame = believe(0.40, RECORD)
    yes, no = side(frame, "yes"), side(frame, "no")
    assert yes["p_believed"] + no["p_believed"] == pytest.approx(1)
    assert no["believed_u"] == 1_000_000 - yes["believed_u"]


def test_the_thresholds_on_the_raw_numbers_come_before_belief():
    assert side(believe(0.63), "yes")["bin"] == "edge"
    assert side(believe(0.645), "yes")["bin"] == "ev"


def test_a_users_own_model_is_believed_by_its_trust():
    assert side(believe(0.70, built_in=frozenset()), "yes")["bin"] == KEPT_BIN
    assert side(believe(0.70, built_in=frozenset(), trust=0.0), "yes")["bin"] == "unproven"


def test_beliefs_differ_by_model_and_category():
    frame = markets({}, {}).with_columns(category=pl.Series(["Sports", None]))
    sports = Record("m", "Sports", k=0.5, cap=0.04, estimate=0.6, standard_error=0.1, events=2_000)
    both = edges(frame, predictions(("T0", 0.7, None), ("T1", 0.7, None)), asof=NOW, rules=LOOSE,
                 beliefs=Beliefs((sports,), built_in=frozenset({"m"})))  # fmt: skip
    shares = dict(both.filter(pl.col("side") == "yes").select("ticker", "belief_k").iter_rows())
    assert shares == {"T0": 0.5, "T1": 0.0}


def test_kept_rows_rank_by_the_believed_ev_of_the_whole_order():
    small = CLOSE | {"yes_ask_size_fp": "2.00"}
    frame = markets(small, CLOSE | {"yes_ask_size_fp": "90.00"})
    priced = predictions(("T0", 0.90, None), ("T1", 0.70, None))
    rules = Rules(suspect_points=50)
    best = edges(frame, priced, asof=NOW, rules=rules).filter(pl.col("bin") == KEPT_BIN)
    assert best["ticker"].to_list() == ["T1", "T0"]
    by_contract = edges(frame, priced, asof=NOW, rules=replace(rules, sort="believed"))
    assert by_contract.filter(pl.col("bin") == KEPT_BIN)["ticker"].to_list() == ["T0", "T1"]


def test_yearly_return_is_believed_ev_per_dollar_until_the_outcome_is_decided():
    change = CLOSE | {"occurrence_datetime": "2027-02-22T00:00:00Z"}
    row = side(edges_of(change, 0.70, rules=Rules()), "yes")
    years = 92 / 365.25
    assert row["yearly_return"] == pytest.approx(row["believed_ev_per_dollar"] / years)
    unknown = CLOSE | {"occurrence_datetime": None, "expected_expiration_time": None}
    assert side(edges_of(unknown, 0.70, rules=Rules()), "yes")["yearly_return"] is None
    strict = Rules(min_yearly=1_000)
    assert side(edges_of(change, 0.70, rules=strict), "yes")["bin"] == "yearly"
    assert side(edges_of(unknown, 0.70, rules=strict), "yes")["bin"] == "yearly"
    assert side(edges_of(change, 0.70, rules=Rules(min_yearly=1)), "yes")["bin"] == KEPT_BIN


def test_a_floor_bounds_what_either_side_pays():
    """Check the case of the review: YES never pays less than 20 cents, NO at 0.75 with p = 0.07 loses."""
    floor = {"yes_bid_dollars": "0.25", "yes_ask_dollars": "0.26", "settlement_bounds_type": "floor",
             "settlement_floor_dollars": "0.20", "fee_waiver_expiration_time": "2027-01-01T00:00:00Z"}  # fmt: skip
    frame = edges_of(floor, 0.07)
    yes, no = side(frame, "yes"), side(frame, "no")
    assert yes["expected_u"] == 200_000 + round(0.07 * 800_000)
    assert (no["price_u"], no["expected_u"], no["ev_u"]) == (750_000, 744_000, -6_000)
    assert no["edge_points"] == pytest.approx(-0.75)
    assert (no["payout_low_u"], no["payout_high_u"]) == (0, 800_000)
    implied = markets(floor).row(0, named=True)
    assert implied["p_bid"] == pytest.approx(0.05 / 0.8)


def test_kelly_with_a_floor_risks_more_because_less_can_be_lost():
    waived = CLOSE | {"fee_waiver_expiration_time": "2027-01-01T00:00:00Z"}
    floor = waived | {"settlement_bounds_type": "floor", "settlement_floor_dollars": "0.20"}
    row = side(edges_of(floor, 0.70), "yes")
    gain, cost = row["believed_ev_u"] / 1e6, 0.62
    assert row["kelly"] == pytest.approx(cost * gain / ((1 - cost) * (cost - 0.20)))


def test_unknown_payout_bounds_are_not_priced():
    row = side(edges_of(CLOSE | {"settlement_bounds_type": "collar"}, 0.70), "yes")
    assert (row["bin"], row["market_type"]) == ("binary", "unknown payout bounds")


def test_an_implausibly_large_edge_is_marked_and_ranked_last():
    frame = markets({}, {"yes_bid_dollars": "0.0400", "yes_ask_dollars": "0.0500"})
    result = edges(frame, predictions(("T0", 0.70, None), ("T1", 0.60, None)), asof=NOW, rules=LOOSE)
    opportunities = result.filter(pl.col("bin") == KEPT_BIN)
    assert opportunities.select("ticker", "suspect").rows() == [("T0", False), ("T1", True)]
    assert opportunities["ev_per_dollar"][1] > opportunities["ev_per_dollar"][0]
    trusting = edges(
        frame, predictions(("T1", 0.60, None)), asof=NOW, rules=Rules(max_spread_percent=200, suspect_points=60)
    )
    assert not trusting.filter(pl.col("bin") == KEPT_BIN)["suspect"].any()
    with pytest.raises(UsageError, match="suspect_points"):
        Rules(suspect_points=0)


def test_a_market_whose_game_has_begun_is_left_out_for_models_that_know_nothing_about_play():
    frame = markets({"yes_bid_dollars": "0.61"}, {"yes_bid_dollars": "0.61"}, {"yes_bid_dollars": "0.61"})
    hour = timedelta(hours=1)
    frame = frame.with_columns(milestone_ts=pl.Series([NOW - hour, NOW + hour, None], dtype=pl.Datetime("us", "UTC")))
    predicted = predictions(*((f"T{n}", 0.9, None) for n in range(3)))

    def best(rules=LOOSE, **columns):
        rows = edges(frame, predicted.with_columns(**columns), asof=NOW, rules=rules)
        return sorted(rows.filter((pl.col("bin") == KEPT_BIN) & (pl.col("side") == "yes"))["ticker"])

    assert best() == ["T1", "T2"]
    assert best(knows_play=pl.lit(value=True)) == ["T0", "T1", "T2"]
    assert best(replace(LOOSE, in_play=True)) == ["T0", "T1", "T2"]
    rows = edges(frame, predicted, asof=NOW, rules=LOOSE)
    assert rows.filter("in_play")["ticker"].unique().to_list() == ["T0"]

"""Alerts of a watch that knows what is held."""

from datetime import UTC, datetime
from types import SimpleNamespace

import polars as pl

from fairline.pricing.holdings import Holding, Holdings
from fairline.watch.alerts import Kind, Tracked
from fairline.watch.holdings import decide_faded, faded_rows, without_held

NOW = datetime(2026, 8, 20, tzinfo=UTC)
HELD = Holdings((Holding("A", "yes", 1_000, 4_000_000), Holding("B", "no", 500, 2_000_000)))


def evaluation(*rows):
    names = ["ticker", "side", "model", "title", "believed_u"]
    frame = pl.DataFrame([(*row[:3], "Title", row[3]) for row in rows], schema=names, orient="row")
    return SimpleNamespace(select=frame.filter)


def listing(*rows):
    names = {"ticker": pl.String, "yes_bid_u": pl.Int64, "yes_ask_u": pl.Int64}
    return SimpleNamespace(markets=pl.DataFrame(rows, schema=names, orient="row"))


def test_opportunities_on_a_side_that_is_held_are_left_out():
    rows = pl.DataFrame({"ticker": ["A", "A", "B", "C"], "side": ["yes", "no", "yes", "yes"]})
    assert without_held(rows, HELD).rows() == [("A", "no"), ("B", "yes"), ("C", "yes")]
    assert without_held(rows, None).height == 4


def test_a_holding_has_faded_once_it_is_believed_worth_no_more_than_its_exit_price():
    quoted = listing(("A", 450_000, 480_000), ("B", 300_000, 330_000))
    rows = faded_rows(
        HELD, quoted, evaluation(("A", "yes", "elo", 460_000), ("B", "no", "elo", 660_000), ("A", "no", "elo", 1))
    )
    assert dict(rows.select("ticker", "faded").iter_rows()) == {"A": False, "B": True}
    assert dict(rows.select("ticker", "exit_u").iter_rows()) == {"A": 450_000, "B": 670_000}


def test_a_holding_without_a_quote_or_a_prediction_is_not_judged():
    assert faded_rows(HELD, listing(("A", None, 480_000)), evaluation(("A", "yes", "elo", 1))).is_empty()
    assert faded_rows(HELD, listing(("A", 450_000, 480_000)), evaluation(("C", "yes", "elo", 1))).is_empty()


def rows_at(believed_u):
    return faded_rows(HELD, listing(("A", 450_000, 480_000)), evaluation(("A", "yes", "elo", believed_u)))


def test_the_end_of_an_edge_is_reported_once_and_again_only_after_it_returned():
    tracked: dict[tuple[str, str, str], Tracked] = {}
    reported = []
    for believed_u in (440_000, 500_000, 430_000, 420_000, 500_000, 400_000):
        items, updates = decide_faded(rows_at(believed_u), tracked, NOW)
        tracked |= {each.key: each for each in updates}
        reported.append(len(items))
        assert all(item.kind is Kind.FADED for item in items)
    assert reported == [0, 0, 1, 0, 0, 1]
    items, _ = decide_faded(rows_at(400_000), {("A", "yes", "elo"): Tracked(("A", "yes", "elo"), "sent", 0, NOW)}, NOW)
    assert items[0].text == "faded: you hold YES A, believed worth 0.400 by elo, and can sell at 0.450 · Title"

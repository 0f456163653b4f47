"""Promise against result, and models against the price, on figures worked by hand."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from fairline.scoring.scorecard import scorecard, scorecard_document
from fairline.store.datasets import EDGES, PREDICTIONS, SETTLEMENTS

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def rows(schema, *made):
    return pl.DataFrame([dict.fromkeys(schema) | row for row in made], schema=schema)


def flagged(ticker, minute=0, **more):
    return {"seen_ts": NOW + timedelta(minutes=minute), "change": "appeared", "ticker": ticker, "side": "yes",
            "model": "m", "event_ticker": f"E{ticker}", "category": "Sports", "price_u": 400_000, "fee_u": 20_000,
            "ev_u": 80_000} | more  # fmt: skip


def said(ticker, p, bid=0.4, ask=0.5, minute=0, **more):
    return {"seen_ts": NOW + timedelta(minutes=minute), "ticker": ticker, "event_ticker": f"E{ticker}", "model": "m",
            "p": p, "p_bid": bid, "p_ask": ask} | more  # fmt: skip


def ended(ticker, result, payout_u):
    return {"seen_ts": NOW, "ticker": ticker, "event_ticker": f"E{ticker}", "result": result, "payout_u": payout_u}


YES, NO = ("yes", 1_000_000), ("no", 0)


def card(edges=(), predictions=(), settlements=()):
    return scorecard(rows(EDGES, *edges), rows(PREDICTIONS, *predictions), rows(SETTLEMENTS, *settlements))


def test_an_opportunity_counts_once_as_it_was_when_it_first_appeared():
    edges = [flagged("A"), flagged("A", 5, price_u=900_000), flagged("A", 6, change="gone"),
             flagged("B", price_u=100_000),
             flagged("C")]  # fmt: skip
    [all_of_them, by_category, by_model] = card(edges, settlements=[ended("A", *YES), ended("B", *NO)]).flagged
    assert (all_of_them.flagged, all_of_them.decided) == (3, 2)
    assert all_of_them.promised.mean == pytest.approx(0.08)
    assert all_of_them.realised.mean == pytest.approx(((1 - 0.42) + (0 - 0.12)) / 2)
    assert (by_category.what, by_category.name, by_model.what, by_model.name) == ("category", "Sports", "model", "m")


def test_a_market_in_between_pays_what_it_pays_and_is_no_yes_and_no_no():
    made = card(
        [flagged("A"), flagged("B")],
        [said("A", 0.9)],
        [ended("A", "scalar", 240_000), ended("B", "", None), ended("C", *YES)],
    )
    assert made.flagged[0].realised.mean == pytest.approx(0.24 - 0.42)
    assert (made.decided, made.scalar, made.undecided) == (0, 1, 1)
    assert made.judged == []


def test_a_model_is_judged_at_the_first_instant_at_which_there_was_a_price_beside_it():
    predictions = [said("A", 0.5, bid=None), said("A", 0.8, minute=1), said("A", 1.0, bid=0.98, ask=1.0, minute=2)]
    [judged] = card(predictions=predictions, settlements=[ended("A", *YES)]).judged
    assert judged.brier.mean == pytest.approx(0.04)
    assert judged.market_brier.mean == pytest.approx(0.55**2)
    assert judged.log_loss.mean == pytest.approx(-math.log(0.8))
    assert judged.brier_difference.mean == pytest.approx(0.04 - 0.3025)
    assert judged.brier.n == 1


def test_reliability_has_its_n_and_the_exact_interval():
    predictions = [said(f"T{n}", 0.75) for n in range(10)]
    settlements = [ended(f"T{n}", *(YES if n < 8 else NO)) for n in range(10)]
    row = card(predictions=predictions, settlements=settlements).reliability.row(0, named=True)
    assert (row["bin"], row["n"], row["frequency"]) == (7, 10, 0.8)
    # Clopper and Pearson's interval for 8 of 10, by published tables: 0.4439 to 0.9748.
    assert (round(row["low"], 4), round(row["high"], 4)) == (0.4439, 0.9748)


def test_a_certainty_that_never_fails_has_an_interval_too():
    made = card(predictions=[said("A", 1.0)], settlements=[ended("A", *YES)]).reliability.row(0, named=True)
    assert (made["bin"], made["low"], made["high"]) == (9, pytest.approx(0.025), 1.0)


def test_without_anything_there_is_an_empty_card_and_no_number_without_its_n():
    assert scorecard_document(card())["flagged"][0] == {
        "what": "all", "name": "all", "flagged": 0, "decided": 0, "promised": None, "realised": None,
    }  # fmt: skip
    made = scorecard_document(card([flagged("A")], settlements=[ended("A", *YES)]))["flagged"][0]["realised"]
    assert made == {"mean": pytest.approx(0.58), "low": None, "high": None, "n": 1, "events": 1}


def test_the_intervals_cover_the_truth_at_their_rate_over_many_worlds():
    """Outcomes of an event hang together: all of its markets are decided by one number."""
    rng, covered, worlds = np.random.default_rng(11), 0, 300
    for _ in range(worlds):
        events, each = 40, 5
        # What one buys at 0.40 wins when the event's number, of which 0.45 lies below, is low: EV is 0.03.
        number = rng.random(events)
        wins = np.repeat(number < 0.45, each)
        flips = rng.random(events * each) < 0.1
        wins = np.where(flips, rng.random(events * each) < 0.45, wins)
        tickers = [f"T{n}" for n in range(events * each)]
        edges = [flagged(t, event_ticker=f"E{n // each}", ev_u=30_000) for n, t in enumerate(tickers)]
        made = card(edges, settlements=[ended(t, *(YES if w else NO)) for t, w in zip(tickers, wins, strict=True)])
        realised = made.flagged[0].realised
        covered += realised.low <= 0.45 - 0.42 <= realised.high
    # 95 % of 300 is 285, give or take 3.8.
    assert 272 <= covered <= 297

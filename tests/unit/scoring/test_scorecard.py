"""The scorecard on figures calculated by hand."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from fairline.scoring.scorecard import compute_scorecard, scorecard_document
from fairline.store.datasets import EDGES, PREDICTIONS, SETTLEMENTS

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def table(schema, *rows):
    return pl.DataFrame([dict.fromkeys(schema) | row for row in rows], schema=schema)


def edge(ticker, minute=0, **more):
    return {"seen_ts": NOW + timedelta(minutes=minute), "change": "appeared", "ticker": ticker, "side": "yes",
            "model": "m", "event_ticker": f"E{ticker}", "category": "Sports", "price_u": 400_000, "fee_u": 20_000,
            "ev_u": 80_000} | more  # fmt: skip


def prediction(ticker, p, bid=0.4, ask=0.5, minute=0, **more):
    return {"seen_ts": NOW + timedelta(minutes=minute), "ticker": ticker, "event_ticker": f"E{ticker}", "model": "m",
            "p": p, "p_bid": bid, "p_ask": ask} | more  # fmt: skip


def settlement(ticker, result, payout_u):
    return {"seen_ts": NOW, "ticker": ticker, "event_ticker": f"E{ticker}", "result": result, "payout_u": payout_u}


YES, NO = ("yes", 1_000_000), ("no", 0)


def card(edges=(), predictions=(), settlements=()):
    return compute_scorecard(table(EDGES, *edges), table(PREDICTIONS, *predictions), table(SETTLEMENTS, *settlements))


def test_an_opportunity_counts_once_as_it_first_appeared():
    edges = [edge("A"), edge("A", 5, price_u=900_000), edge("A", 6, change="gone"),
             edge("B", price_u=100_000),
             edge("C")]  # fmt: skip
    [everything, by_category, by_model] = card(
        edges, settlements=[settlement("A", *YES), settlement("B", *NO)]
    ).opportunities
    assert (everything.flagged, everything.decided) == (3, 2)
    assert everything.promised.mean == pytest.approx(0.08)
    assert everything.realised.mean == pytest.approx(((1 - 0.42) + (0 - 0.12)) / 2)
    assert (by_category.what, by_category.name, by_model.what, by_model.name) == ("category", "Sports", "model", "m")


def test_a_scalar_market_counts_as_money_but_not_as_an_outcome():
    scores = card(
        [edge("A"), edge("B")],
        [prediction("A", 0.9)],
        [settlement("A", "scalar", 240_000), settlement("B", "", None), settlement("C", *YES)],
    )
    assert scores.opportunities[0].realised.mean == pytest.approx(0.24 - 0.42)
    assert (scores.decided, scores.scalar, scores.undecided) == (0, 1, 1)
    assert scores.models == []


def test_a_model_is_scored_at_the_first_instant_with_quotes():
    predictions = [
        prediction("A", 0.5, bid=None),
        prediction("A", 0.8, minute=1),
        prediction("A", 1.0, bid=0.98, ask=1.0, minute=2),
    ]
    [model] = card(predictions=predictions, settlements=[settlement("A", *YES)]).models
    assert model.brier.mean == pytest.approx(0.04)
    assert model.market_brier.mean == pytest.approx(0.55**2)
    assert model.log_loss.mean == pytest.approx(-math.log(0.8))
    assert model.brier_difference.mean == pytest.approx(0.04 - 0.3025)
    assert model.brier.n == 1


def test_reliability_has_counts_and_exact_intervals():
    predictions = [prediction(f"T{n}", 0.75) for n in range(10)]
    settlements = [settlement(f"T{n}", *(YES if n < 8 else NO)) for n in range(10)]
    row = card(predictions=predictions, settlements=settlements).reliability.row(0, named=True)
    assert (row["bin"], row["n"], row["frequency"]) == (7, 10, 0.8)
    # Clopper and Pearson's interval for 8 of 10, by published tables: 0.4439 to 0.9748.
    assert (round(row["low"], 4), round(row["high"], 4)) == (0.4439, 0.9748)


def test_a_certainty_that_never_failed_has_an_interval():
    row = card(predictions=[prediction("A", 1.0)], settlements=[settlement("A", *YES)]).reliability.row(0, named=True)
    assert (row["bin"], row["low"], row["high"]) == (9, pytest.approx(0.025), 1.0)


def test_an_empty_scorecard_is_a_document_and_every_figure_has_its_n():
    assert scorecard_document(card())["flagged"][0] == {
        "what": "all", "name": "all", "flagged": 0, "decided": 0, "promised": None, "claimed": None,
        "realised": None,
    }  # fmt: skip
    realised = scorecard_document(card([edge("A")], settlements=[settlement("A", *YES)]))["flagged"][0]["realised"]
    assert realised == {"mean": pytest.approx(0.58), "low": None, "high": None, "n": 1, "events": 1}


def test_intervals_cover_the_truth_at_their_stated_rate_over_many_worlds():
    """Outcomes of an event depend on each other: one number decides all its markets."""
    rng, covered, worlds = np.random.default_rng(11), 0, 300
    for _ in range(worlds):
        events, each = 40, 5
        # A contract bought at 0.40 wins with probability 0.45: EV is 0.03 after a fee of 0.02.
        number = rng.random(events)
        wins = np.repeat(number < 0.45, each)
        flips = rng.random(events * each) < 0.1
        wins = np.where(flips, rng.random(events * each) < 0.45, wins)
        tickers = [f"T{n}" for n in range(events * each)]
        edges = [edge(t, event_ticker=f"E{n // each}", ev_u=30_000) for n, t in enumerate(tickers)]
        scores = card(
            edges, settlements=[settlement(t, *(YES if w else NO)) for t, w in zip(tickers, wins, strict=True)]
        )
        realised = scores.opportunities[0].realised
        covered += realised.low <= 0.45 - 0.42 <= realised.high
    # 95 % of 300 is 285 with a standard deviation of 3.8.
    assert 272 <= covered <= 297

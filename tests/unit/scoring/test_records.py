import math

import numpy as np
import polars as pl
import pytest

from fairline.scoring.records import fit_belief, fit_record, fit_records


def world(n, share, *, seed=0, spread=0.15, limit=np.inf):
    """Return disagreements and outcomes − mid of which `share` comes true, up to `limit`."""
    rng = np.random.default_rng(seed)
    mid = rng.uniform(0.25, 0.75, n)
    disagreement = rng.normal(0, spread, n).clip(-0.24, 0.24)
    truth = mid + np.sign(disagreement) * np.minimum(share * np.abs(disagreement), limit)
    return disagreement, (rng.random(n) < truth) - mid


def test_the_slope_is_the_share_that_came_true():
    disagreement, outcome = world(40_000, 0.6)
    record = fit_record("m", "Sports", disagreement, outcome, np.arange(40_000))
    assert record.estimate == pytest.approx(0.6, abs=3 * record.standard_error)
    assert record.k == pytest.approx(record.estimate - record.standard_error)
    assert record.events == 40_000


def test_the_slope_and_its_error_are_those_of_the_textbook():
    d, y = np.array([0.1, -0.2, 0.3, 0.1]), np.array([0.5, -0.5, 0.5, -0.5])
    record = fit_record("m", "any", d, y, ["a", "a", "b", "c"])
    slope = (d @ y) / (d @ d)
    scores = np.array([d[:2] @ (y - slope * d)[:2], (d * (y - slope * d))[2], (d * (y - slope * d))[3]])
    assert record.estimate == pytest.approx(slope)
    assert record.standard_error == pytest.approx(math.sqrt(3 / 2 * (scores @ scores)) / (d @ d))


def test_markets_of_one_event_count_as_one():
    disagreement, outcome = world(500, 0.5)
    repeated = fit_record("m", "any", np.repeat(disagreement, 4), np.repeat(outcome, 4), np.repeat(np.arange(500), 4))
    once = fit_record("m", "any", disagreement, outcome, np.arange(500))
    assert repeated.events == 500
    assert repeated.standard_error == pytest.approx(once.standard_error, rel=1e-6)


def test_below_30_events_nothing_is_believed():
    disagreement, outcome = world(29, 1.0)
    assert fit_belief(disagreement, outcome, np.arange(29)).k == 0.0
    assert fit_belief(np.array([]), np.array([]), []).k == 0.0
    assert fit_belief(np.zeros(50), np.full(50, 0.5), np.arange(50)).k == 0.0


def test_below_300_events_the_cap_is_the_75th_percentile_of_the_disagreements():
    disagreement, outcome = world(299, 0.5)
    record = fit_record("m", "any", disagreement, outcome, np.arange(299))
    assert record.cap == pytest.approx(np.quantile(np.abs(disagreement), 0.75))


def test_from_300_events_on_a_cap_is_found_where_disagreements_stop_coming_true():
    disagreement, outcome = world(60_000, 1.0, limit=0.03, spread=0.12)
    record = fit_record("m", "any", disagreement, outcome, np.arange(60_000))
    assert 0.015 < record.cap < 0.045
    straight = fit_record("m", "any", *world(60_000, 0.5, spread=0.12), np.arange(60_000))
    assert straight.cap > 0.08


def frame(model, category, n, share, seed):
    disagreement, outcome = world(n, share, seed=seed)
    mid = np.full(n, 0.5)
    events = [f"{category}{i}" for i in range(n)]
    columns = {"event_ticker": events, "p": mid + disagreement, "p_mid": mid, "outcome": outcome + mid}
    return pl.DataFrame({"model": model, "category": category} | columns)


def test_categories_of_one_model_are_pooled_partially():
    same = fit_records(pl.concat([frame("m", name, 400, 0.5, i) for i, name in enumerate("ABCD")]))
    alone = [fit_records(frame("m", name, 400, 0.5, i))[0] for i, name in enumerate("ABCD")]
    assert [record.category for record in same] == ["A", "B", "C", "D", "any"]
    assert np.std([r.estimate for r in same[:4]]) < np.std([r.estimate for r in alone])
    assert max(r.standard_error for r in same[:4]) < min(r.standard_error for r in alone)


def test_categories_that_differ_keep_their_own_estimates():
    records = fit_records(pl.concat([frame("m", "A", 20_000, 0.9, 1), frame("m", "B", 20_000, 0.0, 2)]))
    by_category = {record.category: record for record in records}
    assert by_category["A"].estimate > 0.8
    assert by_category["B"].estimate < 0.1
    assert by_category["any"].k == 0.0, "a new category may be like either"


def test_models_do_not_share_their_records():
    records = fit_records(pl.concat([frame("a", "A", 2_000, 0.9, 1), frame("b", "A", 2_000, 0.0, 2)]))
    assert [(record.model, record.category) for record in records] == [("a", "A"), ("b", "A")]
    assert records[0].k > 0.4 > records[1].k

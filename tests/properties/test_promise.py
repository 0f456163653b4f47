"""What is promised is what comes, on data nobody fitted: in simulated worlds and on recorded sets."""

import numpy as np
import polars as pl
import pytest
from benchmarks.evidence import all_evidence
from benchmarks.promise import holm, judge, shortfall_p
from scipy.stats import t as student

from fairline.pricing.belief import Beliefs
from fairline.scoring.metrics import clustered_mean
from tests.properties.promised_worlds import earn_beliefs, flag, make_world

SEEDS = 100
PAST_EVENTS = 1_000
FUTURE_EVENTS = 1_000

pytestmark = pytest.mark.slow


def is_broken(rows):
    """Return whether the upper 95 % bound of realised − promised, clustered by event, is below 0 (one-sided)."""
    interval = clustered_mean(rows.with_columns(excess=pl.col("realised") - pl.col("promised")), "excess")
    if interval is None or interval.clusters < 2:
        return False
    error = (interval.high - interval.mean) / float(student.ppf(0.975, interval.clusters - 1))
    return interval.mean + float(student.ppf(0.95, interval.clusters - 1)) * error < 0


@pytest.mark.parametrize("forecaster", ["skilled", "noisy", "biased", "stale"])
def test_believed_promises_are_kept_in_at_least_90_of_100_worlds(forecaster, record_property):
    broken, without_flags = 0, 0
    for seed in range(SEEDS):
        rng = np.random.default_rng([seed, len(forecaster)])
        beliefs = earn_beliefs(make_world(rng, PAST_EVENTS, forecaster))
        rows = flag(make_world(rng, FUTURE_EVENTS, forecaster), beliefs)
        without_flags += rows.is_empty()
        broken += not rows.is_empty() and is_broken(rows)
    record_property("worlds without flags", without_flags)
    print(f"{forecaster}: {broken} of {SEEDS} broken, {without_flags} without flags")
    assert broken <= SEEDS - 90


@pytest.mark.parametrize("forecaster", ["noisy", "biased", "stale"])
def test_believing_such_a_forecaster_outright_would_break_the_promise(forecaster):
    """Show that the test above can fail: without belief it does."""
    outright = Beliefs(trust=1.0, built_in=frozenset())
    broken = 0
    for seed in range(20):
        rng = np.random.default_rng([seed, len(forecaster)])
        broken += is_broken(flag(make_world(rng, FUTURE_EVENTS, forecaster), outright))
    assert broken >= 18


def test_a_skilled_forecaster_keeps_its_flags_and_most_of_its_profit():
    """After 1,000 events; the available profit is that of the same forecaster believed by an exact record."""
    rng = np.random.default_rng(7)
    exact = earn_beliefs(make_world(rng, 100_000, "skilled"))
    with_30_flags, earned, available = 0, 0.0, 0.0
    for seed in range(SEEDS):
        rng = np.random.default_rng([seed, 99])
        beliefs = earn_beliefs(make_world(rng, PAST_EVENTS, "skilled"))
        future = make_world(rng, FUTURE_EVENTS, "skilled")
        rows = flag(future, beliefs)
        with_30_flags += rows.height >= 30
        earned += rows["expected"].sum()
        available += flag(future, exact)["expected"].sum()
    print(f"skilled: 30 flags in {with_30_flags} of {SEEDS}, {earned / available:.0%} of the profit")
    assert with_30_flags >= 80
    assert earned >= 0.8 * available


def test_believed_promises_are_kept_on_recorded_sets_and_raw_ones_are_not(shared):
    """Fitted on one half of the events and judged on the other, both ways, with Holm's correction."""
    promises = [judge(evidence) for evidence in all_evidence()]
    believed = holm([shortfall_p(promise.believed_rows, "believed") for promise in promises])
    same_rows = holm([shortfall_p(promise.rows, "believed") for promise in promises])
    raw = holm([shortfall_p(promise.rows, "promised") for promise in promises])
    assert "broken" not in believed + same_rows
    assert "broken" in raw, "the raw numbers over-promise; if they no longer do, say so in docs/pricing.md"

"""Clustered regressions and the best of many candidates, against published figures and other libraries."""

import gzip
import json

import numpy as np
import polars as pl
import pytest

from fairline.errors import UsageError
from fairline.inference import check_best_of_many, regress


@pytest.fixture(scope="module")
def study(shared):
    """The published rows of a pre-registered study of closing-line value."""
    with gzip.open(shared / "clv_study_2026-08" / "pull.json.gz") as file:
        section = json.load(file)["sections"][0]
    return pl.DataFrame(section["rows"], schema=section["columns"], orient="row", infer_schema_length=None)


def fit(rows):
    columns = [rows[name].cast(pl.Float64).to_numpy() for name in ("edge_tenths", "half_spread_tenths")]
    return regress(rows["clv_tenths"].cast(pl.Float64).to_numpy(), columns, rows["cluster_key"].to_list())


def test_the_published_regression_is_reproduced_to_the_printed_digits(study):
    fitted = fit(study)
    assert [round(value, 4) for value in fitted.coefficients[1:]] == [-0.1412, -0.7407]
    assert round(fitted.clustered_errors[1], 4) == 0.0478
    assert round(fitted.classical_errors[1], 4) == 0.0202
    assert (fitted.n, fitted.clusters) == (3692, 199)


@pytest.mark.parametrize(("kind", "n", "slope"), [("moneyline", 2440, -0.0819), ("prop", 1252, -0.5192)])
def test_the_published_slope_by_kind_is_reproduced(study, kind, n, slope):
    fitted = fit(study.filter(market_type=kind))
    assert (fitted.n, round(fitted.coefficients[1], 4)) == (n, slope)


def test_rows_repeated_within_their_cluster_add_no_certainty():
    rng = np.random.default_rng(1)
    x = rng.normal(size=50)
    y = x + rng.normal(size=50)
    once = regress(y, [x], range(50))
    five_times = regress(np.repeat(y, 5), [np.repeat(x, 5)], np.repeat(np.arange(50), 5))
    assert five_times.coefficients == pytest.approx(once.coefficients)
    assert five_times.clustered_errors == pytest.approx(once.clustered_errors)
    assert five_times.classical_errors[1] < once.classical_errors[1] / 2


@pytest.mark.parametrize(
    ("columns", "clusters", "message"),
    [([[1.0, 2.0, 3.0, 4.0]], [1, 1, 1, 1], "too little data"), ([[1.0, 1.0, 1.0, 1.0]], [1, 2, 3, 4], "collinear")],
)
def test_a_regression_without_enough_information_is_refused(columns, clusters, message):
    with pytest.raises(UsageError, match=message):
        regress(np.array([1.0, 2.0, 2.0, 5.0]), [np.array(column) for column in columns], clusters)


def test_a_real_gain_among_many_candidates_is_found():
    rng = np.random.default_rng(2)
    gains = rng.normal(size=(400, 50))
    gains[:, 17] += 0.3
    best = check_best_of_many(gains, range(400), seed=1)
    assert best.index == 17
    assert best.p_corrected < 0.01


def test_the_correction_agrees_with_the_spa_test_of_arch():
    bootstrap = pytest.importorskip("arch.bootstrap")
    rng = np.random.default_rng(3)
    gains = rng.normal(size=(300, 20)) + 0.08
    result = check_best_of_many(gains, range(300), seed=1)
    theirs = bootstrap.SPA(np.zeros(300), -gains, block_size=1, reps=4000, bootstrap="circular", seed=1)
    theirs.compute()
    assert result.p_corrected == pytest.approx(theirs.pvalues["upper"], abs=0.04)


def test_the_best_of_noise_is_corrected_away():
    significant = 0
    naive = 0
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(size=(120, 100))
        best = check_best_of_many(noise, range(120), seed=seed, draws=500)
        significant += best.p_corrected < 0.05
        naive += best.p_alone < 0.05
    assert naive == 20
    assert significant <= 4


def test_candidates_that_never_act_are_never_the_best():
    gains = np.zeros((30, 3))
    gains[:, 1] = np.linspace(-1, 0.5, 30)
    assert check_best_of_many(gains, range(30), seed=1, draws=100).index == 1


def test_a_single_event_cannot_be_resampled():
    with pytest.raises(UsageError, match="one event"):
        check_best_of_many(np.ones((3, 2)), [1, 1, 1], seed=1)

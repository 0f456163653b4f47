"""What is promised is what comes, if the forecaster knows the truth; if he errs, as much less as his errors say."""

import pytest
from benchmarks.curse import outcome


def within(value, interval):
    """Three standard errors: the seeds are fixed, so that this holds or not, but not by one unlucky draw."""
    error = (interval.high - interval.mean) / 1.96
    return abs(value - interval.mean) < 3 * error


def test_an_exact_forecaster_gets_what_was_promised():
    result = outcome(0.0, range(12), 2_000)
    assert result.realised.n > 200
    assert result.promised == pytest.approx(result.expected, abs=1e-6)
    assert within(result.promised, result.realised)


def test_one_who_errs_gets_less_by_the_amount_that_his_errors_foretell():
    result = outcome(0.3, range(8), 2_000)
    assert result.realised.n > 1_000
    assert result.expected < result.promised - 0.01
    assert within(result.expected, result.realised)
    assert not within(result.promised, result.realised)

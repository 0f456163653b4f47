"""A forecaster who knows the truth realises what was promised; one with errors realises less, as his errors predict."""

import pytest
from benchmarks.curse import outcome


def within(value, interval):
    """Return whether the value is within three standard errors; the seeds are fixed, so the result is deterministic."""
    error = (interval.high - interval.mean) / 1.96
    return abs(value - interval.mean) < 3 * error


def test_an_exact_forecaster_realises_what_was_promised():
    result = outcome(0.0, range(12), 2_000)
    assert result.realised.n > 200
    assert result.promised == pytest.approx(result.expected, abs=1e-6)
    assert within(result.promised, result.realised)


def test_a_forecaster_with_errors_realises_less_by_the_amount_that_they_predict():
    result = outcome(0.3, range(8), 2_000)
    assert result.realised.n > 1_000
    assert result.expected < result.promised - 0.01
    assert within(result.expected, result.realised)
    assert not within(result.promised, result.realised)

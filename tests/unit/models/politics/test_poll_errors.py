"""The command that fits polls' errors recovers the errors that simulated polls were given."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from benchmarks.polls import calibration_slope, cross_validate, fit_errors, read_races

COMMON_SD, RACE_SD = 2.8, 2.7


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Write polls of 40 cycles with 25 races each, in the columns of FiveThirtyEight's file."""
    rng = np.random.default_rng(5)
    rows = []
    for cycle in range(1944, 2024, 2):
        common, election = rng.normal(scale=COMMON_SD), date(cycle, 11, 5)
        for race in range(25):
            actual = rng.normal(scale=8)
            polled = actual - common - rng.normal(scale=RACE_SD)
            for _ in range(rng.integers(3, 30)):
                day = election - timedelta(days=int(rng.integers(1, 20)))
                margin = polled + rng.normal(scale=4.0)
                days = f"{day:%m/%d/%Y}", f"{election:%m/%d/%Y}"
                rows.append((cycle, 100 * cycle + race, "Sen-G", "DEM", "REP", *days, 600, margin, actual))
                rows.append((cycle, 100 * cycle + race + 50, "House-G", "DEM", "REP", *days, 600, 90.0, -90.0))
                rows.append((cycle, 100 * cycle + race + 75, "Gov-G", "REF", "REP", *days, 600, 90.0, -90.0))
    names = ["year", "race_id", "type_simple", "cand1_party", "cand2_party", "polldate", "electiondate", "samplesize"]
    names += ["margin_poll", "margin_actual"]
    target = tmp_path_factory.mktemp("polls") / "raw_polls.csv"
    pl.DataFrame(rows, schema=names, orient="row").write_csv(target)
    return target


def test_common_and_own_errors_are_recovered(path):
    errors = fit_errors(read_races(path))
    assert errors.common == pytest.approx(COMMON_SD, abs=0.7)
    assert errors.own == pytest.approx(RACE_SD, abs=0.5)


def test_constants_of_other_cycles_are_calibrated(path):
    p, y = cross_validate(read_races(path))
    slope, error = calibration_slope(p, y)
    assert len(p) == 1_000
    assert slope == pytest.approx(1.0, abs=3 * error)
    timid, _ = calibration_slope(1 / (1 + ((1 - p) / p) ** 0.5), y)
    assert timid == pytest.approx(2 * slope, rel=0.05), "log-odds of half the size have twice the slope"

"""Fit the errors of polls on election day, cross-validated by election cycle, on FiveThirtyEight's past polls.

`python -m benchmarks.polls raw-polls.csv` reads `pollster-ratings/2023/raw-polls.csv` of FiveThirtyEight's repository
`data`, which is not part of this project: general elections of senators, governors and presidents between a Democrat
and a Republican. It prints the constants of `fairline.models.politics.election`, calibrated out of sample.

The average of a race's polls misses its result by an error common to the cycle plus one of its own, which grows where
polls are few: var = common² + own² + few(weight)². The constants maximise the likelihood over the other cycles.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, ndtr

from fairline.models.politics.election import NO_POLL_ERROR, ONE_POLL_ERROR, USUAL_SAMPLE

Floats = NDArray[np.float64]
MAX_AGE_DAYS = 21
HALF_LIFE_DAYS = 10.0
MIN_P = 1e-4
GENERAL_ELECTIONS = ("Sen-G", "Gov-G", "Pres-G")


@dataclass(frozen=True, slots=True)
class PollErrors:
    """Standard deviations in points of margin: common to a cycle, and of a race alone."""

    common: float
    own: float

    @property
    def total(self) -> float:
        return float(np.hypot(self.common, self.own))


def read_races(path: Path) -> pl.DataFrame:
    """Return `{cycle, race, average, actual, weight}`: the average of each race's last polls and its result."""
    polls = pl.read_csv(path, infer_schema_length=None).filter(
        pl.col("type_simple").is_in(GENERAL_ELECTIONS)
        & (pl.col("cand1_party") == "DEM")
        & (pl.col("cand2_party") == "REP")
    )
    formats = ("%Y-%m-%d", "%m/%d/%Y", "%m/%d/%y")
    days = {
        name: pl.coalesce(pl.col(name).cast(pl.String).str.to_date(form, strict=False) for form in formats)
        for name in ("polldate", "electiondate")
    }
    numbers = [pl.col(name).cast(pl.Float64, strict=False) for name in ("samplesize", "margin_poll", "margin_actual")]
    rows = polls.select(*numbers, cycle="year", race="race_id", **days)
    rows = rows.with_columns(age=(pl.col("electiondate") - pl.col("polldate")).dt.total_days())
    rows = rows.filter(pl.col("age").is_between(0, MAX_AGE_DAYS)).drop_nulls(["margin_poll", "margin_actual"])
    size = (pl.col("samplesize").fill_null(USUAL_SAMPLE) / USUAL_SAMPLE).sqrt()
    weight = size * pl.lit(0.5).pow(pl.col("age") / HALF_LIFE_DAYS)
    return (
        rows.with_columns(weight=weight)
        .group_by("cycle", "race", maintain_order=True)
        .agg(
            average=(pl.col("margin_poll") * pl.col("weight")).sum() / pl.col("weight").sum(),
            actual=pl.col("margin_actual").first(),
            weight=pl.col("weight").sum(),
        )
    )


def fit_errors(races: pl.DataFrame) -> PollErrors:
    """Return the errors of greatest likelihood over the races' cycles."""
    groups = [_arrays(group) for _, group in races.group_by("cycle", maintain_order=True)]

    def loss(log_sds: Floats) -> float:
        common, own = np.exp(log_sds)
        return sum(_negative_log_likelihood(miss, few, common, own) for miss, few in groups)

    result = minimize(loss, np.log([2.5, 3.0]), method="Nelder-Mead")
    common, own = np.exp(result.x)
    return PollErrors(float(common), float(own))


def _arrays(races: pl.DataFrame) -> tuple[Floats, Floats]:
    """Return how far each race's average missed, and the error of its few polls."""
    miss = (races["actual"] - races["average"]).to_numpy()
    few = np.minimum(ONE_POLL_ERROR / np.sqrt(np.maximum(races["weight"].to_numpy(), 1e-6)), NO_POLL_ERROR)
    return miss, few


def _negative_log_likelihood(miss: Floats, few: Floats, common: float, own: float) -> float:
    """Return that of a normal vector with covariance diag(own² + few²) + common², by the matrix determinant lemma."""
    variance = own**2 + few**2
    precision = 1 / variance
    shrink = 1 / (1 / common**2 + precision.sum())
    quadratic = (miss**2 * precision).sum() - shrink * (miss * precision).sum() ** 2
    log_determinant = np.log(variance).sum() + np.log(common**2 * (1 / common**2 + precision.sum()))
    return float(0.5 * (quadratic + log_determinant))


def cross_validate(races: pl.DataFrame) -> tuple[Floats, Floats]:
    """Return each race's probability for the first candidate by constants fitted on other cycles, and who won."""
    probabilities, outcomes = [], []
    for (cycle,), held_out in races.group_by("cycle", maintain_order=True):
        errors = fit_errors(races.filter(pl.col("cycle") != cycle))
        _, few = _arrays(held_out)
        sd = np.sqrt(errors.total**2 + few**2)
        probabilities.append(ndtr(held_out["average"].to_numpy() / sd))
        outcomes.append((held_out["actual"] > 0).to_numpy().astype(np.float64))
    return np.concatenate(probabilities), np.concatenate(outcomes)


def calibration_slope(p: Floats, y: Floats) -> tuple[float, float]:
    """Return the slope of outcomes on log-odds through the origin by maximum likelihood, and its standard error."""
    clipped = np.clip(p, MIN_P, 1 - MIN_P)
    odds = np.log(clipped / (1 - clipped))

    def loss(slope: Floats) -> float:
        q = np.clip(expit(slope[0] * odds), 1e-12, 1 - 1e-12)
        return float(-(y * np.log(q) + (1 - y) * np.log(1 - q)).sum())

    slope = float(minimize(loss, np.array([1.0]), method="Nelder-Mead").x[0])
    q = expit(slope * odds)
    return slope, float(1 / np.sqrt((q * (1 - q) * odds**2).sum()))


def report(races: pl.DataFrame) -> str:
    errors = fit_errors(races)
    p, y = cross_validate(races)
    slope, error = calibration_slope(p, y)
    return "\n".join([
        f"{races.height:,} races of {races['cycle'].n_unique()} cycles",
        f"error on the day {errors.total:.2f} points, of which {errors.common:.2f} common to a cycle",
        f"out of sample by cycle: slope {slope:.2f} ± {error:.2f}, Brier {np.mean((p - y) ** 2):.4f}",
    ])  # fmt: skip


if __name__ == "__main__":
    print(report(read_races(Path(sys.argv[1]))))

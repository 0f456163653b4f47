"""From a forecast and the recent errors of such forecasts to the probability of a reading in whole degrees."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ERROR_DAYS = 45
"""The latest days whose errors count. Of 45, 60 and 92 days it gave the best log score on the forecasts of five cities,
and Student's t with six degrees of freedom a better one than the normal distribution
(`tests/contract/test_weather.py`)."""
MIN_ERROR_DAYS = 30
MIN_SD = 0.5
"""Degrees; rounding alone causes errors of this size."""
MAX_ERROR = 25.0
"""Degrees; larger differences are not forecast errors."""
DEGREES_OF_FREEDOM = 6.0
HOURS_PER_DAY = 24


@dataclass(frozen=True, slots=True)
class ForecastError:
    """Official reading minus forecast, in degrees: mean and standard deviation over a number of days."""

    bias: float
    sd: float
    days: int

    def interpolate(self, other: "ForecastError", share: float) -> "ForecastError":
        """Return the errors at a share (0 to 1) of the way to another's."""
        bias = (1 - share) * self.bias + share * other.bias
        sd = (1 - share) * self.sd + share * other.sd
        return ForecastError(bias, sd, min(self.days, other.days))


def forecast_error(forecast: Sequence[float], official: Sequence[float]) -> ForecastError | None:
    """Return the error of forecasts against readings of the same days, the latest last; None for fewer than 30 days."""
    errors = np.asarray(official, dtype=float)[-ERROR_DAYS:] - np.asarray(forecast, dtype=float)[-ERROR_DAYS:]
    errors = errors[np.abs(errors) <= MAX_ERROR]
    if len(errors) < MIN_ERROR_DAYS:
        return None
    # The mean of n errors is itself off by sd/√n.
    sd = errors.std(ddof=1) * np.sqrt(1 + 1 / len(errors))
    return ForecastError(float(errors.mean()), float(max(sd, MIN_SD)), len(errors))


def daily_extremes(times: Sequence[datetime], values: Sequence[float | None]) -> dict[date, tuple[float, float]]:
    """Return the lowest and the highest value of each day that has all of its 24 hours."""
    by_day: dict[date, list[float]] = {}
    for time, value in zip(times, values, strict=True):
        if value is not None:
            by_day.setdefault(time.date(), []).append(value)
    return {day: (min(hours), max(hours)) for day, hours in by_day.items() if len(hours) == HOURS_PER_DAY}


Limits = tuple[Floats, Bools, Floats, Bools]
"""Lower limit, whether it is itself excluded, upper limit, whether it is itself excluded; NaN is no limit."""


def reading_probability(limits: Limits, mean: Floats, sd: Floats) -> Floats:
    """Return the probability that a rounded value of Student's t lies within the limits.

    A reading of 67 is anything from 66.5 to 67.5: "66 to 67" begins at 65.5, "above 67" at 67.5, "below 62" ends at
    61.5.
    """
    low, low_open, high, high_open = limits
    scale = sd * np.sqrt((DEGREES_OF_FREEDOM - 2) / DEGREES_OF_FREEDOM)
    first = np.where(low_open, np.floor(low) + 1, np.ceil(low))
    last = np.where(high_open, np.ceil(high) - 1, np.floor(high))
    below_first = np.where(np.isnan(low), 0.0, stdtr(DEGREES_OF_FREEDOM, (first - 0.5 - mean) / scale))
    up_to_last = np.where(np.isnan(high), 1.0, stdtr(DEGREES_OF_FREEDOM, (last + 0.5 - mean) / scale))
    probability: Floats = np.maximum(up_to_last - below_first, 0.0)
    return probability

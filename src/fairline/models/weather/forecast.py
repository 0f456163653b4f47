"""From a forecast, and how far such forecasts were off of late, to the chance of a whole-degree reading."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

DAYS = 45
"""The latest days whose errors count. Of 45, 60 and 92 it gave the best log score on the forecasts of five cities, and
Student's t of six degrees a better one than the normal distribution (`tests/contract/test_weather.py`).
"""
FEWEST = 30
_LEAST, _MOST = 0.5, 25.0
"""Degrees: rounding alone makes errors of the former; what is off by more than the latter is no forecast error."""
DEGREES = 6.0
_HOURS = 24


@dataclass(frozen=True, slots=True)
class Errors:
    """Of forecasts, official reading less forecast, in degrees: mean and standard deviation over so many days."""

    bias: float
    sd: float
    days: int

    def between(self, other: "Errors", share: float) -> "Errors":
        """The errors part of the way to another's."""
        kept = 1 - share
        sd = kept * self.sd + share * other.sd
        return Errors(kept * self.bias + share * other.bias, sd, min(self.days, other.days))


def errors(forecast: Sequence[float], official: Sequence[float]) -> Errors | None:
    """From forecasts and readings of the same days, the latest last. None for fewer than 30 days."""
    off = np.asarray(official, dtype=float)[-DAYS:] - np.asarray(forecast, dtype=float)[-DAYS:]
    off = off[np.abs(off) <= _MOST]
    if len(off) < FEWEST:
        return None
    # A mean of so many is itself off by sd/√n.
    return Errors(float(off.mean()), float(max(off.std(ddof=1) * np.sqrt(1 + 1 / len(off)), _LEAST)), len(off))


def extremes(times: Sequence[datetime], values: Sequence[float | None]) -> dict[date, tuple[float, float]]:
    """The lowest and the highest of each day that has all of its 24 hours."""
    by_day: dict[date, list[float]] = {}
    for time, value in zip(times, values, strict=True):
        if value is not None:
            by_day.setdefault(time.date(), []).append(value)
    return {day: (min(hours), max(hours)) for day, hours in by_day.items() if len(hours) == _HOURS}


Limits = tuple[Floats, Bools, Floats, Bools]
"""Where YES begins to pay and whether that itself is left out, and where it ends; NaN is no limit."""


def reading_probability(limits: Limits, mean: Floats, sd: Floats) -> Floats:
    """That a reading in whole degrees lies between the limits, for a value of Student's t that is rounded.

    A reading of 67 is anything from 66.5 to 67.5: "66 to 67" begins at 65.5, "above 67" at 67.5, "below 62" ends at
    61.5.
    """
    low, low_open, high, high_open = limits
    scale = sd * np.sqrt((DEGREES - 2) / DEGREES)
    least = np.where(low_open, np.floor(low) + 1, np.ceil(low))
    most = np.where(high_open, np.ceil(high) - 1, np.floor(high))
    under = np.where(np.isnan(low), 0.0, stdtr(DEGREES, (least - 0.5 - mean) / scale))
    below = np.where(np.isnan(high), 1.0, stdtr(DEGREES, (most + 0.5 - mean) / scale))
    made: Floats = np.maximum(below - under, 0.0)
    return made

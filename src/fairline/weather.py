"""From a forecast and how far such forecasts have been off to the chance of a whole-degree reading."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Station:
    """Where a station stands, its local standard time, and the errors of forecasts for it, in degrees Fahrenheit."""

    name: str
    latitude: float
    longitude: float
    utc_offset: int
    high_bias: float
    high_sd: float
    widened: float


def stations() -> dict[str, Station]:
    content = tomllib.loads(files("fairline").joinpath("stations.toml").read_text())
    return {name: Station(name, **table) for name, table in content.items()}


Limits = tuple[Floats, Bools, Floats, Bools]
"""Where YES begins to pay and whether that itself is left out, and where it ends; NaN is no limit."""


def reading_probability(limits: Limits, mean: Floats, sd: Floats) -> Floats:
    """That a reading in whole degrees lies between the limits, for a normal value that is rounded.

    A reading of 67 is anything from 66.5 to 67.5: "66 to 67" begins at 65.5, "above 67" at 67.5, "below 62" ends at
    61.5.
    """
    low, low_open, high, high_open = limits
    least = np.where(low_open, np.floor(low) + 1, np.ceil(low))
    most = np.where(high_open, np.ceil(high) - 1, np.floor(high))
    under = np.where(np.isnan(low), 0.0, ndtr((least - 0.5 - mean) / sd))
    below = np.where(np.isnan(high), 1.0, ndtr((most + 0.5 - mean) / sd))
    made: Floats = np.maximum(below - under, 0.0)
    return made

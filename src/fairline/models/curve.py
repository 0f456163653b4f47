"""What prices have meant: from price to frequency, by kind of market and time to its close, with standard errors."""

from datetime import datetime
from itertools import pairwise

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from fairline.errors import InputError

Floats = NDArray[np.float64]

HOURS_BEFORE_CLOSE = (1.0, 24.0, 168.0)
"""Hours before the close at which prices are sampled; a market uses the nearest of them, as a ratio."""
ALL_CATEGORIES = "any"


class Curve(msgspec.Struct, frozen=True):
    """Frequencies at prices, interpolated linearly, from `n` prices of `events` events.

    `gain` is the log loss saved per market against the price itself on events left out of the fit; `low` and `high` are
    its 95 % interval.
    """

    prices: list[float]
    frequencies: list[float]
    errors: list[float]
    n: int
    events: int
    gain: float
    low: float
    high: float

    @property
    def beats_price(self) -> bool:
        """Whether the gain on events left out of the fit is significantly above zero."""
        return self.low > 0

    def at(self, price: Floats) -> tuple[Floats, Floats]:
        """Return frequencies and their standard errors at these prices."""
        return np.interp(price, self.prices, self.frequencies), np.interp(price, self.prices, self.errors)


class Curves(msgspec.Struct, frozen=True):
    """Curves by `category, hours`, such as `Sports, 24`; the category `any` covers all. `exchange`: whose markets."""

    fitted_ts: datetime
    curves: dict[str, Curve]
    exchange: str = ""

    def find(self, category: str | None, hours: float) -> Curve | None:
        """Return the curve of a category, else the one of all categories, at that time; None if there is neither."""
        own = self.curves.get(curve_name(category or ALL_CATEGORIES, hours))
        return own or self.curves.get(curve_name(ALL_CATEGORIES, hours))


def curve_name(category: str, hours: float) -> str:
    """Return the name of a curve in `Curves.curves`."""
    return f"{category}, {hours:g}"


def nearest_hours(hours: pl.Expr) -> pl.Expr:
    """Return which of `HOURS_BEFORE_CLOSE` is nearest, as a ratio."""
    nearest = pl.lit(HOURS_BEFORE_CLOSE[-1])
    for earlier, later in reversed(list(pairwise(HOURS_BEFORE_CLOSE))):
        nearest = pl.when(hours < float(np.sqrt(earlier * later))).then(pl.lit(earlier)).otherwise(nearest)
    return nearest


def read_curves(body: bytes, name: str) -> Curves:
    """Return the curves in a calibration file. Raises `InputError`."""
    try:
        return msgspec.json.decode(body, type=Curves)
    except msgspec.MsgspecError as error:
        message = f"{name} is not a calibration file ({error})"
        raise InputError(message, remedy="Create it with: fairline calibrate") from error

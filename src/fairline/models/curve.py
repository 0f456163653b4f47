"""What prices have meant: from a price to a frequency, by kind of market and time to its close, with its error."""

from datetime import datetime
from itertools import pairwise

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from fairline.errors import InputError

Floats = NDArray[np.float64]

AHEAD_H = (1.0, 24.0, 168.0)
"""Times before the close, in hours, at which prices are looked at; a market belongs to the nearest in proportion."""
ANY = "any"


class Curve(msgspec.Struct, frozen=True):
    """Frequencies at prices, to be read between them in straight lines. `n` prices of `events` events made it.

    `gain` is by how much its log loss was better than the price's own on events that it had not seen, `low` and `high`
    its 95 % interval: only one whose `low` is above zero is worth more than the price.
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
    def better(self) -> bool:
        """Whether it was better than the price itself where it had to prove it."""
        return self.low > 0

    def at(self, price: Floats) -> tuple[Floats, Floats]:
        """Frequency and its standard error at these prices."""
        return np.interp(price, self.prices, self.frequencies), np.interp(price, self.prices, self.errors)


class Curves(msgspec.Struct, frozen=True):
    """Curves by `category, hours`, such as `Sports, 24`; `any` stands for all categories."""

    fitted_ts: datetime
    curves: dict[str, Curve]

    def of(self, category: str | None, hours: float) -> tuple[str, Curve] | None:
        """The curve of a kind of market, else that of all kinds at that time; None if there is neither."""
        for name in (name_of(category or ANY, hours), name_of(ANY, hours)):
            if name in self.curves:
                return name, self.curves[name]
        return None


def name_of(category: str, hours: float) -> str:
    return f"{category}, {hours:g}"


def nearest(hours: pl.Expr) -> pl.Expr:
    """Which of the times before the close is the nearest, in proportion."""
    chosen = pl.lit(AHEAD_H[-1])
    for at, later in reversed(list(pairwise(AHEAD_H))):
        chosen = pl.when(hours < float(np.sqrt(at * later))).then(pl.lit(at)).otherwise(chosen)
    return chosen


def read_curves(body: bytes, where: str) -> Curves:
    """Raises `InputError` for what is no file of curves."""
    try:
        return msgspec.json.decode(body, type=Curves)
    except msgspec.MsgspecError as error:
        raise InputError(f"{where} is no file of curves ({error})", remedy="Make it with: fairline calibrate") from None

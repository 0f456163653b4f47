"""How a price wanders until it settles a market: volatility from past prices, fat tails, a mean over the last minute.

Log returns are taken as independent, with a standard deviation that grows with the root of time, and as Student's t of
four degrees of freedom: returns of crypto and indices have such tails (Cont, Quantitative Finance 2001, puts their tail
index between three and five). There is no drift: over hours it is nothing beside the noise.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr

DEGREES = 4.0
HALF_LIFE_S = 86_400.0
_LONGEST_GAP_S = 7_200.0
"""A return over a longer gap says little of how prices move while they are watched."""
_FEWEST = 5
_FAT = 5.0
"""Returns with tails like these say as much about their variance as a fifth as many normal ones."""
_DAYS_FOR_SHAPE = 7.0

Floats = NDArray[np.float64]

_FEW, _MANY = 5, 41
"""Places at which it is asked where a price may be by now: many where what is unseen may be most of what is to come."""
_LEAST = 1e-6
"""Of what lies ahead, so that a probability can be had of it."""


@dataclass(frozen=True, slots=True)
class Volatility:
    """Of log returns, per square root of a second: by hour of the day (UTC), and its relative standard error."""

    by_hour: tuple[float, ...]
    error: float


def volatility(prices: pl.DataFrame, asof_s: float, half_life_s: float = HALF_LIFE_S) -> Volatility | None:
    """From `{ts, price}` (Unix seconds, in any rhythm) up to an instant, recent returns counting more; an infinite
    half-life counts all alike, which is the realised volatility. None for too few prices.

    With a week of them or more each hour of the day has its own, drawn towards the whole by how few returns it has.
    """
    known = prices.filter((pl.col("ts") <= asof_s) & (pl.col("price") > 0)).unique("ts").sort("ts")
    ts, log = known["ts"].to_numpy().astype(np.float64), np.log(known["price"].to_numpy().astype(np.float64))
    gap, moved = np.diff(ts), np.diff(log)
    near = gap <= _LONGEST_GAP_S
    gap, moved, at = gap[near], moved[near], ts[1:][near]
    if len(gap) < _FEWEST:
        return None
    weight = 0.5 ** ((at[-1] - at) / half_life_s)
    if not (weight * moved**2).sum() > 0:
        return None
    # Relative standard error of a root mean square of normal values: 1/√(2n), n by how much each return counts; with
    # tails as fat as these squares scatter like a fifth as many.
    counted = weight * gap
    error = float(np.sqrt(_FAT * (counted**2).sum() / 2) / counted.sum())
    factors = _shape(at, gap, moved) if ts[-1] - ts[0] >= _DAYS_FOR_SHAPE * 86_400 else np.ones(24)
    hours = _hour(at, gap)
    level = float((weight * moved**2).sum() / (weight * gap * factors[hours]).sum())
    return Volatility(tuple(np.sqrt(level * factors).tolist()), error)


def settling_sd(vol: Volatility, now_s: float, close_s: float, window_s: float) -> float:
    """Standard deviation of the log of what settles: the price's mean over the last `window_s` before the close.

    A random walk's mean over a window varies as its end would a third of the window after its beginning: σ²·(τ − w +
    w/3). Only for who stands before the window: within it a part of the mean is known.
    """
    begin = close_s - window_s
    if now_s > begin:
        return float("nan")
    full = np.arange(now_s // 3_600 + 1, begin // 3_600 + 1) * 3_600
    edges = np.unique(np.clip(np.append(full, (now_s, begin)), now_s, begin))
    hours = (edges[:-1] // 3_600 % 24).astype(int)
    rates = np.asarray(vol.by_hour) ** 2
    walked = float((np.diff(edges) * rates[hours]).sum())
    return float(np.sqrt(walked + rates[int(begin // 3_600 % 24)] * window_s / 3))


def probability(low: Floats, high: Floats, spot: Floats, sd: Floats, degrees: float = DEGREES) -> Floats:
    """That what settles lies between `low` and `high` (NaN is no limit), for log returns of standard deviation `sd`."""
    scale = sd * np.sqrt((degrees - 2) / degrees)
    with np.errstate(divide="ignore"):
        under = np.where(np.isnan(low), 0.0, stdtr(degrees, np.log(np.maximum(low, 0) / spot) / scale))
        below = np.where(np.isnan(high), 1.0, stdtr(degrees, np.log(np.maximum(high, 0) / spot) / scale))
    made: Floats = np.maximum(below - under, 0.0)
    return made


def doubt(
    low: Floats, high: Floats, spot: Floats, sd: Floats, *, error: float, basis: float = 0.0, late: float = 0.0
) -> Floats:
    """Standard deviation of that probability for a volatility known to a relative `error`, and a price that is known
    but for a relative `basis`, since what settles is not quite what is read, and for what it did `late`, since it was
    read. That is a part of `sd`: from where the price is now, only the rest of it lies ahead.
    """
    wide, narrow = (probability(low, high, spot, sd * factor) for factor in (1 + error, max(1 - error, 0.1)))
    ahead = np.sqrt(np.maximum(sd**2 - late**2, _LEAST**2))
    places = _MANY if late > 0 else _FEW
    shifts = ndtri((np.arange(places) + 0.5) / places)
    shifts *= np.hypot(basis, late) / shifts.std()
    near = np.array([probability(low, high, spot * np.exp(shift), ahead) for shift in shifts])
    made: Floats = np.hypot((wide - narrow) / 2, near.std(axis=0))
    return made


def _hour(at: Floats, gap: Floats) -> NDArray[np.int64]:
    """The hour of the day in whose time a return came about, by the middle of it."""
    made: NDArray[np.int64] = ((at - gap / 2) // 3_600 % 24).astype(np.int64)
    return made


def _shape(at: Floats, gap: Floats, moved: Floats) -> Floats:
    """How much more variance an hour of the day has than the average one: mean 1, drawn to 1 where returns are few."""
    hours = _hour(at, gap)
    squares, seconds, count = (np.bincount(hours, weights=w, minlength=24) for w in (moved**2, gap, np.ones_like(gap)))
    overall = squares.sum() / seconds.sum()
    raw = np.divide(squares, seconds * overall, out=np.ones(24), where=seconds > 0)
    share = (count / _FAT) / (count / _FAT + 20)
    drawn = 1 + share * (raw - 1)
    made: Floats = drawn / drawn.mean()
    return made

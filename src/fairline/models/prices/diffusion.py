"""How a price moves until it settles a market: volatility from past prices, fat tails, an average over the last minute.

Log returns are independent, with a standard deviation that grows with the square root of time, and follow Student's t
with four degrees of freedom: returns of crypto and indices have such tails (Cont, Quantitative Finance 2001, finds tail
indices from three to five). There is no drift, because over hours it is negligible next to the noise.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr

Floats = NDArray[np.float64]

DEGREES_OF_FREEDOM = 4.0
HALF_LIFE_S = 86_400.0
MAX_GAP_S = 7_200.0
"""A return over a longer gap says little about how prices move while they are watched."""
MIN_RETURNS = 5
TAIL_FACTOR = 5.0
"""Returns with these tails say as much about their variance as a fifth as many normal ones."""
DAYS_FOR_HOURLY_SHAPE = 7.0
HOURLY_PRIOR = 20
"""Each hour's variance is shrunk towards the average as if by this many returns."""
FEW_SHIFTS, MANY_SHIFTS = 5, 41
"""Points at which a shifted price is evaluated; many if what is unseen may be most of what is to come."""
MIN_SD_AHEAD = 1e-6
"""Smallest standard deviation of what lies ahead, so that a probability is defined."""
MIN_SD_FACTOR = 0.1
HOUR_S = 3_600


@dataclass(frozen=True, slots=True)
class Volatility:
    """Volatility of log returns per √second, by hour of the day (UTC), and its relative standard error."""

    by_hour: tuple[float, ...]
    error: float


def volatility(prices: pl.DataFrame, asof_s: float, half_life_s: float = HALF_LIFE_S) -> Volatility | None:
    """Return the volatility of `{ts, price}` (Unix seconds, any spacing) up to an instant, None for too few prices.

    Recent returns count more; an infinite half-life weights all alike, which gives the realised volatility. From a week
    of prices on, each hour of the day has its own volatility, shrunk towards the average by how few returns it has.
    """
    known = prices.filter((pl.col("ts") <= asof_s) & (pl.col("price") > 0)).unique("ts").sort("ts")
    ts = known["ts"].to_numpy().astype(np.float64)
    log_price = np.log(known["price"].to_numpy().astype(np.float64))
    gaps, returns = np.diff(ts), np.diff(log_price)
    usable = gaps <= MAX_GAP_S
    gaps, returns, times = gaps[usable], returns[usable], ts[1:][usable]
    if len(gaps) < MIN_RETURNS:
        return None
    weights = 0.5 ** ((times[-1] - times) / half_life_s)
    variance = (weights * returns**2).sum()
    if not variance > 0:
        return None
    long_enough = ts[-1] - ts[0] >= DAYS_FOR_HOURLY_SHAPE * 86_400
    factors = _hourly_factors(times, gaps, returns) if long_enough else np.ones(24)
    level = float(variance / (weights * gaps * factors[_hour_of(times, gaps)]).sum())
    return Volatility(tuple(np.sqrt(level * factors).tolist()), _relative_error(weights * gaps))


def _relative_error(weights: Floats) -> float:
    """Relative standard error of a volatility: 1/√(2n) for n normal returns, fewer effective ones for fat tails."""
    return float(np.sqrt(TAIL_FACTOR * (weights**2).sum() / 2) / weights.sum())


def settling_sd(vol: Volatility, now_s: float, close_s: float, window_s: float) -> float:
    """Return the standard deviation of the log of the price's average over the last `window_s` before the close.

    The average of a random walk over a window of length w, a time τ ahead, has variance σ²·(τ − w + w/3). NaN within
    the window, where a part of the average is already known.
    """
    begin = close_s - window_s
    if now_s > begin:
        return float("nan")
    full_hours = np.arange(now_s // HOUR_S + 1, begin // HOUR_S + 1) * HOUR_S
    edges = np.unique(np.clip(np.append(full_hours, (now_s, begin)), now_s, begin))
    hours = (edges[:-1] // HOUR_S % 24).astype(int)
    rates = np.asarray(vol.by_hour) ** 2
    before_window = float((np.diff(edges) * rates[hours]).sum())
    return float(np.sqrt(before_window + rates[int(begin // HOUR_S % 24)] * window_s / 3))


def probability(
    low: Floats, high: Floats, spot: Floats, sd: Floats, degrees_of_freedom: float = DEGREES_OF_FREEDOM
) -> Floats:
    """Return the probability of settling between `low` and `high` (NaN is no limit).

    `sd` is the standard deviation of log returns until then.
    """
    scale = sd * np.sqrt((degrees_of_freedom - 2) / degrees_of_freedom)
    with np.errstate(divide="ignore"):
        below_low = stdtr(degrees_of_freedom, np.log(np.maximum(low, 0) / spot) / scale)
        below_high = stdtr(degrees_of_freedom, np.log(np.maximum(high, 0) / spot) / scale)
    p: Floats = np.where(np.isnan(high), 1.0, below_high) - np.where(np.isnan(low), 0.0, below_low)
    return np.maximum(p, 0.0)


def probability_sd(
    low: Floats, high: Floats, spot: Floats, sd: Floats, *, error: float, basis: float = 0.0, unseen: float = 0.0
) -> Floats:
    """Return the standard deviation of `probability`.

    It combines a volatility known to a relative `error`, a relative `basis` between the price that is read and the
    index that settles, and the part of `sd` that is `unseen`: what the price did since it was read.
    """
    wide = probability(low, high, spot, sd * (1 + error))
    narrow = probability(low, high, spot, sd * max(1 - error, MIN_SD_FACTOR))
    ahead = np.sqrt(np.maximum(sd**2 - unseen**2, MIN_SD_AHEAD**2))
    count = MANY_SHIFTS if unseen > 0 else FEW_SHIFTS
    shifts = ndtri((np.arange(count) + 0.5) / count)
    shifts *= np.hypot(basis, unseen) / shifts.std()
    shifted = np.array([probability(low, high, spot * np.exp(shift), ahead) for shift in shifts])
    combined: Floats = np.hypot((wide - narrow) / 2, shifted.std(axis=0))
    return combined


def _hour_of(times: Floats, gaps: Floats) -> NDArray[np.int64]:
    """Return the hour of the day of each return, by the middle of its gap."""
    hours: NDArray[np.int64] = ((times - gaps / 2) // HOUR_S % 24).astype(np.int64)
    return hours


def _hourly_factors(times: Floats, gaps: Floats, returns: Floats) -> Floats:
    """Return each hour's variance relative to the average (mean 1), shrunk to 1 where returns are few."""
    hours = _hour_of(times, gaps)
    squares = np.bincount(hours, weights=returns**2, minlength=24)
    seconds = np.bincount(hours, weights=gaps, minlength=24)
    effective = np.bincount(hours, minlength=24) / TAIL_FACTOR
    average = squares.sum() / seconds.sum()
    raw = np.divide(squares, seconds * average, out=np.ones(24), where=seconds > 0)
    shrunk = 1 + effective / (effective + HOURLY_PRIOR) * (raw - 1)
    factors: Floats = shrunk / shrunk.mean()
    return factors

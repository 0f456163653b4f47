"""Remove the margin: turn prices of mutually exclusive outcomes into probabilities that add up to one.

All events are solved at once: prices are one array, `event` gives the event (0 … k−1) of each price, and each method is
a one-parameter family per event, solved by bisection over all events together.

| method | probability of a price π, with S the sum of its event's prices and n their number |
|---|---|
| multiplicative | π / S |
| additive | π − (S − 1) / n |
| power | π^k, k such that they add up to one |
| odds-ratio | π / (c + π − c·π), c such that they add up to one (Cheung, "Fixed-odds betting", 2015) |
| shin | (√(z² + 4(1 − z)π²/S) − z) / (2(1 − z)), z the share of insiders (Shin, Economic Journal 1992 and 1993) |
| worst | the least of all of these: the most cautious for a buyer |

If a method has no solution for an event (additive below zero, Shin below a sum of one, a price that is not between 0
and 1), all outcomes of that event are NaN, never a clipped number.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indexes = NDArray[np.int64]
_MAX_BISECTIONS = 200


def devig(prices: Floats, event: Indexes, method: str = "power") -> Floats:
    """Return probabilities of `prices`, event by event. Raises `KeyError` for a method that is not in `METHODS`."""
    chosen = METHODS[method]
    if not len(prices):
        return prices.astype(np.float64)
    count = int(event.max()) + 1
    broken = np.zeros(count, dtype=np.bool_)
    np.logical_or.at(broken, event, ~((prices > 0) & (prices < 1)))
    safe = np.where(broken[event], 0.5, prices)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        p = chosen(safe, event, count)
    np.logical_or.at(broken, event, ~(np.isfinite(p) & (p >= 0) & (p <= 1)))
    return np.where(broken[event], np.nan, p)


def _sums(values: Floats, event: Indexes, count: int) -> Floats:
    totals: Floats = np.asarray(np.bincount(event, weights=values, minlength=count), dtype=np.float64)
    return totals


def _multiplicative(prices: Floats, event: Indexes, count: int) -> Floats:
    p: Floats = prices / _sums(prices, event, count)[event]
    return p


def _additive(prices: Floats, event: Indexes, count: int) -> Floats:
    excess = (_sums(prices, event, count) - 1) / _sums(np.ones_like(prices), event, count)
    p: Floats = prices - excess[event]
    return p


def _power(prices: Floats, event: Indexes, count: int) -> Floats:
    logs = np.log(prices)

    def at(log_k: Floats) -> Floats:
        p: Floats = np.exp(np.exp(log_k)[event] * logs)
        return p

    return at(_bisect(at, event, count, low=-12.0, high=12.0))


def _odds_ratio(prices: Floats, event: Indexes, count: int) -> Floats:
    def at(log_c: Floats) -> Floats:
        c = np.exp(log_c)[event]
        return prices / (c + prices - c * prices)

    return at(_bisect(at, event, count, low=-30.0, high=30.0))


def _shin(prices: Floats, event: Indexes, count: int) -> Floats:
    total = _sums(prices, event, count)

    def at(z: Floats) -> Floats:
        share = z[event]
        return (np.sqrt(share**2 + 4 * (1 - share) * prices**2 / total[event]) - share) / (2 * (1 - share))

    p = at(_bisect(at, event, count, low=0.0, high=1.0 - 1e-12))
    return np.where((total < 1 - 1e-12)[event], np.nan, p)


def _worst(prices: Floats, event: Indexes, count: int) -> Floats:
    # A method without a solution for an event does not count there.
    answers = [METHODS[name](prices, event, count) for name in METHODS if name != "worst"]
    usable = [np.where(_has_solution(p, event, count)[event], p, np.inf) for p in answers]
    least: Floats = np.min(usable, axis=0)
    return least


def _has_solution(p: Floats, event: Indexes, count: int) -> NDArray[np.bool_]:
    fine = np.ones(count, dtype=np.bool_)
    np.logical_and.at(fine, event, np.isfinite(p) & (p >= 0) & (p <= 1))
    return fine


def _bisect(at: Callable[[Floats], Floats], event: Indexes, count: int, *, low: float, high: float) -> Floats:
    """Return, per event, the parameter at which the probabilities add up to one; their sum falls as it grows."""
    below = np.full(count, low)
    above = np.full(count, high)
    for _ in range(_MAX_BISECTIONS):
        middle = (below + above) / 2
        too_much = _sums(at(middle), event, count) > 1
        below, above = np.where(too_much, middle, below), np.where(too_much, above, middle)
        if float(np.max(above - below)) < 1e-15 * max(1.0, abs(high)):
            break
    solution: Floats = (below + above) / 2
    return solution


METHODS: dict[str, Callable[[Floats, Indexes, int], Floats]] = {
    "multiplicative": _multiplicative,
    "additive": _additive,
    "power": _power,
    "odds-ratio": _odds_ratio,
    "shin": _shin,
    "worst": _worst,
}

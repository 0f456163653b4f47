"""From polls to an average by place, and from that to who wins: house effects, trend, drift, correlated errors.

A poll's share is taken as place + trend + house effect + noise. Weights: half as much for each `half_life_days` of age,
the root of the sample, the pollster's grade, and less for partisan polls and for a pollster's many polls of one place.
House effects and averages are found in turn; where polls are few a place is drawn towards what its past results say.

| what | number | source |
|---|---|---|
| the averages' constants | `Averaging` | chosen to meet FiveThirtyEight's published averages of four days in 2020 |
| drift | 0.28 points of margin a √day for all, 0.41 for a place by itself | those averages, over 7 to 56 days |
| error on the day | 4 points for all, 3.5 for a place by itself | judgement; cf. Shirani-Mehr et al., JASA 2018 |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import norm

from fairline.models.politics.states import NATION

Floats = NDArray[np.float64]

_GRADES = {"A+": 1.4, "A": 1.3, "A-": 1.2, "A/B": 1.15, "B+": 1.1, "B": 1.0, "B-": 0.9, "B/C": 0.8, "C+": 0.75,
           "C": 0.7, "C-": 0.6, "C/D": 0.5, "D-": 0.2}  # fmt: skip
_UNGRADED = 0.6
DRIFT_ALL, DRIFT_PLACE = 0.28, 0.41
ERROR_ALL, ERROR_PLACE = 4.0, 3.5


@dataclass(frozen=True, slots=True)
class Averaging:
    """`national_days` and `half_life_days` halve a poll's weight; `follow` is the share of the national trend that a
    place follows; `house` the share of a house effect that is taken off, itself drawn to 0 as by `house_prior` polls of
    usual weight; `prior` the weight of past results, in polls; `repeat` 0 counts all of a pollster's polls, 1 one.
    """

    national_days: float = 18.0
    half_life_days: float = 100.0
    follow: float = 0.25
    house: float = 0.3
    house_prior: float = 45.0
    prior: float = 0.05
    repeat: float = 0.15


def average(
    polls: pl.DataFrame, asof: date, past: Mapping[str, tuple[float, float]], how: Averaging | None = None
) -> pl.DataFrame:
    """`{place, dem, rep, polls, weight}` of one race's polls (POLLS of one office and year) that had ended by `asof`.

    `past` are the shares (in percent) of an earlier election by place; without that of a place, or without any polls of
    the nation, its polls stand alone. `weight` is what its polls weigh, in polls of usual size and grade of that day.
    """
    how = how or Averaging()
    rows = polls.filter(pl.col("end") <= asof)
    if rows.is_empty():
        schema = {"place": pl.String, "dem": pl.Float64, "rep": pl.Float64, "polls": pl.UInt32, "weight": pl.Float64}
        return pl.DataFrame(schema=schema)
    places, place = np.unique(rows["place"].to_numpy(), return_inverse=True)
    _, house = np.unique(rows["pollster"].to_numpy(), return_inverse=True)
    age = (pl.lit(asof) - pl.col("end")).dt.total_days()
    days: Floats = rows.select(age).to_series().to_numpy().astype(np.float64)
    size = rows["sample"].fill_null(600.0).clip(100.0, 5000.0).to_numpy() / 600.0
    grade = rows["grade"].replace_strict(_GRADES, default=_UNGRADED, return_dtype=pl.Float64).to_numpy()
    worth: Floats = np.sqrt(size) * grade * np.where(rows["partisan"].to_numpy(), 0.5, 1.0)
    shares: Floats = rows.select("dem", "rep").to_numpy()
    national = places[place] == NATION
    weight = worth * 0.5 ** (days / np.where(national, how.national_days, how.half_life_days))
    # A pollster's polls of one place hang together: the more there are, the less each counts.
    pair = place * (house.max() + 1) + house
    weight /= np.maximum(np.bincount(pair, weight)[pair], 1e-12) ** how.repeat
    effects = np.zeros((house.max() + 1, 2))
    leans = np.array([past.get(str(name), (np.nan, np.nan)) for name in places])
    for _ in range(3):
        trended = shares - how.house * effects[house]
        shift = back = np.zeros_like(shares)
        if national.any():
            at = np.append(days, 0.0)
            near = worth[national] * 0.5 ** (np.abs(at[:, None] - days[national]) / how.national_days)
            course = near @ trended[national] / near.sum(axis=1, keepdims=True)
            now, then = course[-1], course[:-1]
            shift = np.where(national[:, None], 0.0, how.follow * (now - then))
            # A national poll leans by how far it lay from the average of its own day.
            back = np.where(national[:, None], now - then, 0.0)
        means, total = _means(place, weight, trended + shift, len(places))
        if national.any():
            means[places == NATION] = now
        drawn = _drawn(means, total, leans, how.prior, places == NATION)
        residual = shares + shift + back - drawn[place]
        lasting = worth * 0.5 ** (days / 120.0)
        heard = np.bincount(house, lasting)
        effects = np.stack([np.bincount(house, lasting * part) for part in residual.T], axis=1)
        effects /= (heard + how.house_prior)[:, None]
    counts = np.bincount(place, minlength=len(places))
    return pl.DataFrame({"place": places.astype(str), "dem": drawn[:, 0], "rep": drawn[:, 1], "polls": counts,
                         "weight": total}, schema_overrides={"polls": pl.UInt32})  # fmt: skip


def win_probability(margin: Floats, days: float, weight: Floats) -> tuple[Floats, Floats]:
    """The probability that a margin (in points) so many days before an election is above 0 on its day, and the standard
    deviation of the margin: drift, the error of polls on the day, and that of few polls.
    """
    sd = np.sqrt(ERROR_ALL**2 + ERROR_PLACE**2 + (DRIFT_ALL**2 + DRIFT_PLACE**2) * max(days, 0.0) + _few(weight) ** 2)
    return norm.cdf(margin / sd), sd


def simulate(
    margin: Floats, weight: Floats, votes: NDArray[np.int64], days: float, *, runs: int = 20_000, seed: int = 0
) -> NDArray[np.int64]:
    """What the first party wins in each run: the sum of `votes` (electors, or 1 for a seat) of the places in which its
    margin is above 0. Errors common to all places are drawn once a run, those of a place for each.
    """
    rng = np.random.default_rng(seed)
    common = rng.normal(scale=np.sqrt(ERROR_ALL**2 + DRIFT_ALL**2 * max(days, 0.0)), size=(runs, 1))
    own = np.sqrt(ERROR_PLACE**2 + DRIFT_PLACE**2 * max(days, 0.0) + _few(weight) ** 2)
    won: NDArray[np.int64] = (margin + common + rng.normal(size=(runs, len(margin))) * own > 0) @ votes
    return won


def _few(weight: Floats) -> Floats:
    """Points of margin by which an average of so few polls is off: four for one, two for four, ten for none."""
    sd: Floats = np.minimum(4.0 / np.sqrt(np.maximum(weight, 1e-6)), 10.0)
    return sd


def _means(group: NDArray[np.int64], weight: Floats, shares: Floats, groups: int) -> tuple[Floats, Floats]:
    total: Floats = np.bincount(group, weight, minlength=groups).astype(np.float64)
    sums = np.stack([np.bincount(group, weight * part, minlength=groups) for part in shares.T], axis=1)
    return sums / total[:, None], total


def _drawn(means: Floats, total: Floats, leans: Floats, prior: float, nation: NDArray[np.bool_]) -> Floats:
    """Each place's mean drawn towards what the past results of all places say of it, by a weighted regression."""
    known = ~np.isnan(leans).any(axis=1) & ~nation
    if known.sum() < 8:
        return means
    design = np.column_stack([np.ones(known.sum()), leans[known]])
    root = np.sqrt(total[known])[:, None]
    expected = design @ np.linalg.lstsq(design * root, means[known] * root, rcond=None)[0]
    made = means.copy()
    made[known] = (total[known, None] * means[known] + prior * expected) / (total[known, None] + prior)
    return made

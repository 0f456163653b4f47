"""From polls to an average per place, and from that to who wins: house effects, trend, drift, correlated errors.

A poll's share is modelled as place + trend + house effect + noise. A poll's weight halves with each `half_life_days` of
age and grows with the square root of its sample and with the pollster's grade; partisan polls and a pollster's many
polls of one place count less. House effects and averages are found by iteration; where polls are few a place is shrunk
towards what its past results imply.

| what | number | source |
|---|---|---|
| constants of the averages | `Averaging` | chosen to match FiveThirtyEight's published averages of four days in 2020 |
| drift | 0.28 points of margin per √day for all places, 0.41 for a place alone | those averages, over 7 to 56 days |
| error on the day | 3.9 points, of which 2.8 common to all places | polls of 1998 to 2022, `benchmarks.polls` |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from math import sqrt

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr

from fairline.models.politics.states import NATION

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

GRADE_WEIGHTS = {
    "A+": 1.4,
    "A": 1.3,
    "A-": 1.2,
    "A/B": 1.15,
    "B+": 1.1,
    "B": 1.0,
    "B-": 0.9,
    "B/C": 0.8,
    "C+": 0.75,
    "C": 0.7,
    "C-": 0.6,
    "C/D": 0.5,
    "D-": 0.2,
}
UNGRADED_WEIGHT = 0.6
MAX_STARS, STARS_BASE, STARS_SLOPE = 3.0, 0.3, 0.35
"""Weight of a pollster by stars (0.5 to 3.0): three stars weigh as much as an A, one and a half somewhat less than a B.
"""
DRIFT_ALL, DRIFT_PLACE = 0.28, 0.41
ERROR_ALL = 2.8
ERROR_PLACE = sqrt(3.9**2 - ERROR_ALL**2)
USUAL_SAMPLE, MIN_SAMPLE, MAX_SAMPLE = 600.0, 100.0, 5000.0
PARTISAN_WEIGHT = 0.5
HOUSE_MEMORY_DAYS = 120.0
ITERATIONS = 3
MIN_PLACES_FOR_PAST = 8
ONE_POLL_ERROR, NO_POLL_ERROR = 4.0, 10.0


@dataclass(frozen=True, slots=True)
class Averaging:
    """Constants of the averages.

    `national_days` and `half_life_days` halve a poll's weight; `follow` is the share of the national trend that a place
    follows; `house` the share of a house effect that is removed, itself shrunk to 0 as if by `house_prior` polls of
    usual weight; `prior` the weight of past results, in polls; `repeat` 0 counts all of a pollster's polls, 1 one.
    """

    national_days: float = 18.0
    half_life_days: float = 100.0
    follow: float = 0.25
    house: float = 0.3
    house_prior: float = 45.0
    prior: float = 0.05
    repeat: float = 0.15


@dataclass(frozen=True, slots=True)
class _Polls:
    """A race's polls as arrays: `place` and `house` index `places` and pollsters; shares are of both parties."""

    places: NDArray[np.str_]
    place: Integers
    house: Integers
    days: Floats
    quality: Floats
    weight: Floats
    shares: Floats

    @property
    def is_national(self) -> NDArray[np.bool_]:
        return np.asarray(self.places[self.place] == NATION)


def average(
    polls: pl.DataFrame, asof: date, past: Mapping[str, tuple[float, float]], how: Averaging | None = None
) -> pl.DataFrame:
    """Return `{place, dem, rep, polls, weight}` of one race's polls (POLLS of one office and year) that ended by
    `asof`.

    `past` holds the shares (in percent) of an earlier election by place; without a place's past, or without national
    polls, its polls stand alone. `weight` is that of its polls, in polls of usual size and grade of that day.
    """
    how = how or Averaging()
    rows = polls.filter(pl.col("end") <= asof)
    if rows.is_empty():
        return _averages_frame(np.array([], dtype=str), np.zeros((0, 2)), np.zeros(0, np.int64), np.zeros(0))
    data = _arrays(rows, asof, how)
    past_shares = np.array([past.get(str(name), (np.nan, np.nan)) for name in data.places])
    effects = np.zeros((data.house.max() + 1, 2))
    for _ in range(ITERATIONS):
        shares = data.shares - how.house * effects[data.house]
        trend = _national_trend(data, shares, how)
        means, total = _weighted_means(data.place, data.weight, shares + trend.to_now, len(data.places))
        if trend.now is not None:
            means[data.places == NATION] = trend.now
        means = _shrink_to_past(means, total, past_shares, how.prior, data.places == NATION)
        residual = data.shares + trend.to_now + trend.to_its_day - means[data.place]
        effects = _house_effects(data, residual, how)
    return _averages_frame(data.places, means, np.bincount(data.place, minlength=len(data.places)), total)


def win_probability(margin: Floats, days: float, weight: Floats) -> tuple[Floats, Floats]:
    """Return the probability that a margin (points, at that many days before the election) is above 0 on election day,
    and the standard deviation of the margin: drift, the polls' error on the day, and that of few polls.
    """
    drift = (DRIFT_ALL**2 + DRIFT_PLACE**2) * max(days, 0.0)
    sd = np.sqrt(ERROR_ALL**2 + ERROR_PLACE**2 + drift + _few_polls_error(weight) ** 2)
    return ndtr(margin / sd), sd


def simulate(
    margin: Floats, weight: Floats, votes: Integers, days: float, *, runs: int = 20_000, seed: int = 0
) -> Integers:
    """Return what the first party wins in each run: the sum of `votes` (electors, or 1 for a seat) of the places in
    which its margin is above 0. Errors common to all places are drawn once per run, those of a place separately.
    """
    rng = np.random.default_rng(seed)
    days = max(days, 0.0)
    common = rng.normal(scale=sqrt(ERROR_ALL**2 + DRIFT_ALL**2 * days), size=(runs, 1))
    place_sd = np.sqrt(ERROR_PLACE**2 + DRIFT_PLACE**2 * days + _few_polls_error(weight) ** 2)
    own = rng.normal(size=(runs, len(margin))) * place_sd
    won: Integers = (margin + common + own > 0) @ votes
    return won


def _averages_frame(places: NDArray[np.str_], means: Floats, polls: Integers, weight: Floats) -> pl.DataFrame:
    columns = {"place": places, "dem": means[:, 0], "rep": means[:, 1], "polls": polls, "weight": weight}
    schema = {"place": pl.String, "dem": pl.Float64, "rep": pl.Float64, "polls": pl.UInt32, "weight": pl.Float64}
    return pl.DataFrame(columns, schema_overrides=schema)


def _arrays(rows: pl.DataFrame, asof: date, how: Averaging) -> _Polls:
    places, place = np.unique(rows["place"].to_numpy().astype(str), return_inverse=True)
    _, house = np.unique(rows["pollster"].to_numpy().astype(str), return_inverse=True)
    days = rows.select((pl.lit(asof) - pl.col("end")).dt.total_days()).to_series().to_numpy().astype(np.float64)
    size = rows["sample"].fill_null(USUAL_SAMPLE).clip(MIN_SAMPLE, MAX_SAMPLE).to_numpy() / USUAL_SAMPLE
    partisan = np.where(rows["partisan"].to_numpy(), PARTISAN_WEIGHT, 1.0)
    quality = np.sqrt(size) * _grade_weights(rows["grade"]) * partisan
    half_life = np.where(places[place] == NATION, how.national_days, how.half_life_days)
    weight = quality * 0.5 ** (days / half_life)
    # A pollster's polls of one place are correlated: the more there are, the less each counts.
    pair = place * (house.max() + 1) + house
    weight /= np.maximum(np.bincount(pair, weight)[pair], 1e-12) ** how.repeat
    return _Polls(places, place, house, days, quality, weight, rows.select("dem", "rep").to_numpy())


def _grade_weights(grades: pl.Series) -> Floats:
    """Weights of letter grades and of stars."""
    letters = grades.replace_strict(GRADE_WEIGHTS, default=None, return_dtype=pl.Float64)
    stars = grades.cast(pl.Float64, strict=False).clip(0.0, MAX_STARS)
    by_stars = STARS_BASE + STARS_SLOPE * stars
    weights: Floats = letters.fill_null(by_stars).fill_null(UNGRADED_WEIGHT).to_numpy()
    return weights


@dataclass(frozen=True, slots=True)
class _Trend:
    """`now`: the national shares today, None without national polls. `to_now` moves a place's poll to today,
    `to_its_day` compares a national poll with the average of its own day.
    """

    now: Floats | None
    to_now: Floats
    to_its_day: Floats


def _national_trend(data: _Polls, shares: Floats, how: Averaging) -> _Trend:
    national = data.is_national
    if not national.any():
        return _Trend(None, np.zeros_like(shares), np.zeros_like(shares))
    instants = np.append(data.days, 0.0)
    distance = np.abs(instants[:, None] - data.days[national])
    near = data.quality[national] * 0.5 ** (distance / how.national_days)
    course = near @ shares[national] / near.sum(axis=1, keepdims=True)
    now, then = course[-1], course[:-1]
    to_now = np.where(national[:, None], 0.0, how.follow * (now - then))
    to_its_day = np.where(national[:, None], now - then, 0.0)
    return _Trend(now, to_now, to_its_day)


def _house_effects(data: _Polls, residual: Floats, how: Averaging) -> Floats:
    """Return how far each pollster's polls lie from the averages, shrunk to 0."""
    recent = data.quality * 0.5 ** (data.days / HOUSE_MEMORY_DAYS)
    sums = np.stack([np.bincount(data.house, recent * part) for part in residual.T], axis=1)
    effects: Floats = sums / (np.bincount(data.house, recent) + how.house_prior)[:, None]
    return effects


def _few_polls_error(weight: Floats) -> Floats:
    """Points of margin by which an average of few polls is off: four for one poll, two for four, ten for none."""
    sd: Floats = np.minimum(ONE_POLL_ERROR / np.sqrt(np.maximum(weight, 1e-6)), NO_POLL_ERROR)
    return sd


def _weighted_means(group: Integers, weight: Floats, shares: Floats, groups: int) -> tuple[Floats, Floats]:
    total: Floats = np.bincount(group, weight, minlength=groups).astype(np.float64)
    sums = np.stack([np.bincount(group, weight * part, minlength=groups) for part in shares.T], axis=1)
    return sums / total[:, None], total


def _shrink_to_past(means: Floats, total: Floats, past: Floats, prior: float, is_nation: NDArray[np.bool_]) -> Floats:
    """Return each place's mean shrunk towards what the past results of all places imply, by a weighted regression."""
    known = ~np.isnan(past).any(axis=1) & ~is_nation
    if known.sum() < MIN_PLACES_FOR_PAST:
        return means
    design = np.column_stack([np.ones(known.sum()), past[known]])
    root = np.sqrt(total[known])[:, None]
    expected = design @ np.linalg.lstsq(design * root, means[known] * root, rcond=None)[0]
    shrunk = means.copy()
    shrunk[known] = (total[known, None] * means[known] + prior * expected) / (total[known, None] + prior)
    return shrunk

"""Fit how much of a model's disagreement with the price came true.

With d the model's probability minus the midpoint and y the outcome (1 or 0) minus the midpoint, the share that came
true is the slope of y on x = sign(d)·min(|d|, t) through the origin, with a standard error clustered by event.
Without a breakpoint, t is the largest |d| seen. From 300 events on, t is the quantile of |d| with the smallest squared
error, provided that it improves on no breakpoint by more than two residual variances (Akaike's criterion); the cap is
then k·t. Below 300 events the cap is the 75th percentile of |d|.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fairline.pricing.belief import ANY_CATEGORY, Belief, Record, Source, believed_share
from fairline.store.store import Store

Floats = NDArray[np.float64]

CAP_EVENTS = 300
"""Events from which the cap is fitted."""
MAX_SPREAD_PERCENT = 5.0
"""Predictions at wider quotes are left out: their midpoint is not a price."""
_BREAKPOINTS = np.linspace(0.30, 0.95, 14)
"""Quantiles of |d| that are tried as a breakpoint."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The slope of y on the disagreement cut off at `breakpoint`, with its clustered standard error."""

    slope: float
    standard_error: float
    breakpoint: float
    squared_error: float
    events: int


def fit_belief(
    disagreement: Floats, outcome_minus_mid: Floats, event: Sequence[object] | pl.Series, *, source: Source = "store"
) -> Belief:
    """Return the belief that these settled predictions support; k is 0 below 30 events.

    All arrays have one entry per market: p − mid, outcome − mid, and the event.
    """
    record = fit_record("", ANY_CATEGORY, disagreement, outcome_minus_mid, event, source=source)
    return record.belief()


def fit_record(
    model: str,
    category: str,
    disagreement: Floats,
    outcome_minus_mid: Floats,
    event: Sequence[object] | pl.Series,
    *,
    source: Source = "store",
) -> Record:
    """Return the record of a model in a category; see `fit_belief`."""
    fit = _fit(disagreement, outcome_minus_mid, event)
    k = believed_share(fit.slope, fit.standard_error, fit.events)
    cap = _cap(disagreement, fit, k)
    return Record(model, category, k, cap, fit.slope, fit.standard_error, fit.events, source)


def read_records(store: Store, known_at: datetime | None = None) -> tuple[Record, ...]:
    """Fit the records of everything in a store, or of what was in it at an instant. Raises `StoreError`.

    Every prediction of a market that settled YES or NO counts, flagged or not: the first of each model and market at
    quotes with a spread below 5 %.
    """
    settled = store.read("settlements", until=known_at).unique("ticker", keep="last", maintain_order=True)
    settled = settled.filter(pl.col("result").is_in(["yes", "no"]))
    if settled.is_empty():
        return ()
    tickers = pl.col("ticker").is_in(settled["ticker"].to_list())
    return fit_records(settled_opinions(store.read("predictions", until=known_at, where=tickers), settled))


def settled_opinions(predictions: pl.DataFrame, settlements: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of `fit_records`: the first usable prediction of each model on each settled market."""
    p_mid = (pl.col("p_bid") + pl.col("p_ask")) / 2
    spread_percent = 100 * (pl.col("p_ask") - pl.col("p_bid")) / p_mid
    outcome = (pl.col("result") == "yes").cast(pl.Float64)
    usable = predictions.filter(spread_percent < MAX_SPREAD_PERCENT).sort("asof", maintain_order=True)
    first = usable.unique(["model", "ticker"], keep="first", maintain_order=True)
    return first.join(settlements.select("ticker", "result"), on="ticker", maintain_order="left").with_columns(
        p_mid=p_mid, outcome=outcome, day=pl.col("asof").dt.date()
    )


def fit_records(rows: pl.DataFrame, *, source: Source = "store") -> tuple[Record, ...]:
    """Return the records of all models by category, partially pooled, and of each model for any category.

    `rows`: `model, category, event_ticker, p, p_mid, outcome` and optionally `day`, one row per model and market.
    Each category's estimate is drawn towards the model's mean over categories by the variance between categories that
    the data show (DerSimonian and Laird, Controlled Clinical Trials 1986); one category alone stays as it is.
    """
    records: list[Record] = []
    for (model,), of_model in rows.group_by(["model"], maintain_order=True):
        fitted = []
        for (category,), part in of_model.group_by(["category"], maintain_order=True):
            disagreement = (part["p"] - part["p_mid"]).to_numpy()
            outcome = (part["outcome"] - part["p_mid"]).to_numpy()
            fitted.append((str(category or ANY_CATEGORY), part, _fit(disagreement, outcome, part["event_ticker"])))
        records += _pool(str(model), fitted, source)
    return tuple(records)


def _pool(model: str, fitted: list[tuple[str, pl.DataFrame, Fit]], source: Source) -> list[Record]:
    usable = [fit for _, _, fit in fitted if math.isfinite(fit.standard_error) and fit.standard_error > 0]
    mean, mean_error, between = _random_effects(usable)
    records = []
    for category, rows, fit in fitted:
        estimate, error = (
            _shrink(fit, mean, mean_error, between) if len(usable) > 1 else (fit.slope, fit.standard_error)
        )
        k = believed_share(estimate, error, fit.events)
        cap = _cap((rows["p"] - rows["p_mid"]).to_numpy(), fit, k)
        records.append(Record(model, category, k, cap, estimate, error, fit.events, source, *_days(rows)))
    if len(usable) > 1 and all(record.category != ANY_CATEGORY for record in records):
        everything = pl.concat([rows for _, rows, _ in fitted])
        error = math.sqrt(mean_error**2 + between)
        events = sum(fit.events for fit in usable)
        k = believed_share(mean, error, events)
        cap = min(record.cap for record in records)
        records.append(Record(model, ANY_CATEGORY, k, cap, mean, error, events, source, *_days(everything)))
    return records


def _random_effects(fits: Sequence[Fit]) -> tuple[float, float, float]:
    """Return the mean slope over categories, its standard error, and the variance between categories."""
    if not fits:
        return 0.0, math.inf, 0.0
    slopes = np.array([fit.slope for fit in fits])
    weights = np.array([fit.standard_error for fit in fits]) ** -2.0
    fixed = float(weights @ slopes / weights.sum())
    heterogeneity = float(weights @ (slopes - fixed) ** 2)
    scale = float(weights.sum() - (weights**2).sum() / weights.sum())
    between = max(0.0, (heterogeneity - (len(fits) - 1)) / scale) if scale > 0 else 0.0
    weights = 1 / (1 / weights + between)
    return float(weights @ slopes / weights.sum()), float(weights.sum() ** -0.5), between


def _shrink(fit: Fit, mean: float, mean_error: float, between: float) -> tuple[float, float]:
    """Return a category's estimate drawn towards the mean, and its standard error."""
    if not math.isfinite(fit.standard_error):
        return mean, math.sqrt(mean_error**2 + between)
    own = between / (between + fit.standard_error**2) if between > 0 else 0.0
    estimate = own * fit.slope + (1 - own) * mean
    return estimate, math.sqrt(own * fit.standard_error**2 + (1 - own) ** 2 * mean_error**2)


def _fit(disagreement: Floats, outcome: Floats, event: Sequence[object] | pl.Series) -> Fit:
    _, index = np.unique(np.asarray(event, dtype=object).astype(str), return_inverse=True)
    events = int(index.max()) + 1 if len(index) else 0
    size = np.abs(disagreement)
    if events < 2 or not size.any():
        return Fit(0.0, math.inf, math.inf, 0.0, events)
    best = _slope(disagreement, outcome, index, float(size.max()))
    if events < CAP_EVENTS:
        return best
    # A breakpoint must be better than none by more than its cost of one parameter.
    limit = best.squared_error * (1 - 2 / len(size))
    for point in np.quantile(size, _BREAKPOINTS):
        if point > 0:
            fit = _slope(disagreement, outcome, index, float(point))
            if fit.squared_error < min(limit, best.squared_error):
                best = fit
    return best


def _slope(disagreement: Floats, outcome: Floats, index: NDArray[np.intp], breakpoint_: float) -> Fit:
    x = np.sign(disagreement) * np.minimum(np.abs(disagreement), breakpoint_)
    total = float(x @ x)
    slope = float(x @ outcome) / total
    residuals = outcome - slope * x
    scores = np.bincount(index, weights=x * residuals)
    groups = len(scores)
    error = math.sqrt(groups / (groups - 1) * float(scores @ scores)) / total
    return Fit(slope, error, breakpoint_, float(residuals @ residuals), groups)


def _cap(disagreement: Floats, fit: Fit, k: float) -> float:
    if not len(disagreement):
        return 0.0
    if fit.events < CAP_EVENTS:
        return float(np.quantile(np.abs(disagreement), 0.75))
    return k * min(fit.breakpoint, 1.0)


def _days(rows: pl.DataFrame) -> tuple[str, str]:
    if "day" not in rows.columns or rows["day"].drop_nulls().is_empty():
        return "", ""
    return str(rows["day"].min()), str(rows["day"].max())

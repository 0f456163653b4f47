"""Fit what each model's opinion was worth next to the price, and test it on events left out of the fit."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from scipy.optimize import minimize

from fairline.models.pool import Floats, Opinion, Pool, combine, from_log_odds, log_odds
from fairline.scoring.metrics import clustered_mean
from fairline.store.store import Store

MIN_EVENTS, MIN_DAYS = 200, 30
"""Events, and days on which they ended, below which an opinion gets no weight. Markets that end on one day may err
together, as all races of an election night do: they are one piece of evidence, not many."""
MIN_EVENTS_PER_OUTCOME = 30
"""Events that must have ended YES, and as many NO, before the pool can beat the price."""
WEIGHT_SD = 0.5
"""Prior standard deviation of a weight, in a normal distribution cut at 0: weights are shrunk towards 0 and so the
blend towards the price."""
LEAD = timedelta(hours=1)
"""Opinions at least this long before the close count."""
MAX_OPINION_AGE = timedelta(minutes=65)
"""A watch stores each opinion at least once an hour: an older one is no longer held."""
FOLDS = 5
MAX_FINITE = 1e9


def read_opinions(store: Store, until: datetime | None = None) -> pl.DataFrame:
    """Return what models said about each settled market at one instant, an hour or more before its first known close.

    Columns `{ticker, event_ticker, cluster, model, p, p_sd, price, y}` with the market's midpoint of that instant,
    which is the last one at which the most models had an opinion. `cluster` is the category and the day of the close.
    Raises `StoreError`.
    """
    settled = store.read("settlements", until=until).unique("ticker", keep="last", maintain_order=True)
    ended = settled.filter(pl.col("result").is_in(["yes", "no"])).select("ticker", y=pl.col("result") == "yes")
    is_ended = pl.col("ticker").is_in(ended["ticker"].to_list())
    facts = store.read("facts", until=until, where=is_ended, columns=["seen_ts", "ticker", "close_ts"])
    closes = facts.unique("ticker", keep="first", maintain_order=True).select("ticker", "close_ts")
    in_time = pl.col("asof") <= pl.col("close_ts") - LEAD
    two_sided = pl.col("p_bid").is_not_null() & pl.col("p_ask").is_not_null()
    opinions = store.read("predictions", until=until, where=is_ended).join(closes, on="ticker")
    opinions = opinions.filter(in_time & two_sided).sort("asof")
    rows = _at_best_instant(opinions).join(ended, on="ticker", maintain_order="left")
    day = pl.col("close_ts").dt.date().cast(pl.String)
    cluster = pl.concat_str(pl.col("category").fill_null(""), day, separator=" ")
    return rows.select(
        "ticker", "event_ticker", "model", "p", "p_sd", "price", cluster=cluster, y=pl.col("y").cast(pl.Float64)
    )


def _at_best_instant(opinions: pl.DataFrame) -> pl.DataFrame:
    """Return the opinions held at the last instant at which most models had one, with its midpoint."""
    held = opinions.rolling("asof", period=MAX_OPINION_AGE, group_by="ticker").agg(models=pl.col("model").n_unique())
    chosen = held.sort("models", "asof").unique("ticker", keep="last").select("ticker", at="asof")
    at, asof = pl.col("at"), pl.col("asof")
    rows = opinions.join(chosen, on="ticker", maintain_order="left")
    rows = rows.filter((asof <= at) & (asof > at - MAX_OPINION_AGE))
    midpoint = (pl.col("p_bid") + pl.col("p_ask")) / 2
    rows = rows.with_columns(price=midpoint.last().over("ticker"))
    return rows.unique(["ticker", "model"], keep="last", maintain_order=True)


def fit_pool(opinions: pl.DataFrame, groups: Sequence[Sequence[str]], now: datetime) -> Pool:
    """Return weights of groups of models (each group is one opinion), from the columns of `read_opinions`.

    An opinion with too few events or days has weight 0; with no other the pool claims nothing.
    """
    rows, differences = _differences(opinions, groups)
    usable = [_has_enough(rows, differences[:, n]) for n in range(len(groups))]
    weights, errors = np.zeros(len(groups)), np.zeros(len(groups))
    mean, low, high = 0.0, -MAX_FINITE, MAX_FINITE
    if any(usable):
        base, y, used = log_odds(rows["price"].to_numpy()), rows["y"].to_numpy(), differences[:, usable]
        weights[usable] = _fit_weights(base, used, y)
        errors[usable] = _standard_errors(rows["cluster"], base, used, y, weights[usable])
        gain = clustered_mean(_gains_left_out(rows, base, used), "gain", "cluster")
        if gain is not None:
            mean, low, high = gain.mean, gain.low, gain.high
    if _events_of_rarer_outcome(rows) < MIN_EVENTS_PER_OUTCOME:
        low = min(low, 0.0)
    fitted = [Opinion(list(g), float(w), float(e)) for g, w, e in zip(groups, weights, errors, strict=True)]
    events = rows["event_ticker"].n_unique()
    return Pool(now, fitted, rows.height, events, mean, max(low, -MAX_FINITE), min(high, MAX_FINITE))


def _events_of_rarer_outcome(rows: pl.DataFrame) -> int:
    return min(rows.filter(pl.col("y") == outcome)["event_ticker"].n_unique() for outcome in (0.0, 1.0))


def _has_enough(rows: pl.DataFrame, differences: Floats) -> bool:
    """Return whether an opinion priced enough events on enough days."""
    priced = rows.filter(pl.Series(differences != 0.0))
    return priced["event_ticker"].n_unique() >= MIN_EVENTS and priced["cluster"].n_unique() >= MIN_DAYS


def _differences(opinions: pl.DataFrame, groups: Sequence[Sequence[str]]) -> tuple[pl.DataFrame, Floats]:
    """Return one row per market, and how far each opinion's log-odds lay from the price's (0 without an opinion)."""
    named = opinions.filter(pl.col("model").is_in([name for group in groups for name in group]))
    columns = ["ticker", "event_ticker", "cluster", "price", "y"]
    rows = named.unique("ticker", keep="last", maintain_order=True).select(columns)
    base = log_odds(rows["price"].to_numpy())
    zeros = np.zeros(rows.height)
    differences = []
    for group in groups:
        p = [_probabilities(rows, named, name) for name in group]
        differences.append(combine(base, p, [zeros] * len(p))[0])
    return rows, np.stack(differences, axis=1) if differences else np.zeros((rows.height, 0))


def _probabilities(rows: pl.DataFrame, opinions: pl.DataFrame, model: str) -> Floats:
    """Return a model's probabilities in the order of the rows, NaN where it has none."""
    own = opinions.filter(pl.col("model") == model).select("ticker", "p")
    p: Floats = rows.join(own, on="ticker", how="left", maintain_order="left")["p"].fill_null(np.nan).to_numpy()
    return p


def _fit_weights(base: Floats, differences: Floats, y: Floats) -> Floats:
    """Return the weights of greatest likelihood with the prior, none below 0."""

    def loss(weights: Floats) -> tuple[float, Floats]:
        logits = base + differences @ weights
        value = np.sum(np.logaddexp(0.0, logits) - y * logits) + np.sum((weights / WEIGHT_SD) ** 2) / 2
        slope = differences.T @ (from_log_odds(logits) - y) + weights / WEIGHT_SD**2
        return float(value), slope

    start = np.zeros(differences.shape[1])
    result = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(start))
    weights: Floats = result.x
    return weights


def _standard_errors(cluster: pl.Series, base: Floats, differences: Floats, y: Floats, weights: Floats) -> Floats:
    """Standard errors of the weights that treat the markets of a cluster as dependent (sandwich over clusters)."""
    p = from_log_odds(base + differences @ weights)
    prior = np.eye(differences.shape[1]) / WEIGHT_SD**2
    bread = np.linalg.inv((differences * (p * (1 - p))[:, None]).T @ differences + prior)
    _, group = np.unique(cluster.to_numpy(), return_inverse=True)
    scores = np.stack([np.bincount(group, part) for part in (differences * (y - p)[:, None]).T], axis=1)
    errors: Floats = np.sqrt(np.diag(bread @ (scores.T @ scores + prior) @ bread))
    return errors


def _gains_left_out(rows: pl.DataFrame, base: Floats, differences: Floats) -> pl.DataFrame:
    """For each market, the log loss saved by weights fitted without its own fifth of the clusters."""
    fold = rows["cluster"].rank("dense").to_numpy() * 7 % FOLDS
    y, gain = rows["y"].to_numpy(), np.zeros(rows.height)
    for number in range(FOLDS):
        out = fold == number
        if out.all() or not out.any():
            continue
        weights = _fit_weights(base[~out], differences[~out], y[~out])
        before, after = base[out], base[out] + differences[out] @ weights
        gain[out] = (np.logaddexp(0, before) - y[out] * before) - (np.logaddexp(0, after) - y[out] * after)
    return rows.select("cluster", gain=pl.Series(gain))

"""Fits what each model's opinion was worth beside the price, and says by events left out whether it was anything."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from scipy.optimize import minimize
from scipy.special import expit

from fairline.models.pool import Floats, Pool, Voice, joined, log_odds
from fairline.scoring.metrics import clustered_mean
from fairline.store.store import Store

FEWEST, FEWEST_DAYS = 200, 30
"""Events, and days on which they ended, below which a voice gets no weight. What ends on one day may err together, all
races of an election night above all: such markets are one piece of evidence, not many."""
ENDS = 30
"""Events that must have ended either way before a gain over the price is believed."""
SPREAD = 0.5
"""Standard deviation of a weight before anything is known of it, in a normal distribution cut at 0: weights are drawn
towards 0, and so the blend towards the price."""
AHEAD = timedelta(hours=1)
_CURRENT = timedelta(minutes=65)
"""A watch notes each opinion at least once an hour: an older one is not held any more."""
_FOLDS = 5
_UNKNOWN = 1e9


def opinions(store: Store) -> pl.DataFrame:
    """What was said of each settled market at one instant, at the latest an hour before the close that was known first:
    `{ticker, event_ticker, cluster, model, p, p_sd, price, y}`, with the market's midpoint of that instant. `cluster`
    is the category and the day on which it closed. Raises `StoreError`.

    It is the last instant at which the most models had an opinion.
    """
    settled = store.read("settlements").unique("ticker", keep="last", maintain_order=True)
    ended = settled.filter(pl.col("result").is_in(["yes", "no"])).select("ticker", y=pl.col("result") == "yes")
    ours = pl.col("ticker").is_in(ended["ticker"].to_list())
    facts = store.read("facts", where=ours, columns=["seen_ts", "ticker", "close_ts"])
    closes = facts.unique("ticker", keep="first", maintain_order=True).select("ticker", "close_ts")
    said = store.read("predictions", where=ours).join(closes, on="ticker").filter(
        (pl.col("asof") <= pl.col("close_ts") - AHEAD) & pl.col("p_bid").is_not_null() & pl.col("p_ask").is_not_null()
    ).sort("asof")  # fmt: skip
    current = said.rolling("asof", period=_CURRENT, group_by="ticker").agg(voices=pl.col("model").n_unique())
    chosen = current.sort("voices", "asof").unique("ticker", keep="last").select("ticker", at="asof")
    at, held = pl.col("at"), pl.col("asof")
    rows = said.join(chosen, on="ticker", maintain_order="left").filter((held <= at) & (held > at - _CURRENT))
    price = (pl.col("p_bid") + pl.col("p_ask")) / 2
    last = rows.with_columns(price=price.last().over("ticker")).unique(["ticker", "model"], keep="last",
                                                                      maintain_order=True)  # fmt: skip
    day = pl.col("close_ts").dt.date().cast(pl.String)
    return last.join(ended, on="ticker", maintain_order="left").select(
        "ticker", "event_ticker", "model", "p", "p_sd", "price",
        cluster=pl.concat_str(pl.col("category").fill_null(""), day, separator=" "), y=pl.col("y").cast(pl.Float64),
    )  # fmt: skip


def fit_pool(said: pl.DataFrame, groups: Sequence[Sequence[str]], now: datetime) -> Pool:
    """Weights of the groups of models (those of a group are one voice), from `opinions`' columns.

    A voice with too few events or days has the weight 0, and without any other nothing is claimed.
    """
    rows, away = _moves(said, groups)
    heard = [_heard(rows, away[:, n]) for n in range(len(groups))]
    weights, errors, gain = np.zeros(len(groups)), np.zeros(len(groups)), None
    if any(heard):
        base, y, spoken = log_odds(rows["price"].to_numpy()), rows["y"].to_numpy(), away[:, heard]
        weights[heard] = _weights(base, spoken, y)
        errors[heard] = _errors(rows["cluster"], base, spoken, y, weights[heard])
        gain = clustered_mean(_left_out(rows, base, spoken), "gain", "cluster")
    voices = [Voice(list(g), float(w), float(e)) for g, w, e in zip(groups, weights, errors, strict=True)]
    mean, low, high = (gain.mean, gain.low, gain.high) if gain is not None else (0.0, -_UNKNOWN, _UNKNOWN)
    if min(rows.filter(pl.col("y") == end)["event_ticker"].n_unique() for end in (0.0, 1.0)) < ENDS:
        low = min(low, 0.0)
    events = rows["event_ticker"].n_unique()
    return Pool(now, voices, rows.height, events, mean, max(low, -_UNKNOWN), min(high, _UNKNOWN))


def _heard(rows: pl.DataFrame, away: Floats) -> bool:
    """Whether a voice spoke of enough events on enough days."""
    spoke = rows.filter(pl.Series(away != 0.0))
    return spoke["event_ticker"].n_unique() >= FEWEST and spoke["cluster"].n_unique() >= FEWEST_DAYS


def _moves(said: pl.DataFrame, groups: Sequence[Sequence[str]]) -> tuple[pl.DataFrame, Floats]:
    """A row a market, and how far each voice's log-odds lay from the price's (0 for silence)."""
    named = said.filter(pl.col("model").is_in([name for group in groups for name in group]))
    rows = named.unique("ticker", keep="last", maintain_order=True).select(
        "ticker", "event_ticker", "cluster", "price", "y"
    )
    columns = []
    for group in groups:
        parts = []
        for name in group:
            mine = rows.join(named.filter(pl.col("model") == name).select("ticker", "p"), on="ticker", how="left",
                             maintain_order="left")  # fmt: skip
            parts.append(mine["p"].fill_null(np.nan).to_numpy())
        base = log_odds(rows["price"].to_numpy())
        columns.append(joined(base, parts, [np.zeros(rows.height)] * len(parts))[0])
    return rows, np.stack(columns, axis=1) if columns else np.zeros((rows.height, 0))


def _weights(base: Floats, away: Floats, y: Floats) -> Floats:
    """The weights of the greatest likelihood, with the prior, none below 0."""

    def loss(weights: Floats) -> tuple[float, Floats]:
        logits = base + away @ weights
        value = np.sum(np.logaddexp(0.0, logits) - y * logits) + np.sum((weights / SPREAD) ** 2) / 2
        slope = away.T @ (expit(logits) - y) + weights / SPREAD**2
        return float(value), slope

    start = np.zeros(away.shape[1])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(start))
    made: Floats = found.x
    return made


def _errors(cluster: pl.Series, base: Floats, away: Floats, y: Floats, weights: Floats) -> Floats:
    """Standard errors of the weights that treat the markets of a cluster as dependent (sandwich over clusters)."""
    p = expit(base + away @ weights)
    bread = np.linalg.inv((away * (p * (1 - p))[:, None]).T @ away + np.eye(away.shape[1]) / SPREAD**2)
    _, group = np.unique(cluster.to_numpy(), return_inverse=True)
    scores = np.stack([np.bincount(group, part) for part in (away * (y - p)[:, None]).T], axis=1)
    made: Floats = np.sqrt(np.diag(bread @ (scores.T @ scores + np.eye(away.shape[1]) / SPREAD**2) @ bread))
    return made


def _left_out(rows: pl.DataFrame, base: Floats, away: Floats) -> pl.DataFrame:
    """Of each market by how much its log loss was less by weights fitted without its own fifth of the clusters."""
    fold = rows["cluster"].rank("dense").to_numpy() * 7 % _FOLDS
    y, gain = rows["y"].to_numpy(), np.zeros(rows.height)
    for number in range(_FOLDS):
        out = fold == number
        if out.all() or not out.any():
            continue
        weights = _weights(base[~out], away[~out], y[~out])
        before, after = base[out], base[out] + away[out] @ weights
        gain[out] = (np.logaddexp(0, before) - y[out] * before) - (np.logaddexp(0, after) - y[out] * after)
    return rows.select("cluster", gain=pl.Series(gain))

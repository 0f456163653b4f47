"""Fits what each model's opinion was worth beside the price, and says by events left out whether it was anything."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from scipy.optimize import minimize
from scipy.special import expit

from fairline.pool import Floats, Pool, Voice, joined, log_odds
from fairline.scoring import clustered_mean
from fairline.store import Store

FEWEST = 200
"""Events below which no weight is fitted."""
SPREAD = 0.5
"""Standard deviation of a weight before anything is known of it, in a normal distribution cut at 0: weights are drawn
towards 0, and so the blend towards the price."""
AHEAD = timedelta(hours=1)
_FOLDS = 5
_UNKNOWN = 1e9


def opinions(store: Store) -> pl.DataFrame:
    """What was said of each settled market, at the latest an hour before the close that was known first:
    `{ticker, event_ticker, model, p, p_sd, price, y}`, with the market's midpoint at that instant. Raises `StoreError`.
    """
    settled = store.read("settlements").unique("ticker", keep="last", maintain_order=True)
    ended = settled.filter(pl.col("result").is_in(["yes", "no"])).select("ticker", y=pl.col("result") == "yes")
    ours = pl.col("ticker").is_in(ended["ticker"].to_list())
    facts = store.read("facts", where=ours, columns=["seen_ts", "ticker", "close_ts"])
    closes = facts.unique("ticker", keep="first", maintain_order=True).select("ticker", "close_ts")
    said = store.read("predictions", where=ours).join(closes, on="ticker").filter(
        (pl.col("asof") <= pl.col("close_ts") - AHEAD) & pl.col("p_bid").is_not_null() & pl.col("p_ask").is_not_null()
    )  # fmt: skip
    last = said.sort("asof").unique(["ticker", "model"], keep="last", maintain_order=True)
    return last.join(ended, on="ticker").select(
        "ticker", "event_ticker", "model", "p", "p_sd", price=(pl.col("p_bid") + pl.col("p_ask")) / 2,
        y=pl.col("y").cast(pl.Float64),
    )  # fmt: skip


def fit_pool(said: pl.DataFrame, groups: Sequence[Sequence[str]], now: datetime) -> Pool:
    """Weights of the groups of models (those of a group are one voice), from `opinions`' columns.

    With fewer than `FEWEST` events all weights are 0 and nothing is claimed.
    """
    rows, away = _moves(said, groups)
    events = rows["event_ticker"].n_unique()
    if events < FEWEST:
        nothing = [Voice(list(group), 0.0, 0.0) for group in groups]
        return Pool(now, nothing, rows.height, events, 0.0, -_UNKNOWN, _UNKNOWN)
    base, y = log_odds(rows["price"].to_numpy()), rows["y"].to_numpy()
    weights = _weights(base, away, y)
    errors = _errors(rows["event_ticker"], base, away, y, weights)
    voices = [Voice(list(g), float(w), float(e)) for g, w, e in zip(groups, weights, errors, strict=True)]
    gain = clustered_mean(_left_out(rows, base, away), "gain")
    mean, low, high = (gain.mean, gain.low, gain.high) if gain is not None else (0.0, -_UNKNOWN, _UNKNOWN)
    return Pool(now, voices, rows.height, events, mean, max(low, -_UNKNOWN), min(high, _UNKNOWN))


def _moves(said: pl.DataFrame, groups: Sequence[Sequence[str]]) -> tuple[pl.DataFrame, Floats]:
    """A row a market, and how far each voice's log-odds lay from the price's own at that instant (0 for silence)."""
    named = said.filter(pl.col("model").is_in([name for group in groups for name in group]))
    rows = named.unique("ticker", keep="last", maintain_order=True).select("ticker", "event_ticker", "price", "y")
    columns = []
    for group in groups:
        parts = []
        for name in group:
            mine = rows.join(named.filter(pl.col("model") == name).select("ticker", "p", theirs="price"), on="ticker",
                             how="left", maintain_order="left")  # fmt: skip
            # What it said is held against the price of its own instant.
            moved = log_odds(mine["p"].fill_null(np.nan).to_numpy()) - log_odds(
                mine["theirs"].fill_null(np.nan).to_numpy()
            )
            parts.append(expit(moved))
        zero = np.zeros(rows.height)
        columns.append(joined(zero, parts, [zero] * len(parts))[0])
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


def _errors(event: pl.Series, base: Floats, away: Floats, y: Floats, weights: Floats) -> Floats:
    """Standard errors of the weights that treat the markets of an event as dependent (sandwich over events)."""
    p = expit(base + away @ weights)
    bread = np.linalg.inv((away * (p * (1 - p))[:, None]).T @ away + np.eye(away.shape[1]) / SPREAD**2)
    _, cluster = np.unique(event.to_numpy(), return_inverse=True)
    scores = np.stack([np.bincount(cluster, part) for part in (away * (y - p)[:, None]).T], axis=1)
    made: Floats = np.sqrt(np.diag(bread @ (scores.T @ scores + np.eye(away.shape[1]) / SPREAD**2) @ bread))
    return made


def _left_out(rows: pl.DataFrame, base: Floats, away: Floats) -> pl.DataFrame:
    """Of each market by how much its log loss was less by weights fitted without its own fifth of the events."""
    fold = rows["event_ticker"].rank("dense").to_numpy() * 7 % _FOLDS
    y, gain = rows["y"].to_numpy(), np.zeros(rows.height)
    for number in range(_FOLDS):
        out = fold == number
        if out.all() or not out.any():
            continue
        weights = _weights(base[~out], away[~out], y[~out])
        before, after = base[out], base[out] + away[out] @ weights
        gain[out] = (np.logaddexp(0, before) - y[out] * before) - (np.logaddexp(0, after) - y[out] * after)
    return rows.select("event_ticker", gain=pl.Series(gain))

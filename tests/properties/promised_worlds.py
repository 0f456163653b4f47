"""Worlds of exclusive events whose hidden probabilities are known, and forecasters of known faults."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import polars as pl
from scipy.special import expit, logit

from fairline.market.fees import CAUTIOUS
from fairline.market.frame import MARKETS, NOTIONAL_U, PREDICTIONS, with_probabilities
from fairline.pricing.belief import Beliefs
from fairline.pricing.rules import Rules
from fairline.scanner import price
from fairline.scoring.records import fit_records

NOW = datetime(2026, 11, 22, tzinfo=UTC)
MARKETS_PER_EVENT = 4
MARKET_ERROR = 0.25
"""Standard deviation of the midpoint's error, in log-odds."""
Forecaster = Literal["skilled", "noisy", "biased", "stale"]
RULES = Rules(max_spread_percent=20, size=100)


@dataclass(frozen=True, slots=True)
class World:
    """One row per market: `ticker, event_ticker, truth, p, p_mid, outcome`."""

    rows: pl.DataFrame

    @property
    def markets(self) -> pl.DataFrame:
        bid = ((self.rows["p_mid"].to_numpy() - 0.01) * 100).round() * 10_000
        filled = self.rows.select("ticker", "event_ticker").with_columns(
            yes_bid_u=pl.Series(bid.astype(np.int64)),
            yes_ask_u=pl.Series(bid.astype(np.int64) + 20_000),
            status=pl.lit("active"),
            market_type=pl.lit("binary"),
            category=pl.lit("Sports"),
            yes_bid_size_cc=pl.lit(10_000),
            yes_ask_size_cc=pl.lit(10_000),
            close_ts=pl.lit(datetime(2026, 12, 1, tzinfo=UTC)),
            fee_type=pl.lit("quadratic"),
            fee_multiplier_m=pl.lit(10_000),
        )
        columns = [
            (pl.col(name) if name in filled.columns else pl.lit(None)).cast(dtype).alias(name)
            for name, dtype in MARKETS.items()
        ]
        return with_probabilities(filled.select(columns))


def make_world(rng: np.random.Generator, events: int, forecaster: Forecaster) -> World:
    """Draw events with one winner each, the market's midpoints, and a forecaster's probabilities."""
    strength = rng.normal(0, 1, (events, MARKETS_PER_EVENT))
    truth = _softmax(strength)
    winner = (truth.cumsum(axis=1) > rng.random((events, 1))).argmax(axis=1)
    outcome = np.eye(MARKETS_PER_EVENT)[winner]
    mid = expit(logit(truth) + rng.normal(0, MARKET_ERROR, truth.shape)).clip(0.03, 0.97)
    p = _forecast(rng, forecaster, truth, strength)
    number = np.repeat(np.arange(events), MARKETS_PER_EVENT)
    place = np.tile(np.arange(MARKETS_PER_EVENT), events)
    return World(
        pl.DataFrame(
            {
                "ticker": [f"E{event}-{rank}" for event, rank in zip(number, place, strict=True)],
                "event_ticker": [f"E{event}" for event in number],
                "truth": truth.ravel(),
                "p": p.ravel(),
                # Quotes stand on whole cents.
                "p_mid": (mid.ravel() * 100).round() / 100,
                "outcome": outcome.ravel(),
            }
        )
    )


def _softmax(strength):
    weights = np.exp(strength)
    return weights / weights.sum(axis=1, keepdims=True)


def _forecast(rng, forecaster, truth, strength):
    odds = logit(truth)
    if forecaster == "skilled":
        return expit(odds + rng.normal(0, rng.uniform(0, 0.1), truth.shape))
    if forecaster == "noisy":
        return expit(odds + rng.normal(0, 0.6, truth.shape))
    if forecaster == "biased":
        return expit(odds + 0.4 + rng.normal(0, 0.1, truth.shape))
    # What was true before the news of the day, which the market has seen.
    return _softmax(strength + rng.normal(0, 0.7, truth.shape))


def earn_beliefs(world: World) -> Beliefs:
    """Return the beliefs that a forecaster earns on a settled world."""
    rows = world.rows.with_columns(model=pl.lit("elo"), category=pl.lit("Sports"))
    return Beliefs(fit_records(rows))


def flag(world: World, beliefs: Beliefs) -> pl.DataFrame:
    """Return the believed opportunities: `event_ticker, promised, realised, expected` in dollars per contract."""
    predictions = world.rows.select("ticker", "p", p_sd=pl.lit(None), model=pl.lit("elo"), asof=pl.lit(NOW))
    typed = predictions.select(pl.col(name).cast(dtype) for name, dtype in PREDICTIONS.items() if name != "note")
    evaluation = price(world.markets, typed, [], asof=NOW, fees=CAUTIOUS, rules=RULES, beliefs=beliefs)
    known = world.rows.select("ticker", "outcome", "truth")
    yes = pl.col("side") == "yes"
    cost = (pl.col("price_u") + pl.col("fee_u")) / NOTIONAL_U
    return evaluation.opportunities.join(known, on="ticker").select(
        "event_ticker",
        promised=pl.col("believed_ev_u") / NOTIONAL_U,
        realised=pl.when(yes).then("outcome").otherwise(1 - pl.col("outcome")) - cost,
        expected=pl.when(yes).then("truth").otherwise(1 - pl.col("truth")) - cost,
    )

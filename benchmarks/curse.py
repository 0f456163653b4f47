"""What flagged opportunities promise and what they bring, over many worlds: of a forecaster who knows the truth, and of
one who errs.

The best edges of whoever errs are partly his own errors (the winner's curse); how much of the promise that takes is
worked out beforehand, by going through his possible errors, and held against what came.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import norm

from benchmarks.listed import listed
from fairline.market.frame import NOTIONAL_U, PREDICTIONS
from fairline.pricing.rules import Rules
from fairline.scanner import Evaluation, price
from fairline.scoring.metrics import Interval, clustered_mean, profits
from fairline.sim.world import World

ERRORS = np.linspace(-3.6, 3.6, 31)
"""In standard deviations, each weighted by the normal density: the curse comes from the tails."""
RULES = Rules(max_spread_percent=20)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Dollars a contract over all worlds: promised, to be expected for whoever errs so, and realised."""

    promised: float
    expected: float
    realised: Interval


def forecast(frame: pl.DataFrame, truth: NDArray[np.float64], error: NDArray[np.float64] | float) -> pl.DataFrame:
    """PREDICTIONS that err by so much in log-odds."""
    odds = np.log(truth / (1 - truth)) + error
    made = frame.select("ticker", p=pl.Series(1 / (1 + np.exp(-odds)))).with_columns(
        p_sd=pl.lit(None, dtype=pl.Float64), model=pl.lit("m"), asof=pl.lit(datetime.now(UTC))
    )
    return made.select(pl.col(name).cast(kind) for name, kind in PREDICTIONS.items() if name != "note")


def flagged(frame: pl.DataFrame, predictions: pl.DataFrame) -> pl.DataFrame:
    made: Evaluation = price(frame, predictions, [], asof=datetime.now(UTC), rules=RULES)
    return made.opportunities


def excess(found: pl.DataFrame, truth: pl.DataFrame) -> float:
    """By how much the forecaster's p lies above the true one on the sides that he flags, added up."""
    yes = pl.col("side") == "yes"
    both = found.join(truth, on="ticker")
    true_p = pl.when(yes).then("truth").otherwise(1 - pl.col("truth"))
    return float(both.select((pl.col("p_u") / NOTIONAL_U - true_p).sum()).item())


def settled(world: World) -> pl.DataFrame:
    world.settle()
    result = pl.DataFrame({"ticker": world.columns.ticker, "payout_u": world.columns.result.astype(np.int64)})
    return result.filter(pl.col("payout_u") >= 0).with_columns(pl.col("payout_u") * NOTIONAL_U)


def outcome(noise: float, seeds: range, markets: int) -> Outcome:
    rows, curse, weight = [], 0.0, 0.0
    for seed in seeds:
        world = World(markets, seed=seed)
        frame, truth = listed(world), np.clip(world.truth, 1e-6, 1 - 1e-6)
        true = frame.select("ticker", truth=pl.Series(truth))
        errors = np.random.default_rng([7, seed]).normal(0, noise, len(truth))
        # In advance: each of his errors in turn, the same for every market, since only the average is wanted.
        for error in ERRORS if noise else (0.0,):
            imagined, density = flagged(frame, forecast(frame, truth, noise * error)), float(norm.pdf(error))
            curse, weight = curse + density * excess(imagined, true), weight + density * imagined.height
        found = flagged(frame, forecast(frame, truth, errors))
        made = profits(found, settled(world))
        rows.append(made.with_columns(pl.format("{} {}", pl.lit(seed), "event_ticker").alias("event_ticker")))
    together = pl.concat(rows)
    promised, realised = clustered_mean(together, "promised"), clustered_mean(together, "realised")
    assert promised is not None
    assert realised is not None
    return Outcome(promised.mean, promised.mean - curse / max(1e-9, weight), realised)


def run(seeds: int = 40, markets: int = 5_000) -> str:
    lines = [
        f"| error in log-odds, {seeds} worlds of {markets:,} markets | flagged | promised | to be expected "
        "| realised, 95 % by event |\n|---|---|---|---|---|"
    ]
    for noise in (0.0, 0.1, 0.3, 0.6):
        made = outcome(noise, range(seeds), markets)
        real = made.realised
        lines.append(
            f"| {noise:g} | {real.n:,} | ${made.promised:.4f} | ${made.expected:.4f} "
            f"| ${real.mean:.4f} ({real.low:.4f} … {real.high:.4f}) |"
        )
    return "\n".join(lines)

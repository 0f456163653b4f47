"""Compare promised and realised profit over many worlds, for a forecaster who knows the truth and for one who errs.

The best edges of a forecaster with errors are partly these errors (the winner's curse). The expected loss is computed
beforehand by enumerating the possible errors, and is compared with what was realised.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import norm

from benchmarks.world import list_world
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
    """Dollars per contract over all worlds: promised, expected for a forecaster with such errors, and realised."""

    promised: float
    expected: float
    realised: Interval


def forecast(frame: pl.DataFrame, truth: NDArray[np.float64], error: NDArray[np.float64] | float) -> pl.DataFrame:
    """Return PREDICTIONS with the given error in log-odds."""
    odds = np.log(truth / (1 - truth)) + error
    predictions = frame.select("ticker", p=pl.Series(1 / (1 + np.exp(-odds)))).with_columns(
        p_sd=pl.lit(None, dtype=pl.Float64), model=pl.lit("m"), asof=pl.lit(datetime.now(UTC))
    )
    return predictions.select(pl.col(name).cast(kind) for name, kind in PREDICTIONS.items() if name != "note")


def find_flagged(frame: pl.DataFrame, predictions: pl.DataFrame) -> pl.DataFrame:
    evaluation: Evaluation = price(frame, predictions, [], asof=datetime.now(UTC), rules=RULES)
    return evaluation.opportunities


def excess(flagged: pl.DataFrame, truth: pl.DataFrame) -> float:
    """Return the sum by which the forecaster's p exceeds the true p on the flagged sides."""
    yes = pl.col("side") == "yes"
    both = flagged.join(truth, on="ticker")
    true_p = pl.when(yes).then("truth").otherwise(1 - pl.col("truth"))
    return float(both.select((pl.col("expected_u") / NOTIONAL_U - true_p).sum()).item())


def settle(world: World) -> pl.DataFrame:
    world.settle()
    result = pl.DataFrame({"ticker": world.columns.ticker, "payout_u": world.columns.result.astype(np.int64)})
    return result.filter(pl.col("payout_u") >= 0).with_columns(pl.col("payout_u") * NOTIONAL_U)


def outcome(noise: float, seeds: range, markets: int) -> Outcome:
    rows, curse, weight = [], 0.0, 0.0
    for seed in seeds:
        world = World(markets, seed=seed)
        frame, truth = list_world(world), np.clip(world.truth, 1e-6, 1 - 1e-6)
        true = frame.select("ticker", truth=pl.Series(truth))
        errors = np.random.default_rng([7, seed]).normal(0, noise, len(truth))
        # Each possible error in turn, the same for every market, since only the average is needed.
        for error in ERRORS if noise else (0.0,):
            imagined, density = find_flagged(frame, forecast(frame, truth, noise * error)), float(norm.pdf(error))
            curse, weight = curse + density * excess(imagined, true), weight + density * imagined.height
        flagged = find_flagged(frame, forecast(frame, truth, errors))
        result = profits(flagged, settle(world))
        rows.append(result.with_columns(pl.format("{} {}", pl.lit(seed), "event_ticker").alias("event_ticker")))
    together = pl.concat(rows)
    promised, realised = clustered_mean(together, "promised"), clustered_mean(together, "realised")
    assert promised is not None
    assert realised is not None
    return Outcome(promised.mean, promised.mean - curse / max(1e-9, weight), realised)


def run(seeds: int = 40, markets: int = 5_000) -> str:
    lines = [
        f"| error in log-odds, {seeds} worlds of {markets:,} markets | flagged | promised | expected "
        "| realised, 95 % by event |\n|---|---|---|---|---|"
    ]
    for noise in (0.0, 0.1, 0.3, 0.6):
        result = outcome(noise, range(seeds), markets)
        real = result.realised
        lines.append(
            f"| {noise:g} | {real.n:,} | ${result.promised:.4f} | ${result.expected:.4f} "
            f"| ${real.mean:.4f} ({real.low:.4f} … {real.high:.4f}) |"
        )
    return "\n".join(lines)

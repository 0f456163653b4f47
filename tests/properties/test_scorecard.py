"""The scorecard over many simulated worlds: its interval covers the true expectation at its stated rate."""

import numpy as np
import polars as pl
from benchmarks.curse import find_flagged, forecast, settle
from benchmarks.world import list_world

from fairline.scoring.scorecard import compute_scorecard
from fairline.sim.world import World
from fairline.store.datasets import EDGES, PREDICTIONS, SETTLEMENTS

WORLDS = 60


def as_dataset(schema, rows, **more):
    table = rows.with_columns(**more)
    return table.select(
        pl.col(name).cast(dtype) if name in table.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in schema.items()
    )


def one_world(seed):
    """Return the scorecard of an erring forecaster, and the true expected profit of what it flagged."""
    world = World(1_500, seed=seed)
    frame, truth = list_world(world), np.clip(world.truth, 1e-6, 1 - 1e-6)
    errors = np.random.default_rng([3, seed]).normal(0, 0.3, len(truth))
    predictions = forecast(frame, truth, errors)
    edges = find_flagged(frame, predictions)
    yes = pl.col("side") == "yes"
    true = frame.select("ticker", truth=pl.Series(truth))
    worth = edges.join(true, on="ticker").select(
        (pl.when(yes).then("truth").otherwise(1 - pl.col("truth")) - (pl.col("price_u") + pl.col("fee_u")) / 1e6).mean()
    )
    ended = settle(world)
    card = compute_scorecard(
        as_dataset(EDGES, edges, change=pl.lit("appeared")),
        as_dataset(
            PREDICTIONS, predictions.join(frame.select("ticker", "event_ticker"), on="ticker"), p_bid=0.4, p_ask=0.6
        ),
        as_dataset(
            SETTLEMENTS, ended, result=pl.when(pl.col("payout_u") > 0).then(pl.lit("yes")).otherwise(pl.lit("no"))
        ),
    )
    return card, worth.item()


def test_the_interval_of_realised_profit_covers_the_expectation_over_many_worlds():
    covered, promised_above = 0, 0
    for seed in range(WORLDS):
        card, worth = one_world(seed)
        whole = card.opportunities[0]
        assert whole.decided == whole.flagged > 50
        covered += whole.realised.low <= worth <= whole.realised.high
        promised_above += whole.promised.mean > worth
        [model] = card.models
        assert model.brier.n == card.decided
    # 95 % of 60 is 57 with a standard deviation of 1.7.
    assert covered >= 52
    assert promised_above > 0.9 * WORLDS, "an erring forecaster promises too much"

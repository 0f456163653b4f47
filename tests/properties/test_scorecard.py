"""The scorecard over many simulated worlds: its interval covers what was truly to be expected at its stated rate."""

import numpy as np
import polars as pl
from benchmarks.curse import flagged, forecast, settled
from benchmarks.listed import listed

from fairline.scoring.scorecard import scorecard
from fairline.sim.world import World
from fairline.store.datasets import EDGES, PREDICTIONS, SETTLEMENTS

WORLDS = 60


def recorded(schema, rows, **more):
    made = rows.with_columns(**more)
    return made.select(
        pl.col(name).cast(dtype) if name in made.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in schema.items()
    )


def one_world(seed):
    """What a forecaster who errs flagged, its scorecard, and what it was truly worth by the hidden truth."""
    world = World(1_500, seed=seed)
    frame, truth = listed(world), np.clip(world.truth, 1e-6, 1 - 1e-6)
    errors = np.random.default_rng([3, seed]).normal(0, 0.3, len(truth))
    said = forecast(frame, truth, errors)
    found = flagged(frame, said)
    yes = pl.col("side") == "yes"
    true = frame.select("ticker", truth=pl.Series(truth))
    worth = found.join(true, on="ticker").select(
        (pl.when(yes).then("truth").otherwise(1 - pl.col("truth")) - (pl.col("price_u") + pl.col("fee_u")) / 1e6).mean()
    )
    ended = settled(world)
    card = scorecard(
        recorded(EDGES, found, change=pl.lit("appeared")),
        recorded(PREDICTIONS, said.join(frame.select("ticker", "event_ticker"), on="ticker"), p_bid=0.4, p_ask=0.6),
        recorded(
            SETTLEMENTS, ended, result=pl.when(pl.col("payout_u") > 0).then(pl.lit("yes")).otherwise(pl.lit("no"))
        ),
    )
    return card, worth.item()


def test_over_many_worlds_the_interval_of_what_was_realised_covers_what_was_to_be_expected():
    covered, promised_above = 0, 0
    for seed in range(WORLDS):
        card, worth = one_world(seed)
        whole = card.flagged[0]
        assert whole.decided == whole.flagged > 50
        covered += whole.realised.low <= worth <= whole.realised.high
        promised_above += whole.promised.mean > worth
        [judged] = card.judged
        assert judged.brier.n == card.decided
    # 95 % of sixty are 57, give or take 1.7.
    assert covered >= 52
    assert promised_above > 0.9 * WORLDS, "whoever errs promises too much"

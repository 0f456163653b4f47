"""A watch and a backtest of what it recorded give the same opportunities, edges and scorecard, row for row.

The simulated exchange runs an hour in a second, so that markets close and settle while the watch runs.
"""

from dataclasses import dataclass

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from fairline.backtesting.decide import OPINIONS, Block, Grid, Terms, evaluate_block, evaluate_instant
from fairline.backtesting.inputs import PastInputs
from fairline.config.model_settings import model_settings
from fairline.market.fees import CAUTIOUS
from fairline.market.filters import Filters
from fairline.models import load
from fairline.pricing.rules import Rules
from fairline.scoring.scorecard import compute_scorecard
from fairline.sim import Exchange
from fairline.store.datasets import EDGES
from fairline.store.store import Store
from fairline.store.timeline import Timeline
from tests.flow.watching import Watched

KEY = ["ticker", "side", "model"]
FIGURES = ["price_u", "fee_u", "size_cc", "edge_points", "ev_u", "p", "suspect"]
TERMS = Terms(Filters(), Rules(), CAUTIOUS)


@dataclass
class Recorded:
    """A watched stretch: the store and the model that watched it."""

    store: Store
    model: object

    def evaluate(self, asof):
        markets = self.store.asof(asof)
        return evaluate_instant(markets, [self.model], PastInputs(self.store), asof, TERMS)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    with (
        Exchange(markets=600, seed=11, moves=60, speed=3600) as exchange,
        Watched(folder, exchange, scans=16, settle_every="1s") as watch,
    ):
        assert watch.process.wait(timeout=180) == 0, watch.output()[-2000:]
    return Recorded(Store(watch.store), load(f"{folder / 'model.py'}:Above", model_settings()))


def live_opportunities(edges, asof):
    """Return what the watch showed at an instant: the last row of each opportunity, unless it was gone."""
    last = edges.filter(pl.col("seen_ts") <= asof).unique(KEY, keep="last", maintain_order=True)
    return last.filter(pl.col("change") != "gone").select(*KEY, *FIGURES).sort(KEY)


def test_every_scan_is_found_again_in_the_past(recorded):
    edges = recorded.store.read("edges")
    scans = recorded.store.read("scans").filter(outcome="done")["seen_ts"]
    compared = 0
    for asof in scans:
        live = live_opportunities(edges, asof)
        again = recorded.evaluate(asof).evaluation
        replayed = pl.concat([again.opportunities, again.unproven]).select(*KEY, *FIGURES).sort(KEY)
        assert_frame_equal(replayed.cast(dict(live.schema)), live)
        compared += live.height
    assert scans.len() >= 10
    assert compared > 100


def test_the_scorecard_is_the_same(recorded):
    predictions = recorded.store.read("predictions")
    settlements = recorded.store.read("settlements").unique("ticker", keep="last")
    live = compute_scorecard(EDGES.to_frame(), predictions, settlements)
    scans = recorded.store.read("scans").filter(outcome="done")["seen_ts"]
    blocks = []
    for asof in scans:
        block = Block(0, Grid(asof, asof, scans[1] - scans[0]), 0, 0)
        blocks.append(
            evaluate_block(Timeline(recorded.store), [recorded.model], PastInputs(recorded.store), block, TERMS)
        )
    opinions = pl.concat([block.opinions for block in blocks]).unique(
        ["model", "ticker"], keep="first", maintain_order=True
    )
    assert opinions.schema == OPINIONS
    replayed = compute_scorecard(EDGES.to_frame(), opinions.rename({"asof": "seen_ts"}), settlements)
    assert live.models[0].brier.n > 5
    for name in ("brier", "market_brier", "log_loss", "brier_difference"):
        one, other = (getattr(card.models[0], name) for card in (live, replayed))
        assert (one.n, one.clusters) == (other.n, other.clusters)
        assert one.mean == pytest.approx(other.mean, abs=1e-12)

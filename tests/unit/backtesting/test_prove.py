"""A proof passes for honest models and names the model, the instant and the input of a dishonest one."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from fairline.backtesting.decide import Grid, Terms
from fairline.backtesting.prove import copy_files, prove, truncate
from fairline.market.fees import CAUTIOUS
from fairline.market.filters import Filters
from fairline.pricing.rules import Rules
from fairline.sources import Payload, Request
from fairline.store.store import Store
from tests.unit.backtesting.recorded import BEGIN, HOUR, record

GRID = Grid(BEGIN, BEGIN + 40 * HOUR, HOUR)
TERMS = Terms(Filters(), Rules(max_spread_percent=50.0), CAUTIOUS)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return record(tmp_path_factory.mktemp("recorded") / "store")


class Honest:
    """Prices every market a little above its midpoint."""

    name = "honest"
    version = "1"

    def covers(self, markets):
        return pl.col("p_mid").is_not_null()

    def requests(self, markets, asof):
        return [Request("user", "news.txt")]

    def predict(self, markets, payloads, asof):
        return self.answer(markets, pl.col("p_mid") + 0.05, asof)

    def answer(self, markets, p, asof):
        return markets.select(
            "ticker",
            p=p.clip(0.01, 0.99),
            p_sd=pl.lit(None, dtype=pl.Float64),
            model=pl.lit(self.name),
            asof=pl.lit(asof),
        )


class NextQuote(Honest):
    """Reads the quotes of the next hour from the store's own files."""

    name = "next quote"
    folder: Path

    def predict(self, markets, payloads, asof):
        later = Store(self.folder).read("quotes", since=asof, until=asof + HOUR)
        joined = markets.join(later.select("ticker", later="yes_bid_u"), on="ticker", how="left")
        return self.answer(joined, pl.col("later") / 1e6, asof)


class SwallowsErrors(NextQuote):
    """Falls back to the midpoint when it is refused the file."""

    name = "swallows errors"

    def predict(self, markets, payloads, asof):
        with suppress(Exception):
            (self.folder / "store.json").read_text()
        return self.answer(markets, pl.col("p_mid"), asof)


class Counts(Honest):
    """Answers differently each time it is asked."""

    name = "counts"
    calls = 0

    def predict(self, markets, payloads, asof):
        type(self).calls += 1
        return self.answer(markets, pl.col("p_mid") + 0.0001 * (type(self).calls % 7), asof)


class Reads(Honest):
    """Uses its input."""

    name = "reads"

    def predict(self, markets, payloads, asof):
        (payload,) = payloads.values()
        return self.answer(markets, pl.lit(float(payload.body)), asof)


@dataclass
class Source:
    model: type
    leaking: bool = False

    def load(self):
        return [self.model()]

    def inputs(self, store):
        return Recorded(store, leaking=self.leaking)


@dataclass
class Recorded:
    """One input that changes every hour; with `leaking`, its newest version is given at every instant."""

    store: Store
    leaking: bool

    def known_at(self, requests, at):
        seen = self.store.read("scans", until=None if self.leaking else at)["seen_ts"]
        return {request: Payload(request, at, str(len(seen) / 100).encode()) for request in requests}


@pytest.mark.parametrize("model", [Honest, Reads])
def test_an_honest_model_passes(store, tmp_path, model):
    proof = prove(store, Source(model), GRID, TERMS, tmp_path / "copy", sample=12)
    assert proof.leak is None
    assert proof.instants == 12
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("model", [NextQuote, SwallowsErrors])
def test_a_model_that_opens_files_is_caught(store, tmp_path, monkeypatch, model):
    monkeypatch.setattr(model, "folder", store.folder, raising=False)
    leak = prove(store, Source(model), GRID, TERMS, tmp_path / "copy", sample=12).leak
    assert leak.model == model.name
    assert "opened the file" in leak.source or "called polars" in leak.source


def test_a_model_that_opens_files_when_it_is_loaded_is_caught(store, tmp_path):
    class Loads(Honest):
        def __init__(self):
            self.later = pl.read_parquet(next(store.folder.glob("quotes/*/*.parquet")))

    leak = prove(store, Source(Loads), GRID, TERMS, tmp_path / "copy", sample=3).leak
    assert leak.model == "loading the models"


def test_an_input_that_was_recorded_later_is_named(store, tmp_path):
    leak = prove(store, Source(Reads, leaking=True), GRID, TERMS, tmp_path / "copy", sample=12).leak
    assert leak.model == "reads"
    assert "news.txt differs" in leak.source


def test_a_model_with_a_memory_of_its_own_is_caught(store, tmp_path):
    leak = prove(store, Source(Counts), GRID, TERMS, tmp_path / "copy", sample=12).leak
    assert leak.model == "counts"
    assert "does not depend only on the markets" in leak.source


def test_a_truncated_copy_holds_nothing_later_and_leaves_the_store_alone(store, tmp_path):
    before = store.read("quotes")
    copy_files(store.folder, tmp_path / "copy")
    at = BEGIN + 20 * HOUR + timedelta(minutes=30)
    truncate(tmp_path / "copy", at)
    copied = Store(tmp_path / "copy")
    assert copied.read("quotes").equals(before.filter(pl.col("seen_ts") <= at))
    assert copied.asof(at).sort("ticker").equals(store.asof(at).sort("ticker"), null_equal=True)
    assert store.read("quotes").equals(before)

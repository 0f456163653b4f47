"""Every benchmark imports and computes at a tiny size, so that none breaks unnoticed when the code changes."""

import importlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from benchmarks import curse, elo, evaluate, models, output, pricing, rules, startup, store, whole
from benchmarks.world import list_world

from fairline.config.model_settings import model_settings
from fairline.models import load
from fairline.sim.world import World
from fairline.store.datasets import QUOTES

FOLDER = Path(curse.__file__).parent
SCRIPTS = {"__init__", "__main__", "crawlers", "launch"}
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in SCRIPTS)


@pytest.mark.parametrize("name", MODULES)
def test_every_benchmark_imports(name):
    importlib.import_module(f"benchmarks.{name}")


def test_every_benchmark_in_the_list_has_a_run_function():
    text = (FOLDER / "__main__.py").read_text()
    listed = [name for name in MODULES if f'    "{name}",' in text]
    assert len(listed) >= 13
    assert all(hasattr(importlib.import_module(f"benchmarks.{name}"), "run") for name in listed)


def test_scripts_that_run_in_other_environments_compile():
    for name in ("crawlers", "launch"):
        compile((FOLDER / f"{name}.py").read_text(), name, "exec")


def test_the_winners_curse_runs_over_one_small_world():
    assert "| 0.6 |" in curse.run(1, 300)


def test_ratings_are_timed(monkeypatch):
    monkeypatch.setattr(elo, "GAMES", 500)
    monkeypatch.setattr(elo, "ELOTE", Path("missing"))
    assert "500 games" in elo.run()


def test_the_loop_and_the_columns_price_the_same_rows():
    frame = evaluate.markets(200)
    model = evaluate.Flat(frame)
    assert evaluate.loop(frame, model.predictions) > 0
    assert pricing.whole(frame.select(evaluate.MARKETS.names()), model.predictions) >= 0


@pytest.mark.parametrize("name", ["calibrated", "coherent", "consensus", "diffusion", "elo", "polls", "weather"])
def test_each_model_has_payloads(name, monkeypatch):
    monkeypatch.setattr(models, "MARKETS", 600)
    monkeypatch.setattr(models, "RUNGS", 400)
    monkeypatch.setattr(models, "GAMES", 60)
    seconds, _ = models.measure(load(name, model_settings()), models.frame())
    assert seconds >= 0


def test_books_are_walked_and_rules_applied(monkeypatch):
    monkeypatch.setattr(rules, "BOOKS", 20)
    depth = rules.offers(rules.levels())
    assert rules.executions(depth, rules.SIZES_C).height
    assert rules.plain_rules(rules.list_books(80)) >= 0
    assert rules.violations(rules.list_books(80), asof=datetime.now(UTC)).height >= 0


def test_quotes_have_the_columns_of_the_store(monkeypatch):
    monkeypatch.setattr(store, "MARKETS", 120)
    rng = np.random.default_rng(0)
    quotes = store.market_quotes(rng)
    assert set(quotes.columns) <= set(QUOTES.names())
    assert store.move_quotes(quotes, rng).columns == quotes.columns


def test_a_world_becomes_markets():
    assert list_world(World(200, past=0, seed=1)).height >= 200


def test_the_token_bound_counts_requests_beyond_the_burst():
    cost = whole.Cost(seconds=5.0, cpu=2.0, peak_mb=300, requests=100)
    assert cost.bound_s == pytest.approx(2.08)
    assert whole.describe("x", cost) == "| x | 5.00 | 2.00 | 300 | 100 | 2.08 |"


@pytest.mark.parametrize("name", list(output.WRITERS))
def test_every_format_is_written(name):
    assert output.measure(name, 50)[0] >= 0


def test_a_start_is_measured():
    assert startup.cpu_seconds(("-c", "pass")) > 0

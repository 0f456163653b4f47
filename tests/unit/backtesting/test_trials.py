"""Runs are kept with what they saw, and the best of many is judged as such."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from fairline.backtesting.trades import TRADES
from fairline.backtesting.trials import Run, correct_for_trials, hash_data, list_runs, read_trades, run_id, save_run
from fairline.errors import StoreError
from fairline.store.store import Store

BEGIN = datetime(2026, 11, 22, tzinfo=UTC)


def trades(wins):
    """Return settled trades at 50 cents, one per event, with a fee of a cent on either side."""
    rows = len(wins)
    columns = {
        "event_ticker": [f"E{number}" for number in range(rows)], "ticker": [f"T{number}" for number in range(rows)],
        "side": ["yes"] * rows, "count_cc": [100] * rows, "price_u": [500_000] * rows, "fee_u": [10_000] * rows,
        "other_price_u": [510_000] * rows, "other_fee_u": [10_000] * rows, "decided_ts": [BEGIN] * rows,
        "payout_u": [1_000_000 if win else 0 for win in wins],
    }  # fmt: skip
    blank = {name: [None] * rows for name in TRADES if name not in columns}
    return pl.DataFrame(columns | blank, schema_overrides=TRADES).select(TRADES.names())


def run(identity="a", created=BEGIN):
    return Run(
        id=identity, created_ts=created, models={"elo": "1"}, since=BEGIN, until=BEGIN, options={}, data_hash="h"
    )


def test_the_best_of_many_coin_flips_is_not_significant():
    rng = np.random.default_rng(4)
    best = correct_for_trials([(f"{number}", trades(rng.random(100) < 0.5)) for number in range(50)])
    assert best.p_alone < 0.1
    assert best.p_corrected > 0.2
    assert best.candidates == 50


def test_a_skilled_run_among_coin_flips_is_found():
    rng = np.random.default_rng(5)
    runs = [(f"{number}", trades(rng.random(100) < (0.75 if number == 3 else 0.5))) for number in range(20)]
    best = correct_for_trials(runs)
    assert best.index == 3
    assert best.p_corrected < 0.01


def test_runs_without_settled_trades_are_not_judged():
    assert correct_for_trials([]) is None
    assert correct_for_trials([("a", TRADES.to_frame())]) is None


def test_a_run_is_kept_with_its_trades(tmp_path):
    store = Store(tmp_path)
    save_run(store, run("b", BEGIN.replace(hour=2)), trades([True]))
    save_run(store, run("a", BEGIN.replace(hour=1)), trades([True, False]))
    assert [run.id for run in list_runs(store)] == ["a", "b"]
    assert read_trades(store, run("a")).height == 2


def test_a_damaged_record_is_named_and_the_others_are_listed(tmp_path):
    store = Store(tmp_path)
    save_run(store, run("a"), trades([True]))
    (tmp_path / "backtests" / "b").mkdir()
    (tmp_path / "backtests" / "b" / "run.json").write_text("{")
    assert [run.id for run in list_runs(store)] == ["a"]
    assert "backtests/b/run.json cannot be read" in store.warnings[0]
    with pytest.raises(StoreError, match="cannot be read"):
        read_trades(store, run("b"))


def test_the_same_question_over_the_same_data_is_the_same_run(tmp_path):
    same = run_id({"elo": "1"}, BEGIN, BEGIN, {"every": "1h"}, "h")
    assert same == run_id({"elo": "1"}, BEGIN, BEGIN, {"every": "1h"}, "h")
    assert same != run_id({"elo": "2"}, BEGIN, BEGIN, {"every": "1h"}, "h")
    before = hash_data(Store(tmp_path))
    (tmp_path / "quotes" / "day=2026-11-22").mkdir(parents=True)
    (tmp_path / "quotes" / "day=2026-11-22" / "x.parquet").write_bytes(b"1")
    assert hash_data(Store(tmp_path)) != before

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from fairline.scoring.records import read_records, settled_opinions
from fairline.store.store import Store

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def new_store(folder):
    store = Store(folder)
    store.acquire()
    return store


def fill(store, n=400, share=0.8, spread=0.02):
    rng = np.random.default_rng(1)
    mid = rng.uniform(0.45, 0.55, n)
    move = rng.choice([-0.25, 0.25], n)
    wins = rng.random(n) < mid + share * move
    predictions = pl.DataFrame(
        {
            "ticker": [f"T{i}" for i in range(n)],
            "event_ticker": [f"E{i}" for i in range(n)],
            "category": "Sports",
            "model": "elo",
            "p": mid + move,
            "p_sd": 0.1,
            "p_bid": mid - spread / 2,
            "p_ask": mid + spread / 2,
            "asof": NOW,
        }
    )
    settlements = predictions.select(
        "ticker",
        "event_ticker",
        result=pl.Series(np.where(wins, "yes", "no")),
        payout_u=pl.Series(wins.astype(np.int64) * 1_000_000),
        settled_ts=pl.lit(NOW),
    )
    store.append("predictions", predictions, NOW)
    store.append("settlements", settlements, NOW + timedelta(days=1))


def test_the_record_of_a_store_counts_every_settled_prediction(tmp_path):
    store = new_store(tmp_path)
    fill(store)
    (record,) = read_records(store)
    assert (record.model, record.category, record.events, record.source) == ("elo", "Sports", 400, "store")
    assert abs(record.estimate - 0.8) < 3 * record.standard_error
    assert (record.first_day, record.last_day) == ("2026-11-22", "2026-11-22")


def test_a_settlement_counts_only_once_it_was_known(tmp_path):
    store = new_store(tmp_path)
    fill(store)
    assert read_records(store, NOW + timedelta(hours=1)) == ()


def test_wide_quotes_and_scalar_results_do_not_count(tmp_path):
    store = new_store(tmp_path)
    fill(store, spread=0.05)
    assert read_records(store) == ()
    predictions = store.read("predictions").with_columns(p_bid=0.495, p_ask=0.505)
    scalar = store.read("settlements").with_columns(result=pl.lit("scalar"))
    assert settled_opinions(predictions, scalar.filter(pl.col("result") != "scalar")).is_empty()


def test_the_first_prediction_of_a_market_counts(tmp_path):
    store = new_store(tmp_path)
    fill(store, n=40)
    later = store.read("predictions").drop("seen_ts").with_columns(p=0.5, asof=pl.lit(NOW + timedelta(hours=2)))
    store.append("predictions", later, NOW + timedelta(hours=2))
    rows = settled_opinions(store.read("predictions"), store.read("settlements"))
    assert rows.height == 40
    assert (rows["asof"] == NOW).all()

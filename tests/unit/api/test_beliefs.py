from datetime import timedelta

import polars as pl
import pytest

from fairline.api import beliefs as loading
from fairline.api.beliefs import load_beliefs
from fairline.config.settings import load_settings
from fairline.errors import UsageError
from tests.unit.scoring.test_read_records import NOW, fill, new_store


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_: tmp_path / "cache")
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_: tmp_path / "data")
    return load_settings({"exchange": "http://127.0.0.1:1/trade-api/v2"})


def test_without_a_store_the_shipped_records_and_the_trust_remain(settings):
    beliefs = load_beliefs(settings, 0.7, pytest.fail)
    assert beliefs.for_model("mine.csv", "Sports").k == 0.7
    assert beliefs.for_model("weather", "Climate and Weather").k == 0.0


def test_a_trust_outside_0_to_1_is_refused(settings):
    with pytest.raises(UsageError, match="invalid trust: expected a share from 0 to 1"):
        load_beliefs(settings, 1.5, pytest.fail)


def test_the_record_of_the_store_is_believed_and_cached(settings, tmp_path, monkeypatch):
    fill(new_store(tmp_path / "store"), n=3_000)
    earned = load_beliefs(settings, 1.0, pytest.fail, folder=tmp_path / "store").for_model("elo", "Sports")
    assert (earned.source, earned.events) == ("store", 3_000)
    assert 0.5 < earned.k < 0.9
    monkeypatch.setattr(loading, "read_records", pytest.fail)
    again = load_beliefs(settings, 1.0, pytest.fail, folder=tmp_path / "store").for_model("elo", "Sports")
    assert again == earned


def test_a_notable_change_is_announced_once(settings, tmp_path):
    store = new_store(tmp_path / "store")
    fill(store, n=40)
    load_beliefs(settings, 1.0, pytest.fail, folder=tmp_path / "store")
    more = pl.concat([store.read("predictions").drop("seen_ts")] * 50).with_row_index("n")
    renamed = [
        pl.format("{}-{}", "ticker", "n").alias("ticker"),
        pl.format("{}-{}", "event_ticker", "n").alias("event_ticker"),
    ]
    more = more.with_columns(renamed)
    wins = more.select(
        "ticker", "event_ticker", result=pl.when(pl.col("p") > 0.5).then(pl.lit("yes")).otherwise(pl.lit("no"))
    )
    store.append("predictions", more.drop("n"), NOW + timedelta(days=2))
    store.append("settlements", wins.with_columns(payout_u=0, settled_ts=pl.lit(NOW)), NOW + timedelta(days=3))
    messages = []
    load_beliefs(settings, 1.0, messages.append, folder=tmp_path / "store", fresh=True)
    load_beliefs(settings, 1.0, messages.append, folder=tmp_path / "store", fresh=True)
    (message,) = messages
    assert message.startswith("elo in Sports: ")
    assert "of its disagreement with the price is believed (was 2%), after 2,040 settled events" in message


def test_a_damaged_store_is_announced_and_the_shipped_records_are_used(settings, tmp_path):
    folder = tmp_path / "store"
    fill(new_store(folder), n=40)
    (folder / "store.json").write_text("{")
    messages = []
    beliefs = load_beliefs(settings, 1.0, messages.append, folder=folder)
    assert messages[0].startswith("the record of your models cannot be read from the store: ")
    assert all(record.source == "shipped" for record in beliefs.records)

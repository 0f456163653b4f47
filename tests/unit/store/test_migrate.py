"""Stores of earlier versions: `v1` and `v2` were written by `dev/store_fixture.py` with those versions."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dev.store_fixture import BEGIN, TICKERS

from fairline.errors import StoreError
from fairline.store.check import check_store
from fairline.store.datasets import DATASETS, VERSION
from fairline.store.migrate import migrate
from fairline.store.store import Store
from fairline.watch.state import State

HERE = Path(__file__).parent
LATER = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture
def old(tmp_path):
    return shutil.copytree(HERE / "v1", tmp_path / "store")


def test_the_store_of_an_earlier_version_names_the_command_that_migrates_it(old):
    with pytest.raises(StoreError, match=f"has version 1; this Fairline reads version 2. Migrate it with: .*{old}"):
        Store(old)


def test_a_migrated_store_has_all_rows_under_todays_names(old):
    assert migrate(old) == 7
    store = Store(old)
    for dataset in ("quotes", "facts", "predictions", "edges", "settlements", "scans"):
        assert store.read(dataset).height == 2
    markets = store.asof(LATER).sort("ticker")
    assert markets["ticker"].to_list() == list(TICKERS)
    assert markets["yes_bid_size_cc"].to_list() == markets["volume_cc"].to_list() == [100_000, 200_000]
    assert markets["decided_ts"].null_count() == 0
    assert store.read("edges")["size_cc"].to_list() == [100_000, 200_000]
    assert store.read("quotes")["source"].null_count() == 2
    assert store.warnings == []
    assert list(check_store(old)) == []


def test_migrating_again_changes_nothing_and_an_interruption_is_made_up_for(old):
    def fail(path):
        if path.parts[-3] == "facts":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate(old, fail)
    assert migrate(old) == 7
    assert migrate(old) == 0


def test_the_state_of_an_earlier_version_is_migrated_when_it_is_opened(old):
    state = State(old)
    assert state.followed_tickers() == list(TICKERS)
    assert state.alarms() == {"disk": (BEGIN, "only 10 MB free")}
    assert [message.receiver for message in state.pending_messages()] == ["phone"]
    state.close()


def test_the_stored_store_of_todays_version_is_read(tmp_path):
    store = Store(shutil.copytree(HERE / f"v{VERSION}", tmp_path / "store"))
    for dataset in DATASETS:
        assert store.read(dataset).height == 2
    assert list(check_store(store.folder)) == []

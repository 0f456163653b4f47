"""Damage to a store is noticed, and a store knows its exchange."""

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from fairline.errors import StoreError
from fairline.sources import Payload, Request
from fairline.sources.inputs import ScanInputs
from fairline.store.check import check_store
from fairline.store.inputs import InputRecorder
from fairline.store.manifest import NAME
from fairline.store.parquet import write_parquet
from fairline.store.store import Store
from fairline.store.usage import describe_day, disk_usage
from tests.unit.store.test_store import quotes

BEGIN = datetime(2026, 11, 22, 21, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store", "production")
    store.acquire()
    for minute in range(3):
        store.append("quotes", quotes("A", bid=10_000 * minute), BEGIN + timedelta(minutes=minute))
    yield store
    store.release()


def findings(store):
    return [(finding.path.name, finding.text) for finding in check_store(store.folder)]


def first_file(store):
    return min(store.folder.glob("quotes/*/*.parquet"))


def test_an_undamaged_store_has_no_findings_before_and_after_a_merge(store):
    assert findings(store) == []
    store.compact(BEGIN + timedelta(hours=5))
    assert findings(store) == []


def test_a_changed_byte_is_found_even_where_the_file_can_still_be_read(store):
    path = first_file(store)
    content = bytearray(path.read_bytes())
    content[-20] ^= 1  # in the footer's metadata
    path.write_bytes(bytes(content))
    assert (path.name, "differs from its hash in the manifest") in findings(store)


def test_a_missing_file_is_found(store):
    path = first_file(store)
    path.unlink()
    assert findings(store) == [(path.name, "is missing")]


def test_a_file_that_was_set_aside_is_named(store):
    path = first_file(store)
    path.write_bytes(b"PAR1 but not really")
    store.read("quotes")
    assert (f"{path.name}.damaged", "was damaged and is left out") in findings(store)


def test_an_interrupted_merge_is_no_damage(store):
    contents = {path: path.read_bytes() for path in store.folder.rglob("*.parquet")}
    day = first_file(store).parent
    manifest = (day / NAME).read_bytes()
    store.compact(BEGIN + timedelta(hours=5))
    merged = json.loads((day / NAME).read_bytes())
    (day / NAME).write_bytes(json.dumps(json.loads(manifest) | merged).encode())
    assert findings(store) == []
    for path, content in contents.items():
        path.write_bytes(content)
    assert findings(store) == []


def test_a_file_that_a_killed_writer_did_not_list_is_listed_by_the_next(store):
    path = first_file(store)
    unlisted = path.with_name("20261122T215900.000000Z.parquet")
    write_parquet(unlisted, quotes("B").lazy())
    listed = json.loads((path.parent / NAME).read_bytes())
    del listed[unlisted.name]
    (path.parent / NAME).write_bytes(json.dumps(listed).encode())
    assert findings(store) == [(unlisted.name, "is not in the manifest")]
    store.release()
    store.acquire()
    assert findings(store) == []


def test_a_changed_body_of_an_input_is_found(store):
    request = Request("user", "polls.csv")
    inputs = ScanInputs({request: Payload(request, BEGIN, b"polls")}, BEGIN, BEGIN)
    InputRecorder(store).record(inputs, store.next_ts(BEGIN))
    [path] = store.folder.glob("inputs/*/*.parquet")
    rows = store.read("inputs").with_columns(hash=pl.lit("0" * 64))
    write_parquet(path, rows.lazy())
    assert findings(store) == [(path.name, "the body of user:polls.csv differs from its hash")]


def test_a_damaged_state_is_found(store):
    (store.folder / "state.sqlite").write_bytes(b"not a database" * 100)
    [(name, text)] = findings(store)
    assert (name, text) == ("state.sqlite", "cannot be read (file is not a database)")


def test_the_store_of_one_exchange_is_refused_to_another(store):
    for claim in (lambda: Store(store.folder, "demo"), lambda: Store(store.folder, "demo").acquire()):
        with pytest.raises(StoreError, match="holds markets of production, not of demo. Choose another --store"):
            claim()
    assert Store(store.folder).exchange == "production"


def test_a_store_without_an_exchange_becomes_that_of_its_first_writer(tmp_path):
    for exchange in ("", "demo"):
        store = Store(tmp_path, exchange)
        store.acquire()
        store.release()
    assert Store(tmp_path).exchange == "demo"
    with pytest.raises(StoreError, match="holds markets of demo"):
        Store(tmp_path, "production")


def test_disk_use_is_reported_per_dataset_and_day(store):
    usage = disk_usage(store.folder)
    assert usage.select("dataset", "day").rows() == [("quotes", BEGIN.date())]
    assert usage["bytes"][0] == sum(path.stat().st_size for path in store.folder.glob("quotes/*/*"))
    assert describe_day(usage, BEGIN.date()).startswith("0.0 MB on 2026-11-22: quotes 0.0")
    assert describe_day(usage, BEGIN.date() - timedelta(days=1)) == ""

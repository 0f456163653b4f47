"""The store against a list of what was appended, with merges, interruptions and damaged files."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fairline.errors import StoreError
from fairline.store.datasets import DATASETS, QUOTES, SCANS, VERSION
from fairline.store.store import Store

BEGIN = datetime(2026, 11, 22, 21, tzinfo=UTC)


def quotes(*tickers, bid=100_000, listed=True):
    return pl.DataFrame({"ticker": list(tickers)}).with_columns(
        listed=pl.lit(listed), yes_bid_u=pl.lit(bid), yes_ask_u=pl.lit(bid + 10_000), status=pl.lit("active")
    ).select(
        pl.col(name).cast(dtype) if name in ("ticker", "listed", "yes_bid_u", "yes_ask_u", "status")
        else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in QUOTES.items() if name != "seen_ts"
    )  # fmt: skip


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    store.acquire()
    yield store
    store.release()


changes = st.lists(
    st.tuples(
        st.integers(1, 90),  # minutes since the last
        st.dictionaries(st.sampled_from("ABCD"), st.integers(1, 98), min_size=1),
        st.sampled_from(["", "", "full", "compact", "crash", "gone"]),
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(changes, st.integers(0, 14))
@example([(1, {"B": 1}, ""), (1, {"A": 1}, ""), (1, {"B": 1}, "full")], 0)  # A has no row of its own, only the snapshot
def test_reading_returns_what_was_appended_whatever_was_merged(tmp_path_factory, plan, at):
    store = Store(tmp_path_factory.mktemp("store"))
    store.acquire()
    now, appended, state, seen = BEGIN, [], {}, []
    for minutes, bids, also in plan:
        now += timedelta(minutes=minutes)
        for ticker, bid in bids.items():
            state[ticker] = None if also == "gone" else bid * 10_000
            appended.append((now, ticker, state[ticker]))
        rows = [quotes(t, bid=b * 10_000, listed=also != "gone") for t, b in bids.items()]
        store.append("quotes", pl.concat(rows), now)
        seen.append((now, dict(state)))
        if also == "full":
            snapshot = [quotes(t, bid=b) for t, b in state.items() if b is not None]
            store.append("quotes", pl.concat(snapshot) if snapshot else quotes(), now, full=True)
        if also == "compact":
            store.compact(now)
        if also == "crash":
            interrupt_merge(store, now)
    rows = store.read("quotes").with_columns(bid=pl.when("listed").then("yes_bid_u"))
    assert sorted(rows.select("seen_ts", "ticker", "bid").rows(), key=str) == sorted(appended, key=str)
    when, then = seen[min(at, len(seen) - 1)]
    known = store.latest("quotes", when).filter("listed")
    expected = {ticker: bid for ticker, bid in then.items() if bid is not None}
    assert dict(known.select("ticker", "yes_bid_u").iter_rows()) == expected
    history = store.history("A", when)
    after = [(at, "A", bid) for at, ticker, bid in appended if ticker == "A" and at > when]
    assert history.filter(pl.col("seen_ts") > when).height == len(after)
    if then.get("A") is not None:
        assert history.filter(pl.col("seen_ts") <= when).height == 1
    store.release()


def interrupt_merge(store, now):
    """Leave the files as a merge does that is killed before it deletes those it replaced."""
    contents = {path: path.read_bytes() for path in store.folder.rglob("*.parquet")}
    store.compact(now)
    for path, content in contents.items():
        path.write_bytes(content)


def test_asof_returns_what_was_known_at_an_instant(store):
    facts = pl.DataFrame(
        {"ticker": ["A"], "event_ticker": ["E"], "title": ["Will it?"], "market_type": ["binary"]}
    ).select(
        pl.col(name).cast(dtype)
        if name in ("ticker", "event_ticker", "title", "market_type")
        else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in DATASETS["facts"].items()
        if name != "seen_ts"
    )
    store.append("facts", facts, BEGIN)
    store.append("quotes", quotes("A", bid=300_000), BEGIN)
    store.append("quotes", quotes("A", bid=500_000), BEGIN + timedelta(minutes=5))
    row = store.asof(BEGIN + timedelta(minutes=4)).row(0, named=True)
    assert (row["title"], row["yes_bid_u"], row["p_bid"]) == ("Will it?", 300_000, 0.3)
    assert store.asof(BEGIN + timedelta(minutes=5))["yes_bid_u"].to_list() == [500_000]
    assert store.asof(BEGIN - timedelta(seconds=1)).is_empty()


def test_history_begins_with_the_oldest_snapshot_if_earlier_days_expired(store):
    store.append("quotes", quotes("A", bid=300_000), BEGIN)
    later = BEGIN + timedelta(days=3)
    store.append("quotes", quotes("A", bid=300_000), later, full=True)
    store.append("quotes", quotes("A", bid=400_000), later + timedelta(hours=1))
    assert store.expire({"quotes": 1}, later) == 1
    assert store.history("A")["yes_bid_u"].to_list() == [300_000, 400_000]


def test_a_damaged_file_is_renamed_and_named_and_the_rest_is_used(store):
    store.append("quotes", quotes("A"), BEGIN)
    bad = store.append("quotes", quotes("B"), BEGIN + timedelta(minutes=1))
    bad.write_bytes(bad.read_bytes()[:100])
    assert store.read("quotes")["ticker"].to_list() == ["A"]
    assert "damaged" in store.warnings[0]
    assert bad.name in store.warnings[0]
    assert bad.with_name(f"{bad.name}.damaged").exists()


def test_a_damaged_file_does_not_stop_a_merge(store):
    for minute in range(4):
        path = store.append(
            "quotes", quotes("AB"[minute % 2], bid=10_000 * (minute + 1)), BEGIN + timedelta(minutes=minute)
        )
    path.write_bytes(b"PAR1 but not really")
    later = BEGIN + timedelta(hours=6)
    assert [store.compact(later), store.compact(later)] == [2, 0]
    assert store.read("quotes").height == 3


def test_a_store_of_a_later_version_is_refused(store):
    (store.folder / "store.json").write_text(json.dumps({"version": VERSION + 1}))
    with pytest.raises(
        StoreError, match=f"has version {VERSION + 1}; this Fairline reads versions up to {VERSION}. Update"
    ):
        Store(store.folder)


def test_columns_that_an_earlier_version_lacks_are_null(store):
    path = store.append("scans", pl.DataFrame([dict.fromkeys(DATASETS["scans"])], schema=DATASETS["scans"]), BEGIN)
    pl.read_parquet(path, hive_partitioning=False).drop("funnel").write_parquet(path)
    assert Store(store.folder).read("scans")["funnel"].to_list() == [None]


def test_a_second_writer_is_refused_and_the_first_is_named(store):
    with pytest.raises(StoreError, match=f"process {os.getpid()} is writing to the store .*. Stop that process"):
        Store(store.folder).acquire()
    store.release()
    Store(store.folder).acquire()


def test_a_folder_that_cannot_be_created_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write to the store .* \(Not a directory\). Check the disk"):
        Store(tmp_path / "file" / "store").acquire()


def test_nothing_is_written_into_the_mount_point_of_an_unmounted_disk(store):
    store.folder.rename(store.folder.with_name("elsewhere"))
    store.folder.mkdir()
    with pytest.raises(StoreError, match="is missing. Mount its disk again"):
        store.append("quotes", quotes("A"), BEGIN)
    assert list(store.folder.iterdir()) == []


def test_a_full_disk_leaves_no_partial_file(tmp_path):
    """Limit the file size, which fails like a full disk in the middle of writing."""
    script = (
        "import resource, signal, sys; from datetime import datetime, UTC\n"
        "import polars as pl; from fairline.store.store import Store; from fairline.errors import StoreError\n"
        "from tests.unit.store.test_store import quotes\n"
        f"store = Store(__import__('pathlib').Path({str(tmp_path / 'store')!r})); store.acquire()\n"
        "store.append('quotes', quotes('A'), datetime(2026, 11, 22, tzinfo=UTC))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "many = pl.concat([quotes(f'T{i}', bid=i) for i in range(9000)])\n"
        "try: store.append('quotes', many, datetime(2026, 11, 23, tzinfo=UTC))\n"
        "except StoreError as error: print(error)\n"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    assert "cannot write" in done.stdout
    assert "Check the disk" in done.stdout
    files = [
        path.name for path in (tmp_path / "store" / "quotes").rglob("*") if path.is_file() and path.suffix != ".json"
    ]
    assert len(files) == 1
    assert Store(tmp_path / "store").read("quotes").height == 1


def test_recorded_time_never_runs_backwards_even_after_a_restart(store):
    first = store.next_ts(BEGIN)
    store.append("quotes", quotes("A"), first)
    assert store.next_ts(BEGIN - timedelta(hours=1)) == first + timedelta(microseconds=1)
    store.release()
    restarted = Store(store.folder)
    assert restarted.next_ts(BEGIN - timedelta(days=1)) == first + timedelta(microseconds=1)
    assert restarted.next_ts(BEGIN + timedelta(days=1)) == BEGIN + timedelta(days=1)


def test_the_next_writer_deletes_what_a_killed_one_left(store):
    path = store.append("quotes", quotes("A"), BEGIN)
    partial = path.with_name(f".{path.name}.writing")
    partial.write_bytes(b"half")
    assert store.read("quotes").height == 1
    store.release()
    Store(store.folder).acquire()
    assert not partial.exists()


def test_what_is_recorded_is_readable_by_the_owner_only(tmp_path):
    store = Store(tmp_path / "store")
    store.acquire()
    row = dict.fromkeys(SCANS) | {"outcome": "done"}
    store.append("scans", pl.DataFrame([row], schema=SCANS), datetime(2026, 11, 23, 12, tzinfo=UTC))
    store.release()
    paths = [tmp_path / "store", *(tmp_path / "store").rglob("*")]
    assert len(paths) > 4
    assert [path.name for path in paths if path.is_file() and path.stat().st_mode & 0o077] == []
    assert (tmp_path / "store").stat().st_mode & 0o077 == 0

"""The state of a watch: saved in transactions, and migrated from earlier versions."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fairline.errors import StoreError
from fairline.watch.alerts import Item, Kind, Tracked
from fairline.watch.state import MAX_UNDELIVERED, MIGRATIONS, State, Suspension

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEY = ("A", "yes", "elo")


@pytest.fixture
def state(tmp_path):
    state = State(tmp_path)
    yield state
    state.close()


def test_a_decision_is_read_back_unchanged(state, tmp_path):
    row = {"ticker": "A", "close_ts": NOW, "price_u": 500_000, "title": "Ünï “quoted”"}
    state.save_decision("r", [Item(KEY, Kind.APPEARED, "text")], [Tracked(KEY, "sent", 5.0, NOW, row)], NOW)
    again = State(tmp_path)
    assert again.read_tracked("r") == {KEY: Tracked(KEY, "sent", 5.0, NOW, row)}
    assert again.pending_items("r") == ([1], [Item(KEY, Kind.APPEARED, "text")], NOW)
    assert again.read_tracked("other") == {}
    again.close()


def test_a_message_replaces_its_items_or_nothing_changes(state):
    state.save_decision("r", [Item(KEY, Kind.APPEARED, "text")], [], NOW)
    with pytest.raises(StoreError):
        state.enqueue("r", ["phone", None], ("title", "body"), NOW, [1])  # a receiver needs a name
    assert state.due_messages(NOW) == []
    assert len(state.pending_items("r")[1]) == 1
    state.enqueue("r", ["phone", "mail"], ("title", "body"), NOW, [1])
    assert [message.receiver for message in state.due_messages(NOW)] == ["phone", "mail"]
    assert state.pending_items("r") == ([], [], None)
    assert state.sent_times("r", NOW - timedelta(hours=1)) == [NOW]


def test_messages_of_a_receiver_stay_in_order_and_do_not_delay_other_receivers(state):
    for number in range(3):
        state.enqueue("r", ["phone", "mail"], (f"title {number}", ""), NOW + timedelta(seconds=number))
    first, mail = state.due_messages(NOW)
    state.postpone(first, NOW + timedelta(minutes=1))
    state.mark_delivered(mail, NOW)
    assert [(x.receiver, x.title) for x in state.due_messages(NOW + timedelta(seconds=10))] == [("mail", "title 1")]
    later = state.due_messages(NOW + timedelta(minutes=2))
    assert [(x.receiver, x.title, x.attempts) for x in later] == [("phone", "title 0", 1), ("mail", "title 1", 0)]
    assert len(state.pending_messages()) == 5


def test_alarms_suspensions_and_followed_markets_are_saved(state):
    state.raise_alarm("outage", "no scan", ["phone"], ("Outage", "no scan"), NOW)
    assert state.alarms() == {"outage": (NOW, "no scan")}
    state.clear_alarm("outage", ["phone"], ("Clear", ""), NOW)
    assert state.alarms() == {}
    assert [message.title for message in state.pending_messages()] == ["Outage", "Clear"]
    state.suspend(Suspension("elo", 2, NOW, "broken"))
    assert state.suspensions()["elo"].failures == 2
    state.resume(["elo", "never there"])
    assert state.suspensions() == {}
    state.follow(["B", "A", "A"], NOW)
    state.unfollow(["B"])
    assert state.followed_tickers() == ["A"]


def test_pruning_deletes_what_ended_long_ago_and_keeps_what_waits(state):
    old = NOW - timedelta(days=60)
    state.save_decision("r", [], [Tracked(KEY, "gone", 1.0, old), Tracked(("B", "no", "x"), "sent", 1.0, old)], old)
    state.enqueue("r", ["phone", "mail"], ("t", ""), old)
    state.mark_delivered(state.due_messages(NOW)[0], old)
    state.prune(NOW)
    assert set(state.read_tracked("r")) == {("B", "no", "x")}
    assert [message.receiver for message in state.pending_messages()] == ["mail"]


def test_a_later_version_is_refused_and_an_earlier_one_is_copied_and_migrated(tmp_path):
    first = State(tmp_path)
    first.follow(["A"], NOW)
    version = len(MIGRATIONS)
    later = (*MIGRATIONS, "ALTER TABLE notes ADD COLUMN extra TEXT;")
    # The first is still open, so its rows may be only in the log beside the file.
    State(tmp_path, later).close()
    first.close()
    assert (tmp_path / f"state.v{version}.sqlite").exists()
    with pytest.raises(
        StoreError, match=f"has version {version + 1}; this Fairline reads versions up to {version}. Update"
    ):
        State(tmp_path)
    with sqlite3.connect(tmp_path / f"state.v{version}.sqlite") as copy:
        assert copy.execute("PRAGMA user_version").fetchone() == (version,)
        assert copy.execute("SELECT ticker FROM followed").fetchall() == [("A",)]
    copy.close()


def test_a_file_that_is_not_a_database_is_one_line(tmp_path):
    (tmp_path / "state.sqlite").write_bytes(b"this is not a database, and long enough to be taken for one" * 50)
    with pytest.raises(StoreError, match=r"state.sqlite is damaged \(file is not a database\)"):
        State(tmp_path)


def test_a_clock_that_was_set_back_delays_no_message(state):
    later = NOW + timedelta(days=2)
    state.enqueue("r", ["phone"], ("t", ""), later)
    state.postpone(state.due_messages(later)[0], later + timedelta(minutes=15))
    assert [message.title for message in state.due_messages(NOW)] == ["t"]


def test_the_first_versions_rows_are_migrated(tmp_path):
    first = sqlite3.connect(tmp_path / "state.sqlite")
    first.executescript(f"{MIGRATIONS[0]} PRAGMA user_version=1;")
    first.executescript((Path(__file__).parent / "state_v1.sql").read_text())
    first.commit()
    first.close()
    state = State(tmp_path)
    assert {key[0]: each.phase for key, each in state.read_tracked("r").items()} == {"A": "sent", "B": "returned"}
    assert state.alarms() == {"outage": (NOW, "no complete scan")}
    assert state.suspensions()["elo"].reason == "no payload"
    assert state.get_note("settlements_rechecked") == "x"
    state.close()


def test_a_damaged_database_is_named_with_a_way_out(tmp_path):
    (tmp_path / "state.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreError, match="is damaged") as caught:
        State(tmp_path)
    assert f"mv {tmp_path / 'state.sqlite'} {tmp_path / 'state.sqlite'}.damaged" in caught.value.remedy
    (tmp_path / "state.sqlite").rename(tmp_path / "state.sqlite.damaged")
    State(tmp_path).close()


def test_the_database_and_its_log_are_readable_by_the_owner_only(tmp_path):
    state = State(tmp_path / "store")
    state.follow(["A"], NOW)
    files = list((tmp_path / "store").iterdir())
    assert {file.name for file in files} >= {"state.sqlite", "state.sqlite-wal"}
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)
    assert (tmp_path / "store").stat().st_mode & 0o077 == 0
    state.close()


def test_the_outbox_of_a_dead_receiver_is_bounded_and_keeps_the_latest(tmp_path, caplog):
    state = State(tmp_path)
    for number in range(MAX_UNDELIVERED + 50):
        state.enqueue("rule", ["dead", "other"][: 1 + (number < 3)], (f"{number}", "body"), NOW)
    waiting = state.pending_messages()
    assert len([m for m in waiting if m.receiver == "dead"]) == MAX_UNDELIVERED
    assert len([m for m in waiting if m.receiver == "other"]) == 3
    assert waiting[-1].title == str(MAX_UNDELIVERED + 49)
    assert "dropped its oldest message" in caplog.text
    state.close()


def test_a_scan_reads_only_the_history_that_it_needs(tmp_path, monkeypatch):
    state = State(tmp_path)
    old = [Tracked((f"OLD{n}", "yes", "m"), "gone", 3.0, NOW, {"ticker": f"OLD{n}"}) for n in range(500)]
    live = [Tracked(("A", "yes", "m"), "sent", 3.0, NOW, {}), Tracked(("B", "no", "m"), "returned", 3.0, NOW, {})]
    state.save_decision("rule", [], [*old, *live], NOW)
    decoded = []
    monkeypatch.setattr("fairline.watch.state._decode_row", lambda text: decoded.append(text) or {})
    assert {key[0] for key in state.read_tracked("rule")} == {"A", "B"}
    assert {key[0] for key in state.read_tracked("rule", ["OLD7", "C"])} == {"A", "B", "OLD7"}
    assert len(decoded) == 5
    assert len(state.unsettled_tickers(["rule"])) == 502
    state.close()

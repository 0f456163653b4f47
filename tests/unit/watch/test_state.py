"""What must not be lost: written in one transaction or not at all, and read again after a kill."""

import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from fairline.errors import StoreError
from fairline.watch.alerts import Item, Told
from fairline.watch.state import MIGRATIONS, Bench, State

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEY = ("A", "yes", "elo")


@pytest.fixture
def state(tmp_path):
    made = State(tmp_path)
    yield made
    made.close()


def test_what_was_decided_is_there_again_whole(state, tmp_path):
    row = {"ticker": "A", "close_ts": NOW, "price_u": 500_000, "title": "Ünï “quoted”"}
    state.decide("r", [Item(KEY, "appeared", "text")], [Told(KEY, "told", 5.0, NOW, row)], NOW)
    again = State(tmp_path)
    assert again.known("r") == {KEY: Told(KEY, "told", 5.0, NOW, row)}
    assert again.waiting("r") == ([1], [Item(KEY, "appeared", "text")], NOW)
    assert again.known("other") == {}
    again.close()


def test_a_message_takes_the_place_of_its_items_or_nothing_changes(state):
    state.decide("r", [Item(KEY, "appeared", "text")], [], NOW)
    with pytest.raises(StoreError):
        state.send("r", ["phone", None], ("title", "body"), NOW, [1])  # a receiver without a name is refused
    assert state.outbox(NOW) == []
    assert len(state.waiting("r")[1]) == 1
    state.send("r", ["phone", "mail"], ("title", "body"), NOW, [1])
    assert [letter.receiver for letter in state.outbox(NOW)] == ["phone", "mail"]
    assert state.waiting("r") == ([], [], None)
    assert state.sent("r", NOW - timedelta(hours=1)) == [NOW]


def test_each_receiver_gets_its_letters_in_order_and_one_does_not_hold_up_another(state):
    for number in range(3):
        state.send("r", ["phone", "mail"], (f"title {number}", ""), NOW + timedelta(seconds=number))
    first, mail = state.outbox(NOW)
    state.postpone(first, NOW + timedelta(minutes=1))
    state.delivered(mail, NOW)
    assert [(x.receiver, x.title) for x in state.outbox(NOW + timedelta(seconds=10))] == [("mail", "title 1")]
    later = state.outbox(NOW + timedelta(minutes=2))
    assert [(x.receiver, x.title, x.attempts) for x in later] == [("phone", "title 0", 1), ("mail", "title 1", 0)]
    assert len(state.outbox(NOW, all_of_it=True)) == 5


def test_alarms_benches_and_followed_markets_are_kept(state):
    state.raise_alarm("blind", "no scan", ["phone"], ("Blind", "no scan"), NOW)
    assert state.alarms() == {"blind": (NOW, "no scan")}
    state.clear_alarm("blind", ["phone"], ("Clear", ""), NOW)
    assert state.alarms() == {}
    assert [letter.title for letter in state.outbox(NOW, all_of_it=True)] == ["Blind", "Clear"]
    state.bench(Bench("elo", 2, NOW, "broken"))
    assert state.benched()["elo"].failures == 2
    state.unbench(["elo", "never there"])
    assert state.benched() == {}
    state.follow(["B", "A", "A"], NOW)
    state.unfollow(["B"])
    assert state.followed() == ["A"]


def test_what_is_long_over_is_forgotten_and_what_waits_is_not(state):
    old = NOW - timedelta(days=60)
    state.decide("r", [], [Told(KEY, "gone", 1.0, old), Told(("B", "no", "x"), "told", 1.0, old)], old)
    state.send("r", ["phone", "mail"], ("t", ""), old)
    state.delivered(state.outbox(NOW)[0], old)
    state.prune(NOW)
    assert set(state.known("r")) == {("B", "no", "x")}
    assert [letter.receiver for letter in state.outbox(NOW, all_of_it=True)] == ["mail"]


def test_a_later_version_is_refused_and_an_earlier_one_migrated_after_a_copy(tmp_path):
    first = State(tmp_path)
    first.follow(["A"], NOW)
    later = (*MIGRATIONS, "ALTER TABLE notes ADD COLUMN extra TEXT;")
    # Still open, so that what was written may be in the log beside the file only.
    State(tmp_path, later).close()
    first.close()
    assert (tmp_path / "state.v1.sqlite").exists()
    with pytest.raises(StoreError, match="is of version 2, this Fairline knows 1. Update Fairline"):
        State(tmp_path)
    with sqlite3.connect(tmp_path / "state.v1.sqlite") as copy:
        assert copy.execute("PRAGMA user_version").fetchone() == (1,)
        assert copy.execute("SELECT ticker FROM followed").fetchall() == [("A",)]
    copy.close()


def test_what_is_no_database_is_one_line(tmp_path):
    (tmp_path / "state.sqlite").write_bytes(b"this is not a database, and long enough to be taken for one" * 50)
    with pytest.raises(StoreError, match=r"state.sqlite cannot be used \(file is not a database\)"):
        State(tmp_path)


def test_a_clock_that_stepped_back_holds_up_no_letter(state):
    later = NOW + timedelta(days=2)
    state.send("r", ["phone"], ("t", ""), later)
    state.postpone(state.outbox(later)[0], later + timedelta(minutes=15))
    assert [letter.title for letter in state.outbox(NOW)] == ["t"]

"""Mutable state of a watch: what was sent, the outbox, alarms, suspended models, followed markets, and notes.

SQLite with a write-ahead log, in the store's folder. A decision and the message it causes are written in one
transaction, so delivery is at-least-once: a duplicate is possible only if the process dies between delivery and commit.
"""

import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

from fairline.errors import StoreError
from fairline.text import sanitize, sanitize_lines
from fairline.watch.alerts import Item, Key, Kind, Tracked

log = logging.getLogger("fairline.watch")

_SCRIPTS = resources.files("fairline.watch") / "migrations"
MIGRATIONS = tuple((_SCRIPTS / f"{number}.sql").read_text(encoding="utf-8") for number in (1, 2))
"""Scripts that turn each version of the tables into the next; their number is the current version."""

_KEEP = timedelta(days=30)
_KEEP_UNSENT = timedelta(days=7)
MAX_UNDELIVERED = 200
"""Messages that wait for one receiver. Beyond it the oldest are dropped: a dead receiver must not fill the disk."""
_MAX_RETRY_PAUSE = timedelta(minutes=20)
"""Longer than any pause between two attempts at a message."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message in the outbox."""

    number: int
    receiver: str
    title: str
    body: str
    attempts: int
    created_ts: datetime


@dataclass(frozen=True, slots=True)
class Suspension:
    """A model that failed and is left out until an instant."""

    model: str
    failures: int
    until_ts: datetime
    reason: str


class State:
    """Raises `StoreError` if the database cannot be used or has a later version."""

    def __init__(self, folder: Path, migrations: Sequence[str] = MIGRATIONS) -> None:
        self.path = folder / "state.sqlite"
        with _store_errors(self.path):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Readable by the owner only; the write-ahead log inherits the mode.
            self.path.touch(mode=0o600)
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=2)
            self._migrate(migrations)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")

    def close(self) -> None:
        self._db.close()

    def _migrate(self, migrations: Sequence[str]) -> None:
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version > len(migrations):
            raise StoreError(
                f"{self.path} has version {version}; this Fairline reads versions up to {len(migrations)}",
                remedy="Update Fairline, or choose another --store",
            )
        if 0 < version < len(migrations):
            # SQLite's backup includes the write-ahead log, which a copy of the file would not.
            with sqlite3.connect(self.path.with_name(f"state.v{version}.sqlite")) as copy:
                self._db.backup(copy)
            copy.close()
        for number in range(version, len(migrations)):
            self._db.executescript(f"BEGIN; {migrations[number]} PRAGMA user_version={number + 1}; COMMIT;")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _store_errors(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with _store_errors(self.path):
            return self._db.execute(query, values).fetchall()

    # alert rules

    def read_tracked(self, rule: str, tickers: Iterable[str] = ()) -> dict[Key, Tracked]:
        """Return what a rule's receivers know about opportunities that they hold to be open, and about these tickers.

        Most of the history is about opportunities that are long over, and is not read.
        """
        rows = self._rows(
            "SELECT ticker, side, model, phase, edge_points, sent_ts, row FROM tracked WHERE rule = ? "
            "AND (phase IN ('sent', 'returned') OR ticker IN (SELECT value FROM json_each(?)))",
            rule,
            json.dumps(list(tickers)),
        )
        return {
            (ticker, side, model): Tracked((ticker, side, model), phase, edge, _parse_ts(at), _decode_row(row))
            for ticker, side, model, phase, edge, at, row in rows
        }

    def unsettled_tickers(self, rules: Iterable[str]) -> list[str]:
        """Return the markets that were reported by these rules and whose settlement was not, sorted."""
        rows = self._rows(
            "SELECT DISTINCT ticker FROM tracked WHERE phase != 'settled' "
            "AND rule IN (SELECT value FROM json_each(?)) ORDER BY ticker",
            json.dumps(list(rules)),
        )
        return [ticker for (ticker,) in rows]

    def save_decision(self, rule: str, items: Iterable[Item], tracked: Iterable[Tracked], now: datetime) -> None:
        """Save what a rule decided: what its receivers know now, and the items that wait to be sent."""
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO tracked VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(rule, *t.key, t.phase, t.edge_points, _format_ts(t.sent_ts), _encode_row(t.row)) for t in tracked],
            )
            db.executemany(
                "INSERT INTO items (rule, ticker, side, model, kind, text, at_ts) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(rule, *item.key, item.kind.value, item.text, _format_ts(now)) for item in items],
            )

    def pending_items(self, rule: str) -> tuple[list[int], list[Item], datetime | None]:
        """Return the numbers of the items that wait to be sent, the items, and the time of the oldest."""
        rows = self._rows(
            "SELECT id, ticker, side, model, kind, text, at_ts FROM items WHERE rule = ? ORDER BY id", rule
        )
        items = [Item((ticker, side, model), Kind(kind), text) for _, ticker, side, model, kind, text, _ in rows]
        return [row[0] for row in rows], items, _parse_ts(rows[0][6]) if rows else None

    def sent_times(self, rule: str, since: datetime) -> list[datetime]:
        """Return when messages of a rule were put into the outbox after an instant."""
        rows = self._rows("SELECT at_ts FROM sent WHERE rule = ? AND at_ts > ?", rule, _format_ts(since))
        return [_parse_ts(at) for (at,) in rows]

    def enqueue(
        self, rule: str, receivers: Iterable[str], message: tuple[str, str], now: datetime, items: Iterable[int] = ()
    ) -> None:
        """Put a message (title, body) for each receiver into the outbox, and delete the items it reports."""
        with self._transaction() as db:
            _insert_messages(db, receivers, message, now)
            db.executemany("DELETE FROM items WHERE id = ?", [(number,) for number in items])
            db.execute("INSERT INTO sent VALUES (?, ?)", (rule, _format_ts(now)))

    # the outbox

    def pending_messages(self) -> list[Message]:
        """Return all messages that are not delivered yet, the oldest first."""
        return [_message(row) for row in self._undelivered_rows()]

    def due_messages(self, now: datetime) -> list[Message]:
        """Return the messages to deliver by now: of each receiver only its oldest."""
        oldest: dict[str, tuple[Any, ...]] = {}
        for row in self._undelivered_rows():
            oldest.setdefault(row[1], row)
        # A time further off than any pause was written before the clock was set back.
        soon, far = _format_ts(now), _format_ts(now + _MAX_RETRY_PAUSE)
        return [_message(row) for row in oldest.values() if row[6] <= soon or row[6] > far]

    def _undelivered_rows(self) -> list[tuple[Any, ...]]:
        return self._rows(
            "SELECT id, receiver, title, body, attempts, created_ts, next_ts FROM outbox WHERE delivered_ts IS NULL "
            "ORDER BY id"
        )

    def mark_delivered(self, message: Message, now: datetime) -> None:
        with self._transaction() as db:
            db.execute("UPDATE outbox SET delivered_ts = ? WHERE id = ?", (_format_ts(now), message.number))

    def postpone(self, message: Message, until: datetime) -> None:
        """Count a failed attempt, and retry at an instant."""
        with self._transaction() as db:
            db.execute(
                "UPDATE outbox SET attempts = attempts + 1, next_ts = ? WHERE id = ?",
                (_format_ts(until), message.number),
            )

    # alarms

    def alarms(self) -> dict[str, tuple[datetime, str]]:
        """Return the active alarms: since when, and their message."""
        return {name: (_parse_ts(at), message) for name, at, message in self._rows("SELECT * FROM alarms")}

    def raise_alarm(
        self, name: str, text: str, receivers: Iterable[str], message: tuple[str, str], now: datetime
    ) -> None:
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO alarms VALUES (?, ?, ?)", (name, _format_ts(now), sanitize(text)))
            _insert_messages(db, receivers, message, now)

    def clear_alarm(self, name: str, receivers: Iterable[str], message: tuple[str, str], now: datetime) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM alarms WHERE name = ?", (name,))
            _insert_messages(db, receivers, message, now)

    # suspended models, followed markets, and notes

    def suspensions(self) -> dict[str, Suspension]:
        rows = self._rows("SELECT model, failures, until_ts, reason FROM suspended")
        return {model: Suspension(model, failures, _parse_ts(until), why) for model, failures, until, why in rows}

    def suspend(self, suspension: Suspension) -> None:
        values = (suspension.model, suspension.failures, _format_ts(suspension.until_ts), suspension.reason)
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO suspended VALUES (?, ?, ?, ?)", values)

    def resume(self, models: Iterable[str]) -> None:
        with self._transaction() as db:
            db.executemany("DELETE FROM suspended WHERE model = ?", [(model,) for model in models])

    def followed_tickers(self) -> list[str]:
        return [ticker for (ticker,) in self._rows("SELECT ticker FROM followed ORDER BY ticker")]

    def follow(self, tickers: Iterable[str], now: datetime) -> None:
        rows = [(ticker, _format_ts(now)) for ticker in tickers]
        with self._transaction() as db:
            db.executemany("INSERT OR IGNORE INTO followed VALUES (?, ?)", rows)

    def unfollow(self, tickers: Iterable[str]) -> None:
        with self._transaction() as db:
            db.executemany("DELETE FROM followed WHERE ticker = ?", [(ticker,) for ticker in tickers])

    def get_note(self, name: str) -> str:
        """Return the text saved under a name; "" without one."""
        return str(next(iter(self._rows("SELECT value FROM notes WHERE name = ?", name)), ("",))[0])

    def set_note(self, name: str, value: str) -> None:
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def prune(self, now: datetime) -> None:
        """Delete what ended long ago: opportunities that are gone or settled, and delivered messages."""
        before = _format_ts(now - _KEEP)
        with self._transaction() as db:
            db.execute("DELETE FROM tracked WHERE phase IN ('gone', 'settled') AND sent_ts < ?", (before,))
            db.execute("DELETE FROM outbox WHERE delivered_ts < ?", (before,))
            db.execute("DELETE FROM sent WHERE at_ts < ?", (before,))
            db.execute("DELETE FROM items WHERE at_ts < ?", (_format_ts(now - _KEEP_UNSENT),))


def _insert_messages(db: sqlite3.Connection, receivers: Iterable[str], message: tuple[str, str], now: datetime) -> None:
    receivers = list(receivers)
    # Every message passes here, so this is where text of the exchange is cleaned.
    title = sanitize(message[0])
    body = sanitize_lines(message[1])
    db.executemany(
        "INSERT INTO outbox (receiver, title, body, created_ts, next_ts) VALUES (?, ?, ?, ?, ?)",
        [(receiver, title, body, _format_ts(now), _format_ts(now)) for receiver in receivers],
    )
    for receiver in receivers:
        dropped = db.execute(
            "DELETE FROM outbox WHERE delivered_ts IS NULL AND receiver = ?1 AND id NOT IN "
            "(SELECT id FROM outbox WHERE delivered_ts IS NULL AND receiver = ?1 ORDER BY id DESC LIMIT ?2)",
            (receiver, MAX_UNDELIVERED),
        ).rowcount
        if dropped:
            log.warning("receiver %s has accepted nothing for long; dropped its oldest message", receiver)


def _message(row: tuple[Any, ...]) -> Message:
    number, receiver, title, body, attempts, created, _ = row
    return Message(number, receiver, title, body, attempts, _parse_ts(created))


@contextmanager
def _store_errors(path: Path) -> Iterator[None]:
    """Turn errors of the database into `StoreError`."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise StoreError(f"cannot use {path} ({error})", remedy="Check the disk and its permissions") from error
        raise StoreError(
            f"{path} is damaged ({error})",
            remedy=f"Move it away (mv {path} {path}.damaged) to start a new one: the recorded data stays, but which "
            "messages were sent and which markets are followed is lost",
        ) from error
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"cannot use {path} ({error})", remedy="Check the disk and its permissions") from error


def _format_ts(moment: datetime) -> str:
    """Return a time as text of fixed length, which sorts as times do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _parse_ts(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _encode_row(row: Mapping[str, Any]) -> str:
    return json.dumps({k: {"ts": _format_ts(v)} if isinstance(v, datetime) else v for k, v in row.items()})


def _decode_row(text: str) -> dict[str, Any]:
    return {k: _parse_ts(v["ts"]) if isinstance(v, dict) else v for k, v in json.loads(text).items()}

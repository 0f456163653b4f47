"""What changes and must not be lost: what was told, what waits to be sent, who is benched, what is followed.

SQLite with a write-ahead log in the store's folder. What was decided and what is to be sent because of it are written
in one transaction, so that whenever the process is killed, nothing is told that is not sent and nothing sent twice but
what a receiver took in the very moment before its answer was noted.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fairline.errors import StoreError
from fairline.watch.alerts import Item, Key, Told

MIGRATIONS = (
    """
    CREATE TABLE told (rule TEXT, ticker TEXT, side TEXT, model TEXT, phase TEXT NOT NULL, edge_points REAL NOT NULL,
                       told_ts TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (rule, ticker, side, model)) STRICT;
    CREATE TABLE items (id INTEGER PRIMARY KEY, rule TEXT NOT NULL, ticker TEXT NOT NULL, side TEXT NOT NULL,
                        model TEXT NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL, at_ts TEXT NOT NULL) STRICT;
    CREATE TABLE sent (rule TEXT NOT NULL, at_ts TEXT NOT NULL) STRICT;
    CREATE TABLE outbox (id INTEGER PRIMARY KEY, receiver TEXT NOT NULL, title TEXT NOT NULL, body TEXT NOT NULL,
                         created_ts TEXT NOT NULL, next_ts TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
                         delivered_ts TEXT) STRICT;
    CREATE TABLE alarms (name TEXT PRIMARY KEY, since_ts TEXT NOT NULL, words TEXT NOT NULL) STRICT;
    CREATE TABLE benched (model TEXT PRIMARY KEY, failures INTEGER NOT NULL, until_ts TEXT NOT NULL,
                          reason TEXT NOT NULL) STRICT;
    CREATE TABLE followed (ticker TEXT PRIMARY KEY, since_ts TEXT NOT NULL) STRICT;
    CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    """,
)
"""One after the other these make the tables of the version that is their number."""

_KEEP = timedelta(days=30)
_UNTOLD = timedelta(days=7)
_PAUSE_AT_MOST = timedelta(minutes=20)
"""More than between two tries of a letter."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message on its way to a receiver."""

    number: int
    receiver: str
    title: str
    body: str
    attempts: int
    created_ts: datetime


@dataclass(frozen=True, slots=True)
class Bench:
    """A model that failed and is left out until then."""

    model: str
    failures: int
    until_ts: datetime
    reason: str


class State:
    """Raises `StoreError` where the database cannot be used, or is of a later version."""

    def __init__(self, folder: Path, migrations: Sequence[str] = MIGRATIONS) -> None:
        self.path = folder / "state.sqlite"
        with _told_plainly(self.path):
            folder.mkdir(parents=True, exist_ok=True)
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
                f"{self.path} is of version {version}, this Fairline knows {len(migrations)}",
                remedy="Update Fairline, or give another --store",
            )
        if 0 < version < len(migrations):
            # With what its log has and the file itself may not.
            with sqlite3.connect(self.path.with_name(f"state.v{version}.sqlite")) as copy:
                self._db.backup(copy)
            copy.close()
        for number in range(version, len(migrations)):
            self._db.executescript(f"BEGIN; {migrations[number]} PRAGMA user_version={number + 1}; COMMIT;")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing."""
        with _told_plainly(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with _told_plainly(self.path):
            return self._db.execute(query, values).fetchall()

    # what was told

    def known(self, rule: str) -> dict[Key, Told]:
        rows = self._rows("SELECT ticker, side, model, phase, edge_points, told_ts, row FROM told WHERE rule = ?", rule)
        return {
            (ticker, side, model): Told((ticker, side, model), phase, edge, _moment(at), _revived(row))
            for ticker, side, model, phase, edge, at, row in rows
        }

    def decide(self, rule: str, items: Iterable[Item], told: Iterable[Told], now: datetime) -> None:
        """Keep what a rule decided: what is known now, and what waits to be told."""
        with self._writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO told VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(rule, *t.key, t.phase, t.edge_points, _text(t.told_ts), _frozen(t.row)) for t in told],
            )
            db.executemany(
                "INSERT INTO items (rule, ticker, side, model, kind, text, at_ts) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(rule, *item.key, item.kind, item.text, _text(now)) for item in items],
            )

    def waiting(self, rule: str) -> tuple[list[int], list[Item], datetime | None]:
        """The items that wait to be told, their numbers, and since when the first of them does."""
        rows = self._rows(
            "SELECT id, ticker, side, model, kind, text, at_ts FROM items WHERE rule = ? ORDER BY id", rule
        )
        items = [Item((ticker, side, model), kind, text) for _, ticker, side, model, kind, text, _ in rows]
        return [row[0] for row in rows], items, _moment(rows[0][6]) if rows else None

    def sent(self, rule: str, since: datetime) -> list[datetime]:
        rows = self._rows("SELECT at_ts FROM sent WHERE rule = ? AND at_ts > ?", rule, _text(since))
        return [_moment(at) for (at,) in rows]

    def send(
        self, rule: str, receivers: Iterable[str], message: tuple[str, str], now: datetime, items: Iterable[int] = ()
    ) -> None:
        """Put a message into the outbox for each receiver, instead of the items that it tells of."""
        with self._writing() as db:
            _post(db, receivers, message, now)
            db.executemany("DELETE FROM items WHERE id = ?", [(number,) for number in items])
            db.execute("INSERT INTO sent VALUES (?, ?)", (rule, _text(now)))

    # the outbox

    def outbox(self, now: datetime, *, all_of_it: bool = False) -> list[Letter]:
        """What is to be delivered by now, the oldest first; of each receiver only the first that is not delivered."""
        rows = self._rows(
            "SELECT id, receiver, title, body, attempts, created_ts, next_ts FROM outbox WHERE delivered_ts IS NULL "
            "ORDER BY id"
        )
        first: dict[str, tuple[Any, ...]] = {}
        for row in rows:
            first.setdefault(row[1], row)
        # A time farther off than a pause can be was written by a clock that has stepped back since.
        soon, far = _text(now), _text(now + _PAUSE_AT_MOST)
        chosen = rows if all_of_it else [row for row in first.values() if row[6] <= soon or row[6] > far]
        return [
            Letter(number, receiver, title, body, attempts, _moment(created))
            for number, receiver, title, body, attempts, created, _ in chosen
        ]

    def delivered(self, letter: Letter, now: datetime) -> None:
        with self._writing() as db:
            db.execute("UPDATE outbox SET delivered_ts = ? WHERE id = ?", (_text(now), letter.number))

    def postpone(self, letter: Letter, until: datetime) -> None:
        with self._writing() as db:
            db.execute(
                "UPDATE outbox SET attempts = attempts + 1, next_ts = ? WHERE id = ?", (_text(until), letter.number)
            )

    # alarms

    def alarms(self) -> dict[str, tuple[datetime, str]]:
        """The alarms that are on: since when, and their words."""
        return {name: (_moment(at), words) for name, at, words in self._rows("SELECT * FROM alarms")}

    def raise_alarm(
        self, name: str, words: str, receivers: Iterable[str], message: tuple[str, str], now: datetime
    ) -> None:
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO alarms VALUES (?, ?, ?)", (name, _text(now), words))
            _post(db, receivers, message, now)

    def clear_alarm(self, name: str, receivers: Iterable[str], message: tuple[str, str], now: datetime) -> None:
        with self._writing() as db:
            db.execute("DELETE FROM alarms WHERE name = ?", (name,))
            _post(db, receivers, message, now)

    # models on the bench, markets that are followed, and notes

    def benched(self) -> dict[str, Bench]:
        rows = self._rows("SELECT model, failures, until_ts, reason FROM benched")
        return {model: Bench(model, failures, _moment(until), reason) for model, failures, until, reason in rows}

    def bench(self, bench: Bench) -> None:
        with self._writing() as db:
            values = (bench.model, bench.failures, _text(bench.until_ts), bench.reason)
            db.execute("INSERT OR REPLACE INTO benched VALUES (?, ?, ?, ?)", values)

    def unbench(self, models: Iterable[str]) -> None:
        with self._writing() as db:
            db.executemany("DELETE FROM benched WHERE model = ?", [(model,) for model in models])

    def followed(self) -> list[str]:
        return [ticker for (ticker,) in self._rows("SELECT ticker FROM followed ORDER BY ticker")]

    def follow(self, tickers: Iterable[str], now: datetime) -> None:
        with self._writing() as db:
            db.executemany("INSERT OR IGNORE INTO followed VALUES (?, ?)", [(ticker, _text(now)) for ticker in tickers])

    def unfollow(self, tickers: Iterable[str]) -> None:
        with self._writing() as db:
            db.executemany("DELETE FROM followed WHERE ticker = ?", [(ticker,) for ticker in tickers])

    def note(self, name: str) -> str:
        return str(next(iter(self._rows("SELECT value FROM notes WHERE name = ?", name)), ("",))[0])

    def remember(self, name: str, value: str) -> None:
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def prune(self, now: datetime) -> None:
        """Forget what is long over: told opportunities that are gone, and letters that arrived."""
        before = _text(now - _KEEP)
        with self._writing() as db:
            db.execute("DELETE FROM told WHERE phase IN ('gone', 'settled') AND told_ts < ?", (before,))
            db.execute("DELETE FROM outbox WHERE delivered_ts < ?", (before,))
            db.execute("DELETE FROM sent WHERE at_ts < ?", (before,))
            db.execute("DELETE FROM items WHERE at_ts < ?", (_text(now - _UNTOLD),))


def _post(db: sqlite3.Connection, receivers: Iterable[str], message: tuple[str, str], now: datetime) -> None:
    db.executemany(
        "INSERT INTO outbox (receiver, title, body, created_ts, next_ts) VALUES (?, ?, ?, ?, ?)",
        [(receiver, *message, _text(now), _text(now)) for receiver in receivers],
    )


@contextmanager
def _told_plainly(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{path} cannot be used ({error})", remedy="Check the disk and its permissions") from None


def _text(moment: datetime) -> str:
    """Of one length, so that texts sort as the times do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _frozen(row: Mapping[str, Any]) -> str:
    return json.dumps({k: {"ts": _text(v)} if isinstance(v, datetime) else v for k, v in row.items()})


def _revived(text: str) -> dict[str, Any]:
    return {k: _moment(v["ts"]) if isinstance(v, dict) else v for k, v in json.loads(text).items()}

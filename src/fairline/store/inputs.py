"""The inputs of models over time: every payload by its logical key, and when it became known here.

A body is stored once per day, key and content; rows that repeat it refer to it by its hash. So each day is complete in
itself, and can expire without the others. Failed requests are stored too: a replay fails where the original failed.
"""

import hashlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl

from fairline.errors import FairlineError, InputError
from fairline.sources import Payload, Request
from fairline.sources.inputs import Payloads, ScanInputs
from fairline.store.datasets import INPUTS
from fairline.store.store import Store

_CACHE_BYTES = 256_000_000
_INDEX = [name for name in INPUTS.names() if name != "body"]


@dataclass(frozen=True, slots=True)
class _Row:
    known_ts: datetime
    fetched_ts: datetime | None
    day: date
    digest: str
    error: str

    @property
    def content(self) -> tuple[datetime | None, str, str]:
        """What two rows of a key have in common if nothing changed."""
        return self.fetched_ts, self.digest, self.error


@dataclass(slots=True)
class InputRecorder:
    """Writes the payloads of scans: a row for each key whose payload or failure changed, bodies once a day."""

    store: Store
    last: dict[str, _Row] = field(default_factory=dict)
    stored: set[tuple[str, str]] = field(default_factory=set)
    day: date | None = None

    def resume(self, now: datetime) -> None:
        """Continue after a restart from what was recorded today. Raises `StoreError`."""
        self.last.clear()
        self.stored.clear()
        self.day = now.astimezone(UTC).date()
        today = datetime.combine(self.day, time(), UTC) - timedelta(microseconds=1)
        for row in _read_index(self.store, since=today).iter_rows(named=True):
            self.last[row["key"]] = _parse_row(row)
            self.stored.add((row["key"], row["hash"]))

    def record(self, inputs: ScanInputs, now: datetime) -> int:
        """Write what changed, and return how many rows that took. Raises `StoreError`.

        A payload that was read during the scan is known from then on, an older one from the scan's `asof` on. `now`
        comes from `Store.next_ts`.
        """
        if self.day != now.astimezone(UTC).date():
            self.resume(now)
        by_key = _by_key(inputs.payloads)
        rows = {key: _create_row(payload, inputs, now) for key, payload in by_key.items()}
        changed = {
            key: row for key, row in rows.items() if key not in self.last or self.last[key].content != row.content
        }
        records = [self._to_record(key, row, by_key[key]) for key, row in changed.items()]
        self.store.append("inputs", pl.DataFrame(records, schema=INPUTS), now)
        self.last.update(changed)
        self.stored.update((key, row.digest) for key, row in changed.items())
        return len(changed)

    def _to_record(self, key: str, row: _Row, payload: Payload | FairlineError) -> dict[str, object]:
        body = payload.body if isinstance(payload, Payload) else None
        return {
            "key": key,
            "fetched_ts": row.fetched_ts,
            "known_ts": row.known_ts,
            "hash": row.digest,
            "bytes": None if body is None else len(body),
            "error": row.error,
            "body": None if (key, row.digest) in self.stored else body,
        }


class Inputs:
    """Recorded payloads as they were known at any instant. Reads the index of all inputs once, bodies when needed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows: dict[str, list[_Row]] | None = None
        self._bodies: OrderedDict[tuple[str, date], dict[str, bytes]] = OrderedDict()

    def known_at(self, requests: Iterable[Request], at: datetime) -> dict[Request, Payload | InputError]:
        """Return for each request exactly what was known at an instant, or an error. Raises `StoreError`."""
        return {request: self._find(request, at) for request in dict.fromkeys(requests)}

    def keys(self) -> list[str]:
        """Return the logical keys of all recorded inputs."""
        return sorted(self._index())

    def _find(self, request: Request, at: datetime) -> Payload | InputError:
        key = request.logical_key
        rows = self._index().get(key, [])
        position = bisect_right(rows, at, key=lambda row: row.known_ts)
        if not position:
            return InputError(f"{request.shown} was not recorded by {at:%Y-%m-%d %H:%M:%S} UTC")
        row = rows[position - 1]
        if row.fetched_ts is None:
            message, _, remedy = row.error.partition("\n")
            return InputError(message, remedy=remedy)
        body = self._load_bodies(key, row.day).get(row.digest)
        if body is None:
            return InputError(f"the recorded body of {request.shown} is missing", remedy="Run fairline store check")
        return Payload(request, row.fetched_ts, body)

    def _index(self) -> dict[str, list[_Row]]:
        if self._rows is None:
            self._rows = {}
            index = _read_index(self._store).sort("known_ts", maintain_order=True)
            for row in index.iter_rows(named=True):
                self._rows.setdefault(row["key"], []).append(_parse_row(row))
        return self._rows

    def _load_bodies(self, key: str, day: date) -> dict[str, bytes]:
        """Return the bodies of a key that were stored on a day, by hash."""
        if (key, day) in self._bodies:
            self._bodies.move_to_end((key, day))
            return self._bodies[key, day]
        begin = datetime.combine(day, time(), UTC)
        stored = (pl.col("key") == key) & pl.col("body").is_not_null()
        rows = self._store.read(
            "inputs",
            since=begin - timedelta(microseconds=1),
            until=begin + timedelta(days=1) - timedelta(microseconds=1),
            where=stored,
            columns=["hash", "body"],
        )
        bodies = dict(rows.iter_rows())
        self._bodies[key, day] = bodies
        self._shrink_cache()
        return bodies

    def _shrink_cache(self) -> None:
        sizes = [sum(map(len, bodies.values())) for bodies in self._bodies.values()]
        total = sum(sizes)
        for size in sizes[:-1]:
            if total <= _CACHE_BYTES:
                return
            self._bodies.popitem(last=False)
            total -= size


def _by_key(payloads: Payloads) -> dict[str, Payload | FairlineError]:
    """Return the payloads by logical key. Two different ones of one key become a failure: neither can be replayed."""
    by_key: dict[str, Payload | FairlineError] = {}
    for request, payload in payloads.items():
        other = by_key.setdefault(request.logical_key, payload)
        if isinstance(other, Payload) and isinstance(payload, Payload) and other.body != payload.body:
            by_key[request.logical_key] = InputError(
                f"two files are recorded as {request.logical_key}", remedy="Rename one of the files"
            )
    return by_key


def _create_row(payload: Payload | FairlineError, inputs: ScanInputs, now: datetime) -> _Row:
    day = now.astimezone(UTC).date()
    if not isinstance(payload, Payload):
        return _Row(inputs.asof, None, day, "", f"{payload.message}\n{payload.remedy}")
    was_read_now = inputs.requested <= payload.fetched_ts <= inputs.asof
    known = payload.fetched_ts if was_read_now else inputs.asof
    return _Row(known, payload.fetched_ts, day, hashlib.sha256(payload.body).hexdigest(), "")


def _parse_row(row: Mapping[str, Any]) -> _Row:
    known, fetched, seen = row["known_ts"], row["fetched_ts"], row["seen_ts"]
    return _Row(known, fetched, seen.date(), row["hash"] or "", row["error"] or "")


def _read_index(store: Store, since: datetime | None = None) -> pl.DataFrame:
    return store.read("inputs", since=since, columns=_INDEX)

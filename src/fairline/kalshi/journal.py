"""Pages on disk while a crawl runs, so that a crash costs only the pages in flight.

A journal is a header line and records. Each record is a line of JSON, followed by the bytes of a page where it has one.
The file is locked while its process lives. The next crawl of the same query continues an unlocked journal that is
young enough.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Literal

import msgspec

VERSION: Literal[2] = 2
FORGET_AFTER_S = 86_400
MAX_PAGE_BYTES = 1 << 26
"""The longest answer that the HTTP layer accepts."""


class Header(msgspec.Struct):
    """The first line: `began` is the Unix time at which the crawl began."""

    version: Literal[2]
    began: float


class Record(msgspec.Struct, omit_defaults=True):
    """What happened to a walk.

    - `started`: a new walk with these filters over the window `low` to `high` of `axis`.
    - `page`: the walk received the page that follows; `last` is false for all but the last answer to one request.
    - `shared`: the part of the window below `low` was given to another walk.
    - `superseded`: other walks read what this one has not read.
    - `windows_dropped`: one cursor replaces all windows, for this `reason`.
    - `reopened`: the walk covers the whole listing again.
    """

    kind: Literal["started", "page", "shared", "superseded", "windows_dropped", "reopened"]
    walk: int
    filters: dict[str, str] = {}
    axis: str = ""
    low: int | None = None
    high: int | None = None
    closing: bool = False
    last: bool = True
    reason: str = ""
    bytes: Annotated[int, msgspec.Meta(ge=0, le=MAX_PAGE_BYTES)] = 0


class Journal:
    """An open journal. `began` is when its crawl began, `records` what an earlier process recorded."""

    def __init__(self, file: IO[bytes], path: Path, began: float, records: list[tuple[Record, bytes]]) -> None:
        self._file = file
        self._path = path
        self.began = began
        self.records = records

    @classmethod
    def open(cls, folder: Path, key: str, max_age_s: float) -> "Journal | None":
        """Return the youngest abandoned journal of this key that is at most `max_age_s` old, else a new one.

        Older ones are removed. Returns None if the folder cannot be written: a crawl works without a journal.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _remove_forgotten(folder)
            taken = [cls._take(path) for path in folder.glob(f"{key}-*.pages")]
            journals = sorted((journal for journal in taken if journal is not None), key=lambda journal: journal.began)
            youngest = None
            if journals and 0 <= time.time() - journals[-1].began <= max_age_s:
                youngest = journals.pop()
            for stale in journals:
                stale.close(keep=False)
            return youngest or cls._new(folder / f"{key}-{os.getpid()}-{time.time_ns()}.pages")
        except OSError:
            return None

    def add(self, record: Record, body: bytes = b"") -> None:
        """Append a record. It is complete in the file when this returns."""
        record.bytes = len(body)
        self._write(msgspec.json.encode(record), body)

    def close(self, *, keep: bool) -> None:
        with contextlib.suppress(OSError):
            if not keep:
                self._path.unlink(missing_ok=True)
            self._file.close()

    @classmethod
    def _new(cls, path: Path) -> "Journal":
        file = path.open("a+b")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        journal = cls(file, path, time.time(), [])
        try:
            journal._write(msgspec.json.encode(Header(VERSION, journal.began)))
        except OSError:
            journal.close(keep=False)
            raise
        return journal

    @classmethod
    def _take(cls, path: Path) -> "Journal | None":
        """Return an abandoned journal with its complete records.

        Returns None if another process holds it. A journal that is damaged or has no page is removed.
        """
        file = path.open("a+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        file.seek(0)
        try:
            header = msgspec.json.decode(file.readline(), type=Header)
            file.readline()
            records = list(_read_records(file))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            records = []
        # Without a page the journal may lack some of the crawl's windows, and there is nothing to lose.
        if not any(body for _, body in records):
            path.unlink(missing_ok=True)
            file.close()
            return None
        return cls(file, path, header.began, records)

    def _write(self, line: bytes, body: bytes = b"") -> None:
        rest = memoryview(b"".join((line, b"\n", body, b"\n")))
        while rest:
            rest = rest[os.write(self._file.fileno(), rest) :]


def _remove_forgotten(folder: Path) -> None:
    """Remove journals of any query that are a day old and not locked."""
    for path in folder.glob("*.pages"):
        if time.time() - path.stat().st_mtime > FORGET_AFTER_S:
            with contextlib.suppress(OSError), path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def _read_records(file: IO[bytes]) -> Iterator[tuple[Record, bytes]]:
    """Yield the complete records from the file's position on, and truncate the file after the last of them."""
    end = file.tell()
    while line := file.readline():
        try:
            record = msgspec.json.decode(line, type=Record)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            break
        body = file.read(record.bytes)
        if len(body) < record.bytes or file.read(1) != b"\n":
            break
        end = file.tell()
        yield record, body
    file.seek(end)
    file.truncate()

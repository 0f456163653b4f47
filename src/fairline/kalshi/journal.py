"""Pages as they came, on disk while a crawl runs, so that a crash in the middle costs the pages in flight.

A journal is a header and records, each a line of JSON and, after a page's line, the bytes of the page. The file is
locked as long as its process lives; whoever finds an unlocked one that is young enough goes on where it ends.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

Record = dict[str, Any]
_VERSION = 1
_FORGET_S = 86_400


class Journal:
    """An open journal: `began` is when its crawl did, `found` what an earlier process had got."""

    def __init__(self, file: IO[bytes], path: Path, began: float, found: list[tuple[Record, bytes]]) -> None:
        self._file, self._path = file, path
        self.began = began
        self.found = found

    @classmethod
    def open(cls, folder: Path, key: str, max_age_s: float) -> "Journal | None":
        """The youngest abandoned journal of this key if it is not older than `max_age_s`, else a new one; older ones
        are removed. None if the folder cannot be written: a journal is a help, not a condition.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _tidy(folder)
            journals = [cls._take(path) for path in folder.glob(f"{key}-*.pages")]
            found = sorted((j for j in journals if j is not None), key=lambda j: j.began)
            kept = found.pop() if found and time.time() - found[-1].began <= max_age_s else None
            for stale in found:
                stale.close(keep=False)
            return kept or cls._new(folder / f"{key}-{os.getpid()}-{time.time_ns()}.pages")
        except OSError:
            return None

    def add(self, record: Record, body: bytes = b"") -> None:
        """Append a record; it is whole on disk, short of the machine failing, when this returns."""
        line = json.dumps(record | {"bytes": len(body)}, separators=(",", ":")).encode()
        rest = memoryview(b"".join((line, b"\n", body, b"\n")))
        while rest:
            rest = rest[os.write(self._file.fileno(), rest) :]

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
            journal.add({"version": _VERSION, "began": journal.began})
        except OSError:
            journal.close(keep=False)
            raise
        return journal

    @classmethod
    def _take(cls, path: Path) -> "Journal | None":
        """An abandoned journal with its whole records; None if another process holds it or it cannot be read."""
        file = path.open("a+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        records = list(_records(file))
        # One without a page may end before all of the crawl's windows are in it, and there is nothing to lose.
        if not any(body for _, body in records) or records[0][0].get("version") != _VERSION:
            path.unlink(missing_ok=True)
            file.close()
            return None
        return cls(file, path, float(records[0][0]["began"]), records[1:])


def _tidy(folder: Path) -> None:
    """Remove what nobody will go on with: of whatever question, a day old and not held by anybody."""
    for path in folder.glob("*.pages"):
        if time.time() - path.stat().st_mtime > _FORGET_S:
            with contextlib.suppress(OSError), path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def _records(file: IO[bytes]) -> Iterator[tuple[Record, bytes]]:
    """The whole records of the file, which is cut off after the last of them."""
    end = file.seek(0)
    while line := file.readline():
        try:
            record = json.loads(line)
            body = file.read(record["bytes"])
        except (ValueError, TypeError, KeyError):
            break
        if len(body) < record["bytes"] or file.read(1) != b"\n":
            break
        end = file.tell()
        yield record, body
    file.seek(end)
    file.truncate()

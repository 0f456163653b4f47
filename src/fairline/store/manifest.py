"""The manifest of a day: size and SHA-256 of each of its files, so that damage is noticed.

It is `manifest.json` in the folder of the day, replaced as a whole with each change. A process that dies between
writing a file and listing it leaves a file that is not listed; the next writer lists it if it can be read.
"""

import hashlib
import threading
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from fairline.files import write_atomic

NAME = "manifest.json"
_UPDATING = threading.Lock()
"""Files are appended and merged in threads of one process."""


class Entry(msgspec.Struct, frozen=True):
    """What a file should be."""

    bytes: int
    sha256: str


def read_manifest(day: Path) -> dict[str, Entry] | None:
    """Return the entries of a day by file name; None without a readable manifest."""
    try:
        return msgspec.json.decode((day / NAME).read_bytes(), type=dict[str, Entry])
    except (OSError, msgspec.DecodeError):
        return None


def update_manifest(day: Path, add: Collection[Path] = (), remove: Collection[str] = ()) -> None:
    """List files and forget others. Raises `OSError`."""
    added = {path.name: create_entry(path) for path in add}
    with _UPDATING:
        entries = read_manifest(day) or {}
        listed = {name: entry for name, entry in entries.items() if name not in remove}
        write_manifest(day, listed | added)


def write_manifest(day: Path, entries: Mapping[str, Entry]) -> None:
    write_atomic(day / NAME, msgspec.json.encode(entries), mode=0o600)


def create_entry(path: Path) -> Entry:
    """Return the entry of a file as it is now. Raises `OSError`."""
    with path.open("rb") as file:
        return Entry(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())

"""Check a store: every file against its manifest, every recorded body against its hash, and the state's database."""

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from fairline.store import parquet
from fairline.store.datasets import DATASETS
from fairline.store.manifest import NAME, Entry, create_entry, read_manifest


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a file. A `note` is no damage: its file can be read, but not be verified."""

    path: Path
    text: str
    note: bool = False


def check_store(folder: Path) -> Iterator[Finding]:
    """Yield what is wrong with a store, in order of its files."""
    for dataset in DATASETS:
        for _, day in reversed(parquet.list_days(folder / dataset)):
            yield from _check_day(dataset, day)
    if (folder / "state.sqlite").exists():
        yield from _check_state(folder / "state.sqlite")


def _check_day(dataset: str, day: Path) -> Iterator[Finding]:
    entries = read_manifest(day)
    paths = {path.name: path for path in sorted(day.glob("[0-9]*.parquet"))}
    if entries is None:
        text = "the manifest is damaged" if (day / NAME).exists() else "has no manifest"
        yield Finding(day, text, note=not (day / NAME).exists())
    for name, entry in sorted((entries or {}).items()):
        yield from _check_file(dataset, day / name, entry, paths)
    for name, path in paths.items():
        if parquet.is_damaged(path):
            yield Finding(path, "is not a valid Parquet file")
        elif entries is not None and name not in entries:
            yield Finding(path, "is not in the manifest", note=True)
    for path in sorted(day.glob("*.damaged")):
        yield Finding(path, "was damaged and is left out")


def _check_file(dataset: str, path: Path, entry: Entry, paths: dict[str, Path]) -> Iterator[Finding]:
    if path.name not in paths:
        # After an interrupted merge, the file that replaced it is there.
        if not _is_replaced(path, list(paths.values())):
            yield Finding(path, "is missing")
    elif create_entry(path) != entry:
        yield Finding(path, "differs from its hash in the manifest")
    elif dataset == "inputs":
        yield from _check_bodies(path)


def _is_replaced(path: Path, others: list[Path]) -> bool:
    file = parquet.File.parse(path)
    parsed = [other for other in map(parquet.File.parse, others) if other is not None and other.first < other.last]
    return file is not None and parquet.is_covered(file, parsed)


def _check_bodies(path: Path) -> Iterator[Finding]:
    stored = pl.read_parquet(path, columns=["key", "hash", "body"], glob=False, hive_partitioning=False)
    for key, digest, body in stored.drop_nulls("body").iter_rows():
        if hashlib.sha256(body).hexdigest() != digest:
            yield Finding(path, f"the body of {key} differs from its hash")


def _check_state(path: Path) -> Iterator[Finding]:
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            [(result,)] = connection.execute("PRAGMA quick_check(1)").fetchall()
        finally:
            connection.close()
    except (sqlite3.Error, ValueError) as error:
        yield Finding(path, f"cannot be read ({error})")
        return
    if result != "ok":
        yield Finding(path, f"is damaged ({result})")

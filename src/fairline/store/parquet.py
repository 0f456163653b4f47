"""The files of a dataset: their names, writing them atomically, and which of them are active.

    day=2026-11-23/20261123T171500.123456Z.parquet                            appended at that instant
    day=2026-11-23/20261123T170000.000000Z-full.parquet                       snapshot of everything at that instant
    day=2026-11-23/20261123T160000.000000Z--20261123T165900.000000Z.parquet   merged: replaces all files between

A merge writes the merged file before it deletes the files it replaces, and readers ignore files that a merged file
covers. So an interrupted merge, or reading during one, neither loses nor repeats rows.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Self

import polars as pl

from fairline.errors import StoreError
from fairline.store.datasets import DATASETS, SORT_KEYS, VERSION
from fairline.store.lock import CHECK_DISK
from fairline.store.manifest import update_manifest

_TIMESTAMP = "%Y%m%dT%H%M%S.%fZ"
_FULL = "-full"
_ROW_GROUP = 16_384
"""Rows of a row group. Files are sorted, so a market's rows are in few of them."""
_BODY_ROW_GROUP = 64
"""The same for files with bodies, of which a row may have megabytes."""
_BODY_PAGE_BYTES = 4_000_000
"""Similar bodies lie side by side; larger pages compress them together."""
_LEVEL, _BODY_LEVEL = 3, 9
"""Levels of zstd: bodies are few and compress well."""
READ_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What reading a damaged file raises; for some damage polars panics, which is not an `Exception`."""


@dataclass(frozen=True, slots=True, order=True)
class File:
    """A file and the time it covers, which its name states."""

    first: datetime
    last: datetime
    full: bool
    path: Path

    @classmethod
    def parse(cls, path: Path) -> Self | None:
        """Return the file of a path; None if the name is not that of a dataset's file."""
        name = path.name.removesuffix(".parquet")
        first, _, last = name.removesuffix(_FULL).partition("--")
        with contextlib.suppress(ValueError):
            begin = _parse_timestamp(first)
            return cls(begin, _parse_timestamp(last) if last else begin, name.endswith(_FULL), path)
        return None

    def overlaps(self, since: datetime | None, until: datetime | None) -> bool:
        """Return whether the file may have rows after `since` and up to `until`."""
        return (since is None or self.last > since) and (until is None or self.first <= until)


def file_name(first: datetime, last: datetime | None = None, *, full: bool = False) -> str:
    end = f"--{last.strftime(_TIMESTAMP)}" if last else ""
    return f"{first.strftime(_TIMESTAMP)}{end}{_FULL if full else ''}.parquet"


def list_days(folder: Path) -> list[tuple[date, Path]]:
    """Return the days of a dataset and their folders, the latest first."""
    folders = ((_parse_day(path), path) for path in folder.glob("day=*"))
    return sorted(((day, path) for day, path in folders if day is not None), reverse=True)


def list_files(day: Path) -> tuple[list[File], list[File]]:
    """Return a day's active files, and those that a merged file covers, each in order of time."""
    parsed = [File.parse(path) for path in day.glob("[0-9]*.parquet")]
    files = sorted(file for file in parsed if file is not None)
    merged = [file for file in files if file.first < file.last]
    active: list[File] = []
    covered: list[File] = []
    for file in files:
        (covered if is_covered(file, merged) else active).append(file)
    return active, covered


def active_files(folder: Path, since: datetime | None = None, until: datetime | None = None) -> Iterator[File]:
    """Yield the active files of a dataset, the latest day first, each day in order of time. Raises `StoreError`."""
    try:
        for day, path in list_days(folder):
            if (since is None or day >= since.date()) and (until is None or day <= until.date()):
                yield from list_files(path)[0]
    except OSError as error:
        raise StoreError(f"cannot read the store {folder.parent} ({error.strerror})", remedy=CHECK_DISK) from error


def scan_files(dataset: str, paths: list[Path]) -> pl.LazyFrame:
    schema = DATASETS[dataset]
    if not paths:
        return schema.to_frame().lazy()
    # Files of an earlier version lack columns; those of other programs may have more.
    return pl.scan_parquet(
        paths,
        schema=schema,
        missing_columns="insert",
        extra_columns="ignore",
        glob=False,
        hive_partitioning=False,
    )


def merge_sorted(dataset: str, files: Sequence[File]) -> pl.LazyFrame:
    """Return the rows of sorted files in order."""
    key = SORT_KEYS[dataset]
    parts = [scan_files(dataset, [file.path]) for file in files]
    while len(parts) > 1:
        odd = parts[-1:] if len(parts) % 2 else []
        parts = [a.merge_sorted(b, key=key) for a, b in zip(parts[::2], parts[1::2], strict=False)] + odd
    return parts[0]


def is_damaged(path: Path) -> bool:
    """Return whether a file exists and is not valid Parquet. A file that cannot be opened is not damaged."""
    try:
        pl.read_parquet(path, glob=False, hive_partitioning=False)
    except READ_ERRORS:
        return True
    except OSError:
        return False
    return False


def write_parquet(path: Path, table: pl.LazyFrame) -> None:
    """Write a file atomically, flush it to the disk, and list it in the manifest. Raises `StoreError`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        has_bodies = "body" in table.collect_schema()
        table.sink_parquet(
            temporary,
            compression="zstd",
            compression_level=_BODY_LEVEL if has_bodies else _LEVEL,
            row_group_size=_BODY_ROW_GROUP if has_bodies else _ROW_GROUP,
            data_page_size=_BODY_PAGE_BYTES if has_bodies else None,
            metadata={"fairline_version": str(VERSION)},
        )
        # What is recorded says what its owner watches.
        temporary.chmod(0o600)
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
        update_manifest(path.parent, [path])
    except (OSError, *READ_ERRORS) as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"cannot write {path} ({reason})", remedy=CHECK_DISK) from error


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parse_timestamp(text: str) -> datetime:
    return datetime.strptime(text, _TIMESTAMP).replace(tzinfo=UTC)


def _parse_day(folder: Path) -> date | None:
    try:
        return date.fromisoformat(folder.name.removeprefix("day="))
    except ValueError:
        return None


def is_covered(file: File, merged: Sequence[File]) -> bool:
    """Return whether a merged file replaces another. Snapshots are not replaced."""
    if file.full:
        return False
    return any(m.first <= file.first and file.last <= m.last and m.path != file.path for m in merged)

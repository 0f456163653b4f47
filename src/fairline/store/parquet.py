"""The files of a dataset: named by their place in time, written whole or not at all, and which of them are in force.

    day=2026-11-23/20261123T171500.123456Z.parquet                            what was appended then
    day=2026-11-23/20261123T170000.000000Z-full.parquet                       everything as it was then
    day=2026-11-23/20261123T160000.000000Z--20261123T165900.000000Z.parquet   merged: stands for all between

A merged file is put there before what it stands for is taken away, and whoever reads leaves out what a merged file
covers: so whenever a merge is cut short, and whoever reads meanwhile, nothing is missing and nothing is there twice.
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
from fairline.store.datasets import DATASETS, VERSION

_STAMP = "%Y%m%dT%H%M%S.%fZ"
_FULL = "-full"
_GROUP = 16_384
"""Rows of a row group: one market's rows are found by reading few of them, since files are sorted by ticker."""
DAMAGE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What reading a damaged file raises; some damage makes the reader itself give up, with what is no `Exception`."""
WHERE = "Check the disk and its permissions, or give --store"


@dataclass(frozen=True, slots=True, order=True)
class File:
    """A file and its place in time, which its name tells."""

    first: datetime
    last: datetime
    full: bool
    path: Path

    @classmethod
    def of(cls, path: Path) -> Self | None:
        name = path.name.removesuffix(".parquet")
        first, _, last = name.removesuffix(_FULL).partition("--")
        with contextlib.suppress(ValueError):
            begin = _moment(first)
            return cls(begin, _moment(last) if last else begin, name.endswith(_FULL), path)
        return None


def name_of(first: datetime, last: datetime | None = None, *, full: bool = False) -> str:
    end = f"--{last.strftime(_STAMP)}" if last else ""
    return f"{first.strftime(_STAMP)}{end}{_FULL if full else ''}.parquet"


def days(folder: Path) -> list[tuple[date, Path]]:
    """The days that a dataset has, the latest first."""
    found = ((_day(path), path) for path in folder.glob("day=*"))
    return sorted(((day, path) for day, path in found if day is not None), reverse=True)


def of_day(folder: Path) -> tuple[list[File], list[File]]:
    """A day's files in order of time: those in force, and those that a merged one covers."""
    found = sorted(file for path in folder.glob("[0-9]*.parquet") if (file := File.of(path)))
    merged = [file for file in found if file.first < file.last]
    covered = [file for file in found if not file.full and _covered(file, merged)]
    gone = {file.path for file in covered}
    return [file for file in found if file.path not in gone], covered


def in_force(folder: Path, since: datetime | None = None, until: datetime | None = None) -> Iterator[File]:
    """The files of a dataset in force, the latest day first, each day in order of time. Raises `StoreError`."""
    try:
        for day, path in days(folder):
            if (since is None or day >= since.date()) and (until is None or day <= until.date()):
                yield from of_day(path)[0]
    except OSError as error:
        raise StoreError(f"the store {folder.parent} cannot be read ({error.strerror})", remedy=WHERE) from None


def scan(dataset: str, paths: list[Path]) -> pl.LazyFrame:
    schema = DATASETS[dataset]
    if not paths:
        return schema.to_frame().lazy()
    # A file of an earlier version lacks columns, one of another program may have more.
    return pl.scan_parquet(paths, schema=schema, missing_columns="insert", extra_columns="ignore", glob=False,
                           hive_partitioning=False)  # fmt: skip


def merged(dataset: str, files: Sequence[File]) -> pl.LazyFrame:
    """The rows of sorted files, sorted."""
    key = "ticker" if "ticker" in DATASETS[dataset] else "seen_ts"
    parts = [scan(dataset, [file.path]) for file in files]
    while len(parts) > 1:
        odd = parts[-1:] if len(parts) % 2 else []
        parts = [a.merge_sorted(b, key=key) for a, b in zip(parts[::2], parts[1::2], strict=False)] + odd
    return parts[0]


def is_damaged(path: Path) -> bool:
    """Whether a file is there and no Parquet. One that cannot be opened is another matter."""
    try:
        pl.read_parquet(path, glob=False, hive_partitioning=False)
    except DAMAGE:
        return True
    except OSError:
        return False
    return False


def write(path: Path, table: pl.LazyFrame) -> None:
    """Whole or not at all, and there even if the power fails next. Raises `StoreError`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        table.sink_parquet(
            temporary, compression="zstd", compression_level=3, row_group_size=_GROUP,
            metadata={"fairline_version": str(VERSION)},
        )  # fmt: skip
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except (OSError, *DAMAGE) as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"cannot write {path} ({reason})", remedy=WHERE) from None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _moment(text: str) -> datetime:
    return datetime.strptime(text, _STAMP).replace(tzinfo=UTC)


def _day(folder: Path) -> date | None:
    try:
        return date.fromisoformat(folder.name.removeprefix("day="))
    except ValueError:
        return None


def _covered(file: File, whole: Sequence[File]) -> bool:
    return any(m.first <= file.first and file.last <= m.last and m.path != file.path for m in whole)

"""Append-only datasets in Parquet, by day; a file is there whole or not at all, and readers never wait.

    quotes/day=2026-11-23/20261123T171500.123456Z.parquet                            what was appended then
    quotes/day=2026-11-23/20261123T170000.000000Z-full.parquet                       everything as it was then
    quotes/day=2026-11-23/20261123T160000.000000Z--20261123T165900.000000Z.parquet   merged: stands for all between

A merged file is put there before what it stands for is taken away, and whoever reads leaves out what a merged file
covers: so whenever a merge is cut short, and whoever reads meanwhile, nothing is missing and nothing is there twice.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Self

import polars as pl

from fairline.datasets import DATASETS, VERSION
from fairline.errors import StoreError
from fairline.frame import MARKETS, with_probabilities

_STAMP = "%Y%m%dT%H%M%S.%fZ"
_FULL = "-full"
_GROUP = 16_384
"""Rows of a row group: one market's rows are found by reading few of them, since files are sorted by ticker."""
_TRIES = 5
ROOM_BYTES = 200_000_000
"""What has to be free on the disk for a day's writing to begin."""


@dataclass(frozen=True, slots=True, order=True)
class _File:
    """A file's place in time, which its name tells."""

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


class Store:
    """A folder of datasets. One process at a time may write (`with store.writing():`); any number may read.

    What cannot be read is named in `troubles` and left out. Raises `StoreError` for a store of a later version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.troubles: list[str] = []
        self._last: datetime | None = None
        self._lock: int | None = None
        _check_version(folder)

    # writing

    def acquire(self) -> None:
        """Become the one who writes. Raises `StoreError` if another process is, naming it, or if nobody can."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreError(f"the store {self.folder} cannot be written ({error.strerror})", remedy=_WHERE) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pid = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
            os.close(lock)
            raise StoreError(
                f"the store {self.folder} is being written by process {pid}", remedy="Stop that one, or give --store"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock
        _write_bytes(self.folder / "store.json", json.dumps({"version": VERSION}).encode())
        for left in self.folder.glob("*/day=*/.*.writing"):
            left.unlink(missing_ok=True)

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def append(self, dataset: str, rows: pl.DataFrame, now: datetime, *, full: bool = False) -> Path | None:
        """Add rows as recorded `now`; `full` marks a snapshot of everything. Raises `StoreError` if that cannot be.

        Recorded time never runs backwards: if the clock does, the last instant is used again, a microsecond later.
        """
        if rows.is_empty() and not full:
            return None
        self._check_there()
        schema = DATASETS[dataset]
        stamped = rows.with_columns(seen_ts=pl.lit(now, dtype=schema["seen_ts"]))
        table = stamped.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
        path = self._day(dataset, now) / f"{now.strftime(_STAMP)}{_FULL if full else ''}.parquet"
        _write(path, (table.sort("ticker") if "ticker" in schema else table).lazy())
        return path

    def _check_there(self) -> None:
        """Raise `StoreError` if the folder is not the one that was locked: on a disk that went away, say."""
        try:
            there = self._lock is not None and os.path.samestat(os.fstat(self._lock), (self.folder / "lock").stat())
        except OSError:
            there = False
        if not there:
            raise StoreError(
                f"the store {self.folder} is not there any more", remedy="Mount its disk again, then restart"
            )

    def tick(self, now: datetime) -> datetime:
        """The instant to record at: `now`, or just after the last one if the clock has stepped back."""
        if self._last is None:
            ends = [file.last for dataset in DATASETS for file in self._files(dataset)[-1:]]
            self._last = max(ends, default=now - timedelta(microseconds=1))
        self._last = max(now, self._last + timedelta(microseconds=1))
        return self._last

    def compact(self, now: datetime) -> int:
        """Merge the files of each hour that is over, then those of each four hours; how many files went."""
        gone = 0
        for dataset in DATASETS:
            for hours in (1, 4):
                blocks: dict[datetime, list[_File]] = {}
                for file in self._files(dataset):
                    begun = file.first.replace(hour=file.first.hour // hours * hours, minute=0, second=0, microsecond=0)
                    if not file.full and begun + timedelta(hours=hours) <= now:
                        blocks.setdefault(begun, []).append(file)
                gone += sum(self._merge(dataset, files) for files in blocks.values() if len(files) > 1)
            gone += self._sweep(dataset)
        return gone

    def expire(self, keep_days: dict[str, int], now: datetime) -> int:
        """Delete the days of each dataset that are older than it is to be kept; how many."""
        gone = 0
        for dataset, days in keep_days.items():
            oldest = (now - timedelta(days=days)).date()
            for folder in self.folder.glob(f"{dataset}/day=*"):
                if _day_of(folder) < oldest:
                    shutil.rmtree(folder, ignore_errors=True)
                    gone += 1
        return gone

    def free_bytes(self) -> int:
        """What is free where the store is. Raises `OSError` if it is not there any more."""
        return shutil.disk_usage(self.folder).free

    # reading

    def read(
        self,
        dataset: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        where: pl.Expr | None = None,
    ) -> pl.DataFrame:
        """Rows recorded after `since` and up to `until`, in that order, without snapshots."""
        return self._read(dataset, lambda: self._between(dataset, since, until), since, until, where).sort(
            "seen_ts", maintain_order=True
        )

    def latest(self, dataset: str, at: datetime, where: pl.Expr | None = None) -> pl.DataFrame:
        """Each ticker's last row recorded up to an instant: the last snapshot and what was appended since."""

        def paths() -> list[Path]:
            full = max((f for f in self._files(dataset) if f.full and f.first <= at), default=None)
            later = self._between(dataset, full.first if full else None, at)
            return [full.path, *later] if full else later

        rows = self._read(dataset, paths, None, at, where)
        return rows.sort("seen_ts", maintain_order=True).unique("ticker", keep="last", maintain_order=True)

    def asof(self, at: datetime) -> pl.DataFrame:
        """MARKETS with probabilities as the exchange was known here at that instant."""
        quotes = self.latest("quotes", at).filter("listed").drop("seen_ts", "listed")
        facts = self.latest("facts", at).drop("seen_ts")
        made = quotes.join(facts, on="ticker", how="left").select(
            pl.col(name).cast(dtype) for name, dtype in MARKETS.items()
        )
        return with_probabilities(made)

    def history(self, ticker: str, since: datetime | None = None) -> pl.DataFrame:
        """A market's QUOTES from `since` on, the first of them what held at that instant."""
        mine = pl.col("ticker") == ticker
        rows = self.read("quotes", since=since, where=mine)
        before = self.latest("quotes", since, mine) if since else rows.clear()
        if before.is_empty():
            # Days that were deleted took the first rows with them: the oldest snapshot that is there stands for them.
            full = next((f for f in self._files("quotes") if f.full and (since is None or f.first >= since)), None)
            before = self.latest("quotes", full.first, mine) if full is not None else before
            before = before.join(rows, on="seen_ts", how="anti")
        return pl.concat([before, rows]).sort("seen_ts")

    def paths(self, dataset: str) -> list[Path]:
        """The files that together hold a dataset, without snapshots."""
        return self._between(dataset, None, None)

    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def _files(self, dataset: str) -> list[_File]:
        """The files in force, in order of time."""
        folders = sorted(self.folder.glob(f"{dataset}/day=*"))
        found = sorted(file for folder in folders for path in folder.glob("[0-9]*.parquet") if (file := _File.of(path)))
        merged = [file for file in found if file.first < file.last]
        return [file for file in found if file.full or not _covered(file, merged)]

    def _between(self, dataset: str, since: datetime | None, until: datetime | None) -> list[Path]:
        appended = [file for file in self._files(dataset) if not file.full]
        later = [file for file in appended if since is None or file.last > since]
        return [file.path for file in later if until is None or file.first <= until]

    def _read(
        self,
        dataset: str,
        paths: Callable[[], list[Path]],
        since: datetime | None,
        until: datetime | None,
        where: pl.Expr | None,
    ) -> pl.DataFrame:
        """The rows of some files. They are looked up again if one was merged away meanwhile."""
        tests = [pl.col("seen_ts") > since] if since else []
        tests += [pl.col("seen_ts") <= until] if until else []
        tests += [where] if where is not None else []
        for _ in range(_TRIES):
            chosen = paths()
            try:
                return _scan(dataset, chosen).filter(*tests).collect()
            except FileNotFoundError:
                continue
            except (pl.exceptions.PolarsError, OSError) as error:
                if not self._set_aside(chosen):
                    raise StoreError(f"the dataset {dataset} cannot be read ({error})") from None
        raise StoreError(f"the files of {dataset} keep vanishing", remedy=f"Look at {self.folder}")

    def _set_aside(self, paths: Iterable[Path]) -> int:
        """Rename what is no Parquet file, so that the rest can be used; how many there were."""
        damaged = [path for path in paths if not _readable(path)]
        for path in damaged:
            with contextlib.suppress(OSError):
                path.replace(path.with_name(f"{path.name}.damaged"))
            if path.exists():
                raise StoreError(f"{path} is damaged and cannot be set aside", remedy="Remove it")
            self.troubles.append(
                f"{path.parent.parent.name}/{path.parent.name}/{path.name} is damaged and was set aside"
            )
        return len(damaged)

    def _merge(self, dataset: str, files: list[_File]) -> int:
        key = "ticker" if "ticker" in DATASETS[dataset] else "seen_ts"
        parts = [_scan(dataset, [file.path]) for file in files]
        while len(parts) > 1:
            odd = parts[-1:] if len(parts) % 2 else []
            parts = [a.merge_sorted(b, key=key) for a, b in zip(parts[::2], parts[1::2], strict=False)] + odd
        first, last = min(file.first for file in files), max(file.last for file in files)
        name = f"{first.strftime(_STAMP)}--{last.strftime(_STAMP)}.parquet"
        try:
            _write(files[0].path.with_name(name), parts[0])
        except StoreError:
            # Without the damaged ones it is merged the next time.
            if not self._set_aside(file.path for file in files):
                raise
            return 0
        for file in files:
            file.path.unlink(missing_ok=True)
        return len(files) - 1

    def _sweep(self, dataset: str) -> int:
        """Take away what a merge that was cut short has left."""
        kept = {file.path for file in self._files(dataset)}
        left = [path for path in self.folder.glob(f"{dataset}/day=*/[0-9]*.parquet") if path not in kept]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def _day(self, dataset: str, now: datetime) -> Path:
        folder = self.folder / dataset / f"day={now:%Y-%m-%d}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot write {folder} ({error.strerror})", remedy=_WHERE) from None
        return folder


_WHERE = "Check the disk and its permissions, or give --store"


def _moment(text: str) -> datetime:
    return datetime.strptime(text, _STAMP).replace(tzinfo=UTC)


def _day_of(folder: Path) -> date:
    try:
        return date.fromisoformat(folder.name.removeprefix("day="))
    except ValueError:
        return date.max


def _covered(file: _File, merged: list[_File]) -> bool:
    return any(m.first <= file.first and file.last <= m.last and m.path != file.path for m in merged)


def _scan(dataset: str, paths: list[Path]) -> pl.LazyFrame:
    schema = DATASETS[dataset]
    if not paths:
        return schema.to_frame().lazy()
    # A file of an earlier version lacks columns, one of another program may have more.
    return pl.scan_parquet(paths, schema=schema, missing_columns="insert", extra_columns="ignore", glob=False,
                           hive_partitioning=False)  # fmt: skip


def _readable(path: Path) -> bool:
    try:
        pl.read_parquet(path, glob=False, hive_partitioning=False)
    except FileNotFoundError:
        return True
    except (pl.exceptions.PolarsError, OSError):
        return False
    return True


def _write(path: Path, table: pl.LazyFrame) -> None:
    """Whole or not at all, and there even if the power fails next."""
    temporary = path.with_name(f".{path.name}.writing")
    try:
        table.sink_parquet(
            temporary, compression="zstd", compression_level=3, row_group_size=_GROUP,
            metadata={"fairline_version": str(VERSION)},
        )  # fmt: skip
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except (OSError, pl.exceptions.PolarsError) as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"cannot write {path} ({reason})", remedy=_WHERE) from None


def _write_bytes(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.writing")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path} ({error.strerror})", remedy=_WHERE) from None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_version(folder: Path) -> None:
    try:
        version = json.loads((folder / "store.json").read_bytes())["version"]
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StoreError(
            f"{folder / 'store.json'} cannot be read ({error})", remedy="Restore it, or remove it"
        ) from None
    if version > VERSION:
        raise StoreError(
            f"the store {folder} is of version {version}, this Fairline reads up to {VERSION}",
            remedy="Update Fairline, or give another --store",
        )

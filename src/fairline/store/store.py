"""Append-only datasets in Parquet, by day; a file is there whole or not at all, and readers never wait.

`parquet` has the files' names, and why whoever reads meanwhile misses nothing and sees nothing twice.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from fairline.errors import StoreError
from fairline.market.frame import MARKETS, with_probabilities
from fairline.store import parquet
from fairline.store.datasets import DATASETS, VERSION

_TRIES = 5
ROOM_BYTES = 200_000_000
"""What has to be free on the disk for a day's writing to begin."""
LATEST = datetime(9999, 12, 31, tzinfo=UTC)


class Store:
    """A folder of datasets. One process at a time may write, from `acquire()` to `release()`; any number may read.

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
            words = f"the store {self.folder} cannot be written ({error.strerror})"
            raise StoreError(words, remedy=parquet.WHERE) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pid = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
            os.close(lock)
            raise StoreError(
                f"the store {self.folder} is being written by process {pid}", remedy="Stop that one, or give --store"
            ) from None
        try:
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
            _write_version(self.folder)
            for left in self.folder.glob("*/day=*/.*.writing"):
                left.unlink(missing_ok=True)
        except OSError as error:
            os.close(lock)
            words = f"the store {self.folder} cannot be written ({error.strerror})"
            raise StoreError(words, remedy=parquet.WHERE) from None
        self._lock = lock

    def release(self) -> None:
        """What is still being merged in a thread notices, and stops."""
        if self._lock is not None:
            lock, self._lock = self._lock, None
            os.close(lock)

    def append(self, dataset: str, rows: pl.DataFrame, now: datetime, *, full: bool = False) -> Path | None:
        """Add rows as recorded `now`; `full` marks a snapshot of everything. Raises `StoreError` if that cannot be.

        `now` comes from `tick`.
        """
        if rows.is_empty() and not full:
            return None
        self._check_there()
        now, schema = now.astimezone(UTC), DATASETS[dataset]
        stamped = rows.with_columns(seen_ts=pl.lit(now, dtype=schema["seen_ts"]))
        table = stamped.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
        path = self.folder / dataset / f"day={now:%Y-%m-%d}" / parquet.name_of(now, full=full)
        parquet.write(path, (table.sort("ticker") if "ticker" in schema else table).lazy())
        return path

    def tick(self, now: datetime) -> datetime:
        """The instant to record at: `now`, or just after the last one if the clock has stepped back."""
        if self._last is None:
            ends = [end for dataset in DATASETS if (end := self._end(dataset))]
            self._last = max(ends, default=now - timedelta(microseconds=1))
        self._last = max(now, self._last + timedelta(microseconds=1))
        return self._last

    def _end(self, dataset: str) -> datetime | None:
        """When something was last recorded in a dataset."""
        folders = (parquet.of_day(path)[0] for _, path in parquet.days(self.folder / dataset))
        return next((max(file.last for file in files) for files in folders if files), None)

    def compact(self, now: datetime) -> int:
        """Merge the files of each hour that is over, then those of each four hours; how many files went.

        Raises `StoreError`.
        """
        gone = 0
        for dataset in DATASETS:
            for hours in (1, 4):
                blocks: dict[datetime, list[parquet.File]] = {}
                for file in parquet.in_force(self.folder / dataset):
                    begun = file.first.replace(hour=file.first.hour // hours * hours, minute=0, second=0, microsecond=0)
                    if not file.full and begun + timedelta(hours=hours) <= now:
                        blocks.setdefault(begun, []).append(file)
                gone += sum(self._merge(dataset, files) for files in blocks.values() if len(files) > 1)
            gone += self._sweep(dataset)
        return gone

    def expire(self, keep_days: dict[str, int], now: datetime) -> int:
        """Delete the days of each dataset that are older than it is to be kept; how many. Raises `StoreError`."""
        self._check_there()
        gone = 0
        for dataset, kept in keep_days.items():
            oldest = (now - timedelta(days=kept)).date()
            for day, folder in parquet.days(self.folder / dataset):
                if day < oldest:
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
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Rows recorded after `since` and up to `until`, in that order, without snapshots. Raises `StoreError`."""
        rows = self._read(dataset, lambda: self._between(dataset, since, until), (since, until), where, columns)
        return rows.sort("seen_ts", maintain_order=True) if "seen_ts" in rows.columns else rows

    def latest(self, dataset: str, at: datetime = LATEST, where: pl.Expr | None = None) -> pl.DataFrame:
        """Each ticker's last row recorded up to an instant: the last snapshot and what was appended since."""

        def paths() -> list[Path]:
            found = parquet.in_force(self.folder / dataset, until=at.astimezone(UTC))
            full = _last_full(found, at)
            later = self._between(dataset, full.first if full else None, at)
            return [full.path, *later] if full else later

        rows = self._read(dataset, paths, (None, at), where)
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
            snapshots = (f for f in parquet.in_force(self.folder / "quotes", since) if f.full)
            full = min((f for f in snapshots if since is None or f.first >= since), default=None)
            before = self.latest("quotes", full.first, mine) if full is not None else before
            # Once a row has told as much, a snapshot only repeats it.
            before = before.filter(pl.col("seen_ts") < rows["seen_ts"].min()) if rows.height else before
        return pl.concat([before, rows]).sort("seen_ts")

    def paths(self, dataset: str) -> list[Path]:
        """The files that together hold a dataset, without snapshots."""
        return self._between(dataset, None, None)

    def sound_paths(self, dataset: str) -> list[Path]:
        """The same without what is damaged, which is named in `troubles`."""
        found = self.paths(dataset)
        damaged = self._set_aside(found)
        return [path for path in found if path not in damaged]

    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def _between(self, dataset: str, since: datetime | None, until: datetime | None) -> list[Path]:
        since, until = (moment and moment.astimezone(UTC) for moment in (since, until))
        appended = [file for file in parquet.in_force(self.folder / dataset, since, until) if not file.full]
        later = [file for file in appended if since is None or file.last > since]
        return [file.path for file in later if until is None or file.first <= until]

    def _read(
        self,
        dataset: str,
        paths: Callable[[], list[Path]],
        span: tuple[datetime | None, datetime | None],
        where: pl.Expr | None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """The rows of some files. They are looked up again if one was merged away meanwhile."""
        since, until = (moment and moment.astimezone(UTC) for moment in span)
        tests = [pl.col("seen_ts") > since] if since else []
        tests += [pl.col("seen_ts") <= until] if until else []
        tests += [where] if where is not None else []
        damaged: set[Path] = set()
        for _ in range(_TRIES):
            chosen = [path for path in paths() if path not in damaged]
            try:
                rows = parquet.scan(dataset, chosen).filter(*tests)
                return (rows.select(columns) if columns else rows).collect()
            except FileNotFoundError:
                continue
            except (OSError, *parquet.DAMAGE) as error:
                found = self._set_aside(chosen)
                if not found:
                    raise StoreError(f"the dataset {dataset} cannot be read ({error})") from None
                damaged |= found
        raise StoreError(f"the files of {dataset} keep vanishing", remedy=f"Look at {self.folder}")

    def _set_aside(self, paths: Iterable[Path]) -> set[Path]:
        """What is no Parquet file is left out, so that the rest can be used; who writes renames it, too."""
        damaged = {path for path in paths if parquet.is_damaged(path)}
        for path in sorted(damaged):
            words = "is damaged and left out"
            if self._lock is not None:
                with contextlib.suppress(OSError):
                    path.replace(path.with_name(f"{path.name}.damaged"))
                    words = "is damaged and was set aside"
            self.troubles.append(f"{path.relative_to(self.folder)} {words}")
        return damaged

    def _merge(self, dataset: str, files: list[parquet.File]) -> int:
        self._check_there()
        name = parquet.name_of(min(file.first for file in files), max(file.last for file in files))
        try:
            parquet.write(files[0].path.with_name(name), parquet.merged(dataset, files))
        except StoreError:
            # Without the damaged ones it is merged the next time.
            if not self._set_aside(file.path for file in files):
                raise
            return 0
        for file in files:
            file.path.unlink(missing_ok=True)
        return len(files) - 1

    def _sweep(self, dataset: str) -> int:
        """Take away what a merge that was cut short has left: what a merged file of the same look covers."""
        left = [file for _, folder in parquet.days(self.folder / dataset) for file in parquet.of_day(folder)[1]]
        for file in left:
            file.path.unlink(missing_ok=True)
        return len(left)

    def _check_there(self) -> None:
        """Raise `StoreError` if the folder is not the one that was locked: on a disk that went away, say."""
        try:
            held = self._lock is not None and os.path.samestat(os.fstat(self._lock), (self.folder / "lock").stat())
        except OSError:
            held = False
        if not held:
            words = f"the store {self.folder} is not there any more"
            raise StoreError(words, remedy="Mount its disk again, then restart")


def _last_full(files: Iterable[parquet.File], at: datetime) -> parquet.File | None:
    """The last snapshot up to an instant, of files that come with the latest day first."""
    best = None
    for file in files:
        if best is not None and file.first.date() < best.first.date():
            break
        if file.full and file.first <= at and (best is None or file > best):
            best = file
    return best


def _write_version(folder: Path) -> None:
    temporary = folder / f".store.json.{os.getpid()}"
    temporary.write_text(json.dumps({"version": VERSION}))
    temporary.replace(folder / "store.json")


def _check_version(folder: Path) -> None:
    try:
        version = json.loads((folder / "store.json").read_bytes())["version"]
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StoreError(
            f"{folder / 'store.json'} cannot be read ({error})", remedy="Restore it, or remove it"
        ) from None
    if isinstance(version, bool) or not isinstance(version, int):
        raise StoreError(f"{folder / 'store.json'} has no version", remedy="Restore it, or remove it")
    if version > VERSION:
        raise StoreError(
            f"the store {folder} is of version {version}, this Fairline reads up to {VERSION}",
            remedy="Update Fairline, or give another --store",
        )

"""The store: append-only datasets in Parquet, by day. Files are written atomically and readers never wait.

`parquet` explains the files' names, and why reading during a merge neither loses nor repeats rows.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from fairline.errors import StoreError
from fairline.market.frame import MARKETS, with_probabilities
from fairline.store import parquet
from fairline.store.datasets import DATASETS, SORT_KEYS
from fairline.store.identity import check_exchange, claim, read_identity
from fairline.store.lock import Lock, not_writable
from fairline.store.manifest import read_manifest, update_manifest

_TRIES = 5
_RECENT_DAYS = 2
_MERGE_HOURS = (1, 4)
MIN_FREE_BYTES = 200_000_000
"""Free space below which a watch raises an alarm: about what a day of watching writes."""
MAX_TS = datetime(9999, 12, 31, tzinfo=UTC)


class Store:
    """A folder of datasets. One process at a time may write, from `acquire()` to `release()`; any number may read.

    `exchange` is whose markets it holds; without one, that of an existing store is taken. Damaged files are left out
    and named in `warnings`. Raises `StoreError` for a store of a later version or of another exchange.
    """

    def __init__(self, folder: Path, exchange: str = "") -> None:
        self.folder = folder
        self.exchange = exchange
        self.warnings: list[str] = []
        self._last: datetime | None = None
        self._lock: Lock | None = None
        identity = read_identity(folder)
        if identity is not None:
            check_exchange(folder, identity.exchange, exchange)
            self.exchange = identity.exchange or exchange

    # writing

    def acquire(self) -> None:
        """Lock the store for writing. Raises `StoreError` if another process has locked it, or it is not writable."""
        lock = Lock(self.folder)
        try:
            self.exchange = claim(self.folder, self.exchange)
            for unfinished in self.folder.glob("*/day=*/.*.writing"):
                unfinished.unlink(missing_ok=True)
            self._list_unlisted_files()
        except StoreError:
            lock.release()
            raise
        except OSError as error:
            lock.release()
            raise not_writable(self.folder, error) from error
        self._lock = lock

    def release(self) -> None:
        """Unlock the store. A merge that still runs in a thread notices, and stops."""
        if self._lock is not None:
            lock, self._lock = self._lock, None
            lock.release()

    def append(self, dataset: str, rows: pl.DataFrame, now: datetime, *, full: bool = False) -> Path | None:
        """Add rows as recorded at `now`, which comes from `next_ts`. `full` marks a snapshot of everything.

        Returns the new file; None for no rows. Raises `StoreError`.
        """
        if rows.is_empty() and not full:
            return None
        self._check_lock()
        now, schema = now.astimezone(UTC), DATASETS[dataset]
        stamped = rows.with_columns(seen_ts=pl.lit(now, dtype=schema["seen_ts"]))
        if "source" in schema and "source" not in rows.columns:
            stamped = stamped.with_columns(source=pl.lit(None, dtype=pl.String))
        table = stamped.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
        path = self.folder / dataset / f"day={now:%Y-%m-%d}" / parquet.file_name(now, full=full)
        parquet.write_parquet(path, table.sort(SORT_KEYS[dataset], maintain_order=True).lazy())
        return path

    def append_stamped(self, dataset: str, rows: pl.DataFrame) -> None:
        """Add rows that carry their own `seen_ts`, each from `next_ts`: a file for each day. Raises `StoreError`.

        No other file of the dataset may have a time between the first and the last of them.
        """
        self._check_lock()
        schema = DATASETS[dataset]
        table = rows.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
        for (day,), part in table.group_by(pl.col("seen_ts").dt.date(), maintain_order=True):
            first, last = part["seen_ts"].min(), part["seen_ts"].max()
            if isinstance(first, datetime) and isinstance(last, datetime):
                name = parquet.file_name(first, last if last > first else None)
                parquet.write_parquet(
                    self.folder / dataset / f"day={day}" / name, part.sort("ticker", "seen_ts").lazy()
                )

    def next_ts(self, now: datetime) -> datetime:
        """Return the time to record at: `now`, or just after the last one if the clock was set back."""
        if self._last is None:
            ends = [end for dataset in DATASETS if (end := self._last_recorded(dataset))]
            self._last = max(ends, default=now - timedelta(microseconds=1))
        self._last = max(now, self._last + timedelta(microseconds=1))
        return self._last

    def _last_recorded(self, dataset: str) -> datetime | None:
        days = (parquet.list_files(path)[0] for _, path in parquet.list_days(self.folder / dataset))
        return next((max(file.last for file in files) for files in days if files), None)

    def compact(self, now: datetime) -> int:
        """Merge the files of each past hour, then those of each past four hours. Raises `StoreError`.

        Returns how many files fewer there are.
        """
        removed = 0
        for dataset in DATASETS:
            for hours in _MERGE_HOURS:
                for files in self._merge_candidates(dataset, hours, now):
                    removed += self._merge(dataset, files)
            removed += self._remove_covered(dataset)
        return removed

    def _merge_candidates(self, dataset: str, hours: int, now: datetime) -> list[list[parquet.File]]:
        """Return the groups of files that fall into one past period of `hours` hours."""
        periods: dict[datetime, list[parquet.File]] = {}
        for file in parquet.active_files(self.folder / dataset):
            begin = file.first.replace(hour=file.first.hour // hours * hours, minute=0, second=0, microsecond=0)
            if not file.full and begin + timedelta(hours=hours) <= now:
                periods.setdefault(begin, []).append(file)
        return [files for files in periods.values() if len(files) > 1]

    def expire(self, keep_days: Mapping[str, int], now: datetime) -> int:
        """Delete the days of each dataset that are older than its retention. Raises `StoreError`.

        Returns how many days were deleted.
        """
        self._check_lock()
        deleted = 0
        for dataset, days_to_keep in keep_days.items():
            oldest = (now - timedelta(days=days_to_keep)).date()
            for day, folder in parquet.list_days(self.folder / dataset):
                if day < oldest:
                    shutil.rmtree(folder, ignore_errors=True)
                    deleted += 1
        return deleted

    def free_bytes(self) -> int:
        """Return the free space on the store's disk. Raises `OSError` if the folder is missing."""
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
        """Return rows recorded after `since` and up to `until`, in order of time. Raises `StoreError`."""
        rows = self._read(dataset, lambda: self._between(dataset, since, until), (since, until), where, columns)
        return rows.sort("seen_ts", maintain_order=True) if "seen_ts" in rows.columns else rows

    def latest(self, dataset: str, at: datetime = MAX_TS, where: pl.Expr | None = None) -> pl.DataFrame:
        """Return each ticker's last row recorded up to an instant. Raises `StoreError`."""

        def paths() -> list[Path]:
            files = parquet.active_files(self.folder / dataset, until=at.astimezone(UTC))
            snapshot = _last_snapshot(files, at)
            later = self._between(dataset, snapshot.first if snapshot else None, at)
            return [snapshot.path, *later] if snapshot else later

        rows = self._read(dataset, paths, (None, at), where)
        return rows.sort("seen_ts", maintain_order=True).unique("ticker", keep="last", maintain_order=True)

    def asof(self, at: datetime) -> pl.DataFrame:
        """Return MARKETS with probabilities as they were known here at an instant. Raises `StoreError`."""
        quotes = self.latest("quotes", at).filter("listed").drop("seen_ts", "listed", "source")
        facts = self.latest("facts", at).drop("seen_ts", "source")
        markets = quotes.join(facts, on="ticker", how="left")
        return with_probabilities(markets.select(pl.col(name).cast(dtype) for name, dtype in MARKETS.items()))

    def history(self, ticker: str, since: datetime | None = None) -> pl.DataFrame:
        """Return a market's QUOTES from `since` on; the first row is what held at that instant. Raises `StoreError`."""
        is_ticker = pl.col("ticker") == ticker
        rows = self.read("quotes", since=since, where=is_ticker)
        before = self.latest("quotes", since, is_ticker) if since else rows.clear()
        if before.is_empty():
            before = self._oldest_snapshot_rows(ticker, since, rows)
        return pl.concat([before, rows]).sort("seen_ts")

    def _oldest_snapshot_rows(self, ticker: str, since: datetime | None, rows: pl.DataFrame) -> pl.DataFrame:
        """Return a market's row in the oldest snapshot: it replaces first rows that expired with their day."""
        snapshots = (file for file in parquet.active_files(self.folder / "quotes", since) if file.full)
        oldest = min((file for file in snapshots if since is None or file.first >= since), default=None)
        if oldest is None:
            return rows.clear()
        before = self.latest("quotes", oldest.first, pl.col("ticker") == ticker)
        # A snapshot after the first row only repeats it.
        return before.filter(pl.col("seen_ts") < rows["seen_ts"].min()) if rows.height else before

    def paths(self, dataset: str) -> list[Path]:
        """Return the files that together contain a dataset, without snapshots."""
        return self._between(dataset, None, None)

    def readable_paths(self, dataset: str) -> list[Path]:
        """Return `paths` without damaged files, which are named in `warnings`."""
        paths = self.paths(dataset)
        damaged = self._set_damaged_aside(paths)
        return [path for path in paths if path not in damaged]

    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def _between(self, dataset: str, since: datetime | None, until: datetime | None) -> list[Path]:
        since, until = (moment and moment.astimezone(UTC) for moment in (since, until))
        files = parquet.active_files(self.folder / dataset, since, until)
        return [file.path for file in files if not file.full and file.overlaps(since, until)]

    def _read(
        self,
        dataset: str,
        list_paths: Callable[[], list[Path]],
        interval: tuple[datetime | None, datetime | None],
        where: pl.Expr | None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Return the rows of some files. If one was merged away meanwhile, they are listed again."""
        tests = _interval_tests(interval) + ([where] if where is not None else [])
        damaged: set[Path] = set()
        for _ in range(_TRIES):
            paths = [path for path in list_paths() if path not in damaged]
            try:
                rows = parquet.scan_files(dataset, paths).filter(*tests)
                return (rows.select(columns) if columns else rows).collect()
            except FileNotFoundError:
                continue
            except (OSError, *parquet.READ_ERRORS) as error:
                newly_damaged = self._set_damaged_aside(paths)
                if not newly_damaged:
                    raise StoreError(f"cannot read the dataset {dataset} ({error})") from error
                damaged |= newly_damaged
        raise StoreError(f"the files of {dataset} disappear while they are read", remedy=f"Check {self.folder}")

    def _set_damaged_aside(self, paths: Iterable[Path]) -> set[Path]:
        """Return the damaged files, and name them in `warnings`. The process that writes also renames them."""
        damaged = {path for path in paths if parquet.is_damaged(path)}
        for path in sorted(damaged):
            action = "left out"
            if self._lock is not None:
                with contextlib.suppress(OSError):
                    path.replace(path.with_name(f"{path.name}.damaged"))
                    action = "renamed to .damaged"
            self.warnings.append(f"damaged file {path.relative_to(self.folder)} was {action}")
        return damaged

    def _merge(self, dataset: str, files: list[parquet.File]) -> int:
        self._check_lock()
        name = parquet.file_name(min(file.first for file in files), max(file.last for file in files))
        try:
            parquet.write_parquet(files[0].path.with_name(name), parquet.merge_sorted(dataset, files))
        except StoreError:
            # Without its damaged files, the group is merged the next time.
            if not self._set_damaged_aside(file.path for file in files):
                raise
            return 0
        self.delete_files(files)
        return len(files) - 1

    def _remove_covered(self, dataset: str) -> int:
        """Delete files that an interrupted merge left although a merged file covers them."""
        days = parquet.list_days(self.folder / dataset)
        covered = [file for _, folder in days for file in parquet.list_files(folder)[1]]
        self.delete_files(covered)
        return len(covered)

    def delete_files(self, files: Sequence[parquet.File]) -> None:
        """Delete files that a merged one replaces."""
        for file in files:
            file.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            for day in {file.path.parent for file in files}:
                update_manifest(day, remove={file.path.name for file in files if file.path.parent == day})

    def _list_unlisted_files(self) -> None:
        """List files of the last days that a killed process wrote but could not list."""
        for dataset in DATASETS:
            for _, day in parquet.list_days(self.folder / dataset)[:_RECENT_DAYS]:
                entries = read_manifest(day)
                if entries is not None:
                    unlisted = [path for path in day.glob("[0-9]*.parquet") if path.name not in entries]
                    update_manifest(day, [path for path in unlisted if not parquet.is_damaged(path)])

    def _check_lock(self) -> None:
        """Raise `StoreError` unless the folder is the one that was locked; a disk may have been unmounted."""
        if self._lock is None or not self._lock.is_valid():
            raise StoreError(f"the store {self.folder} is missing", remedy="Mount its disk again, then restart")


def _interval_tests(interval: tuple[datetime | None, datetime | None]) -> list[pl.Expr]:
    since, until = (moment and moment.astimezone(UTC) for moment in interval)
    tests = [pl.col("seen_ts") > since] if since else []
    return tests + ([pl.col("seen_ts") <= until] if until else [])


def _last_snapshot(files: Iterable[parquet.File], at: datetime) -> parquet.File | None:
    """Return the last snapshot up to an instant, of files in order of days from the latest."""
    best = None
    for file in files:
        if best is not None and file.first.date() < best.first.date():
            break
        if file.full and file.first <= at and (best is None or file > best):
            best = file
    return best

"""Batches: the rows of one request or file, kept at once and merged into the store's days later.

A batch is a folder below `ingest/` that is renamed into place when it is complete, so that a killed process loses at
most the batch in flight. `merge` puts all batches into the days of their datasets, notes them in `coverage`, and only
then deletes them; interrupted, it can be repeated.
"""

import dataclasses
import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
import polars as pl

from fairline.errors import StoreError
from fairline.files import write_atomic
from fairline.store import parquet
from fairline.store.datasets import COVERAGE, DATASETS, SORT_KEYS
from fairline.store.lock import CHECK_DISK
from fairline.store.store import Store

FOLDER = "ingest"
MERGE_ROWS = 2_000_000
"""Rows of pending batches that are merged at once."""
State = Literal["done", "empty", "partial", "missing", "failed"]
"""`partial`: more will come, such as further candles of an open market; it is requested again."""
_IDENTITY = {
    "quotes": ["ticker", "seen_ts", "source"],
    "facts": ["ticker", "seen_ts", "source"],
    "settlements": ["ticker", "source"],
    "predictions": ["ticker", "model", "seen_ts", "source"],
}
"""Rows with equal values of these are the same row; the last one ingested counts. Trades: see `_distinct`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A part of a source that a batch covers. `rows` counts those of all its datasets."""

    source: str
    item: str
    from_ts: datetime
    to_ts: datetime
    state: State = "done"
    rows: int = 0
    bytes: int = 0
    hash: str = ""
    etag: str = ""

    @property
    def id(self) -> str:
        return entry_id(self.source, self.item, self.from_ts)


def entry_id(source: str, item: str, from_ts: datetime) -> str:
    """Return the identity of a part of a source. Its end is no part of it: it moves while a market is open."""
    text = f"{source}\n{item}\n{from_ts.astimezone(UTC).isoformat()}"
    return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one request: `tables` by dataset, each row with its own `seen_ts`, and what they cover.

    With `replaces`, all earlier rows of the same sources are deleted, because a file was rewritten.
    """

    entries: Sequence[Entry]
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    replaces: bool = False

    @property
    def id(self) -> str:
        return self.entries[0].id

    @property
    def rows(self) -> int:
        return sum(table.height for table in self.tables.values())


class _Note(msgspec.Struct, frozen=True):
    """The account of a batch, as its folder keeps it."""

    entries: list[Entry]
    rows: int
    replaces: bool


class IngestStore:
    """A store that is filled by batches. A context manager that locks it, and merges what is pending at the end.

    Raises `StoreError` if the folder is the store of a watch, is locked, or holds the markets of another exchange.
    """

    def __init__(self, folder: Path, exchange: str) -> None:
        if (folder / "state.sqlite").exists():
            raise StoreError(f"{folder} is the store of a watch", remedy="Ingest into a folder of its own")
        self.store = Store(folder, exchange)
        self._pending_rows = 0
        self._entries: dict[str, Entry] = {}
        self._by_item: dict[str, list[Entry]] = {}

    def __enter__(self) -> "IngestStore":
        self.store.acquire()
        for unfinished in (self.store.folder / FOLDER).glob(".*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        notes = self._notes()
        self._pending_rows = sum(note.rows for note in notes.values())
        names = [each.name for each in dataclasses.fields(Entry)]
        for row in self.store.read("coverage").select(names).iter_rows():
            self._remember(Entry(*row))
        for note in notes.values():
            for entry in note.entries:
                self._remember(entry)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.merge()
        finally:
            self.store.release()

    def entries(self, item: str) -> list[Entry]:
        """Return what is known of an item, pending batches included, the latest last."""
        return self._by_item.get(item, [])

    def of_source(self, source: str) -> list[Entry]:
        """Return what is known of a source, pending batches included."""
        return [entry for entry in self._entries.values() if entry.source == source]

    def finished_ids(self) -> set[str]:
        """Return the ids of the parts that were ingested completely, or of which the source has nothing."""
        return {identity for identity, entry in self._entries.items() if entry.state in ("done", "empty")}

    def _remember(self, entry: Entry) -> None:
        self._entries.pop(entry.id, None)
        self._entries[entry.id] = entry
        self._by_item.setdefault(entry.item, []).append(entry)

    def add(self, batch: Batch) -> None:
        """Keep a batch. Raises `StoreError`."""
        folder = self.store.folder / FOLDER / batch.id
        temporary = folder.with_name(f".{batch.id}")
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            for dataset, table in batch.tables.items():
                _complete(dataset, table, batch.entries[0].source).write_parquet(temporary / f"{dataset}.parquet")
            note = _Note(list(batch.entries), batch.rows, batch.replaces)
            write_atomic(temporary / "batch.json", msgspec.json.encode(note))
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
        except OSError as error:
            raise StoreError(f"cannot write {folder} ({error.strerror})", remedy=CHECK_DISK) from error
        for entry in batch.entries:
            self._remember(entry)
        self._pending_rows += batch.rows
        if self._pending_rows >= MERGE_ROWS:
            self.merge()

    def discard(self, source: str) -> None:
        """Forget the pending batches of a source that is ingested again."""
        for identity, note in self._notes().items():
            if any(entry.source == source for entry in note.entries):
                shutil.rmtree(self.store.folder / FOLDER / identity, ignore_errors=True)

    def merge(self) -> None:
        """Merge all pending batches into the days of the datasets, and note them in `coverage`. Raises `StoreError`."""
        notes = self._notes()
        if not notes:
            return
        folders = [self.store.folder / FOLDER / identity for identity in notes]
        replaced = {entry.source for note in notes.values() if note.replaces for entry in note.entries}
        for dataset in DATASETS:
            files = [path for folder in folders if (path := folder / f"{dataset}.parquet").exists()]
            if files or replaced:
                self._merge_dataset(dataset, files, replaced)
        rows = pl.DataFrame(_coverage_rows(notes.values()), schema=COVERAGE)
        self.store.append("coverage", rows, self.store.next_ts(datetime.now(UTC)))
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        self._pending_rows = 0

    def _merge_dataset(self, dataset: str, files: list[Path], replaced: set[str]) -> None:
        schema = DATASETS[dataset]
        new = pl.concat([pl.read_parquet(path) for path in files]) if files else schema.to_frame()
        new = new.with_columns(_day=pl.col("seen_ts").dt.date())
        folder = self.store.folder / dataset
        days = set(new["_day"].unique())
        if replaced and "source" in schema and dataset != "coverage":
            days |= {day for day, _ in parquet.list_days(folder)}
        for day in sorted(days):
            rows = new.filter(pl.col("_day") == day).drop("_day")
            self._merge_day(dataset, folder / f"day={day}", rows, replaced)

    def _merge_day(self, dataset: str, day: Path, new: pl.DataFrame, replaced: set[str]) -> None:
        """Write a day again: its rows and the new ones. The new file covers the old one, which is deleted."""
        active, _ = parquet.list_files(day)
        old = parquet.scan_files(dataset, [file.path for file in active]).collect()
        remaining = old.filter(~pl.col("source").is_in(list(replaced)).fill_null(value=False)) if replaced else old
        rows = _distinct(dataset, pl.concat([remaining, new.select(old.columns)]))
        if rows.equals(old):
            return
        if rows.height:
            first, last = rows["seen_ts"].min(), rows["seen_ts"].max()
            if not isinstance(first, datetime) or not isinstance(last, datetime):
                raise AssertionError("rows have times")
            first = min([first, *(file.first for file in active)])
            last = max([last, *(file.last for file in active)])
            name = parquet.file_name(first, last)
            parquet.write_parquet(day / name, rows.sort(SORT_KEYS[dataset], "seen_ts").lazy())
            active = [file for file in active if file.path.name != name]
        self.store.delete_files(active)

    def _notes(self) -> dict[str, _Note]:
        notes = {}
        for path in sorted((self.store.folder / FOLDER).glob("[0-9a-f]*/batch.json")):
            notes[path.parent.name] = msgspec.json.decode(path.read_bytes(), type=_Note)
        return notes


def _coverage_rows(notes: Iterable[_Note]) -> list[dict[str, object]]:
    now = datetime.now(UTC)
    return [
        {"seen_ts": now, "batch": entry.id, **dataclasses.asdict(entry)} for note in notes for entry in note.entries
    ]


def _complete(dataset: str, table: pl.DataFrame, source: str) -> pl.DataFrame:
    """Return a table with all columns of its dataset; those that the source has not are null."""
    schema = DATASETS[dataset]
    named = table.with_columns(source=pl.lit(source)) if "source" in schema else table
    return named.select(
        pl.col(name).cast(dtype) if name in named.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in schema.items()
    )


def _distinct(dataset: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Return each row once. Trades without an id look the same: their file is replaced as a whole instead."""
    if dataset == "trades":
        named = rows.filter(pl.col("trade_id").is_not_null()).unique("trade_id", keep="last", maintain_order=True)
        return pl.concat([named, rows.filter(pl.col("trade_id").is_null())])
    key = _IDENTITY.get(dataset)
    return rows if key is None else rows.unique(key, keep="last", maintain_order=True)

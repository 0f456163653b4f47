"""Migrate a store of an earlier version: rewrite its files with today's columns, and list them with their hashes."""

from collections.abc import Callable
from pathlib import Path

import polars as pl

from fairline.errors import StoreError
from fairline.store import parquet
from fairline.store.datasets import DATASETS, VERSION
from fairline.store.identity import read_any_identity, write_identity
from fairline.store.lock import Lock

RENAMED = {
    "yes_bid_size_c": "yes_bid_size_cc",
    "yes_ask_size_c": "yes_ask_size_cc",
    "volume_c": "volume_cc",
    "volume_24h_c": "volume_24h_cc",
    "open_interest_c": "open_interest_cc",
    "size_c": "size_cc",
}
"""Columns of version 1 and their names since version 2."""
RENAMED_FACTS = {"known_ts": "decided_ts"}


def migrate(folder: Path, progress: Callable[[Path], None] = lambda _: None) -> int:
    """Bring a store to today's version, and return how many files were rewritten.

    It can be interrupted and run again. Raises `StoreError` without a store, for a later version, and for a file that
    cannot be read.
    """
    identity = read_any_identity(folder)
    if identity is None:
        raise StoreError(f"there is no store at {folder}", remedy="Check --store")
    if identity.version >= VERSION:
        return 0
    lock = Lock(folder)
    try:
        rewritten = 0
        for dataset in DATASETS:
            for path in sorted((folder / dataset).glob("day=*/[0-9]*.parquet")):
                _rewrite(dataset, path)
                progress(path)
                rewritten += 1
        write_identity(folder, identity.exchange)
        return rewritten
    finally:
        lock.release()


def _rewrite(dataset: str, path: Path) -> None:
    try:
        rows = pl.read_parquet(path, glob=False, hive_partitioning=False)
    except (OSError, *parquet.READ_ERRORS) as error:
        raise StoreError(f"cannot read {path} ({error})", remedy="Remove the file, then migrate again") from error
    names = RENAMED | (RENAMED_FACTS if dataset == "facts" else {})
    parquet.write_parquet(path, rows.rename(names, strict=False).lazy())

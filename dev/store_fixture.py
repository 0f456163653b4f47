"""Write a small store of the version at hand: `python -m dev.store_fixture FOLDER`.

Tests open the stores of all earlier versions. When the version of the datasets changes, run this with the last release
first, so that its store is among them:

    PYTHONPATH=path/to/release/src python dev/store_fixture.py tests/unit/store/vN
"""

import hashlib
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from fairline.store.datasets import DATASETS
from fairline.store.store import Store
from fairline.watch.state import State

BEGIN = datetime(2026, 11, 23, 12, tzinfo=UTC)
TICKERS = ("KXA-26NOV23-A", "KXA-26NOV23-B")


def create_value(name: str, dtype: pl.DataType, row: int) -> object:
    """Return a value that names its column and row."""
    if name == "ticker":
        return TICKERS[row]
    values: dict[type[pl.DataType], object] = {
        pl.String: f"{name} {row}",
        pl.Boolean: True,
        pl.Int64: 100_000 * (row + 1),
        pl.Float64: 0.25 * (row + 1),
        pl.Binary: f"{name} {row}".encode(),
        pl.Date: BEGIN.date(),
        pl.Datetime: BEGIN + timedelta(minutes=row),
    }
    return values[dtype.base_type()]


def create_rows(schema: pl.Schema) -> pl.DataFrame:
    rows = [{name: create_value(name, dtype, row) for name, dtype in schema.items()} for row in range(len(TICKERS))]
    for number, row in enumerate(rows):
        if "body" in row:
            row["hash"] = hashlib.sha256(f"body {number}".encode()).hexdigest()
    return pl.DataFrame(rows, schema=schema).with_columns(
        pl.lit("active").alias(name) for name in ("status",) if name in schema
    )


def main(folder: Path) -> None:
    store = Store(folder)
    store.acquire()
    for dataset, schema in DATASETS.items():
        store.append(dataset, create_rows(schema), BEGIN)
    store.append("quotes", create_rows(DATASETS["quotes"]), BEGIN + timedelta(minutes=1), full=True)
    store.release()
    state = State(folder)
    state.follow(TICKERS, BEGIN)
    state.raise_alarm("disk", "only 10 MB free", ["phone"], ("Fairline: disk", "only 10 MB free"), BEGIN)
    state.close()
    (folder / "lock").unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

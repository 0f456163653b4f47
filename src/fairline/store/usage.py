"""How much disk each dataset takes per day."""

from datetime import date
from pathlib import Path

import polars as pl

from fairline.store import parquet
from fairline.store.datasets import DATASETS

_USAGE = {"dataset": pl.String, "day": pl.Date, "bytes": pl.Int64}


def disk_usage(folder: Path) -> pl.DataFrame:
    """Return `dataset, day, bytes` of a store, in order of days."""
    rows = [
        (dataset, day, sum(path.stat().st_size for path in files.iterdir() if path.is_file()))
        for dataset in DATASETS
        for day, files in parquet.list_days(folder / dataset)
    ]
    return pl.DataFrame(rows, schema=_USAGE, orient="row").sort("day", "dataset")


def describe_day(usage: pl.DataFrame, day: date) -> str:
    """Return the disk use of a day in one line, the largest dataset first; "" without any."""
    rows = usage.filter(pl.col("day") == day).sort("bytes", descending=True)
    if rows.is_empty():
        return ""
    total = sum(rows["bytes"].to_list())
    parts = [f"{dataset} {size / 1e6:,.1f}" for dataset, size in rows.select("dataset", "bytes").iter_rows()]
    return f"{total / 1e6:,.1f} MB on {day}: {', '.join(parts)}"

"""Write the rows of a large scan in every format; compare JSON with building the whole text in memory."""

import json
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import polars as pl

from fairline.output.formats import write_document, write_rows

ROWS = 120_000
NOWHERE = Path(os.devnull)


def rows(count: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ticker": [f"KXHIGHNY-26NOV23-B{number}" for number in range(count)],
            "outcome": ["54° to 55°"] * count,
            "title": ["Will the high temperature in New York be 54° to 55°?"] * count,
            "category": ["Climate and Weather"] * count,
            "price": [0.123456] * count,
            "p": [0.5] * count,
            "ev_per_contract": [0.01] * count,
            "size": [100.0] * count,
            "url": ["https://kalshi.com/markets/kxhighny"] * count,
        }
    )


def plain_json(stream: BinaryIO, frame: pl.DataFrame) -> None:
    """Build all objects and then all text."""
    stream.write(json.dumps({"rows": frame.to_dicts()}, indent=2).encode())


WRITERS: dict[str, Callable[[BinaryIO, pl.DataFrame], None]] = {
    "JSON, as a whole": plain_json,
    "JSON": lambda stream, frame: write_document(stream, {"rows": frame}),
    "JSON Lines": lambda stream, frame: write_rows(stream, "jsonl", frame),
    "CSV": lambda stream, frame: write_rows(stream, "csv", frame),
    "TSV": lambda stream, frame: write_rows(stream, "tsv", frame),
    "Markdown": lambda stream, frame: write_rows(stream, "markdown", frame),
    "Parquet": lambda stream, frame: write_rows(stream, "parquet", frame),
}


def measure(name: str, count: int) -> tuple[float, float]:
    """Return CPU seconds and the growth of the peak memory in MB."""
    frame = rows(count)
    with NOWHERE.open("wb") as stream:
        WRITERS[name](stream, frame.head(10))  # imports and first calls are not measured
    memory, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with NOWHERE.open("wb") as stream:
        WRITERS[name](stream, frame)
    seconds = time.process_time() - start
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024


def run(count: int = ROWS) -> str:
    lines = [f"| {count:,} rows of 9 columns | CPU s | more memory, MB |", "|---|---|---|"]
    for name in WRITERS:
        # A process for each, because a peak never falls.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, megabytes = pool.apply(measure, (name, count))
        lines.append(f"| {name} | {seconds:.2f} | {megabytes:.0f} |")
    return "\n".join(lines)

"""What appears and goes during a watch: lines of the log, or JSON lines on standard output."""

import logging
import sys
from typing import Any

import polars as pl

from fairline.output.formats import write_rows
from fairline.output.tables import change_table
from fairline.pricing.steps import failure_text
from fairline.text import sanitize

log = logging.getLogger("fairline.watch")
MAX_LINES = 10
"""Changes of one kind that are named after a scan; the store has all of them."""


def log_changes(edges: pl.DataFrame) -> None:
    """Log the opportunities that appeared, best first, and those that are gone, with the reason."""
    rows = change_table(edges, "")
    appeared = rows.filter(pl.col("change") == "appeared").sort("believed_ev_per_contract", descending=True)
    for kind, part, describe in (
        ("appeared", appeared, _describe_offer),
        ("gone", rows.filter(pl.col("change") == "gone"), _describe_departure),
    ):
        for row in part.head(MAX_LINES).iter_rows(named=True):
            log.info("%s: %s", kind, sanitize(describe(row)))
        if part.height > MAX_LINES:
            log.info("%s: … and %d more", kind, part.height - MAX_LINES)


class ChangeWriter:
    """Writes every change as a line of JSON to standard output, until its reader is gone."""

    def __init__(self, exchange: str) -> None:
        self._exchange = exchange
        self._is_open = True

    def __call__(self, edges: pl.DataFrame) -> None:
        if not self._is_open or edges.is_empty():
            return
        try:
            write_rows(sys.stdout.buffer, "jsonl", change_table(edges, self._exchange))
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            self._is_open = False
            log.warning("the reader of the changes is gone; the watch goes on")


def _describe_offer(row: dict[str, Any]) -> str:
    believed = row["believed_ev_per_contract"]
    ev = row["ev_per_contract"] if believed is None else believed
    return (
        f"{row['ticker']} {row['side'].upper()} at ${row['price']:.3f}, p {row['p']:.3f} by {row['model']}, "
        f"EV ${ev:+.3f}  {row['title'] or ''}"
    )


def _describe_departure(row: dict[str, Any]) -> str:
    return f"{row['ticker']} {row['side'].upper()} by {row['model']}: {failure_text(row['reason'])}"

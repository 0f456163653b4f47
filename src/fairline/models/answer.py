"""Assemble a model's answer: priced rows, and notes that say what is not priced and why."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fairline.market.frame import PREDICTIONS
from fairline.models.linking import MIN_CONFIDENCE

PARTS = pl.Schema({"ticker": pl.String, "p": pl.Float64, "p_sd": pl.Float64, "note": pl.String})
"""Columns of the parts that `to_predictions` combines."""


def note_row(text: str) -> pl.DataFrame:
    """Return a row that prices nothing and carries a note."""
    return pl.DataFrame({"ticker": [None], "p": [None], "p_sd": [None], "note": [text]}, schema=PARTS)


def priced_rows(
    tickers: pl.Series, p: NDArray[np.float64], p_sd: NDArray[np.float64], floor: float = 0.0
) -> pl.DataFrame:
    """Return priced rows, with `p_sd` at least `floor` and at most √(p(1 − p)), the largest that is possible."""
    largest = np.sqrt(np.clip(p * (1 - p), 0.0, None))
    limited = np.minimum(np.maximum(p_sd, floor), largest)
    columns = {"ticker": tickers, "p": pl.Series(p), "p_sd": pl.Series(limited)}
    return pl.DataFrame(columns).with_columns(note=pl.lit(None, dtype=pl.String)).cast(PARTS)


def link_fault() -> pl.Expr:
    """Return why a link (LINKS columns) is not priced, null if it is reliable.

    Dates and hours are replaced by "…" so that markets with the same fault share one note.
    """
    return pl.coalesce(
        pl.col("reason").str.replace_all(r"\d[\d-]*", "…"),
        pl.when(pl.col("confidence") < MIN_CONFIDENCE).then(pl.lit("the evidence for what it is about is too weak")),
    )


def count_unpriced(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one row per distinct `note`, with the number of markets that have it and one of their tickers."""
    counts = rows.group_by("note", maintain_order=True).agg(pl.len(), pl.col("ticker").first())
    text = pl.format("{} markets such as {} are not priced: {}", "len", "ticker", "note")
    nothing = pl.lit(None, dtype=pl.Float64)
    return counts.select(pl.lit(None, dtype=pl.String).alias("ticker"), p=nothing, p_sd=nothing, note=text)


def to_predictions(parts: Sequence[pl.DataFrame], model: str, asof: datetime) -> pl.DataFrame:
    """Return PREDICTIONS from frames in PARTS columns."""
    rows = pl.concat([PARTS.to_frame(), *parts])
    return rows.with_columns(model=pl.lit(model), asof=pl.lit(asof).cast(PREDICTIONS["asof"])).select(
        PREDICTIONS.names()
    )

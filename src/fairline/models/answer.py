"""How a model's answer is put together: priced rows, and lines that say what is not priced and why."""

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from fairline.market.frame import PREDICTIONS
from fairline.models.linking import SURE

PARTS = pl.Schema({"ticker": pl.String, "p": pl.Float64, "p_sd": pl.Float64, "note": pl.String})


def told(words: str) -> pl.DataFrame:
    """A row that prices nothing and says why."""
    return pl.DataFrame({"ticker": [None], "p": [None], "p_sd": [None], "note": [words]}, schema=PARTS)


def unsure() -> pl.Expr:
    """Why a link (LINKS columns) is not priced, null if it is sure. Days and hours are left out of it, so that all of
    a kind are one line.
    """
    return pl.coalesce(
        pl.col("reason").str.replace_all(r"\d[\d-]*", "…"),
        pl.when(pl.col("confidence") < SURE).then(pl.lit("what it is about is not sure enough")),
    )


def unpriced(rows: pl.DataFrame) -> pl.DataFrame:
    """A line for each `note` of these rows, with one of the markets that have it, not one for each market."""
    told_of = rows.group_by("note", maintain_order=True).agg(pl.len(), pl.col("ticker").first())
    words = pl.format("{} markets such as {} are not priced: {}", "len", "ticker", "note")
    nothing = pl.lit(None, dtype=pl.Float64)
    return told_of.select(pl.lit(None, dtype=pl.String).alias("ticker"), p=nothing, p_sd=nothing, note=words)


def answered(parts: Sequence[pl.DataFrame], model: str, asof: datetime) -> pl.DataFrame:
    """PREDICTIONS of frames in the columns of PARTS."""
    at = pl.lit(asof).cast(PREDICTIONS["asof"])
    whole = pl.concat([PARTS.to_frame(), *parts])
    return whole.with_columns(model=pl.lit(model), asof=at).select(PREDICTIONS.names())

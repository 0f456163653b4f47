"""Validate a model's predictions."""

import polars as pl

from fairline.market.frame import PREDICTIONS


def split_usable(predictions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the usable rows of a model's answer in PREDICTIONS columns, and `{ticker, fault}` of the others.

    Raises a `PolarsError` for a frame without the required columns.
    """
    if "note" not in predictions.columns:
        predictions = predictions.with_columns(note=pl.lit(None, dtype=pl.String))
    rows = predictions.select(pl.col(name).cast(dtype) for name, dtype in PREDICTIONS.items())
    rows = rows.with_columns(fault=_fault())
    faulty = rows.filter(pl.col("fault").is_not_null()).select("ticker", "fault")
    return rows.filter(pl.col("fault").is_null() & pl.col("p").is_not_null()).drop("fault"), faulty


def _fault() -> pl.Expr:
    """Why a row cannot be used: its own note, an invalid value, or a ticker that was priced before."""
    p, p_sd = pl.col("p"), pl.col("p_sd")
    is_probability = p.is_finite() & p.is_between(0, 1)
    # No probability has a larger standard deviation than √(p(1 − p)).
    is_possible = p_sd.is_finite() & (p_sd >= 0) & (p_sd**2 <= p * (1 - p) + 1e-12)
    is_valid = pl.col("note").is_null() & is_probability
    is_first = pl.struct("ticker", is_valid).is_first_distinct()
    return pl.coalesce(
        "note",
        pl.when(~is_probability).then(pl.format("{}: p = {} is not a probability", "ticker", "p")),
        pl.when(~is_possible).then(pl.format("{}: p_sd = {} is impossible", "ticker", "p_sd")),
        pl.when(is_valid & ~is_first).then(pl.format("{}: priced twice", "ticker")),
    )

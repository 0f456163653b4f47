"""What a model said, held against what a prediction can be."""

import polars as pl

from fairline.market.frame import PREDICTIONS


def usable(made: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of a model's answer that can be used, in PREDICTIONS columns, and `{ticker, fault}` of the others.

    Raises a `PolarsError` for what is no such answer at all.
    """
    if "note" not in made.columns:
        made = made.with_columns(note=pl.lit(None, dtype=pl.String))
    made = made.select(pl.col(name).cast(dtype) for name, dtype in PREDICTIONS.items())
    p, p_sd = pl.col("p"), pl.col("p_sd")
    sound = pl.col("note").is_null() & p.is_finite() & p.is_between(0, 1)
    fault = pl.coalesce(
        "note",
        pl.when(~(p.is_finite() & p.is_between(0, 1))).then(
            pl.format("{}: p = {} is not a probability", "ticker", "p")
        ),
        pl.when(~(p_sd.is_finite() & (p_sd >= 0) & (p_sd**2 <= p * (1 - p) + 1e-12))).then(
            pl.format("{}: p_sd = {} is impossible", "ticker", "p_sd")
        ),
        pl.when(sound & ~pl.struct("ticker", sound).is_first_distinct()).then(pl.format("{}: priced twice", "ticker")),
    )
    judged = made.with_columns(fault=fault)
    faulty = judged.filter(pl.col("fault").is_not_null()).select("ticker", "fault")
    return judged.filter(pl.col("fault").is_null() & p.is_not_null()).drop("fault"), faulty

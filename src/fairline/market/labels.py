"""What a market is called: its outcome before its question, because the outcome tells markets of one event apart."""

import polars as pl

SEPARATOR = " · "


def label() -> pl.Expr:
    """Return `outcome · question` from `yes_sub_title` and `title`; just one if the other is missing or the same."""
    outcome, question = pl.col("yes_sub_title").fill_null(""), pl.col("title").fill_null("")
    both = (outcome != "") & (question != "") & (outcome != question)
    return pl.when(both).then(pl.concat_str(outcome, pl.lit(SEPARATOR), question)).otherwise(outcome + question)


def label_of(outcome: str | None, question: str | None) -> str:
    """Return the label of one market."""
    parts = dict.fromkeys(part for part in (outcome, question) if part)
    return SEPARATOR.join(parts)

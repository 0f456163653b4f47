"""What a market is called, with its outcome before its question, and the address of its page."""

import polars as pl

SEPARATOR = " · "


def label() -> pl.Expr:
    """Return `outcome · question` from `yes_sub_title` and `title`; just one if the other is missing or the same."""
    outcome, question = pl.col("yes_sub_title").fill_null(""), pl.col("title").fill_null("")
    both = (outcome != "") & (question != "") & (outcome != question)
    joined = pl.concat_str(outcome, pl.lit(SEPARATOR), question)
    return pl.when(both).then(joined).when(outcome != "").then(outcome).otherwise(question)


def label_of(outcome: str | None, question: str | None) -> str:
    """Return the label of one market."""
    parts = dict.fromkeys(part for part in (outcome, question) if part)
    return SEPARATOR.join(parts)


def page_address(exchange: str) -> pl.Expr:
    """Return the address of each market's page, from `ticker` and `series_ticker`.

    `exchange` is the address of its API. Of another exchange that is known only by name there is no address (null).
    """
    if exchange == "production" or ("kalshi" in exchange and "demo" not in exchange):
        return pl.concat_str(pl.lit("https://kalshi.com/markets/"), pl.col("series_ticker").str.to_lowercase())
    if "://" not in exchange:
        return pl.lit(None, dtype=pl.String)
    return pl.concat_str(pl.lit(f"{exchange}/markets/"), pl.col("ticker"))

"""Closing-line value: the price paid by each fill against the last two-sided quote before its event began.

A fill that bought cheaper than the market closed has positive value. It tells skill from luck on far fewer trades than
profit does. Quotes during play never count, and the close of the market is not used: for a game it is days later.
"""

import polars as pl

from fairline.positions.records import DOLLAR_U

_TIME: pl.DataType = pl.Datetime("us", "UTC")
QUOTES = pl.Schema([("ticker", pl.String()), ("ts", _TIME), ("yes_bid_u", pl.Int64()), ("yes_ask_u", pl.Int64())])
"""Quotes of markets over time, from a store or from candles."""


def closing_lines(quotes: pl.DataFrame, starts: pl.DataFrame) -> pl.DataFrame:
    """Return `ticker, starts_ts, line_ts, line_bid_u, line_ask_u`: the last two-sided quote before each start.

    `quotes` are QUOTES, `starts` are `ticker, starts_ts`. Markets with no start or no such quote have nulls.
    """
    two_sided = quotes.filter(pl.col("yes_bid_u").is_not_null() & pl.col("yes_ask_u").is_not_null())
    before = two_sided.join(starts.drop_nulls("starts_ts"), on="ticker").filter(pl.col("ts") < pl.col("starts_ts"))
    last = before.sort("ts").group_by("ticker").last()
    lines = last.select("ticker", line_ts="ts", line_bid_u="yes_bid_u", line_ask_u="yes_ask_u")
    return starts.unique("ticker", keep="last").join(lines, on="ticker", how="left")


def closing_value(fills: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Return the fills with `clv_mid_cents` and `clv_exit_cents`, per contract.

    The first is against the middle of the closing line, the second against the price at which the side bought could
    have been sold then. Both are null if the start is unknown, if there was no two-sided quote before it, or if the
    fill came after the start.
    """
    joined = fills.join(lines, on="ticker", how="left", maintain_order="left")
    bought_yes = pl.col("side") == "yes"
    yes_mid = (pl.col("line_bid_u") + pl.col("line_ask_u")) / 2
    mid = pl.when(bought_yes).then(yes_mid).otherwise(DOLLAR_U - yes_mid)
    exit_price = pl.when(bought_yes).then("line_bid_u").otherwise(DOLLAR_U - pl.col("line_ask_u"))
    before_start = pl.col("filled_ts") < pl.col("starts_ts")
    return joined.with_columns(
        clv_mid_cents=pl.when(before_start).then((mid - pl.col("price_u")) / 10_000),
        clv_exit_cents=pl.when(before_start).then((exit_price - pl.col("price_u")) / 10_000),
    )

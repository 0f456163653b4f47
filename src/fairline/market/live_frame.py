"""Live quotes as columns: the rows of a listing with the current quotes of the feed."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fairline.market.frame import with_probabilities
from fairline.market.live import LiveState

_QUOTES = {"yes_bid_u": "bid_u", "yes_ask_u": "ask_u", "yes_bid_size_cc": "bid_cc", "yes_ask_size_cc": "ask_cc"}
_TOTALS = {"last_price_u": "last_u", "volume_cc": "volume_cc", "open_interest_cc": "interest_cc"}


def live_markets(markets: pl.DataFrame, state: LiveState, rows: Sequence[int]) -> pl.DataFrame:
    """Return these rows of a listing with live quotes, totals, status and probabilities.

    `markets` has a row for each row of the state, in the same order, with or without probability columns. A side
    without quotes is null, and a total that the feed has not sent stays that of the listing.
    """
    taken = markets[list(rows)]
    place = np.asarray(rows, dtype=np.int64)
    columns = {name: column_of(state, field)[place] for name, field in (_QUOTES | _TOTALS).items()}
    live = [pl.Series(f"_{name}", values) for name, values in columns.items()]
    closed = np.frombuffer(bytes(state.closed), dtype=np.uint8)[place].astype(bool)
    updated = taken.with_columns(*live, pl.Series("_closed", closed))
    prices = [pl.when(pl.col(f"_{name}") > 0).then(f"_{name}").alias(name) for name in ("yes_bid_u", "yes_ask_u")]
    sizes = [pl.col(f"_{name}").alias(name) for name in ("yes_bid_size_cc", "yes_ask_size_cc")]
    totals = [pl.when(pl.col(f"_{name}") > 0).then(f"_{name}").otherwise(name).alias(name) for name in _TOTALS]
    status = pl.when("_closed").then(pl.lit("closed")).otherwise("status").alias("status")
    return with_probabilities(updated.with_columns(*prices, *sizes, *totals, status).select(markets.columns))


def column_of(state: LiveState, field: str) -> NDArray[np.int64]:
    """Return a copy of one column of the state."""
    return np.array(getattr(state, field), dtype=np.int64)


def load_quotes(state: LiveState, markets: pl.DataFrame, ts_ms: int) -> None:
    """Take the quotes of a listing as of an instant; rows with newer quotes keep them. Rows are in the same order."""
    names = ("yes_bid_u", "yes_ask_u", "yes_bid_size_cc", "yes_ask_size_cc")
    quotes = markets.select(pl.col(name).fill_null(0) for name in names)
    bid, ask = pl.col("yes_bid_u") > 0, pl.col("yes_ask_u") > 0
    complete = quotes.with_columns(
        pl.when(bid).then("yes_bid_size_cc").otherwise(0).alias("yes_bid_size_cc"),
        pl.when(ask).then("yes_ask_size_cc").otherwise(0).alias("yes_ask_size_cc"),
    )
    for row, quote in enumerate(complete.iter_rows()):
        state.set_quote(row, quote, ts_ms)

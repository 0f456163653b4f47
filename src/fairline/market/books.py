"""Order books as columns, and the quotes at their top.

A book lists bids only, for YES and for NO. To offer YES is to bid for NO, so the YES ask is one dollar less the best NO
bid, and its size is that bid's. The order of the levels is never relied on.
"""

from collections.abc import Sequence

import polars as pl

from fairline.kalshi.decoding import Rejected
from fairline.kalshi.wire import OrderBook
from fairline.market.frame import NOTIONAL_U, count_units, dollar_units, with_probabilities

LEVELS = pl.Schema({"ticker": pl.String, "side": pl.String, "price_u": pl.Int64, "size_cc": pl.Int64})


def reject_unreadable(books: Sequence[OrderBook]) -> tuple[list[OrderBook], list[Rejected]]:
    """Return the books whose levels can all be read, and a rejection for each other book."""
    raw = pl.DataFrame(
        [(book.ticker, *level) for book in books for side in _sides(book) for level in side],
        schema={"ticker": pl.String, "price": pl.String, "size": pl.String},
        orient="row",
    )
    bad = raw.filter(dollar_units("price").is_null() | count_units("size").is_null()).unique(
        "ticker", keep="first", maintain_order=True
    )
    rejected = [
        Rejected(ticker, "orderbook_fp", f'["{price}","{size}"]', "not a price between 0 and 1 and a count")
        for ticker, price, size in bad.iter_rows()
    ]
    unreadable = set(bad["ticker"])
    return [book for book in books if book.ticker not in unreadable], rejected


def _sides(book: OrderBook) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    return book.orderbook_fp.yes_dollars or [], book.orderbook_fp.no_dollars or []


def levels(books: Sequence[OrderBook], *, keep_empty: bool = False) -> pl.DataFrame:
    """Return LEVELS: a row for each level of each book; `side` is what is bid for, yes or no.

    Levels without a readable price and a size above zero are left out. With `keep_empty`, a book that has no other
    level has one row that is null except for its ticker.
    """
    rows = [
        (book.ticker, side, price, size)
        for book in books
        for side, bids in zip(("yes", "no"), _sides(book), strict=True)
        for price, size in bids
    ]
    raw = pl.DataFrame(rows, schema=dict.fromkeys(LEVELS, pl.String), orient="row")
    units = raw.with_columns(price_u=dollar_units("price_u"), size_cc=count_units("size_cc"))
    offered = (pl.col("size_cc") > 0) & pl.col("price_u").is_between(0, NOTIONAL_U, closed="none")
    valid = units.filter(offered).select(pl.col(name).cast(dtype) for name, dtype in LEVELS.items())
    if not keep_empty:
        return valid
    tickers = pl.DataFrame({"ticker": [book.ticker for book in books]}, schema={"ticker": pl.String})
    empty = tickers.unique(maintain_order=True).join(valid, on="ticker", how="anti")
    return pl.concat([valid, empty], how="diagonal")


def quotes(books: Sequence[OrderBook]) -> pl.DataFrame:
    """Return the best YES bid and ask of each book with their sizes, null without one. Levels of one price add up."""
    merged = levels(books).group_by("ticker", "side", "price_u").agg(pl.col("size_cc").sum())
    best = merged.sort("price_u").group_by("ticker", "side", maintain_order=True).last()
    tickers = pl.DataFrame({"ticker": [book.ticker for book in books]}, schema={"ticker": pl.String}).unique()
    bids = best.filter(pl.col("side") == "yes").select("ticker", yes_bid_u="price_u", yes_bid_size_cc="size_cc")
    asks = best.filter(pl.col("side") == "no").select(
        "ticker", yes_ask_u=NOTIONAL_U - pl.col("price_u"), yes_ask_size_cc="size_cc"
    )
    return (
        tickers.join(bids, on="ticker", how="left")
        .join(asks, on="ticker", how="left")
        .with_columns(pl.col("yes_bid_size_cc", "yes_ask_size_cc").fill_null(0))
    )


def with_quotes(markets: pl.DataFrame, fresh: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Return the markets with the fresh `quotes` where there are any, with new probabilities; and how many moved."""
    names = ("yes_bid_u", "yes_ask_u", "yes_bid_size_cc", "yes_ask_size_cc")
    # Only tickers and quotes are joined: a join copies every column that it carries.
    joined = markets.select("ticker", *names).join(
        fresh.with_columns(read=True), on="ticker", how="left", suffix="_now", maintain_order="left"
    )
    moved = joined.filter("read", ~pl.all_horizontal(pl.col(n).eq_missing(pl.col(f"{n}_now")) for n in names)).height
    now = joined.select(pl.when("read").then(f"{name}_now").otherwise(name).alias(name) for name in names)
    return with_probabilities(markets.with_columns(now.get_columns())), moved

"""The tick grid of a market: the prices at which an order is allowed.

The exchange sends each market's own `price_ranges`, `[{start, end, step}]` in dollars of YES; the names of structures
(`linear_cent`, …) only label them. A range includes both ends: the next one begins where it ends.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise

import msgspec
import polars as pl

from fairline.market.frame import NOTIONAL_U

Grid = tuple[tuple[int, int, int], ...]
"""Ranges `(start, end, step)` in micro-dollars, ascending."""


class _Range(msgspec.Struct):
    start: str
    end: str
    step: str


def grid_of(text: str | None) -> Grid:
    """Parse a market's `price_ranges` (JSON); return an empty grid if it is absent or not a grid."""
    try:
        ranges = msgspec.json.decode(text or "[]", type=list[_Range])
        grid = sorted((_units(r.start), _units(r.end), _units(r.step)) for r in ranges)
    except (msgspec.MsgspecError, ValueError, ZeroDivisionError):
        return ()
    return tuple(grid) if _is_contiguous(grid) else ()


def _is_contiguous(grid: Sequence[tuple[int, int, int]]) -> bool:
    if any(step <= 0 or end <= start for start, end, step in grid):
        return False
    return all(before[1] == after[0] for before, after in pairwise(grid))


def _units(dollars: str) -> int:
    """Convert a decimal text to micro-dollars. Raises `ValueError` unless it is a whole number of them."""
    exact = Fraction(dollars) * NOTIONAL_U
    if exact.denominator != 1:
        raise ValueError(f"{dollars} is finer than a micro-dollar")
    return exact.numerator


def next_above_u(price_u: int, grid: Grid) -> int | None:
    """Return the next price above, if there is one below the notional."""
    for start, end, step in grid:
        if start <= price_u < end:
            above = min(price_u - (price_u - start) % step + step, end)
            return above if above < NOTIONAL_U else None
    return None


def next_below_u(price_u: int, grid: Grid) -> int | None:
    """Return the next price below, if there is one above zero."""
    for start, end, step in grid:
        if start < price_u <= end:
            below = start + (price_u - start - 1) // step * step
            return below if below > 0 else None
    return None


def is_on_grid(price_u: int, grid: Grid) -> bool:
    """Return whether an order at that price is allowed."""
    return any(start <= price_u <= end and (price_u - start) % step == 0 for start, end, step in grid)


def better_prices(markets: pl.DataFrame) -> pl.DataFrame:
    """Return `{ticker, yes_better_u, no_better_u}`: one tick better than the best YES bid and the best NO bid.

    Null where that would meet the other side, or where the grid is unknown.
    """
    bid, ask = pl.col("yes_bid_u"), pl.col("yes_ask_u")
    above = _map_prices(markets, "yes_bid_u", next_above_u)
    below = _map_prices(markets, "yes_ask_u", next_below_u)
    moved = markets.select("ticker", "yes_bid_u", "yes_ask_u", above=above, below=below)
    return moved.select(
        "ticker",
        yes_better_u=pl.when(pl.col("above") < ask.fill_null(NOTIONAL_U)).then("above"),
        no_better_u=NOTIONAL_U - pl.when(pl.col("below") > bid.fill_null(0)).then("below"),
    )


def off_grid(markets: pl.DataFrame) -> pl.DataFrame:
    """Return `{ticker, price_u}` of each quote that the market's own grid does not allow."""

    def if_off_grid(price_u: int, grid: Grid) -> int | None:
        return price_u if grid and not is_on_grid(price_u, grid) else None

    quotes = [
        markets.select("ticker", price_u=_map_prices(markets, name, if_off_grid)) for name in ("yes_bid_u", "yes_ask_u")
    ]
    return pl.concat(quotes).drop_nulls("price_u")


def _map_prices(markets: pl.DataFrame, name: str, call: Callable[[int, Grid], int | None]) -> pl.Series:
    """Apply `call` to a column of prices, once per distinct pair of price and grid, which are few."""
    pairs = markets.select("price_ranges", name)
    known = pairs.unique().drop_nulls()
    grids = {text: grid_of(text) for text in known["price_ranges"].cast(pl.String).unique()}
    rows = known.select(pl.col("price_ranges").cast(pl.String), name).iter_rows()
    results = known.with_columns(result=pl.Series([call(price, grids[text]) for text, price in rows], dtype=pl.Int64))
    return pairs.join(results, on=["price_ranges", name], how="left", maintain_order="left")["result"]

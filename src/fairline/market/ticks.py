"""The tick grid of a market: the prices at which an order may stand.

The exchange sends each market's own `price_ranges`, `[{start, end, step}]` in dollars of YES; the names of structures
(`linear_cent`, …) only label them. A range holds its end as well as its start: there the next one begins.
"""

from collections.abc import Callable
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
    """The ranges of a market's `price_ranges` as JSON; none if it is absent or cannot be read as a grid."""
    try:
        ranges = msgspec.json.decode(text or "[]", type=list[_Range])
        made = sorted((_units(r.start), _units(r.end), _units(r.step)) for r in ranges)
    except (msgspec.MsgspecError, ValueError, ZeroDivisionError):
        return ()
    apart = any(before[1] != after[0] for before, after in pairwise(made))
    return () if apart or any(step <= 0 or end <= start for start, end, step in made) else tuple(made)


def _units(dollars: str) -> int:
    """Micro-dollars of a decimal text. Raises `ValueError` unless it is a whole number of them."""
    exact = Fraction(dollars) * NOTIONAL_U
    if exact.denominator != 1:
        raise ValueError(f"{dollars} is finer than a micro-dollar")
    return exact.numerator


def up_u(price_u: int, grid: Grid) -> int | None:
    """The next price above, if there is one below the notional."""
    for start, end, step in grid:
        if start <= price_u < end:
            above = min(price_u - (price_u - start) % step + step, end)
            return above if above < NOTIONAL_U else None
    return None


def down_u(price_u: int, grid: Grid) -> int | None:
    """The next price below, if there is one above nothing."""
    for start, end, step in grid:
        if start < price_u <= end:
            below = start + (price_u - start - 1) // step * step
            return below if below > 0 else None
    return None


def stands(price_u: int, grid: Grid) -> bool:
    """Whether an order may stand at that price."""
    return any(start <= price_u <= end and (price_u - start) % step == 0 for start, end, step in grid)


def improved(markets: pl.DataFrame) -> pl.DataFrame:
    """`{ticker, yes_better_u, no_better_u}`: a tick better than the best bid for YES, and than that for NO.

    Null where that would meet the other side, or where the grid is not known.
    """
    bid, ask = pl.col("yes_bid_u"), pl.col("yes_ask_u")
    above, below = (_each(markets, name, call) for name, call in (("yes_bid_u", up_u), ("yes_ask_u", down_u)))
    moved = markets.select("ticker", "yes_bid_u", "yes_ask_u", above=above, below=below)
    return moved.select(
        "ticker",
        yes_better_u=pl.when(pl.col("above") < ask.fill_null(NOTIONAL_U)).then("above"),
        no_better_u=NOTIONAL_U - pl.when(pl.col("below") > bid.fill_null(0)).then("below"),
    )


def off_grid(markets: pl.DataFrame) -> pl.DataFrame:
    """`{ticker, price_u}` of each quote at which, by the market's own grid, no order may stand."""

    def astray(price_u: int, grid: Grid) -> int | None:
        return price_u if grid and not stands(price_u, grid) else None

    found = [markets.select("ticker", price_u=_each(markets, name, astray)) for name in ("yes_bid_u", "yes_ask_u")]
    return pl.concat(found).drop_nulls("price_u")


def _each(markets: pl.DataFrame, name: str, call: Callable[[int, Grid], int | None]) -> pl.Series:
    """What `call` makes of a column of prices: asked once for each pair of price and grid, which are few."""
    pairs = markets.select("price_ranges", name)
    known = pairs.unique().drop_nulls()
    grids = {text: grid_of(text) for text in known["price_ranges"].cast(pl.String).unique()}
    rows = known.select(pl.col("price_ranges").cast(pl.String), name).iter_rows()
    made = known.with_columns(made=pl.Series([call(price, grids[text]) for text, price in rows], dtype=pl.Int64))
    return pairs.join(made, on=["price_ranges", name], how="left", maintain_order="left")["made"]

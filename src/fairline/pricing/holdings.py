"""What is held already, as a scan sees it: marks beside opportunities, and exposure that counts towards the caps."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from fairline.pricing.rules import Side

_Types = dict[str, pl.DataType | type[pl.DataType]]
_COLUMNS: _Types = {
    "ticker": pl.String,
    "side": pl.String,
    "count_cc": pl.Int64,
    "cost_u": pl.Int64,
    "resting_yes_cc": pl.Int64,
    "resting_no_cc": pl.Int64,
}
EXPOSURE_COLUMNS = ("ticker", "event_ticker", "series_ticker", "day")


@dataclass(frozen=True, slots=True)
class Holding:
    """Contracts of one side of a market with their cost, and the contracts of orders that rest there."""

    ticker: str
    side: Side
    count_cc: int
    cost_u: int
    resting_yes_cc: int = 0
    resting_no_cc: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Holdings:
    """An account's holdings. `equity_u` is its cash and the value of its positions, None if it could not be read.

    The repr shows only how many there are.
    """

    rows: Sequence[Holding] = ()
    equity_u: int | None = None

    def __repr__(self) -> str:
        return f"Holdings({len(self.rows)} markets)"

    def is_held(self, ticker: str, side: str) -> bool:
        """Return whether contracts of this side are held, or an order for them rests."""
        return (ticker, side) in self.keys()

    def keys(self) -> frozenset[tuple[str, str]]:
        """Return every market and side that is held or rests."""
        held = {(row.ticker, str(row.side)) for row in self.rows if row.count_cc}
        resting = {(row.ticker, side) for row in self.rows for side, count_cc in
                   (("yes", row.resting_yes_cc), ("no", row.resting_no_cc)) if count_cc}  # fmt: skip
        return frozenset(held | resting)

    def table(self) -> pl.DataFrame:
        """Return the rows as a frame."""
        values = [(r.ticker, r.side, r.count_cc, r.cost_u, r.resting_yes_cc, r.resting_no_cc) for r in self.rows]
        return pl.DataFrame(values, schema=pl.Schema(_COLUMNS), orient="row")


def mark_held(bets: pl.DataFrame, holdings: Holdings) -> pl.DataFrame:
    """Return `ticker, side, model` of bets with `held_cc` and `resting_cc`.

    `held_cc` is negative where the opposite side is held: buying would close it.
    """
    table = holdings.table().rename({"side": "held_side"})
    same = pl.col("held_side") == pl.col("side")
    held = pl.when(same).then("count_cc").otherwise(-pl.col("count_cc")).fill_null(0)
    resting = pl.when(pl.col("side") == "yes").then("resting_yes_cc").otherwise("resting_no_cc").fill_null(0)
    return (
        bets.select("ticker", "side", "model")
        .join(table, on="ticker", how="left", maintain_order="left")
        .select("ticker", "side", "model", held_cc=held, resting_cc=resting)
    )


def exposure(holdings: Holdings, markets: pl.DataFrame) -> pl.DataFrame:
    """Return `ticker, event_ticker, series_ticker, day, cost_u` of what is held.

    Markets that were not scanned get event and series from their ticker, by the exchange's convention, and no day.
    """
    known = markets.select("ticker", "event_ticker", "series_ticker", day=pl.col("decided_ts").dt.date())
    return (
        holdings.table()
        .filter(pl.col("count_cc") > 0)
        .select("ticker", "cost_u")
        .join(known, on="ticker", how="left", maintain_order="left")
        .with_columns(
            event_ticker=pl.coalesce("event_ticker", pl.col("ticker").str.replace(r"-[^-]*$", "")),
            series_ticker=pl.coalesce("series_ticker", pl.col("ticker").str.split("-").list.first()),
        )
        .select(*EXPOSURE_COLUMNS, "cost_u")
    )

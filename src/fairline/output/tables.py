"""Frames in readers' units: dollars, contracts, percent and probabilities. Micro-dollars become dollars here only."""

from dataclasses import dataclass

import polars as pl

from fairline.errors import UsageError
from fairline.market.frame import NOTIONAL_U
from fairline.market.labels import page_address


@dataclass(frozen=True, slots=True)
class Arrangement:
    """The order, the columns and the number of rows of a table."""

    sort: str | None = None
    """Column to sort by: NAME, NAME:asc or NAME:desc. Numbers start with the largest, text and times with the first."""
    columns: tuple[str, ...] = ()
    """Show only these columns, in this order. Separate names by commas."""
    top: int | None = None
    """Show at most this many rows, after sorting."""

    def __post_init__(self) -> None:
        if self.top is not None and self.top < 1:
            raise UsageError("expected a whole number of at least 1", field="top")

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the arranged rows. Raises `UsageError` for a column that does not exist."""
        if self.sort:
            name, _, order = self.sort.partition(":")
            _check_columns(rows, [name], "sort")
            if order not in ("", "asc", "desc"):
                raise UsageError(f"expected NAME, NAME:asc or NAME:desc, not {self.sort!r}", field="sort")
            descending = order == "desc" or (not order and rows.schema[name].is_numeric())
            rows = rows.sort(name, descending=descending, nulls_last=True, maintain_order=True)
        rows = rows if self.top is None else rows.head(self.top)
        wanted = [name.strip() for part in self.columns for name in part.split(",") if name.strip()]
        _check_columns(rows, wanted, "columns")
        return rows.select(wanted) if wanted else rows


def _check_columns(rows: pl.DataFrame, names: list[str], field: str) -> None:
    for name in names:
        if name not in rows.columns:
            raise UsageError(f"there is no column {name!r}", remedy=f"Columns: {', '.join(rows.columns)}", field=field)


def opportunity_table(edges: pl.DataFrame, exchange: str, advice: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return EDGES rows in readers' units, with the columns of `advice` that were computed."""
    extra = [] if advice is None else [expr.alias(name) for name, expr in _ADVICE.items() if _root(expr) in advice]
    if advice is not None and extra:
        edges = edges.join(advice, on=["ticker", "side", "model"], how="left", maintain_order="left")
    optional = [expr.alias(name) for name, expr in _OPTIONAL.items() if _root(expr) in edges]
    return edges.select(
        "ticker",
        "event_ticker",
        "series_ticker",
        "category",
        outcome=pl.col("yes_sub_title"),
        title=pl.col("title"),
        side="side",
        p=pl.col("p").round(9),
        p_sd="p_sd",
        model="model",
        price=_dollars("price_u"),
        fee=_dollars("fee_u"),
        edge_points="edge_points",
        ev_per_contract=_dollars("ev_u"),
        ev_per_dollar=pl.col("ev_per_dollar").round(6),
        p_believed=pl.col("p_believed").round(9),
        belief=pl.col("belief_k").round(6),
        belief_events="belief_events",
        belief_source="belief_source",
        believed_ev_per_contract=_dollars("believed_ev_u"),
        believed_ev_per_dollar=pl.col("believed_ev_per_dollar").round(6),
        believed_ev=(pl.col("believed_ev_u") * pl.col("size_cc") / (100 * NOTIONAL_U)).round(6),
        yearly_return=pl.col("yearly_return").round(6),
        kelly=pl.col("kelly").round(6),
        spread_percent=pl.col("spread_percent").round(4),
        size=pl.col("size_cc") / 100,
        decided_at="decided_ts",
        closes_at="close_ts",
        in_play="in_play",
        url=page_address(exchange),
        suspect="suspect",
    ).hstack(edges.select(*optional, *extra))


def market_table(markets: pl.DataFrame) -> pl.DataFrame:
    """Return MARKETS in readers' units, with the probabilities that the prices imply."""
    return markets.select(
        "ticker",
        "event_ticker",
        "series_ticker",
        "category",
        outcome=pl.col("yes_sub_title"),
        title=pl.col("title"),
        status="status",
        yes_bid=_dollars("yes_bid_u"),
        yes_ask=_dollars("yes_ask_u"),
        p_bid="p_bid",
        p_mid="p_mid",
        p_ask="p_ask",
        spread_cents=pl.col("spread_u") / 10_000,
        spread_percent=pl.col("spread_percent").round(4),
        yes_bid_size=pl.col("yes_bid_size_cc") / 100,
        yes_ask_size=pl.col("yes_ask_size_cc") / 100,
        last_price=_dollars("last_price_u"),
        volume=pl.col("volume_cc") / 100,
        volume_24h=pl.col("volume_24h_cc") / 100,
        open_interest=pl.col("open_interest_cc") / 100,
        starts_at="milestone_ts",
        decided_at="decided_ts",
        closes_at="close_ts",
    )


def template_table(markets: pl.DataFrame) -> pl.DataFrame:
    """Return markets as a table to fill in: `ticker, p, p_sd, asof`, and what helps to fill it in."""
    empty = [pl.lit(None, dtype=pl.String).alias(name) for name in ("p", "p_sd", "asof")]
    return markets.select(
        "ticker",
        *empty,
        outcome="yes_sub_title",
        title="title",
        p_bid="p_bid",
        p_ask="p_ask",
        decided_at="decided_ts",
        closes_at="close_ts",
    )


def violation_table(violations: pl.DataFrame) -> pl.DataFrame:
    """Return violations in dollars and contracts, with one struct per leg."""
    leg = pl.struct(
        pl.element().struct.field("ticker", "side"),
        price=pl.element().struct.field("price_u") / NOTIONAL_U,
        fee=pl.element().struct.field("fee_u") / NOTIONAL_U,
    )
    table = violations.with_columns(
        size=pl.col("size_cc") / 100,
        **{name: _dollars(f"{name}_u") for name in ("cost", "fee", "payoff", "profit")},
        legs=pl.col("legs").list.eval(leg),
    )
    return table.select("kind", "event_ticker", "certainty", "needs", "size", "cost", "fee", "payoff", "profit", "legs")


def change_table(edges: pl.DataFrame, exchange: str) -> pl.DataFrame:
    """Return recorded changes of opportunities (the dataset `edges`) in readers' units, with links to the markets."""
    return edges.select(
        "seen_ts",
        "change",
        "reason",
        "ticker",
        "event_ticker",
        "series_ticker",
        "category",
        title="title",
        side="side",
        p=pl.col("p").round(9),
        model="model",
        price=_dollars("price_u"),
        fee=_dollars("fee_u"),
        edge_points="edge_points",
        ev_per_contract=_dollars("ev_u"),
        ev_per_dollar=pl.col("ev_per_dollar").round(6),
        p_believed=pl.col("p_believed").round(9),
        believed_ev_per_contract=_dollars("believed_ev_u"),
        spread_percent=pl.col("spread_percent").round(4),
        size=pl.col("size_cc") / 100,
        decided_at="decided_ts",
        closes_at="close_ts",
        url=page_address(exchange),
        suspect="suspect",
    )


def _dollars(name: str) -> pl.Expr:
    # Rounded to the micro-dollar, since columns are divided by multiplying with a reciprocal.
    return (pl.col(name) / NOTIONAL_U).round(6)


_OPTIONAL = {
    "ahead": pl.col("ahead_cc") / 100,
    "better_price": _dollars("better_u"),
}
"""Columns of EDGES that exist only for some scans."""
_ADVICE = {
    "fill_size": pl.col("fill_cc") / 100,
    "fill_price": _dollars("average_u"),
    "fill_worst_price": _dollars("worst_u"),
    "fill_fee": _dollars("fill_fee_u"),
    "fill_ev_per_contract": _dollars("fill_ev_u"),
    "best_size": pl.col("best_cc") / 100,
    "best_ev": _dollars("best_ev_u"),
    "breakeven_size": pl.col("breakeven_cc") / 100,
    "contracts": pl.col("contracts"),
    "risk": _dollars("risk_u"),
    "held": pl.col("held_cc") / 100,
    "resting": pl.col("resting_cc") / 100,
}
"""What an order of the wanted size gets in the order book, the size with the largest EV, and how much to risk."""


def _root(expr: pl.Expr) -> str:
    return expr.meta.root_names()[0]

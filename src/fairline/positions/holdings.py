"""Holdings, settled markets and fills as columns, with what is known about their markets."""

from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from fairline.positions.lots import MarketLots
from fairline.positions.records import DOLLAR_U, Fill, Position, RestingOrder, SettledMarket

_Types = dict[str, pl.DataType | type[pl.DataType]]
_TIME = pl.Datetime("us", "UTC")
_CONTEXT = ("event_ticker", "series_ticker", "category", "title", "yes_sub_title", "decided_ts", "close_ts")

_HOLDINGS: _Types = {
    "ticker": pl.String,
    "side": pl.String,
    "count_cc": pl.Int64,
    "cost_u": pl.Int64,
    "realized_u": pl.Int64,
    "fees_u": pl.Int64,
    "opened_ts": _TIME,
    "resting_yes_cc": pl.Int64,
    "resting_no_cc": pl.Int64,
}
HOLDINGS = pl.Schema(_HOLDINGS)
"""Positions as the exchange reports them. `side` is null where nothing is held."""

_SETTLED: _Types = {
    "ticker": pl.String,
    "settled_event": pl.String,
    "result": pl.String,
    "yes_cc": pl.Int64,
    "no_cc": pl.Int64,
    "cost_u": pl.Int64,
    "fee_u": pl.Int64,
    "value_u": pl.Int64,
    "profit_u": pl.Int64,
    "closed_early_cc": pl.Int64,
    "settled_ts": _TIME,
}
SETTLED = pl.Schema(_SETTLED)
"""Settled markets. `value_u` is what one YES contract paid; counts are gross by side."""

_FILLS: _Types = {
    "fill_id": pl.String,
    "ticker": pl.String,
    "side": pl.String,
    "count_cc": pl.Int64,
    "price_u": pl.Int64,
    "cost_u": pl.Int64,
    "fee_u": pl.Int64,
    "taker": pl.Boolean,
    "filled_ts": _TIME,
}
FILLS = pl.Schema(_FILLS)
"""Fills; `side` is what was bought: closing a YES position buys NO."""


def holding_table(
    positions: Iterable[Position],
    orders: Sequence[RestingOrder],
    lots: Mapping[str, MarketLots],
    markets: pl.DataFrame,
) -> pl.DataFrame:
    """Return HOLDINGS with their market, exit price, value and unrealised profit.

    YES is sold at the bid; NO is sold by buying YES, so at one minus the ask. Without that quote there is no value.
    Markets with nothing but resting orders are included.
    """
    by_ticker = {position.ticker: position for position in positions}
    resting = _sum_resting(orders)
    rows = []
    for ticker in dict.fromkeys([*by_ticker, *resting]):
        position = by_ticker.get(ticker) or Position(ticker, 0, 0, 0, 0)
        market = lots.get(ticker)
        rows.append(
            (
                ticker,
                position.direction if position.count_cc else None,
                abs(position.count_cc),
                position.exposure_u,
                position.realized_u,
                position.fees_u,
                market.lots[0].at if market is not None and market.lots else None,
                *resting.get(ticker, (0, 0)),
            )
        )
    table = pl.DataFrame(rows, schema=HOLDINGS, orient="row")
    quoted = _with_context(table, markets, "yes_bid_u", "yes_ask_u")
    exit_price = pl.when(pl.col("side") == "yes").then("yes_bid_u").otherwise(DOLLAR_U - pl.col("yes_ask_u"))
    held = pl.col("count_cc") > 0
    return (
        quoted.with_columns(exit_u=pl.when(held).then(exit_price))
        .with_columns(value_u=pl.when(held).then(pl.col("count_cc") * pl.col("exit_u") // 100).otherwise(0))
        .with_columns(unrealized_u=pl.col("value_u") - pl.col("cost_u"))
        .drop("yes_bid_u", "yes_ask_u")
    )


def settled_table(settlements: Iterable[SettledMarket], markets: pl.DataFrame) -> pl.DataFrame:
    """Return SETTLED with their market, the latest first."""
    rows = [
        (
            each.ticker,
            each.event_ticker or None,
            each.result,
            each.yes_cc,
            each.no_cc,
            each.yes_cost_u + each.no_cost_u,
            each.fee_u,
            each.value_u,
            each.profit_u,
            each.closed_early_cc,
            each.at,
        )
        for each in settlements
    ]
    table = _with_context(pl.DataFrame(rows, schema=SETTLED, orient="row"), markets)
    event = pl.coalesce("settled_event", "event_ticker")
    return table.with_columns(event_ticker=event).drop("settled_event").sort("settled_ts", descending=True)


def fill_table(fills: Iterable[Fill], markets: pl.DataFrame) -> pl.DataFrame:
    """Return FILLS with their market, the latest first."""
    rows = [
        (
            fill.fill_id,
            fill.ticker,
            fill.direction,
            fill.count_cc,
            fill.price_u,
            fill.cost_u,
            fill.fee_u,
            fill.is_taker,
            fill.at,
        )
        for fill in fills
    ]
    table = _with_context(pl.DataFrame(rows, schema=FILLS, orient="row"), markets)
    return table.sort("filled_ts", descending=True)


def _sum_resting(orders: Iterable[RestingOrder]) -> dict[str, tuple[int, int]]:
    """Return the contracts of resting orders towards YES and NO, by ticker."""
    sums: dict[str, tuple[int, int]] = {}
    for order in orders:
        if order.count_cc:
            yes_cc, no_cc = sums.get(order.ticker, (0, 0))
            towards_yes = order.direction == "yes"
            sums[order.ticker] = (
                yes_cc + (order.count_cc if towards_yes else 0),
                no_cc + (0 if towards_yes else order.count_cc),
            )
    return sums


def _with_context(table: pl.DataFrame, markets: pl.DataFrame, *more: str) -> pl.DataFrame:
    """Add what is known about the markets.

    Event and series of an unknown market come from its ticker, which is a convention of the exchange: the event is all
    but the last part, the series the first.
    """
    known = markets.select("ticker", *_CONTEXT, *more).unique("ticker", keep="last", maintain_order=True)
    return table.join(known, on="ticker", how="left", maintain_order="left").with_columns(
        event_ticker=pl.coalesce("event_ticker", pl.col("ticker").str.replace(r"-[^-]*$", "")),
        series_ticker=pl.coalesce("series_ticker", pl.col("ticker").str.split("-").list.first()),
    )

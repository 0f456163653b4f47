"""The past of markets as columns: trades, and the quotes at the end of each candle."""

from collections.abc import Iterable, Sequence

import polars as pl

from fairline.kalshi.history import Candle, SettledMarket, Trade, contracts, dollars
from fairline.kalshi.wire import Settlement
from fairline.market.frame import NOTIONAL_U, count_units, dollar_units

_TIME = pl.Datetime("us", "UTC")

TRADES = pl.Schema(
    {
        "ticker": pl.String(),
        "trade_id": pl.String(),
        "created_ts": _TIME,
        "price_u": pl.Int64(),
        "count_cc": pl.Int64(),
        "taker_side": pl.String(),
        "is_block": pl.Boolean(),
    }
)
"""Trades; `price_u` is the price of YES."""

CANDLES = pl.Schema(
    {
        "ticker": pl.String(),
        "end_ts": _TIME,
        "yes_bid_u": pl.Int64(),
        "yes_ask_u": pl.Int64(),
        "last_price_u": pl.Int64(),
        "volume_cc": pl.Int64(),
        "open_interest_cc": pl.Int64(),
    }
)
"""The close of each candle; `volume_cc` is the volume of its period. A missing side is null. Sizes are not recorded."""


def parse_times(name: str) -> pl.Expr:
    """Return a column of RFC 3339 texts as times; null for what is not a time."""
    return pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False)


def settlements_frame(rows: Sequence[Settlement | SettledMarket]) -> pl.DataFrame:
    """Return settlements as `ticker, event_ticker, result, payout_u, settled_ts`.

    `payout_u` is what one YES contract paid, in micro-dollars: the stated value, else that of a result of yes or no,
    else null.
    """
    raw = pl.DataFrame(
        [(row.ticker, row.event_ticker, row.result, row.settlement_value_dollars, row.settlement_ts) for row in rows],
        schema=dict.fromkeys(("ticker", "event_ticker", "result", "value", "settled"), pl.String),
        orient="row",
    )
    stated_u = pl.col("value").cast(pl.Decimal(18, 6), strict=False).to_physical().cast(pl.Int64)
    implied_u = pl.col("result").replace_strict({"yes": NOTIONAL_U, "no": 0}, default=None, return_dtype=pl.Int64)
    settled_ts = pl.col("settled").str.to_datetime(
        "%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False
    )
    return raw.select(
        "ticker", "event_ticker", "result", payout_u=pl.coalesce(stated_u, implied_u), settled_ts=settled_ts
    )


def trades_frame(rows: Sequence[Trade]) -> pl.DataFrame:
    """Return TRADES. Rows whose time, price or count cannot be read are left out."""
    values = [
        (
            row.ticker,
            row.trade_id,
            row.created_time,
            dollars(row.yes_price_dollars, row.yes_price),
            contracts(row.count_fp, row.count),
            row.taker_outcome_side or row.taker_side,
            row.is_block_trade,
        )
        for row in rows
    ]
    schema = {name: pl.Boolean if name == "is_block" else pl.String for name in TRADES}
    raw = pl.DataFrame(values, schema=schema, orient="row")
    units = raw.with_columns(
        created_ts=parse_times("created_ts"), price_u=dollar_units("price_u"), count_cc=count_units("count_cc")
    )
    readable = units.drop_nulls(["created_ts", "price_u", "count_cc"])
    return readable.select(pl.col(name).cast(dtype) for name, dtype in TRADES.items())


def candles_frame(candles: Iterable[tuple[str, Sequence[Candle]]]) -> pl.DataFrame:
    """Return CANDLES of each (ticker, candles).

    No bid is sent as 0 and no ask as 1: both are null here. A synthetic candle, which has no quotes at all, is no
    observation and is left out.
    """
    values = [
        (
            ticker,
            candle.end_period_ts,
            candle.yes_bid.last,
            candle.yes_ask.last,
            candle.price.last,
            contracts(candle.volume_fp, candle.volume),
            contracts(candle.open_interest_fp, candle.open_interest),
        )
        for ticker, rows in candles
        for candle in rows
    ]
    schema = {name: pl.Int64 if name == "end_ts" else pl.String for name in CANDLES}
    raw = pl.DataFrame(values, schema=schema, orient="row")
    sides = {name: _side(name) for name in ("yes_bid_u", "yes_ask_u")}
    counts = {name: count_units(name) for name in ("volume_cc", "open_interest_cc")}
    ends = pl.from_epoch("end_ts", time_unit="s").dt.replace_time_zone("UTC")
    units = raw.with_columns(**sides, **counts, last_price_u=dollar_units("last_price_u"), end_ts=ends)
    observed = raw.select(pl.any_horizontal(pl.col("yes_bid_u", "yes_ask_u").is_not_null()))
    return units.filter(observed.to_series()).select(pl.col(name).cast(dtype) for name, dtype in CANDLES.items())


def _side(name: str) -> pl.Expr:
    price = dollar_units(name)
    return pl.when(price.is_between(0, NOTIONAL_U, closed="none")).then(price)

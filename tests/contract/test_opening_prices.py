"""A published study of opening prices: its trade accounting and its calibration bins, reproduced."""

import polars as pl
import pytest

from fairline.backtesting.trades import TRADES, judge
from fairline.market.frame import NOTIONAL_U

SCOPES = ("ALL", "Crypto", "Economics", "Financials", "Mentions", "Politics", "Sports")
PRICES = ("first_trade_price", "life10_vwap")


@pytest.fixture(scope="module")
def folder(shared):
    return shared / "kalshi_opening_price_calibration_published"


@pytest.fixture(scope="module")
def published(folder):
    """The published trades: direction 1 buys YES at p plus half the spread, -1 sells it at p less half the spread."""
    return pl.read_csv(folder / "m4_trades_half.csv").with_columns(
        price=pl.col("p") + pl.col("direction") * _half_spread(), event_ticker="ticker"
    )


def _half_spread():
    """Half of the spread that the study charged, from its own gross profit: direction · (y − price)."""
    return pl.col("direction") * (pl.col("y") - pl.col("p")) - pl.col("gross_pnl")


def as_trades(published):
    """Return TRADES: a sale of YES at `price` is a purchase of NO at the rest of the dollar."""
    bought = pl.when(pl.col("direction") == 1).then(pl.col("price")).otherwise(1 - pl.col("price"))
    paid = pl.when(pl.col("direction") == 1).then(pl.col("y")).otherwise(1 - pl.col("y"))
    price_u = (bought * NOTIONAL_U).round().cast(pl.Int64)
    # With its wide spreads the study "sells" 660 times below a cent; it charges those the fee of a price of one cent.
    charged_u = price_u.clip(10_000, 990_000)
    columns = {name: pl.lit(None, dtype=dtype) for name, dtype in TRADES.items()}
    columns |= {
        "ticker": pl.col("ticker"),
        "event_ticker": pl.col("ticker"),
        "category": pl.col("category"),
        "side": pl.when(pl.col("direction") == 1).then(pl.lit("yes")).otherwise(pl.lit("no")),
        "count_cc": pl.lit(100),
        "price_u": price_u,
        "fee_u": (0.07 * charged_u * (NOTIONAL_U - charged_u) / NOTIONAL_U).round().cast(pl.Int64),
        "payout_u": (paid * NOTIONAL_U).round().cast(pl.Int64),
    }
    return published.select(column.cast(TRADES[name]).alias(name) for name, column in columns.items())


def test_each_published_trade_has_the_published_fee_and_profit(published):
    judged = judge(as_trades(published))
    assert judged.height == 3_879
    assert (judged["fee_u"] / NOTIONAL_U - published["fee"]).abs().max() < 2e-6
    assert (judged["realised"] - published["net_pnl"]).abs().max() < 3e-6


def test_the_published_profit_by_category_is_reproduced(published):
    judged = judge(as_trades(published)).group_by("category").agg(pl.col("realised").mean()).sort("category")
    theirs = published.group_by("category").agg(pl.col("net_pnl").mean()).sort("category")
    assert (judged["realised"] - theirs["net_pnl"]).abs().max() < 1e-6


@pytest.mark.parametrize("price", PRICES)
@pytest.mark.parametrize("scope", SCOPES)
def test_the_published_bins_give_the_published_scores(folder, scope, price):
    """Expected calibration error and Murphy's decomposition (J. Applied Meteorology 1973) from the bin tables."""
    bins = pl.read_csv(folder / f"calibration_bins_{price}_{scope}.csv").filter(pl.col("n") > 0)
    summary = pl.read_csv(folder / "calibration_summary.csv").filter(scope=scope, price_def=price)
    weight = pl.col("n") / pl.col("n").sum()
    base = (pl.col("resolution_rate") * weight).sum()
    gap = pl.col("mean_price") - pl.col("resolution_rate")
    computed = bins.select(
        ece=(gap.abs() * weight).sum(),
        reliability=(gap**2 * weight).sum(),
        resolution=((pl.col("resolution_rate") - base) ** 2 * weight).sum(),
        uncertainty=base * (1 - base),
    )
    for name in computed.columns:
        assert computed[name].item() == pytest.approx(summary[name].item(), abs=1e-9), name

"""What buying either side of every quote earned on three recordings, against figures computed independently.

The recordings' own quotes are turned into trades at the best offer with the unrounded taker fee; the statistics are
those of a backtest.
"""

import polars as pl
import pytest

from fairline.backtesting.trades import TRADES, judge, summarize
from fairline.market.frame import NOTIONAL_U
from fairline.scoring.metrics import clustered_mean

YES = (pl.col("result") == "yes").cast(pl.Int64)


def buy_every_quote(quotes, side):
    """Return TRADES that buy one contract of `side` at each two-sided quote (`bid`, `ask` in dollars, `result`)."""
    yes_u = (pl.col("ask") * NOTIONAL_U).round().cast(pl.Int64)
    no_u = NOTIONAL_U - (pl.col("bid") * NOTIONAL_U).round().cast(pl.Int64)
    price_u, other_u = (yes_u, no_u) if side == "yes" else (no_u, yes_u)
    pays = YES if side == "yes" else 1 - YES
    mid = (pl.col("bid") + pl.col("ask")) / 2

    def fee_u(price):
        return (0.07 * price * (NOTIONAL_U - price) / NOTIONAL_U).round().cast(pl.Int64)

    columns = {name: pl.lit(None, dtype=dtype).alias(name) for name, dtype in TRADES.items()}
    columns |= {
        "ticker": pl.col("ticker"),
        "event_ticker": pl.col("event_ticker"),
        "book": pl.lit("believed"),
        "side": pl.lit(side),
        "count_cc": pl.lit(100),
        "price_u": price_u,
        "fee_u": fee_u(price_u),
        "other_price_u": other_u,
        "other_fee_u": fee_u(other_u),
        "mid": mid if side == "yes" else 1 - mid,
        "payout_u": pays * NOTIONAL_U,
    }
    return quotes.select(column.cast(TRADES[name]).alias(name) for name, column in columns.items())


def two_sided(quotes):
    return quotes.filter(
        (pl.col("bid") > 0) & (pl.col("ask") > 0) & (pl.col("ask") < 1) & pl.col("result").is_in(["yes", "no"])
    )


@pytest.fixture(scope="module")
def sports(shared):
    folder = shared / "kalshi_sports_price_history_and_result_2026-07"
    quotes = pl.read_csv(folder / "quotes.csv.gz", infer_schema_length=20_000)
    quotes = quotes.rename({"yes_bid": "bid", "yes_ask": "ask"}).filter(pl.col("hours_to_close") >= 5)
    return two_sided(quotes).sort("captured_at").unique("ticker", keep="last", maintain_order=True)


@pytest.fixture(scope="module")
def ladders(shared):
    folder = shared / "kalshi_crypto_hourly_ladders_2026-07-03_12"
    rungs = pl.read_parquet(folder / "ladders_with_spot_and_result.parquet")
    return two_sided(rungs.rename({"yes_bid": "bid", "yes_ask": "ask"}))


@pytest.fixture(scope="module")
def weather(shared):
    folder = shared / "kalshi_weather_nyc_high_candles_2026-02_03"
    candles = pl.read_csv(folder / "candles_hourly.csv.gz").join(pl.read_csv(folder / "markets.csv"), on="ticker")
    quotes = candles.rename({"yes_bid_close": "bid", "yes_ask_close": "ask"})
    closes = pl.col("close_time").str.to_datetime().dt.epoch("s")
    return two_sided(quotes.filter(closes - pl.col("end_ts") > 12 * 3600))


@pytest.mark.parametrize(
    ("recording", "rows", "events", "yes", "no"),
    [
        ("sports", 304, 164, -0.0400, -0.0271),
        ("ladders", 2017, 291, -0.0316, -0.0281),
        ("weather", 8198, 66, -0.0309, -0.0202),
    ],
)
def test_either_side_of_every_quote_loses_what_was_computed_independently(request, recording, rows, events, yes, no):
    quotes = request.getfixturevalue(recording)
    for side, expected in (("yes", yes), ("no", no)):
        realised = clustered_mean(judge(buy_every_quote(quotes, side)), "realised")
        assert (realised.n, realised.clusters) == (rows, events)
        assert realised.mean == pytest.approx(expected, abs=0.00006)


def test_the_interval_of_sports_is_the_published_one_up_to_the_quantile(sports):
    """Return the published interval uses the normal quantile; ours uses Student's t with 163 degrees of freedom."""
    realised = clustered_mean(judge(buy_every_quote(sports, "yes")), "realised")
    normal = 1.959964 / 1.974625
    assert realised.mean + (realised.low - realised.mean) * normal == pytest.approx(-0.0638, abs=0.0001)
    assert realised.mean + (realised.high - realised.mean) * normal == pytest.approx(-0.0162, abs=0.0001)


def test_the_midpoint_of_weather_has_the_published_brier_score(weather):
    mid = (pl.col("bid") + pl.col("ask")) / 2
    assert weather.select(((mid - YES) ** 2).mean()).item() == pytest.approx(0.1251, abs=0.00006)


def test_the_baselines_of_a_run_are_those_of_its_own_trades(sports):
    trades = buy_every_quote(sports, "yes")
    everything = summarize(trades)[0]
    assert everything.baselines["always_no"].mean == pytest.approx(-0.0271, abs=0.00006)
    assert everything.realised.mean < everything.baselines["random_side"].mean < everything.baselines["always_no"].mean
    assert everything.baselines["fair_market"].mean < 0

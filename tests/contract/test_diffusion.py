"""The diffusion model on recorded hourly ladders, walked forward: only prices seen by then."""

import numpy as np
import polars as pl
import pytest

from fairline.models.prices.diffusion import probability, probability_sd, settling_sd, volatility
from tests.contract.reliability import slope


@pytest.fixture(scope="module")
def priced(shared):
    """Every rung quoted, with the model's probability at that instant, the market's midpoint and the result."""
    path = shared / "kalshi_crypto_hourly_ladders_2026-07-03_12" / "ladders_with_spot_and_result.parquet"
    rows = pl.read_parquet(path).with_columns(
        now=pl.col("captured_at").str.to_datetime(time_zone="UTC").dt.epoch("us") / 1e6,
        close=pl.col("close_time").str.to_datetime(time_zone="UTC").dt.epoch("us") / 1e6,
        y=(pl.col("result") == "yes").cast(pl.Float64),
        mid=(pl.col("yes_bid") + pl.col("yes_ask")) / 2,
        low=pl.when(pl.col("strike_type") != "less").then("floor_strike"),
        high=pl.when(pl.col("strike_type") != "greater").then("cap_strike"),
    )
    looks = rows.select("series", "now", "close", "spot").unique(["series", "now"], maintain_order=True)
    spreads = []
    for (series,), own in looks.group_by("series"):
        prices = own.select(ts="now", price="spot").sort("ts")
        for now, close in own.select("now", "close").iter_rows():
            vol = volatility(prices, now)
            if vol is not None:
                spreads.append((series, now, settling_sd(vol, now, close, 60), vol.error))
    result = rows.join(
        pl.DataFrame(spreads, schema=["series", "now", "sd", "error"], orient="row"), on=["series", "now"]
    )
    result = result.filter(~pl.col("sd").is_nan())
    arrays = [result[name].fill_null(float("nan")).to_numpy() for name in ("low", "high", "spot", "sd")]
    return result.with_columns(
        p=pl.Series(probability(*arrays)),
        p_sd=pl.Series(probability_sd(*arrays, error=float(result["error"].median()), basis=3e-4)),
    )


def test_diffusion_is_calibrated(priced):
    p, y = priced["p"].to_numpy(), priced["y"].to_numpy()
    assert priced.height > 70_000
    assert slope(p, y) == pytest.approx(1.0, abs=0.1)
    two = priced.filter((pl.col("yes_bid") > 0) & (pl.col("yes_ask") < 1))
    assert slope(two["p"].to_numpy(), two["y"].to_numpy()) == pytest.approx(1.0, abs=0.1)


def test_the_market_is_slightly_better_than_diffusion(priced):
    """Stated in docs/models.md: the market knows a little more."""
    two = priced.filter((pl.col("yes_bid") > 0) & (pl.col("yes_ask") < 1))
    model, market = (float(((two[name] - two["y"]) ** 2).mean()) for name in ("p", "mid"))
    assert (two.height, round(model, 4), round(market, 4)) == (1_967, 0.1112, 0.1074)
    assert market < model < 1.06 * market


def test_deviations_stay_within_the_possible(priced):
    p, doubted = priced["p"].to_numpy(), priced["p_sd"].to_numpy()
    assert (doubted <= np.sqrt(p * (1 - p)) + 1e-9).mean() > 0.999

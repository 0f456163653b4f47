"""Ladders of the S&P 500's next closes, by what VIX implied the day before, 1990 to 2022."""

import numpy as np
import polars as pl
import pytest

from fairline.models.prices.diffusion import probability
from fairline.models.prices.feeds import REALISED_SHARE, REALISED_SHARE_ERROR
from tests.contract.reliability import slope

SPLIT = 2006
STRIKES = np.linspace(-0.02, 0.02, 17)


@pytest.fixture(scope="module")
def closes(shared):
    """`{year, moved, implied}`: log return to the next close, and the standard deviation that VIX implies for a day."""
    folder = shared / "index_and_crypto_prices"
    index = pl.read_csv(folder / "sp500_index_daily.csv", try_parse_dates=True)
    vix = pl.read_csv(folder / "vix_daily.csv", try_parse_dates=True).select(Date="DATE", vix="CLOSE")
    rows = index.join(vix, on="Date").sort("Date")
    return rows.select(
        year=pl.col("Date").dt.year(), price="SP500", moved=pl.col("SP500").log().diff().shift(-1),
        implied=pl.col("vix") / 100 / np.sqrt(252),
    ).drop_nulls()  # fmt: skip


def ladder(rows, ratio):
    """Return the probability of each rung, and whether it was reached."""
    spot, sd = np.ones(rows.height), ratio * rows["implied"].to_numpy()
    none = np.full(rows.height, np.nan)
    p = [probability(np.full(rows.height, np.exp(strike)), none, spot, sd) for strike in STRIKES]
    y = [rows["moved"].to_numpy() > strike for strike in STRIKES]
    return np.concatenate(p), np.concatenate(y).astype(float)


def test_the_ratio_calibrates_the_first_half(closes):
    first = closes.filter(pl.col("year") < SPLIT)
    ratios = np.arange(70, 100) / 100
    best = min(ratios, key=lambda ratio: abs(slope(*ladder(first, ratio)) - 1))
    assert best == pytest.approx(REALISED_SHARE)


def test_the_ratio_also_calibrates_the_second_half(closes):
    """Stated in docs/models/diffusion.md: slope, and Brier score against that of how often each rung was reached."""
    after = closes.filter(pl.col("year") >= SPLIT)
    p, y = ladder(after, REALISED_SHARE)
    often = np.repeat([(after["moved"] > strike).mean() for strike in STRIKES], after.height)
    measure = [slope(p, y), ((p - y) ** 2).mean(), ((often - y) ** 2).mean()]
    assert after.height == 4_276
    assert [round(float(value), 4) for value in measure] == [0.9531, 0.1185, 0.1239]


def test_the_deviation_is_half_the_distance_between_scaled_margins(closes):
    spread = [
        np.sqrt((half["moved"] ** 2 / half["implied"] ** 2).mean())
        for half in (closes.filter(pl.col("year") < SPLIT), closes.filter(pl.col("year") >= SPLIT))
    ]
    assert [round(float(value), 2) for value in spread] == [0.75, 0.81]
    assert abs(spread[1] / spread[0] - 1) < REALISED_SHARE_ERROR


def test_variance_grows_with_the_number_of_days(closes):
    """By the root of time, over weekends too."""
    log = np.log(closes["price"].to_numpy())
    implied = closes["implied"].to_numpy()
    for days in (2, 3):
        moved = log[days:] - log[:-days]
        ratio = np.sqrt((moved**2 / (implied[:-days] ** 2 * days)).mean())
        assert ratio == pytest.approx(0.775, abs=0.02)

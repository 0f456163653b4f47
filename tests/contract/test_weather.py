"""How far forecasts were off, against the official readings, and what they are worth beside the climate."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm

from fairline.weather import reading_probability, stations

SPLIT = "2024-10-01"


@pytest.fixture(scope="module")
def days(shared):
    """New York's days with the forecast and the official high, and the official highs of the years before."""
    folder = shared / "noaa_daily_temps_19_cities"
    official = pl.read_csv(folder / "noaa_lcd_daily_2000_2025-06.csv.gz").filter(city="nyc")
    forecast = pl.read_csv(folder / "forecast_vs_actual_5cities_2023_2025.csv").filter(city="NY")
    both = forecast.join(official.select(date="day", high="daily_max_f"), on="date").sort("date")
    return both, official.filter(pl.col("day") < "2023").with_columns(at=pl.col("day").str.to_date().dt.ordinal_day())


def test_the_stations_errors_are_those_of_the_record(days):
    both, _ = days
    error = both.filter(pl.col("date") < SPLIT).select(pl.col("high") - pl.col("forecast_high")).to_series()
    station = stations()["KNYC"]
    assert len(error) > 450
    assert (round(error.mean(), 2), round(error.std(), 2)) == (station.high_bias, station.high_sd)


def test_on_days_after_those_it_beats_the_climate_by_far(days):
    """Stated in docs/models/weather.md: mean log score of the official whole degree, 1.92 and 2.09 against 3.80."""
    both, before = days
    after, station = both.filter(pl.col("date") >= SPLIT), stations()["KNYC"]
    mean, high = after["forecast_high"].to_numpy() + station.high_bias, after["high"].to_numpy().astype(float)
    closed = np.zeros(len(high), dtype=bool)

    def score(sd):
        return float(-np.log(reading_probability((high, closed, high, closed), mean, np.full(len(high), sd))).mean())

    climate = []
    for day, reading in after.select(pl.col("date").str.to_date().dt.ordinal_day(), "high").iter_rows():
        near = before.filter((pl.col("at") - day).abs() <= 7)["daily_max_f"].to_numpy()
        climate.append(-np.log(((near == reading).sum() + 0.5) / (len(near) + 50)))
    assert [round(score(station.high_sd * factor), 2) for factor in (1.0, station.widened)] == [1.92, 2.09]
    assert round(float(np.mean(climate)), 2) == 3.80
    placed = norm.cdf((high - mean) / (station.high_sd * station.widened))
    assert 0.8 < ((placed > 0.05) & (placed < 0.95)).mean() <= 1.0, "it is rather too wide than too narrow"

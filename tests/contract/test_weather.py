"""Errors measured as one goes along against the official readings of five cities, and what a forecast is worth then."""

import numpy as np
import polars as pl
import pytest

from fairline.models.weather import forecast as arithmetic
from fairline.models.weather.forecast import ERROR_DAYS, forecast_error, reading_probability

CITIES = {"NY": "nyc", "CHI": "chi", "LAX": "lax", "MIA": "mia", "AUS": "aus"}


@pytest.fixture(scope="module")
def cities(shared):
    """By city the days with a forecast and the official high, and the official highs of the years before."""
    folder = shared / "noaa_daily_temps_19_cities"
    official = pl.read_csv(folder / "noaa_lcd_daily_2000_2025-06.csv.gz")
    forecast = pl.read_csv(folder / "forecast_vs_actual_5cities_2023_2025.csv")
    result = {}
    for name, other in CITIES.items():
        own = official.filter(city=other)
        both = forecast.filter(city=name).join(own.select(date="day", high="daily_max_f"), on="date")
        before = own.filter(pl.col("day") < "2023").with_columns(at=pl.col("day").str.to_date().dt.ordinal_day())
        result[name] = both.drop_nulls("high").sort("date"), before.drop_nulls("daily_max_f")
    return result


def walk_forward(both):
    """Return the log score and rank of each official high within its prediction from earlier errors."""
    forecast, high = both["forecast_high"].to_numpy(), both["high"].to_numpy().astype(float)
    scores, ranks = [], []
    for day in range(100, len(high)):
        off = forecast_error(forecast[:day], high[:day])
        mean, sd = (np.array([value]) for value in (forecast[day] + off.bias, off.sd))
        one, closed, none = np.array([high[day]]), np.array([False]), np.array([np.nan])
        scores.append(-np.log(reading_probability((one, closed, one, closed), mean, sd)[0]))
        below = reading_probability((none, closed, one, closed), mean, sd)[0]
        ranks.append(below - np.exp(-scores[-1]) / 2)
    return np.array(scores), np.array(ranks)


def climate(both, before):
    scores = []
    for day, reading in both[100:].select(pl.col("date").str.to_date().dt.ordinal_day(), "high").iter_rows():
        near = before.filter((pl.col("at") - day).abs() <= 7)["daily_max_f"].to_numpy()
        scores.append(-np.log(((near == reading).sum() + 0.5) / (len(near) + 50)))
    return float(np.mean(scores))


def test_recent_errors_predict_the_next_forecasts_error(cities):
    """Stated in docs/models/weather.md: mean log score of the official whole degree, and how often it lay in the middle
    90 percent of what was priced.
    """
    table = {}
    for name, (both, before) in cities.items():
        scores, ranks = walk_forward(both)
        assert len(scores) > 600
        inside = ((ranks > 0.05) & (ranks < 0.95)).mean()
        table[name] = round(float(scores.mean()), 2), round(climate(both, before), 2), round(float(inside), 2)
    assert table == {
        "NY": (1.85, 3.63, 0.88), "CHI": (1.91, 3.86, 0.9), "LAX": (2.05, 3.01, 0.88), "MIA": (1.58, 2.8, 0.91),
        "AUS": (1.78, 3.6, 0.9),
    }  # fmt: skip


@pytest.mark.parametrize(("days", "degrees"), [(60, 6.0), (92, 6.0), (ERROR_DAYS, 1e6)])
def test_other_numbers_of_days_and_the_normal_distribution_score_worse(cities, monkeypatch, days, degrees):
    chosen = np.mean([walk_forward(both)[0].mean() for both, _ in cities.values()])
    monkeypatch.setattr(arithmetic, "ERROR_DAYS", days)
    monkeypatch.setattr(arithmetic, "DEGREES_OF_FREEDOM", degrees)
    assert np.mean([walk_forward(both)[0].mean() for both, _ in cities.values()]) > chosen

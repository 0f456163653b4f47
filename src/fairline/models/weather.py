"""Tomorrow's highs: a forecast, and how far such forecasts have been off at that very station."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

import msgspec
import numpy as np
import polars as pl

from fairline.errors import InputError
from fairline.linking import SURE, link, subjects
from fairline.models.answer import answered, told
from fairline.sources import Payload, Request
from fairline.weather import Station, reading_probability, stations

_ADDRESS = (
    "https://api.open-meteo.com/v1/forecast?latitude={0.latitude}&longitude={0.longitude}"
    "&daily=temperature_2m_max&temperature_unit=fahrenheit&timezone=Etc/GMT%2B{1}&forecast_days=3"
)
_AGE_S = 1_800.0
_DOUBT = 0.15
"""Relative error of a standard deviation measured on a year and a half of days that hang together."""


class _Daily(msgspec.Struct):
    time: list[date]
    temperature_2m_max: list[float | None]


class _Forecast(msgspec.Struct):
    daily: _Daily


class WeatherModel:
    """Tomorrow's daily highs (New York): a forecast with the errors that it has had against the official readings.

    The day is the station's local standard one, the reading in whole degrees. It prices tomorrow only: of today a part
    is known that it does not see, and of later days it does not know how far forecasts are off.
    """

    name, version = "weather", "1"

    def __init__(self) -> None:
        self._stations = stations()
        self._subjects = {n: s for n, s in subjects().items() if s.kind == "high" and s.subject in self._stations}

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        return pl.col("series_ticker").is_in(list(self._subjects)) & (pl.col("status") == "active")

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        there = set(markets["series_ticker"].unique())
        names = sorted({s.subject for series, s in self._subjects.items() if series in there})
        return [_request(self._stations[name]) for name in names]

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """PREDICTIONS of tomorrow's markets whose link is sure; a `note` counts the others."""
        linked = link(markets, self._subjects)
        parts = list[pl.DataFrame]()
        for (name,), rows in linked.group_by("subject", maintain_order=True):
            station = self._stations[str(name)]
            day = (asof + timedelta(hours=station.utc_offset)).date() + timedelta(days=1)
            forecast = _forecast(payloads[_request(station)], day)
            mine = rows.filter((pl.col("confidence") >= SURE) & (pl.col("day") == day))
            parts.append(_priced(mine, station, forecast))
            if rows.height > mine.height:
                words = f"{rows.height - mine.height} markets of {name} are not priced: they are not surely of {day}"
                parts.append(told(words))
        return answered(parts, self.name, asof)


def _request(station: Station) -> Request:
    return Request("https", _ADDRESS.format(station, -station.utc_offset), max_age_s=_AGE_S)


def _forecast(payload: Payload, day: date) -> float:
    """The forecast of that day. Raises `InputError` if there is none."""
    try:
        daily = msgspec.json.decode(payload.body, type=_Forecast).daily
        highs = dict(zip(daily.time, daily.temperature_2m_max, strict=True))
    except (msgspec.MsgspecError, ValueError) as error:
        raise InputError(f"the forecast has another shape ({error})", remedy="Its feed may have changed") from None
    high = highs.get(day)
    if high is None:
        raise InputError(f"the forecast has no high for {day}", remedy="Try again later")
    return high


def _priced(rows: pl.DataFrame, station: Station, forecast: float) -> pl.DataFrame:
    low, high = (rows[name].fill_null(float("nan")).to_numpy() for name in ("low", "high"))
    low_open, high_open = (rows[name].fill_null(value=False).to_numpy() for name in ("low_open", "high_open"))
    limits = low, low_open, high, high_open
    mean = np.full(rows.height, forecast + station.high_bias)
    sd = station.high_sd * station.widened
    p, more, less = (
        reading_probability(limits, mean, np.full(rows.height, sd * factor)) for factor in (1, 1 + _DOUBT, 1 - _DOUBT)
    )
    doubt = np.minimum(np.abs(more - less) / 2, np.sqrt(p * (1 - p)))
    return rows.select("ticker", p=pl.Series(p), p_sd=pl.Series(doubt), note=pl.lit(None, dtype=pl.String))

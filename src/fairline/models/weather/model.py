"""Tomorrow's highs and lows: a forecast, and how far such forecasts were off recently at the same station."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from typing import Self

import msgspec
import numpy as np
import polars as pl

from fairline.config.model_settings import ModelSettings
from fairline.errors import InputError
from fairline.models import stations as station_table
from fairline.models import subjects as subject_table
from fairline.models.answer import count_unpriced, link_fault, priced_rows, to_predictions
from fairline.models.linking import link
from fairline.models.stations import Station, load_stations
from fairline.models.subjects import WEATHER_KINDS, Subject, load_subjects
from fairline.models.weather.forecast import (
    ERROR_DAYS,
    Floats,
    ForecastError,
    daily_extremes,
    forecast_error,
    reading_probability,
)
from fairline.sources import Payload, Request

FORECAST_URL = (
    "https://previous-runs-api.open-meteo.com/v1/forecast?latitude={0.latitude}&longitude={0.longitude}"
    "&hourly=temperature_2m,temperature_2m_previous_day1,temperature_2m_previous_day2&temperature_unit=fahrenheit"
    "&timezone=Etc/GMT%2B{1}&past_days={2}&forecast_days=3"
)
READINGS_URL = "https://mesonet.agron.iastate.edu/json/cli.py?station={}&year={}"
FORECAST_AGE_S = 1_800.0
READINGS_AGE_S = 6 * 3_600.0
PAST_DAYS = 60
READING_DELAY_DAYS = 4
"""Official readings may be missing for this many days."""
REPORT_FINAL_AFTER = timedelta(hours=9)
"""A day's climate report is final by nine in the morning of the next day."""
MAX_FORECAST_LEAD = timedelta(minutes=5)
MAX_FORECAST_AGE = timedelta(hours=6)
"""A forecast read after the instant of the prices knows more than they do, and an old one knows less."""
SD_ERROR = 0.2
"""Relative error of a standard deviation measured on 45 correlated days."""
MIN_P_SD = 0.16
"""Root mean square distance between this model and the market's midpoint (docs/models/weather.md)."""

Extremes = Mapping[date, tuple[float, float]]
Readings = Mapping[date, tuple[float | None, float | None]]


class _Hourly(msgspec.Struct):
    time: list[str]
    temperature_2m: list[float | None]
    temperature_2m_previous_day1: list[float | None]
    temperature_2m_previous_day2: list[float | None]


class _Units(msgspec.Struct):
    temperature_2m: str


class _Forecast(msgspec.Struct):
    hourly: _Hourly
    hourly_units: _Units
    utc_offset_seconds: int


class _Report(msgspec.Struct):
    valid: date
    high: float | str | None = None
    low: float | str | None = None


class _Reports(msgspec.Struct):
    results: list[_Report]


class WeatherModel:
    """Tomorrow's highs and lows of US cities: a forecast with its recent errors against official readings.

    The day is the station's local standard day and the reading is in whole degrees. Only tomorrow is priced, because
    the model does not see what has already been measured today.
    """

    name = "weather"
    version = "3"

    def __init__(
        self, stations: Mapping[str, Station] | None = None, subjects: Mapping[str, Subject] | None = None
    ) -> None:
        self._stations = load_stations() if stations is None else stations
        subjects = load_subjects(stations=self._stations) if subjects is None else subjects
        self._subjects = {
            series: subject for series, subject in subjects.items() if subject.kind in WEATHER_KINDS and subject.enabled
        }

    @classmethod
    def from_settings(cls, settings: ModelSettings) -> Self:
        """Build the model with the user's stations and subjects."""
        stations = load_stations(settings.table(station_table.FILE))
        return cls(stations, load_subjects(settings.table(subject_table.FILE), stations))

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        return pl.col("series_ticker").is_in(list(self._subjects)) & (pl.col("status") == "active")

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        """Return what the series among the markets need; without any market, what all series need."""
        listed = set(markets["series_ticker"].unique())
        names = {s.subject for series, s in self._subjects.items() if series in listed or not listed}
        known = sorted(names & self._stations.keys())
        return [request for name in known for request in _requests(self._stations[name], asof)]

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """Return PREDICTIONS of tomorrow's reliably linked markets; a `note` says why others are not priced."""
        linked = link(markets, self._subjects)
        parts = list[pl.DataFrame]()
        for (name,), rows in linked.group_by("subject", maintain_order=True):
            station = self._stations.get(str(name))
            if station is None:
                note = f"the location of {name} is unknown: add it to stations.toml"
                parts.append(count_unpriced(rows.with_columns(note=pl.lit(note))))
            else:
                parts += _price_station(rows, station, payloads, asof)
        return to_predictions(parts, self.name, asof)


def _price_station(
    rows: pl.DataFrame, station: Station, payloads: Mapping[Request, Payload], asof: datetime
) -> list[pl.DataFrame]:
    day = _local_time(station, asof).date() + timedelta(days=1)
    other_day = pl.when(pl.col("day") != day).then(pl.format("it is of another day than {}", pl.lit(str(day))))
    rows = rows.with_columns(note=pl.coalesce(link_fault(), other_day))
    usable = rows.filter(pl.col("note").is_null())
    parts = [count_unpriced(rows.filter(pl.col("note").is_not_null()))]
    if usable.is_empty():
        return parts
    try:
        return parts + _price_day(usable, station, payloads, asof, day)
    except InputError as error:
        return [*parts, count_unpriced(usable.with_columns(note=pl.lit(error.message)))]


def _local_time(station: Station, asof: datetime) -> datetime:
    return (asof + timedelta(hours=station.utc_offset)).replace(tzinfo=None)


def _requests(station: Station, asof: datetime) -> list[Request]:
    """Return the forecasts, and the official readings of the days that they are compared with."""
    url = FORECAST_URL.format(station, -station.utc_offset, PAST_DAYS)
    today = _local_time(station, asof).date()
    years = sorted({today.year, (today - timedelta(days=PAST_DAYS)).year})
    readings = [Request("https", READINGS_URL.format(station.name, year), READINGS_AGE_S) for year in years]
    return [Request("https", url, FORECAST_AGE_S), *readings]


def _price_day(
    rows: pl.DataFrame, station: Station, payloads: Mapping[Request, Payload], asof: datetime, day: date
) -> list[pl.DataFrame]:
    """Return the markets of one station and day, highs and lows. Raises `InputError`."""
    forecast_request, *reading_requests = _requests(station, asof)
    payload = payloads[forecast_request]
    current, one_day_ahead, two_days_ahead = _read_forecasts(payload, station, asof)
    if day not in current:
        raise InputError(f"there is no forecast for all of {day}", remedy="Try again later")
    readings = dict[date, tuple[float | None, float | None]]()
    for request in reading_requests:
        # If the requests were made just before New Year, the new year's readings are absent.
        with suppress(KeyError):
            readings |= _read_readings(payloads[request], station, asof)
    today = _local_time(station, asof).date()
    share = _share_of_second_day(station, day, payload)
    parts = list[pl.DataFrame]()
    for (kind,), group in rows.group_by("kind", maintain_order=True):
        column = 0 if kind == "low" else 1
        errors = [_recent_error(past, readings, column, today) for past in (one_day_ahead, two_days_ahead)]
        parts.append(_probabilities(group, current[day][column], errors[0].interpolate(errors[1], share)))
    return parts


def _share_of_second_day(station: Station, day: date, payload: Payload) -> float:
    """Return how far the forecast's lead lies between the two measured ones of 24 and 48 hours, from 0 to 1."""
    noon = datetime.combine(day, time(12), UTC) - timedelta(hours=station.utc_offset)
    days_ahead = (noon - payload.fetched_ts) / timedelta(days=1)
    return min(max(days_ahead - 1, 0.0), 1.0)


def _read_forecasts(payload: Payload, station: Station, asof: datetime) -> list[Extremes]:
    """Return each day's lowest and highest temperature as forecast now, 24 hours ahead and 48 hours ahead."""
    age = asof - payload.fetched_ts
    if not -MAX_FORECAST_LEAD <= age <= MAX_FORECAST_AGE:
        message = f"the forecast was read at {payload.fetched_ts:%Y-%m-%d %H:%M} UTC"
        hours = MAX_FORECAST_AGE // timedelta(hours=1)
        raise InputError(message, remedy=f"Use a forecast read within {hours} hours before the prices")
    try:
        forecast = msgspec.json.decode(payload.body, type=_Forecast)
        hourly = forecast.hourly
        times = [datetime.fromisoformat(text) for text in hourly.time]
        runs = (hourly.temperature_2m, hourly.temperature_2m_previous_day1, hourly.temperature_2m_previous_day2)
        extremes = [daily_extremes(times, values) for values in runs]
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InputError(f"unexpected forecast format ({error})", remedy="The feed may have changed") from error
    unit, offset = forecast.hourly_units.temperature_2m, forecast.utc_offset_seconds
    if unit != "°F" or offset != station.utc_offset * 3_600:
        message = f"the forecast is in {unit} at {offset / 3600:+g} hours, not in °F at {station.utc_offset:+d}"
        raise InputError(message, remedy="The feed may have changed")
    return list(extremes)


def _read_readings(payload: Payload, station: Station, asof: datetime) -> Readings:
    """Return each day's official low and high, of days whose report was final when it was read; missing values are
    letters.
    """
    try:
        reports = msgspec.json.decode(payload.body, type=_Reports).results
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        message = f"unexpected format of official readings ({error})"
        raise InputError(message, remedy="The feed may have changed") from error
    first_open_day = (_local_time(station, min(asof, payload.fetched_ts)) - REPORT_FINAL_AFTER).date()
    return {r.valid: (_number(r.low), _number(r.high)) for r in reports if r.valid < first_open_day}


def _number(value: float | str | None) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _recent_error(forecast: Extremes, readings: Readings, column: int, today: date) -> ForecastError:
    """Return how far recent forecasts were off. Raises `InputError` for too few days or outdated readings."""
    first = today - timedelta(days=ERROR_DAYS + READING_DELAY_DAYS)
    pairs = [
        (day, forecast[day][column], reading)
        for day in sorted(forecast)
        if day >= first and (reading := readings.get(day, (None, None))[column]) is not None
    ]
    if not pairs or pairs[-1][0] < today - timedelta(days=READING_DELAY_DAYS):
        message = (
            f"official readings end on {pairs[-1][0]}" if pairs else "there are no official readings of these days"
        )
        raise InputError(message, remedy="The feed may be late")
    error = forecast_error([pair[1] for pair in pairs], [pair[2] for pair in pairs])
    if error is None:
        message = f"only {len(pairs)} days have a forecast and an official reading"
        raise InputError(message, remedy="Try again when there are 30")
    return error


def _probabilities(rows: pl.DataFrame, forecast: float, error: ForecastError) -> pl.DataFrame:
    low, high = (rows[name].fill_null(float("nan")).to_numpy() for name in ("low", "high"))
    low_open, high_open = (rows[name].fill_null(value=False).to_numpy() for name in ("low_open", "high_open"))

    def probability(shift: float, factor: float) -> Floats:
        mean = np.full(rows.height, forecast + error.bias + shift)
        return reading_probability((low, low_open, high, high_open), mean, np.full(rows.height, error.sd * factor))

    standard_error = error.sd / np.sqrt(error.days)
    by_sd = (probability(0, 1 + SD_ERROR) - probability(0, 1 - SD_ERROR)) / 2
    by_bias = (probability(standard_error, 1) - probability(-standard_error, 1)) / 2
    return priced_rows(rows["ticker"], probability(0, 1), np.hypot(by_sd, by_bias), MIN_P_SD)

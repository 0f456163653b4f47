"""Tomorrow's highs and lows: a forecast, and how far such forecasts were off of late at that very station."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta

import msgspec
import numpy as np
import polars as pl

from fairline.errors import InputError
from fairline.models.answer import answered, unpriced, unsure
from fairline.models.linking import link, subjects
from fairline.models.stations import Station, stations
from fairline.models.weather.forecast import DAYS, Errors, errors, extremes, reading_probability
from fairline.sources import Payload, Request

_ADDRESS = (
    "https://previous-runs-api.open-meteo.com/v1/forecast?latitude={0.latitude}&longitude={0.longitude}"
    "&hourly=temperature_2m,temperature_2m_previous_day1,temperature_2m_previous_day2&temperature_unit=fahrenheit"
    "&timezone=Etc/GMT%2B{1}&past_days={2}&forecast_days=3"
)
_OFFICIAL = "https://mesonet.agron.iastate.edu/json/cli.py?station={}&year={}"
_AGE_S, _OFFICIAL_AGE_S = 1_800.0, 6 * 3_600.0
_PAST_D, _LATE_D = 60, 4
_FINAL = timedelta(hours=9)
"""A day's climate report is final by nine in the morning after it."""
_MOMENT, _OLDEST = timedelta(minutes=5), timedelta(hours=6)
"""A forecast that was read later than prices are as of knows more than those, and an old one less."""
_DOUBT = 0.2
"""Relative error of a standard deviation measured on 45 days that hang together."""


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
    """Tomorrow's highs and lows of US cities: a forecast with the errors that it had of late against official readings.

    The day is the station's local standard one, the reading in whole degrees. It prices tomorrow only: of today a part
    is known that it does not see.
    """

    name, version = "weather", "2"

    def __init__(self) -> None:
        self._stations = stations()
        self._subjects = {series: s for series, s in subjects().items() if s.kind in ("high", "low")}

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        return pl.col("series_ticker").is_in(list(self._subjects)) & (pl.col("status") == "active")

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        """What those series need that are among the markets; without any market, what all do."""
        there = set(markets["series_ticker"].unique())
        names = {s.subject for series, s in self._subjects.items() if series in there or not there}
        known = sorted(names & self._stations.keys())
        return [request for name in known for request in _requests(self._stations[name], asof)]

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """PREDICTIONS of tomorrow's markets whose link is sure; a `note` says of the others why they have none."""
        linked = link(markets, self._subjects)
        parts = list[pl.DataFrame]()
        for (name,), rows in linked.group_by("subject", maintain_order=True):
            station = self._stations.get(str(name))
            if station is None:
                # Of a file of one's own: where it stands is not said there.
                parts.append(unpriced(rows.with_columns(note=pl.lit(f"where {name} stands is not known"))))
                continue
            day = _local(station, asof).date() + timedelta(days=1)
            why = pl.coalesce(
                unsure(),
                pl.when(pl.col("day") != day).then(pl.format("it is of another day than {}", pl.lit(str(day)))),
            )
            judged = rows.with_columns(note=why)
            mine = judged.filter(pl.col("note").is_null())
            parts.append(unpriced(judged.filter(pl.col("note").is_not_null())))
            try:
                parts += _priced(mine, station, payloads, asof, day)
            except InputError as error:
                parts.append(unpriced(mine.with_columns(note=pl.lit(error.message))))
        return answered(parts, self.name, asof)


def _local(station: Station, asof: datetime) -> datetime:
    return (asof + timedelta(hours=station.utc_offset)).replace(tzinfo=None)


def _requests(station: Station, asof: datetime) -> list[Request]:
    """The forecasts, and the official readings of the days that they are held against."""
    address = _ADDRESS.format(station, -station.utc_offset, _PAST_D)
    today = _local(station, asof).date()
    years = sorted({today.year, (today - timedelta(days=_PAST_D)).year})
    reports = [Request("https", _OFFICIAL.format(station.name, year), max_age_s=_OFFICIAL_AGE_S) for year in years]
    return [Request("https", address, max_age_s=_AGE_S), *reports]


def _priced(
    rows: pl.DataFrame, station: Station, payloads: Mapping[Request, Payload], asof: datetime, day: date
) -> list[pl.DataFrame]:
    """The markets of one station and day, highs and lows. Raises `InputError`."""
    if rows.is_empty():
        return []
    forecast, *reports = _requests(station, asof)
    ahead, before, earlier = _forecasts(payloads[forecast], station, asof)
    if day not in ahead:
        raise InputError(f"there is no forecast of all of {day}", remedy="Try again later")
    official = dict[date, tuple[float | None, float | None]]()
    for report in reports:
        # Asked for a moment before New Year, that year's was not.
        with suppress(KeyError):
            official |= _official(payloads[report], station, asof)
    # How long ahead of the middle of that day it was made, in days: 24 hours and 48 hours ahead were measured.
    noon = datetime.combine(day, time(12), UTC) - timedelta(hours=station.utc_offset)
    share = min(max((noon - payloads[forecast].fetched_ts) / timedelta(days=1) - 1, 0.0), 1.0)
    made = list[pl.DataFrame]()
    for (kind,), some in rows.group_by("kind", maintain_order=True):
        at = 0 if kind == "low" else 1
        measured = [_measured(past, official, at, _local(station, asof).date()) for past in (before, earlier)]
        off = measured[0].between(measured[1], share)
        made.append(_chances(some, ahead[day][at], off))
    return made


_Extremes = Mapping[date, tuple[float | None, float | None]]


def _forecasts(payload: Payload, station: Station, asof: datetime) -> list[dict[date, tuple[float, float]]]:
    """Each day's lowest and highest temperature as it is forecast now, and as it was 24 and 48 hours ahead."""
    age = asof - payload.fetched_ts
    if not -_MOMENT <= age <= _OLDEST:
        words = f"the forecast was read at {payload.fetched_ts:%Y-%m-%d %H:%M} UTC"
        raise InputError(words, remedy=f"It has to be of the {_OLDEST // timedelta(hours=1)} hours before")
    try:
        forecast = msgspec.json.decode(payload.body, type=_Forecast)
        hourly = forecast.hourly
        times = [datetime.fromisoformat(text) for text in hourly.time]
        lists = hourly.temperature_2m, hourly.temperature_2m_previous_day1, hourly.temperature_2m_previous_day2
        made = [extremes(times, values) for values in lists]
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InputError(f"the forecast has another shape ({error})", remedy="Its feed may have changed") from None
    unit, offset = forecast.hourly_units.temperature_2m, forecast.utc_offset_seconds
    if unit != "°F" or offset != station.utc_offset * 3_600:
        words = f"the forecast is in {unit} at {offset / 3600:+g} hours, not in °F at {station.utc_offset:+d}"
        raise InputError(words, remedy="Its feed may have changed")
    return made


def _official(payload: Payload, station: Station, asof: datetime) -> dict[date, tuple[float | None, float | None]]:
    """Each day's official low and high, of the days whose report was final when it was read; a missing one is a letter
    there.
    """
    try:
        reports = msgspec.json.decode(payload.body, type=_Reports).results
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        words = f"the official readings have another shape ({error})"
        raise InputError(words, remedy="Their feed may have changed") from None
    known = (_local(station, min(asof, payload.fetched_ts)) - _FINAL).date()
    return {r.valid: (_number(r.low), _number(r.high)) for r in reports if r.valid < known}


def _number(value: float | str | None) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _measured(forecast: Mapping[date, tuple[float, float]], official: _Extremes, at: int, today: date) -> Errors:
    """How far forecasts of the last days were off. Raises `InputError` if there are too few, or none of late."""
    first, last = today - timedelta(days=DAYS + _LATE_D), today - timedelta(days=_LATE_D)
    days = [day for day in sorted(forecast) if first <= day and official.get(day, (None, None))[at] is not None]
    if not days or days[-1] < last:
        words = f"official readings end on {days[-1]}" if days else "there are no official readings of these days"
        raise InputError(words, remedy="Their feed may be late")
    made = errors([forecast[day][at] for day in days], [float(official[day][at] or 0.0) for day in days])
    if made is None:
        words = f"only {len(days)} days have a forecast and an official reading"
        raise InputError(words, remedy="Try again when there are 30")
    return made


def _chances(rows: pl.DataFrame, forecast: float, off: Errors) -> pl.DataFrame:
    low, high = (rows[name].fill_null(float("nan")).to_numpy() for name in ("low", "high"))
    low_open, high_open = (rows[name].fill_null(value=False).to_numpy() for name in ("low_open", "high_open"))

    def chance(shift: float, factor: float) -> np.ndarray:
        mean = np.full(rows.height, forecast + off.bias + shift)
        return reading_probability((low, low_open, high, high_open), mean, np.full(rows.height, off.sd * factor))

    p, shift = chance(0, 1), off.sd / np.sqrt(off.days)
    wide = (chance(0, 1 + _DOUBT) - chance(0, 1 - _DOUBT)) / 2
    moved = (chance(shift, 1) - chance(-shift, 1)) / 2
    doubt = np.minimum(np.hypot(wide, moved), np.sqrt(p * (1 - p)))
    return rows.select("ticker", p=pl.Series(p), p_sd=pl.Series(doubt), note=pl.lit(None, dtype=pl.String))

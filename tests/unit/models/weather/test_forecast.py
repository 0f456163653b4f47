"""Whole degrees, local standard days, recent errors, stations named by rules, and changed feeds."""

import json
from datetime import UTC, date, datetime, timedelta

import msgspec
import numpy as np
import polars as pl
import pytest
from scipy.stats import t

from fairline.config.model_settings import model_settings
from fairline.errors import InputError
from fairline.kalshi.wire import Market, Series, SettlementSource
from fairline.market.frame import MARKETS, markets_frame, with_context
from fairline.models import load
from fairline.models.linking import link
from fairline.models.stations import load_stations
from fairline.models.weather.forecast import (
    DEGREES_OF_FREEDOM,
    ForecastError,
    daily_extremes,
    forecast_error,
    reading_probability,
)
from fairline.models.weather.model import MIN_P_SD
from fairline.sources import Payload
from tests.unit.kalshi.test_wire import MARKET

NOW = datetime(2026, 3, 29, 17, 0, tzinfo=UTC)
"""Noon in New York by standard time: the middle of tomorrow, the 30th, is 24 hours ahead."""
NAN = float("nan")
STUDENT = t(DEGREES_OF_FREEDOM, scale=np.sqrt((DEGREES_OF_FREEDOM - 2) / DEGREES_OF_FREEDOM))


def chance(low=NAN, low_open=False, high=NAN, high_open=False, mean=66.0, sd=2.0):
    *limits, mean, sd = (np.array([value]) for value in (low, low_open, high, high_open, mean, sd))
    return reading_probability(tuple(limits), mean, sd)[0]


@pytest.mark.parametrize(
    ("limits", "begin", "end"),
    [
        ({"low": 66.0, "high": 67.0}, 65.5, 67.5),
        ({"low": 67.0, "low_open": True}, 67.5, np.inf),
        ({"low": 67.0}, 66.5, np.inf),
        ({"high": 62.0, "high_open": True}, -np.inf, 61.5),
        ({"high": 62.0}, -np.inf, 62.5),
    ],
)
def test_a_reading_is_rounded_to_whole_degrees(limits, begin, end):
    assert chance(**limits) == pytest.approx(STUDENT.cdf((end - 66) / 2) - STUDENT.cdf((begin - 66) / 2))


def test_the_bins_of_a_day_add_up_to_one():
    bins = [{"high": 62.0, "high_open": True}, *({"low": float(n), "high": n + 1.0} for n in (62, 64, 66)),
            {"low": 67.0, "low_open": True}]  # fmt: skip
    assert sum(chance(**limits) for limits in bins) == pytest.approx(1.0)


def test_errors_come_from_the_latest_days_and_need_thirty_of_them():
    off = [100.0] * 20 + [1.0, 3.0] * 23
    result = forecast_error([0.0] * len(off), off)
    assert result.bias == pytest.approx(2.0, abs=0.03)
    assert result.sd == pytest.approx(np.std(off[-45:], ddof=1) * np.sqrt(1 + 1 / 45))
    assert result.days == 45
    assert forecast_error([0.0] * 29, [1.0] * 29) is None
    assert ForecastError(0, 1, 45).interpolate(ForecastError(1, 3, 40), 0.25) == ForecastError(0.25, 1.5, 40)


def test_a_day_with_an_hour_missing_has_no_extremes():
    start = datetime(2026, 3, 29)
    times = [start + timedelta(hours=hour) for hour in range(48)]
    values = [float(hour) for hour in range(48)]
    assert daily_extremes(times, values) == {date(2026, 3, 29): (0.0, 23.0), date(2026, 3, 30): (24.0, 47.0)}
    values[30] = None
    assert list(daily_extremes(times, values)) == [date(2026, 3, 29)]


def market(ticker, close, **more):
    return dict.fromkeys(MARKETS) | {
        "ticker": ticker, "event_ticker": ticker.rpartition("-")[0], "series_ticker": ticker.partition("-")[0],
        "status": "active", "market_type": "binary", "close_ts": close, "rules_station": "NYC", **more,
    }  # fmt: skip


TOMORROW = datetime(2026, 3, 31, 4, 59, tzinfo=UTC)
DAY = (
    market("KXHIGHNY-26MAR30-T62", TOMORROW, strike_type="less", cap_strike=62.0),
    market("KXHIGHNY-26MAR30-B62.5", TOMORROW, strike_type="between", floor_strike=62.0, cap_strike=63.0),
    market("KXHIGHNY-26MAR30-T63", TOMORROW, strike_type="greater", floor_strike=63.0),
)
NIGHT = market("KXLOWTNYC-26MAR30-T41", TOMORROW, strike_type="less", cap_strike=41.0)


def feeds(low=40.0, high=62.0, off=(1.0, 3.0), further=1.0, last=date(2026, 3, 28)):
    """Forecasts that are right but for `off` in turn, those of the day before `further` times as much."""
    days = [last + timedelta(days=n - 59) for n in range(63)]
    times = [f"{day}T{hour:02}:00" for day in days for hour in range(24)]
    now = [low + (high - low) * hour / 23 for _ in days for hour in range(24)]
    wrong = [off[n % 2] for n in range(len(days)) for _ in range(24)]
    hourly = {
        "time": times, "temperature_2m": now,
        "temperature_2m_previous_day1": [a - b for a, b in zip(now, wrong, strict=True)],
        "temperature_2m_previous_day2": [a - further * b for a, b in zip(now, wrong, strict=True)],
    }  # fmt: skip
    official = [{"valid": str(day), "high": high, "low": low} for day in days if day <= last]
    priced = {
        "utc_offset_seconds": -18_000,
        "hourly_units": {"time": "iso8601", "temperature_2m": "°F"},
        "hourly": hourly,
    }
    return [priced, {"results": official}]


def predict_rows(rows, answers, now=NOW, read=None):
    model, frame = load("weather", model_settings()), pl.DataFrame(rows, schema=MARKETS)
    bodies = [answer if isinstance(answer, bytes) else json.dumps(answer).encode() for answer in answers]
    requests = model.requests(frame, now)
    assert len(requests) == len(bodies)
    payloads = {request: Payload(request, read or now, body) for request, body in zip(requests, bodies, strict=True)}
    return model.predict(frame, payloads, now)


def test_tomorrow_is_priced_by_recent_errors_and_adds_up():
    result = predict_rows(DAY, feeds())
    assert result["note"].null_count() == 3
    assert result["p"].sum() == pytest.approx(1.0)
    off = forecast_error([0.0] * 45, [3.0, 1.0] * 22 + [3.0])
    assert result["p"][0] == pytest.approx(STUDENT.cdf((61.5 - 62 - off.bias) / off.sd))
    assert (result["p_sd"] > 0).all()


@pytest.mark.parametrize(("hours", "share"), [(33, 0.375), (24, 0.0), (13, 0.0), (36, 0.5)])
def test_errors_depend_on_how_far_ahead_the_forecast_was_made(hours, share):
    """At the station's own standard time: noon of the 30th in New York is 17 o'clock in Greenwich."""
    result = predict_rows(
        DAY, feeds(off=(-2.0, 2.0), further=3.0), datetime(2026, 3, 30, 17, tzinfo=UTC) - timedelta(hours=hours)
    )
    sign = 1 if hours < 27 else -1  # by then the last day was not final
    days = [sign * off for off in [2.0, -2.0] * 22 + [2.0]]
    near, far = (forecast_error([0.0] * 45, [factor * off for off in days]) for factor in (1, 3))
    off = near.interpolate(far, share)
    p = STUDENT.cdf((61.5 - 62 - off.bias) / off.sd)
    assert result["p"][0] == pytest.approx(p)
    wide, narrow = (STUDENT.cdf((61.5 - 62 - off.bias) / off.sd / factor) for factor in (1.2, 0.8))
    up, down = (STUDENT.cdf((61.5 - 62 - off.bias + step * off.sd / 45**0.5) / off.sd) for step in (1, -1))
    arithmetic = np.hypot(wide - narrow, up - down) / 2
    assert result["p_sd"][0] == pytest.approx(max(arithmetic, MIN_P_SD))


def test_a_forecast_from_the_future_or_long_ago_is_not_used():
    late, old = (predict_rows(DAY, feeds(), read=NOW + timedelta(hours=n)) for n in (2, -7))
    for result in (late, old):
        assert result["p"].null_count() == 1
    assert (
        "3 markets such as KXHIGHNY-26MAR30-T62 are not priced: the forecast was read at 2026-03-29 19:00"
        in late["note"][0]
    )


@pytest.mark.parametrize(
    ("read", "used"),
    [(datetime(2026, 3, 29, 13, 59, tzinfo=UTC), False), (datetime(2026, 3, 29, 14, 1, tzinfo=UTC), True)],
)
def test_a_report_counts_once_it_is_final(read, used):
    """Before nine in the morning, by the station's standard time, yesterday's may be of the afternoon before."""
    good, (forecast, official) = feeds(), feeds()
    official["results"][-1]["high"] = 50
    changed = not predict_rows(DAY, [forecast, official], read=read).equals(predict_rows(DAY, good, read=read))
    assert changed == used


def test_absurd_errors_are_ignored_and_nothing_is_certain():
    good, (forecast, official) = feeds(), feeds()
    official["results"][-3]["high"] = 6
    assert predict_rows(DAY, [forecast, official])["p"].to_list() == pytest.approx(
        predict_rows(DAY, good)["p"].to_list(), abs=0.01
    )
    steady = predict_rows(DAY, feeds(off=(1.0, 1.0)))
    assert steady["p_sd"].min() > 0


def test_lows_are_compared_with_lows():
    result = predict_rows([NIGHT], feeds(off=(0.0, 2.0)))
    off = forecast_error([0.0] * 45, [2.0, 0.0] * 22 + [2.0])
    assert result["p"][0] == pytest.approx(STUDENT.cdf((40.5 - 40 - off.bias) / off.sd))


def test_markets_of_other_days_are_not_priced_but_counted():
    today = market(
        "KXHIGHNY-26MAR29-T62", datetime(2026, 3, 30, 4, 59, tzinfo=UTC), strike_type="less", cap_strike=62.0
    )
    other = DAY[0] | {"ticker": "KXHIGHNY-26MAR30-T61", "rules_station": "LGA"}
    result = predict_rows((*DAY, today, other), feeds())
    assert set(result["note"].drop_nulls()) == {
        "1 markets such as KXHIGHNY-26MAR29-T62 are not priced: it is of another day than 2026-03-30",
        "1 markets such as KXHIGHNY-26MAR30-T61 are not priced: the rules say the station LGA, not NYC",
    }
    assert predict_rows([today], [b"<html>", b"<html>"])["note"].to_list() == [
        "1 markets such as KXHIGHNY-26MAR29-T62 are not priced: it is of another day than 2026-03-30"
    ]


def test_readings_of_today_or_later_are_not_used():
    """Return a backtest reads today's reports of days that lay ahead then."""
    forecast, official = feeds()
    later = {
        "results": [*official["results"], *({"valid": f"2026-03-{n}", "high": 99, "low": 0} for n in (29, 30, 31))]
    }
    assert predict_rows(DAY, [forecast, later]).equals(predict_rows(DAY, [forecast, official]))


GOOD = feeds()


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([b"<html>", GOOD[1]], "unexpected forecast format"),
        ([GOOD[0] | {"hourly": {**GOOD[0]["hourly"], "time": []}}, GOOD[1]], "unexpected forecast format"),
        ([GOOD[0] | {"utc_offset_seconds": 0}, GOOD[1]], "the forecast is in °F at +0 hours, not in °F at -5"),
        ([GOOD[0] | {"hourly_units": {"temperature_2m": "°C"}}, GOOD[1]], "the forecast is in °C"),
        ([GOOD[0], b"<html>"], "unexpected format of official readings"),
        ([GOOD[0], {"results": GOOD[1]["results"][:-3]}], ""),
        ([GOOD[0], {"results": [{**day, "high": "M"} for day in GOOD[1]["results"]]}], "there are no official"),
        ([GOOD[0], {"results": GOOD[1]["results"][-29:]}], "only 29 days have a forecast"),
        ([GOOD[0], {"results": GOOD[1]["results"][:-4]}], "official readings end on 2026-03-24"),
        ([GOOD[0] | {"hourly": {name: values[: 61 * 24] for name, values in GOOD[0]["hourly"].items()}}, GOOD[1]],
         "there is no forecast for all of 2026-03-30"),
    ],
)  # fmt: skip
def test_a_changed_or_incomplete_feed_is_reported(answers, message):
    result = predict_rows(DAY, answers)
    notes = result["note"].drop_nulls().to_list()
    assert not notes if not message else message in notes[0]


def test_weather_requests_depend_on_the_stations_own_day():
    forecast, official = load("weather", model_settings()).requests(pl.DataFrame(DAY, schema=MARKETS), NOW)
    assert "timezone=Etc/GMT%2B5" in forecast.key
    assert official.key.endswith("station=KNYC&year=2026")
    early = datetime(2026, 1, 20, 12, tzinfo=UTC)
    assert [
        r.key[-4:] for r in load("weather", model_settings()).requests(pl.DataFrame(DAY, schema=MARKETS), early)[1:]
    ] == [
        "2025",
        "2026",
    ]


def test_reports_of_a_new_year_may_be_absent_just_after_midnight():
    model, rows = load("weather", model_settings()), pl.DataFrame(DAY, schema=MARKETS)
    before, after = (datetime(2027, 1, 1, 4, 59, 59, tzinfo=UTC), datetime(2027, 1, 1, 5, 0, 1, tzinfo=UTC))
    asked = {request: Payload(request, before, b"{}") for request in model.requests(rows, before)}
    assert len(model.requests(rows, after)) == len(asked) + 1
    assert "another day" in model.predict(rows, asked, after)["note"][0]
    close = datetime(2027, 1, 3, 4, 59, tzinfo=UTC)
    tomorrow = [market("KXHIGHNY-27JAN02-T62", close, strike_type="less", cap_strike=62.0)]
    feed, readings = feeds(last=date(2026, 12, 31))
    bodies = [json.dumps(feed).encode(), json.dumps(readings).encode()]
    asked = {request: Payload(request, before, body) for request, body in zip(asked, bodies, strict=True)}
    assert model.predict(pl.DataFrame(tomorrow, schema=MARKETS), asked, after)["p"].null_count() == 0


def test_a_station_without_a_years_reports_is_not_priced():
    model, rows = load("weather", model_settings()), pl.DataFrame(DAY, schema=MARKETS)

    class Failing(dict):
        def __missing__(self, request):
            raise InputError("it does not answer", remedy="Wait")

    forecast, *_ = model.requests(rows, NOW)
    result = model.predict(rows, Failing({forecast: Payload(forecast, NOW, json.dumps(GOOD[0]).encode())}), NOW)
    assert "3 markets such as KXHIGHNY-26MAR30-T62 are not priced: it does not answer" in result["note"].to_list()


TOLD = "If the maximum temperature recorded at {} for Sep 11, 2026, is less than 83° according to The Weather Company"


@pytest.mark.parametrize(
    ("place", "station"),
    [
        ("New York City (CLINYC)", "NYC"),
        ("Chicago (CLIMDW), as in (CLIMDW)", "MDW"),
        ("Chicago (CLIMDW) or, failing it, (CLIORD)", None),
        ("the report (CLI) of Philadelphia (CLIPHL)", "PHL"),
        ("Philadelphia (CLIPHIL)", None),
        ("Central Park, New York", None),
        ("New York City (CLI", None),
    ],
)
def test_the_station_is_read_from_the_rules_if_they_name_just_one(place, station):
    result, _ = markets_frame([msgspec.convert(MARKET | {"rules_primary": TOLD.format(place)}, Market)])
    assert result["rules_station"].to_list() == [station]


def test_stations_are_located_where_other_lists_have_them():
    """Longitude and latitude to a degree, and the hours by longitude."""
    # fmt: off
    near = {"KATL": (34, -84), "KAUS": (30, -98), "KBOS": (42, -71), "KDCA": (39, -77), "KDEN": (40, -105),
            "KDFW": (33, -97), "KHOU": (30, -95), "KLAS": (36, -115), "KLAX": (34, -118), "KMDW": (42, -88),
            "KMIA": (26, -80), "KMSP": (45, -93), "KMSY": (30, -90), "KNYC": (41, -74), "KOKC": (35, -98),
            "KPHL": (40, -75), "KPHX": (33, -112), "KSAN": (33, -117), "KSAT": (30, -98), "KSEA": (47, -122),
            "KSFO": (38, -122)}
    # fmt: on
    for name, station in load_stations().items():
        assert (round(station.latitude), round(station.longitude)) == near[name]
        assert abs(station.utc_offset - station.longitude / 15) < 1


@pytest.mark.parametrize(
    ("ticker", "station", "reason"),
    [
        ("KXHIGHCHI-26MAR30-T62", "MDW", None),
        ("KXHIGHCHI-26MAR30-T62", None, "the rules name no station"),
        ("KXHIGHCHI-26MAR30-T62", "ORD", "the rules say the station ORD, not MDW"),
        ("KXHIGHTDAL-26MAR30-T62", "DFW", None),
        ("KXHIGHTDAL-26MAR30-T62", "DAL", "the rules say the station DAL, not DFW"),
        ("KXHIGHTDAL-26MAR30-T62", None, "the rules name no station"),
    ],
)
def test_the_station_is_the_one_that_the_rules_name(ticker, station, reason):
    close = datetime(2026, 3, 31, 5, 59, tzinfo=UTC)
    row = market(ticker, close, strike_type="less", cap_strike=62.0, rules_station=station)
    (result,) = link(pl.DataFrame([row], schema=MARKETS)).iter_rows(named=True)
    assert result["reason"] == reason
    assert result["subject"] in load_stations()
    assert (", rules" in result["evidence"]) == (station is not None)


JULY_RULES = (
    "If the highest temperature recorded in Chicago for July 12, 2026 as reported by the National Weather Service's "
    "Climatological Report (Daily), is between 86-87°, then the market resolves to Yes."
)


@pytest.mark.parametrize(
    ("urls", "reason"),
    [
        (["https://forecast.weather.gov/product.php?site=LOT&product=CLI&issuedby=MDW"], None),
        (["https://forecast.weather.gov/product.php?site=LOT&product=CLI&issuedby=ORD"], "the station ORD, not MDW"),
        (["https://www.weather.gov/srh/nwsoffices"], "the rules name no station"),
        ([], "the rules name no station"),
        ([f"https://x.test/?a=1&product=CLI&issuedby={code}" for code in ("MDW", "ORD")], "the rules name no station"),
    ],
)
def test_rules_that_name_only_a_place_are_linked_by_the_settlement_source_of_the_series(urls, reason):
    market_ = Market(
        ticker="KXHIGHCHI-26JUL12-B86.5", event_ticker="KXHIGHCHI-26JUL12", status="active", market_type="binary",
        yes_sub_title="86° to 87°", strike_type="between", floor_strike=86.0, cap_strike=87.0,
        close_time="2026-07-13T05:59:00Z", rules_primary=JULY_RULES, yes_bid_dollars="0.3000", yes_ask_dollars="0.3200",
        yes_bid_size_fp="10.00", yes_ask_size_fp="10.00",
    )  # fmt: skip
    series = Series(ticker="KXHIGHCHI", settlement_sources=[SettlementSource(url=url) for url in urls])
    frame, rejected = markets_frame([market_])
    assert not rejected
    (result,) = link(with_context(frame, [series], [])).to_dicts()
    assert (result["reason"] is None) == (reason is None)
    assert reason is None or reason in result["reason"]
    if reason is None:
        assert (result["subject"], result["confidence"]) == ("KMDW", 0.99)
        low = with_context(frame, [series], []).with_columns(rules_extreme=pl.lit("low"))
        assert "the rules are of a low" in link(low)["reason"][0]

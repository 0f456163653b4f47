"""Whole degrees, local standard days, errors of late, stations that the rules name, and feeds of another shape."""

import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy.stats import t

from fairline.frame import MARKETS
from fairline.linking import link
from fairline.models import load
from fairline.sources import Payload
from fairline.weather import DEGREES, Errors, errors, extremes, reading_probability, stations

NOW = datetime(2026, 3, 29, 17, 0, tzinfo=UTC)
"""Noon in New York by standard time: the middle of tomorrow, the 30th, is 24 hours ahead."""
NAN = float("nan")
STUDENT = t(DEGREES, scale=np.sqrt((DEGREES - 2) / DEGREES))


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


def test_errors_are_those_of_the_latest_days_and_need_thirty():
    off = [100.0] * 20 + [1.0, 3.0] * 23
    made = errors([0.0] * len(off), off)
    assert made.bias == pytest.approx(2.0, abs=0.03)
    assert made.sd == pytest.approx(np.std(off[-45:], ddof=1) * np.sqrt(1 + 1 / 45))
    assert made.days == 45
    assert errors([0.0] * 29, [1.0] * 29) is None
    assert Errors(0, 1, 45).between(Errors(1, 3, 40), 0.25) == Errors(0.25, 1.5, 40)


def test_a_day_with_an_hour_missing_has_no_extremes():
    start = datetime(2026, 3, 29)
    times = [start + timedelta(hours=hour) for hour in range(48)]
    values = [float(hour) for hour in range(48)]
    assert extremes(times, values) == {date(2026, 3, 29): (0.0, 23.0), date(2026, 3, 30): (24.0, 47.0)}
    values[30] = None
    assert list(extremes(times, values)) == [date(2026, 3, 29)]


def market(ticker, close, **more):
    return dict.fromkeys(MARKETS) | {
        "ticker": ticker, "event_ticker": ticker.rpartition("-")[0], "series_ticker": ticker.partition("-")[0],
        "status": "active", "market_type": "binary", "close_ts": close, **more,
    }  # fmt: skip


TOMORROW = datetime(2026, 3, 31, 4, 59, tzinfo=UTC)
DAY = (
    market("KXHIGHNY-26MAR30-T62", TOMORROW, strike_type="less", cap_strike=62.0),
    market("KXHIGHNY-26MAR30-B62.5", TOMORROW, strike_type="between", floor_strike=62.0, cap_strike=63.0),
    market("KXHIGHNY-26MAR30-T63", TOMORROW, strike_type="greater", floor_strike=63.0),
)
NIGHT = market("KXLOWTNYC-26MAR30-T41", TOMORROW, strike_type="less", cap_strike=41.0)


def feeds(low=40.0, high=62.0, off=(1.0, 3.0), further=1.0, year=2026):
    """Forecasts that are right but for `off` in turn, those of the day before `further` times as much."""
    days = [date(2026, 1, 28) + timedelta(days=n) for n in range(63)]
    times = [f"{day}T{hour:02}:00" for day in days for hour in range(24)]
    now = [low + (high - low) * hour / 23 for _ in days for hour in range(24)]
    wrong = [off[n % 2] for n in range(len(days)) for _ in range(24)]
    hourly = {
        "time": times, "temperature_2m": now,
        "temperature_2m_previous_day1": [a - b for a, b in zip(now, wrong, strict=True)],
        "temperature_2m_previous_day2": [a - further * b for a, b in zip(now, wrong, strict=True)],
    }  # fmt: skip
    official = [{"valid": str(day), "high": high, "low": low} for day in days if day < date(2026, 3, 29)]
    return [{"hourly": hourly}, {"results": official}]


def predicted(rows, answers, now=NOW):
    model, frame = load("weather"), pl.DataFrame(rows, schema=MARKETS)
    bodies = [answer if isinstance(answer, bytes) else json.dumps(answer).encode() for answer in answers]
    requests = model.requests(frame, now)
    assert len(requests) == len(bodies)
    payloads = {request: Payload(request, now, body) for request, body in zip(requests, bodies, strict=True)}
    return model.predict(frame, payloads, now)


def test_tomorrow_is_priced_by_the_errors_of_late_and_adds_up():
    made = predicted(DAY, feeds())
    assert made["note"].null_count() == 3
    assert made["p"].sum() == pytest.approx(1.0)
    off = errors([0.0] * 45, [3.0, 1.0] * 22 + [3.0])
    assert made["p"][0] == pytest.approx(STUDENT.cdf((61.5 - 62 - off.bias) / off.sd))
    assert (made["p_sd"] > 0).all()


def test_lows_are_held_against_lows():
    made = predicted([NIGHT], feeds(off=(0.0, 2.0)))
    off = errors([0.0] * 45, [2.0, 0.0] * 22 + [2.0])
    assert made["p"][0] == pytest.approx(STUDENT.cdf((40.5 - 40 - off.bias) / off.sd))


def test_further_ahead_errors_are_those_of_forecasts_made_earlier():
    """At three in the night the middle of tomorrow is 33 hours ahead."""
    near, far = (predicted(DAY, feeds(off=(-2.0, 2.0), further=3.0), now)["p"][1]
                 for now in (NOW, NOW - timedelta(hours=9)))  # fmt: skip
    assert far < near


def test_other_days_are_left_alone_and_counted():
    today = market(
        "KXHIGHNY-26MAR29-T62", datetime(2026, 3, 30, 4, 59, tzinfo=UTC), strike_type="less", cap_strike=62.0
    )
    made = predicted((*DAY, today), feeds())
    assert made["note"].drop_nulls().to_list() == [
        "1 markets of KNYC are not priced: they are not surely of 2026-03-30"
    ]


def test_what_is_read_of_today_and_later_is_not_used():
    """A backtest reads today's reports of days that lay ahead then."""
    forecast, official = feeds()
    later = {
        "results": [*official["results"], *({"valid": f"2026-03-{n}", "high": 99, "low": 0} for n in (29, 30, 31))]
    }
    assert predicted(DAY, [forecast, later]).equals(predicted(DAY, [forecast, official]))


GOOD = feeds()


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([b"<html>", GOOD[1]], "the forecast has another shape"),
        ([{"hourly": {**GOOD[0]["hourly"], "time": []}}, GOOD[1]], "the forecast has another shape"),
        ([GOOD[0], b"<html>"], "the official readings have another shape"),
        ([GOOD[0], {"results": GOOD[1]["results"][:60]}], ""),
        ([GOOD[0], {"results": [{**day, "high": "M"} for day in GOOD[1]["results"]]}], "only 0 days have a forecast"),
        ([GOOD[0], {"results": GOOD[1]["results"][:29]}], "only 29 days have a forecast"),
        ([{"hourly": {name: values[: 61 * 24] for name, values in GOOD[0]["hourly"].items()}}, GOOD[1]],
         "there is no forecast of all of 2026-03-30"),
    ],
)  # fmt: skip
def test_a_feed_that_changed_or_is_half_empty_is_named(answers, words):
    made = predicted(DAY, answers)
    notes = made["note"].drop_nulls().to_list()
    assert not notes if not words else words in notes[0]


def test_it_asks_for_the_stations_own_day_and_reports():
    forecast, official = load("weather").requests(pl.DataFrame(DAY, schema=MARKETS), NOW)
    assert "timezone=Etc/GMT%2B5" in forecast.key
    assert official.key.endswith("station=KNYC&year=2026")
    early = datetime(2026, 1, 20, 12, tzinfo=UTC)
    assert [r.key[-4:] for r in load("weather").requests(pl.DataFrame(DAY, schema=MARKETS), early)[1:]] == [
        "2025",
        "2026",
    ]


@pytest.mark.parametrize(
    ("ticker", "station", "reason"),
    [
        ("KXHIGHCHI-26MAR30-T62", "MDW", None),
        ("KXHIGHCHI-26MAR30-T62", None, None),
        ("KXHIGHCHI-26MAR30-T62", "ORD", "the rules say the station ORD, not MDW"),
        ("KXHIGHTDAL-26MAR30-T62", "DFW", None),
        ("KXHIGHTDAL-26MAR30-T62", "DAL", "the rules say the station DAL, not DFW"),
        ("KXHIGHTDAL-26MAR30-T62", None, "the rules name no station"),
    ],
)
def test_the_station_is_the_one_that_the_rules_name(ticker, station, reason):
    close = datetime(2026, 3, 31, 5, 59, tzinfo=UTC)
    row = market(ticker, close, strike_type="less", cap_strike=62.0, rules_station=station)
    (made,) = link(pl.DataFrame([row], schema=MARKETS)).iter_rows(named=True)
    assert made["reason"] == reason
    assert made["subject"] in stations()
    assert (", rules" in made["evidence"]) == (station is not None)

"""Whole degrees, local standard days, and a forecast that may be of another shape."""

import json
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm

from fairline.errors import InputError
from fairline.frame import MARKETS
from fairline.models import load
from fairline.sources import Payload
from fairline.weather import reading_probability, stations

NOW = datetime(2026, 3, 30, 3, 0, tzinfo=UTC)
"""Ten in the evening of the 29th in New York, by standard time: tomorrow is the 30th."""
NAN = float("nan")


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
    assert chance(**limits) == pytest.approx(norm.cdf(end, 66, 2) - norm.cdf(begin, 66, 2))


def test_the_bins_of_a_day_add_up_to_one():
    bins = [{"high": 62.0, "high_open": True}, *({"low": float(n), "high": n + 1.0} for n in (62, 64, 66)),
            {"low": 67.0, "low_open": True}]  # fmt: skip
    assert sum(chance(**limits) for limits in bins) == pytest.approx(1.0)


def market(ticker, close, **strikes):
    return dict.fromkeys(MARKETS) | {
        "ticker": ticker, "event_ticker": ticker.rpartition("-")[0], "series_ticker": "KXHIGHNY", "status": "active",
        "market_type": "binary", "close_ts": close, **strikes,
    }  # fmt: skip


TOMORROW = datetime(2026, 3, 31, 4, 59, tzinfo=UTC)
DAY = (
    market("KXHIGHNY-26MAR30-T62", TOMORROW, strike_type="less", cap_strike=62.0),
    market("KXHIGHNY-26MAR30-B62.5", TOMORROW, strike_type="between", floor_strike=62.0, cap_strike=63.0),
    market("KXHIGHNY-26MAR30-T63", TOMORROW, strike_type="greater", floor_strike=63.0),
)
FORECAST = {"daily": {"time": ["2026-03-29", "2026-03-30", "2026-03-31"], "temperature_2m_max": [50.0, 62.0, None]}}


def predicted(rows, answer, now=NOW):
    model, frame = load("weather"), pl.DataFrame(rows, schema=MARKETS)
    (request,) = model.requests(frame, now)
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return model.predict(frame, {request: Payload(request, now, body)}, now)


def test_tomorrow_by_the_stations_standard_time_is_priced_and_adds_up():
    made = predicted(DAY, FORECAST)
    assert made["p"].sum() == pytest.approx(1.0)
    station = stations()["KNYC"]
    mean, sd = 62.0 + station.high_bias, station.high_sd * station.widened
    assert made["p"][0] == pytest.approx(norm.cdf(61.5, mean, sd))
    assert (made["p_sd"] > 0).all()
    assert made["note"].null_count() == 3


def test_other_days_are_left_alone_and_counted():
    today = market(
        "KXHIGHNY-26MAR29-T62", datetime(2026, 3, 30, 4, 59, tzinfo=UTC), strike_type="less", cap_strike=62.0
    )
    made = predicted((*DAY, today), FORECAST)
    assert made["note"].drop_nulls().to_list() == [
        "1 markets of KNYC are not priced: they are not surely of 2026-03-30"
    ]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"<html>", "another shape"),
        ({"daily": {"time": ["2026-03-30"], "temperature_2m_max": []}}, "another shape"),
        ({"daily": {"time": ["2026-03-30"], "temperature_2m_max": [None]}}, "has no high for 2026-03-30"),
        ({"daily": {"time": ["2026-03-29"], "temperature_2m_max": [60.0]}}, "has no high for 2026-03-30"),
    ],
)
def test_a_feed_that_changed_or_is_half_empty_is_named(answer, words):
    with pytest.raises(InputError, match=words):
        predicted(DAY, answer)


def test_it_asks_for_the_stations_own_day():
    (request,) = load("weather").requests(pl.DataFrame(DAY, schema=MARKETS), NOW)
    assert "timezone=Etc/GMT%2B5" in request.key
    assert request.key.startswith("https://")

"""Sessions, quotes that come late, and the ladders of a stock index."""

import json
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairline.config.model_settings import ModelSettings
from fairline.market.frame import MARKETS
from fairline.models.prices.diffusion import probability
from fairline.models.prices.model import DiffusionModel
from fairline.models.prices.trading_hours import NIGHT_SHARE, market_hours, trading_days
from fairline.models.weather.model import WeatherModel
from fairline.sources import Payload

NEW_YORK = ZoneInfo("America/New_York")


def at(day, hour, minute=0):
    """August 2026 in New York; the 3rd is a Monday."""
    return datetime(2026, 8, day, hour, minute, tzinfo=NEW_YORK).astimezone(UTC)


def in_november(day, hour, minute=0):
    """Return of 2026: the 26th is Thanksgiving, and on the 27th the exchanges close at one."""
    return datetime(2026, 11, day, hour, minute, tzinfo=NEW_YORK).astimezone(UTC)


@pytest.mark.parametrize(
    ("begin", "end", "days"),
    [
        (at(3, 16), at(4, 16), 1.0),
        (at(3, 9, 30), at(3, 16), 0.75),
        (at(3, 12, 45), at(3, 16), 0.375),
        (at(3, 12, 45), at(4, 12, 45), 1.0),
        (at(7, 16), at(10, 16), 1.0),
        (at(3, 18), at(4, 8), 0.0),
        (at(3, 18), at(4, 9, 30), 0.25),
        (at(3, 12), at(3, 12), 0.0),
        (in_november(25, 16), in_november(27, 16), NIGHT_SHARE + 0.75 * 3.5 / 6.5),
        (in_november(27, 13), in_november(30, 9), 0.0),
    ],
)
def test_a_trading_day_consists_of_its_session_and_the_night_before(begin, end, days):
    assert trading_days(begin, end) == pytest.approx(days)


def test_sessions_follow_daylight_saving_time():
    begin, end = (datetime(2026, 10 + k, 30 if k == 0 else 2, 16, tzinfo=NEW_YORK) for k in (0, 1))
    assert trading_days(begin, end) == pytest.approx(1.0)


moments = st.datetimes(datetime(2026, 11, 1), datetime(2027, 1, 10)).map(lambda moment: moment.replace(tzinfo=UTC))


@settings(deadline=None)
@given(moments, moments, moments)
def test_trading_days_add_up(one, two, three):
    first, second, third = sorted((one, two, three))
    assert trading_days(first, third) == pytest.approx(trading_days(first, second) + trading_days(second, third))


def test_the_exchanges_are_closed_on_holidays_of_any_year():
    assert market_hours(date(2026, 11, 26)) is None
    assert market_hours(date(2026, 11, 28)) is None
    assert market_hours(date(2026, 11, 27))[1] == in_november(27, 13)
    assert market_hours(date(2025, 1, 9)) is None, "a day of mourning"
    assert market_hours(date(2024, 7, 3))[1] == datetime(2024, 7, 3, 17, tzinfo=UTC)
    assert market_hours(date(2018, 12, 5)) is None


NOW = at(3, 12)


def rung(strike, floor=None, cap=None, close=None, event="KXINX-26AUG03H1600"):
    close = at(3, 16) if close is None else close
    ticker = f"{event}-{strike}{floor or cap}"
    return dict.fromkeys(MARKETS) | {
        "ticker": ticker, "event_ticker": event, "series_ticker": event.partition("-")[0], "status": "active",
        "market_type": "binary", "strike_type": strike, "floor_strike": floor, "cap_strike": cap, "close_ts": close,
    }  # fmt: skip


LADDER = (rung("less", cap=7_075.0), rung("between", 7_075.0, 7_124.9999), rung("greater", 7_124.9999))


TOMORROW = [rung("greater", 7_100.0, close=at(4, 16), event="KXINX-26AUG04H1600")]


def quote(price, when=at(3, 11, 45)):
    return {"data": {"current_price": price, "last_trade_time": f"{when.astimezone(NEW_YORK):%Y-%m-%dT%H:%M:%S}"}}


def predict_rows(*rungs, now=NOW, model=None, **answers):
    model, frame = model or DiffusionModel(), pl.DataFrame(rungs, schema=MARKETS)
    given_ = {"SPX": quote(7_100.0), "VIX": quote(16.0), "NDX": quote(28_000.0), "VXN": quote(20.0)} | answers
    payloads = {}
    for request in model.requests(frame, now):
        answer = given_[request.key.rpartition("_")[2].removesuffix(".json")]
        payloads[request] = Payload(request, now, answer if isinstance(answer, bytes) else json.dumps(answer).encode())
    return model.predict(frame, payloads, now)


def test_a_ladder_is_priced_by_what_options_imply_from_where_the_quote_was_read():
    result = predict_rows(*LADDER)
    assert result["note"].null_count() == 3
    assert result["p"].sum() == pytest.approx(1.0, abs=1e-6)
    day = 0.83 * 0.16 / np.sqrt(252)
    sd = np.hypot(day * np.sqrt(0.75 * (4.25 / 6.5)), 3e-4)
    expected = probability(np.array([7_124.9999]), np.array([np.nan]), np.array([7_100.0]), np.array([sd]))[0]
    assert result["p"][2] == pytest.approx(expected)


def test_a_delayed_quote_widens_the_deviation():
    late, fresh = (predict_rows(*LADDER, SPX=quote(7_100.0, when))["p_sd"][2] for when in (at(3, 11, 40), at(3, 12)))
    assert late > 1.5 * fresh


def test_one_odd_market_affects_no_other():
    """Markets that close in 2031, on a Saturday, and on the afternoon of a half day."""
    odd = [rung("greater", 7_100.0, close=datetime(2031, 1, 3, 21, tzinfo=UTC), event="KXINX-31JAN03H1600"),
           rung("greater", 7_100.0, close=at(8, 16), event="KXINX-26AUG08H1600")]  # fmt: skip
    result = predict_rows(
        *LADDER, *odd, now=at(7, 12), SPX=quote(7_100.0, at(7, 11, 50)), VIX=quote(16.0, at(7, 11, 50))
    )
    assert "there is no price when it settles" in result["note"].drop_nulls().to_list()[-1]
    assert any("it settles in more than three days" in note for note in result["note"].drop_nulls())
    now = in_november(27, 12, 30)
    afternoon = rung("greater", 7_100.0, close=in_november(27, 16), event="KXINX-26NOV27H1600")
    noon = rung("greater", 7_100.0, close=in_november(27, 13), event="KXINX-26NOV27H1300")
    fresh = {"SPX": quote(7_100.0, in_november(27, 12, 15)), "VIX": quote(16.0, in_november(27, 12, 15))}
    result = predict_rows(afternoon, noon, now=now, **fresh)
    assert result.drop_nulls("p")["ticker"].to_list() == [noon["ticker"]]


def test_a_bin_around_a_delayed_price_is_uncertain_too():
    """Five minutes after the quote of a wild day little lies ahead, and much behind."""
    result = predict_rows(*LADDER, now=at(3, 15, 40), SPX=quote(7_100.0, at(3, 15, 22)), VIX=quote(40.0))
    assert result["p_sd"][1] > 0.2


def test_hourly_markets_thresholds_and_the_other_index_are_priced():
    hourly = rung("greater_or_equal", 28_000.0, close=at(3, 13), event="KXNASDAQ100U-26AUG03H1300")
    above = rung("greater_or_equal", 28_200.0, close=at(3, 13), event="KXNASDAQ100U-26AUG03H1300")
    result = predict_rows(hourly, above, VIX=quote(50.0))
    assert result["ticker"].to_list() == [hourly["ticker"], above["ticker"]]
    assert result["p"][0] == pytest.approx(0.5)
    sd = np.hypot(0.83 * 0.2 / np.sqrt(252) * np.sqrt(0.75 * 1.25 / 6.5), 3e-4)
    expected = probability(np.array([28_200.0]), np.array([np.nan]), np.array([28_000.0]), np.array([sd]))[0]
    assert result["p"][1] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("rows", "now", "answers", "message"),
    [
        (LADDER, at(3, 8), {}, "the stock exchanges are closed"),
        (TOMORROW, at(3, 16, 10), {"SPX": quote(7_100.0, at(3, 16))}, "the stock exchanges are closed"),
        (TOMORROW, at(3, 16, 38), {"SPX": quote(7_100.0, at(3, 16, 14))}, "the stock exchanges are closed"),
        (LADDER, at(3, 9, 45), {"SPX": quote(7_100.0, at(3, 9, 31))}, "there are no fresh prices"),
        (LADDER, at(3, 15, 50), {"SPX": quote(7_100.0, at(3, 15, 35))}, "before today's delayed price is seen"),
        (LADDER, at(3, 12), {"SPX": quote(7_100.0, at(3, 11, 30))}, "no fresh prices (last: 2026-08-03 15:30 UTC)"),
        (LADDER, NOW, {"SPX": quote(7_100.0, NOW + timedelta(minutes=1))}, "there are no fresh prices"),
        (LADDER, NOW, {"SPX": b"<html>"}, "cdn.cboe.com/api/global/delayed_quotes/quotes/_SPX.json is not a quote"),
        (LADDER, NOW, {"SPX": {"data": {"current_price": 7_100.0, "last_trade_time": "noon"}}}, "is not a quote"),
        (LADDER, NOW, {"SPX": quote(0.0)}, "has no price"),
        (LADDER, NOW, {"VIX": quote(1_600.0)}, "an implied volatility of 1600 % at 2026-08-03 15:45 UTC is not"),
        (LADDER, NOW, {"VIX": quote(0.16)}, "an implied volatility of 0.16 %"),
        (LADDER, NOW, {"VIX": quote(16.0, at(3, 12) - timedelta(days=30))}, "at 2026-07-04 16:00 UTC is not usable"),
        (LADDER, NOW, {"VIX": quote(16.0, at(2, 23))}, "at 2026-08-03 03:00 UTC is not usable"),
        (LADDER, NOW, {"SPX": {"data": {"current_price": 1.0, "last_trade_time": "9999-12-31T23:59"}}}, "not a quote"),
        (LADDER, NOW, {"SPX": b'{"data":' + b"[" * 100_000}, "is not a quote"),
        (LADDER, NOW, {"VIX": quote(16.0, at(3, 12) + timedelta(days=30))}, "at 2026-09-02 16:00 UTC is not usable"),
        ([rung("greater", 7_100.0, close=at(3, 15), event="KXINX-26AUG03H1600")], NOW, {},
         "the ticker says … o'clock, the closing time …"),
        ([rung("greater", 7_100.0, close=at(7, 16), event="KXINX-26AUG07H1600")], NOW, {},
         "it settles in more than three days"),
    ],
)  # fmt: skip
def test_what_is_not_priced_has_a_reason(rows, now, answers, message):
    result = predict_rows(*rows, now=now, **answers)
    assert result["p"].null_count() == result.height == 1
    assert message in result["note"][0]


def test_a_users_subject_without_a_feed_is_named_and_affects_no_other(tmp_path):
    (tmp_path / "subjects.toml").write_text(
        '[KXRUT]\nkind = "index"\nsubject = "RUT"\n[KXHIGHOSLO]\nkind = "high"\nsubject = "ENGM"\nutc_offset = 1\n'
    )
    own = ModelSettings(tmp_path, tmp_path)
    model = DiffusionModel.from_settings(own)
    result = predict_rows(*LADDER, rung("greater", 2_000.0, event="KXRUT-26AUG03H1600"), model=model)
    assert result["p"].drop_nulls().len() == 3
    assert "no volatility index is known for RUT" in result["note"].drop_nulls()[0]
    oslo = rung("greater", 20.0, event="KXHIGHOSLO-26AUG04", close=at(4, 19)) | {"rules_station": "NGM"}
    weather, frame = WeatherModel.from_settings(own), pl.DataFrame([oslo], schema=MARKETS)
    assert weather.requests(frame, NOW) == []
    assert "the location of ENGM is unknown" in weather.predict(frame, {}, NOW)["note"][0]
    (tmp_path / "stations.toml").write_text("[ENGM]\nlatitude = 60.2\nlongitude = 11.1\nutc_offset = 1\n")
    assert len(WeatherModel.from_settings(own).requests(frame, NOW)) == 2

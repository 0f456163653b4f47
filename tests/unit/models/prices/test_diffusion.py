"""Random walks whose truth is known, and the model that reads candles."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy.stats import t as student

from fairline.config.model_settings import model_settings
from fairline.market.frame import MARKETS
from fairline.models import load
from fairline.models.prices.diffusion import (
    DEGREES_OF_FREEDOM,
    Volatility,
    probability,
    probability_sd,
    settling_sd,
    volatility,
)
from fairline.models.prices.feeds import _read_candles
from fairline.models.prices.model import DiffusionModel
from fairline.sources import Payload

NOW = datetime(2026, 7, 3, 10, 30, tzinfo=UTC)
FLAT = Volatility((1e-4,) * 24, 0.05)


def walk(sd, seconds, count, seed=0, by_hour=None):
    rng, ts = np.random.default_rng(seed), np.arange(count) * float(seconds)
    scale = np.full(count, sd) if by_hour is None else sd * np.asarray(by_hour)[(ts // 3_600 % 24).astype(int)]
    steps = rng.normal(0, 1, count) * scale * np.sqrt(seconds)
    return pl.DataFrame({"ts": ts, "price": 60_000 * np.exp(np.cumsum(steps))})


@pytest.mark.parametrize("seconds", [60, 900])
def test_volatility_does_not_depend_on_the_spacing_of_prices(seconds):
    prices = walk(2e-5, seconds, 3_000)
    result = volatility(prices, prices["ts"][-1], float("inf"))
    assert result.by_hour[0] == pytest.approx(2e-5, rel=0.05)
    assert result.error == pytest.approx(np.sqrt(5 / (2 * 2_999)), rel=0.01)


def test_recent_prices_count_more():
    calm, wild = walk(1e-5, 60, 2_000), walk(4e-5, 60, 500, seed=1)
    late = wild.with_columns(pl.col("ts") + calm["ts"][-1] + 60, pl.col("price") * calm["price"][-1] / 60_000)
    prices = pl.concat([calm, late])
    recent = volatility(prices, prices["ts"][-1], 3_600.0).by_hour[0]
    assert recent > 1.4 * volatility(prices, prices["ts"][-1], float("inf")).by_hour[0]
    assert recent == pytest.approx(4e-5, rel=0.15)


def test_later_prices_are_ignored_and_gaps_give_no_return():
    prices = walk(2e-5, 60, 600)
    later = prices.with_columns(pl.col("ts") + 1e6, pl.col("price") * 3)
    whole = pl.concat([prices, later])
    assert volatility(whole, prices["ts"][-1]) == volatility(prices, prices["ts"][-1])
    assert volatility(whole, later["ts"][-1], float("inf")).by_hour[0] == pytest.approx(2e-5, rel=0.1)


def test_a_volatile_hour_is_found_in_two_weeks_and_shrunk_to_the_average():
    by_hour = np.ones(24)
    by_hour[14] = 2.0
    prices = walk(1e-5, 300, 14 * 288, by_hour=by_hour)
    result = np.array(volatility(prices, prices["ts"][-1], float("inf")).by_hour)
    assert np.argmax(result) == 14
    assert 1.4 < result[14] / np.median(result) < 2.0
    assert np.ptp(np.delete(result, 14)) < 0.35 * np.median(result)


def test_too_few_or_constant_prices_have_no_volatility():
    assert volatility(walk(1e-5, 60, 4), 1e9) is None
    assert volatility(walk(0.0, 60, 100), 1e9) is None
    assert volatility(pl.DataFrame(schema={"ts": pl.Float64, "price": pl.Float64}), 0) is None


def test_an_average_over_the_last_minute_varies_less_than_the_last_price():
    assert settling_sd(FLAT, 0, 3_600, 0) == pytest.approx(1e-4 * 60)
    assert settling_sd(FLAT, 0, 3_600, 60) == pytest.approx(1e-4 * np.sqrt(3_540 + 20))
    assert np.isnan(settling_sd(FLAT, 3_550, 3_600, 60)), "a part of the mean is known by then"
    rng = np.random.default_rng(2)
    paths = np.cumsum(rng.normal(0, 1e-4, (20_000, 300)), axis=1)
    assert settling_sd(FLAT, 0, 300, 60) == pytest.approx(paths[:, 240:].mean(axis=1).std(), rel=0.03)


def test_hours_count_with_their_own_volatility():
    vol = Volatility((1e-4,) * 12 + (2e-4,) * 12, 0.1)
    assert settling_sd(vol, 11 * 3_600, 13 * 3_600, 0) == pytest.approx(np.sqrt(3_600 * 1e-8 + 3_600 * 4e-8))


def test_probabilities_of_a_partition_add_up_to_one_and_match_the_tables():
    edges = np.array([np.nan, 59_000.0, 59_500.0, 60_000.0, 61_000.0, np.nan])
    spot, sd = np.full(5, 60_000.0), np.full(5, 0.006)
    result = probability(edges[:-1], edges[1:], spot, sd)
    assert result.sum() == pytest.approx(1.0)
    above = probability(np.array([61_000.0]), np.array([np.nan]), spot[:1], sd[:1])[0]
    assert above == pytest.approx(student.sf(np.log(61 / 60) / (0.006 / np.sqrt(2)), DEGREES_OF_FREEDOM))


def test_the_deviation_is_the_effect_of_a_wrong_volatility():
    low, none, spot, sd = np.array([60_600.0]), np.array([np.nan]), np.array([60_000.0]), np.array([0.01])
    more, less = (probability(low, none, spot, sd * f)[0] for f in (1.1, 0.9))
    assert probability_sd(low, none, spot, sd, error=0.1)[0] == pytest.approx((more - less) / 2)
    assert probability_sd(spot, none, spot, sd, error=0.1)[0] == pytest.approx(0), "at the money it is one half anyway"
    up, down = (probability(spot, none, spot * f, sd)[0] for f in (1.001, 0.999))
    assert probability_sd(spot, none, spot, sd, error=0.0, basis=0.001)[0] == pytest.approx((up - down) / 2, rel=0.02)


@pytest.mark.parametrize(("low", "high"), [(59_400.0, 60_600.0), (60_000.0, np.nan), (60_300.0, np.nan)])
def test_unseen_moves_widen_the_deviation_even_in_the_middle_of_a_bin(low, high):
    """Return the chance that somebody sees who knows where the price is by now, over where that may be."""
    low, high, spot, sd, late = (np.array([value]) for value in (low, high, 60_000.0, 0.01, 0.009))
    now = 60_000.0 * np.exp(np.random.default_rng(0).normal(0, late[0], 20_000))
    rest = np.full(len(now), np.sqrt(sd[0] ** 2 - late[0] ** 2))
    known = probability(np.repeat(low, len(now)), np.repeat(high, len(now)), now, rest)
    assert probability_sd(low, high, spot, sd, error=0.0, unseen=late[0])[0] == pytest.approx(known.std(), rel=0.05)


def rung(ticker, strike, floor=None, cap=None, close=NOW.replace(hour=11, minute=0), event="KXBTC-26JUL0307"):
    return dict.fromkeys(MARKETS) | {
        "ticker": ticker, "event_ticker": event, "series_ticker": "KXBTC", "status": "active", "market_type": "binary",
        "strike_type": strike, "floor_strike": floor, "cap_strike": cap, "close_ts": close,
    }  # fmt: skip


def candles(request, end=NOW, price=60_000.0, count=300):
    seconds = int(request.key.rpartition("=")[2])
    rng = np.random.default_rng(seconds)
    closes = price * np.exp(np.cumsum(rng.normal(0, 4e-5 * np.sqrt(seconds), count)))
    closes = closes / closes[-1] * price
    first = end.timestamp() - seconds * count
    rows = [[int(first + seconds * n), 0, 0, 0, close, 1.0] for n, close in enumerate(closes)][::-1]
    return Payload(request, NOW, json.dumps(rows).encode())


def predict_rows(*rungs, **more):
    model, frame = DiffusionModel(), pl.DataFrame(rungs, schema=MARKETS)
    payloads = {request: candles(request, **more) for request in model.requests(frame, NOW)}
    return model.predict(frame, payloads, NOW)


LADDER = (rung("L", "less", cap=59_500.0), rung("B", "between", 59_500.0, 60_499.99), rung("G", "greater", 60_499.99))


def test_a_ladder_is_priced_and_adds_up():
    result = predict_rows(*LADDER)
    assert result["ticker"].to_list() == ["L", "B", "G"]
    assert result["p"].sum() == pytest.approx(1.0, abs=1e-6)
    assert result["p"][1] > 0.5
    assert (result["p_sd"] >= 0).all()
    assert result["note"].null_count() == 3


def test_unpriced_markets_share_one_note_per_reason():
    soon = rung("S", "greater", 60_000.0, close=NOW + timedelta(seconds=50), event="KXBTC-26JUL0306")
    other = rung("O", "greater", 60_000.0, event="KXBTC-26JUL0309")
    result = predict_rows(*LADDER, soon, soon | {"ticker": "S2"}, other)
    notes = result.filter(pl.col("p").is_null())["note"].to_list()
    assert any(note.startswith("2 markets such as S are not priced: ") for note in notes)
    assert any("O are not priced: the ticker says … o'clock, the closing time …" in note for note in notes)


def test_an_older_price_has_a_wider_distribution():
    """Return its distribution begins where it was read, not now."""
    end = NOW - timedelta(seconds=100)
    model, frame = DiffusionModel(), pl.DataFrame(LADDER, schema=MARKETS)
    payloads = {request: candles(request, end=end) for request in model.requests(frame, NOW)}
    result = model.predict(frame, payloads, NOW)
    prices = pl.concat([_read_candles(payload) for payload in payloads.values()]).unique("ts", keep="first").sort("ts")
    sd = settling_sd(volatility(prices, NOW.timestamp()), end.timestamp(), NOW.timestamp() + 1_800, 60)
    expected = probability(np.array([60_499.99]), np.array([np.nan]), np.array([60_000.0]), np.array([sd]))[0]
    assert result["p"][2] == pytest.approx(expected)
    assert settling_sd(FLAT, 0, 1_800, 60) > settling_sd(FLAT, 100, 1_800, 60)


def test_a_return_belongs_to_the_hour_in_which_it_happened():
    by_hour = np.ones(24)
    by_hour[14] = 3.0
    minutes = walk(1e-5, 60, 14 * 1_440, by_hour=by_hour)
    hourly = minutes.filter(pl.col("ts") % 3_600 == 0)
    result = np.array(volatility(hourly, hourly["ts"][-1], float("inf")).by_hour)
    assert np.argmax(result) == 14


def test_stale_prices_are_not_used():
    result = predict_rows(*LADDER, end=NOW - timedelta(minutes=30))
    assert result["p"].null_count() == 1
    assert "there are no fresh prices (last: 2026-07-03 10:00 UTC)" in result["note"][0]


@pytest.mark.parametrize("body", [b"{}", b"[[1,2]]", b"<html>", b'[["a",1,1,1,1,1]]'])
def test_a_changed_feed_is_reported_and_the_other_subject_is_priced(body):
    other = [
        row | {"ticker": f"E{row['ticker']}", "event_ticker": "KXETH-26JUL0307", "series_ticker": "KXETH"}
        for row in LADDER
    ]
    model, frame = DiffusionModel(), pl.DataFrame([*LADDER, *other], schema=MARKETS)
    payloads = {request: candles(request) for request in model.requests(frame, NOW)}
    payloads |= {request: Payload(request, NOW, body) for request in payloads if "BTC" in request.key}
    result = model.predict(frame, payloads, NOW)
    assert result.drop_nulls("p")["ticker"].to_list() == ["EL", "EB", "EG"]
    [note] = result["note"].drop_nulls()
    assert "3 markets such as L are not priced: https://api.exchange.coinbase.com" in note
    assert "is not a list of candles" in note


def test_diffusion_requests_only_feeds_of_listed_series():
    model = load("diffusion", model_settings())
    assert len(model.requests(pl.DataFrame(schema=MARKETS), NOW)) == 10, "without any market, all that it may read"
    keys = [request.key for request in model.requests(pl.DataFrame(LADDER, schema=MARKETS), NOW)]
    assert len(keys) == 3
    assert all("BTC-USD" in key and key.startswith("https://") for key in keys)

"""Curves over prices whose meaning is known: found where they err, and worth nothing where they do not."""

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import polars as pl
import pytest

from fairline.errors import InputError
from fairline.models.calibrated import CalibratedModel
from fairline.models.curve import ALL_CATEGORIES, Curve, Curves, curve_name, nearest_hours, read_curves
from fairline.scoring.calibration import MIN_EVENTS, fit_curve, fit_curves, price_history
from fairline.sources import Payload
from fairline.store.datasets import DATASETS
from fairline.store.store import Store
from tests.unit.pricing.test_edge import NOW, markets

LATER = datetime(2026, 11, 23, tzinfo=UTC)


def simulate_prices(events, meaning, *, each=2, seed=0, category="Sports", hours=24.0):
    """Prices, and results with the frequency that they mean."""
    rng = np.random.default_rng(seed)
    price = rng.uniform(0.02, 0.98, events * each)
    return pl.DataFrame(
        {
            "ticker": [f"T{n}" for n in range(events * each)],
            "event_ticker": [f"E{n // each}" for n in range(events * each)],
            "category": [category] * events * each, "hours": [hours] * events * each, "price": price,
            "y": (rng.random(events * each) < meaning(price)).astype(float),
        }
    )  # fmt: skip


def longshots(price):
    """Return frequencies with the common bias: cheap outcomes win less often than they cost, expensive ones more."""
    odds = np.log(price / (1 - price)) * 1.4
    return 1 / (1 + np.exp(-odds))


def test_a_real_bias_is_found_and_beats_the_price():
    curve = fit_curve(simulate_prices(4_000, longshots))
    assert curve.beats_price
    p, error = curve.at(np.array([0.1, 0.5, 0.9]))
    assert p == pytest.approx(longshots(np.array([0.1, 0.5, 0.9])), abs=0.04)
    assert (error < 0.05).all()
    assert (np.diff(curve.frequencies) >= 0).all()
    assert (curve.n, curve.events) == (8_000, 4_000)


def test_nothing_is_claimed_if_prices_are_calibrated():
    assert sum(fit_curve(simulate_prices(1_500, lambda p: p, seed=seed)).beats_price for seed in range(8)) <= 1


def test_few_events_move_a_price_little():
    curve = fit_curve(simulate_prices(10, longshots))
    assert np.abs(np.array(curve.frequencies) - np.array(curve.prices)).max() < 0.1
    assert not curve.beats_price


def test_prices_of_0_and_1_stay_unchanged():
    curve = fit_curve(simulate_prices(500, longshots))
    assert (curve.prices[0], curve.frequencies[0], curve.errors[0]) == (0.0, 0.0, 0.0)
    assert (curve.prices[-1], curve.frequencies[-1]) == (1.0, 1.0)


def test_a_category_with_enough_events_has_its_own_curve():
    many, few = (
        simulate_prices(MIN_EVENTS, longshots),
        simulate_prices(MIN_EVENTS - 1, longshots, seed=1, category="Politics"),
    )
    few = few.with_columns(pl.format("P{}", "event_ticker").alias("event_ticker"))
    result = fit_curves(pl.concat([many, few]), LATER)
    assert set(result.curves) == {curve_name(ALL_CATEGORIES, 24), curve_name("Sports", 24)}
    assert result.find("Sports", 24) == result.curves["Sports, 24"]
    assert result.find("Politics", 24) == result.curves["any, 24"]
    assert result.find("Sports", 1) is None


def test_the_nearest_time_is_chosen_as_a_ratio():
    hours = pl.DataFrame({"h": [0.1, 4.0, 5.0, 60.0, 70.0, 1_000.0]}).select(nearest_hours(pl.col("h"))).to_series()
    assert hours.to_list() == [1.0, 1.0, 24.0, 24.0, 168.0, 168.0]


def test_prices_are_taken_at_fixed_times_before_the_close(tmp_path):
    store, close = Store(tmp_path), LATER
    store.acquire()

    def put(dataset, at, **columns):
        schema = DATASETS[dataset]
        row = dict.fromkeys(schema) | columns
        store.append(dataset, pl.DataFrame([row], schema=schema), at)

    for hours in range(72):
        put("scans", close - timedelta(hours=hours), outcome="done")
    put(
        "facts",
        close - timedelta(hours=1, minutes=30),
        ticker="A",
        event_ticker="E",
        close_ts=close - timedelta(days=9),
    )
    put("facts", close - timedelta(days=3), ticker="A", event_ticker="E", category="Sports", close_ts=close)
    for hours, bid in ((60, 200_000), (25, 300_000), (23, 900_000), (2, 500_000), (0.5, 990_000)):
        put("quotes", close - timedelta(hours=hours), ticker="A", listed=True, yes_bid_u=bid, yes_ask_u=bid + 10_000)
    put("settlements", close, ticker="A", event_ticker="E", result="yes", payout_u=1_000_000)
    result = price_history(store).sort("hours").select("hours", "price", "y").rows()
    assert result == [(1.0, 0.505, 1.0), (24.0, 0.305, 1.0)], "a week before it was not quoted"
    assert price_history(store, until=datetime(2026, 11, 22, tzinfo=UTC)).is_empty(), "it had not settled by then"
    store.release()


def model_says(curves, frame):
    model = CalibratedModel()
    (request,) = model.requests(frame, NOW)
    return model.predict(frame, {request: Payload(request, NOW, msgspec.json.encode(curves))}, NOW)


def curve(low):
    return Curve([0.0, 0.5, 1.0], [0.0, 0.4, 1.0], [0.0, 0.02, 0.0], 500, 250, low + 0.1, low, low + 0.2)


def test_calibrated_prices_only_where_a_curve_beat_the_price():
    frame = markets({"yes_bid_dollars": "0.4900", "yes_ask_dollars": "0.5100"})
    good = Curves(NOW, {curve_name(ALL_CATEGORIES, hours): curve(0.01) for hours in (1.0, 24.0, 168.0)})
    result = model_says(good, frame).row(0, named=True)
    assert (result["p"], result["p_sd"]) == (pytest.approx(0.4), pytest.approx(0.02))
    no_better = Curves(NOW, {curve_name(ALL_CATEGORIES, hours): curve(-0.01) for hours in (1.0, 24.0, 168.0)})
    for curves in (no_better, Curves(NOW, {})):
        (row,) = model_says(curves, frame).iter_rows(named=True)
        assert (row["p"], row["note"]) == (
            None,
            "1 markets are of kinds or times for which the price itself was as good",
        )


def test_curves_from_the_future_are_refused_and_old_ones_reported():
    frame = markets({"yes_bid_dollars": "0.4900", "yes_ask_dollars": "0.5100"})
    with pytest.raises(InputError, match="was fitted after"):
        model_says(Curves(NOW + timedelta(days=1), {}), frame)
    old = model_says(Curves(NOW - timedelta(days=60), {}), frame)["note"].to_list()
    assert any("refit with fairline calibrate" in note for note in old)


def test_nothing_is_priced_far_ahead():
    frame = markets({"close_time": "2028-11-22T00:00:00Z", "yes_bid_dollars": "0.4900", "yes_ask_dollars": "0.5100"})
    curves = Curves(NOW, {curve_name(ALL_CATEGORIES, hours): curve(0.01) for hours in (1.0, 24.0, 168.0)})
    assert model_says(curves, frame)["p"].to_list() == [None]


def test_luck_at_prices_that_hardly_ever_win_is_no_gain():
    """Fair markets at less than a cent: with next to no YES among them every curve would seem better."""
    rng, better = np.random.default_rng(4), 0
    for _ in range(60):
        price = rng.uniform(0.002, 0.008, 250)
        rows = pl.DataFrame({"event_ticker": [f"E{n}" for n in range(250)], "price": price,
                             "y": (rng.random(250) < price).astype(float)})  # fmt: skip
        better += fit_curve(rows).beats_price
    assert better == 0


def test_the_order_of_equal_prices_does_not_matter():
    y = [0.0] * 500 + [1.0] * 500
    rows = pl.DataFrame({"event_ticker": [f"E{n}" for n in range(1_000)], "price": [0.5] * 1_000, "y": y})
    for some in (rows, rows.reverse(), rows.sample(fraction=1.0, shuffle=True, seed=1)):
        result = fit_curve(some)
        assert (result.prices, result.frequencies) == ([0.0, 0.5, 1.0], [0.0, 0.5, 1.0])


def test_a_file_that_is_not_a_calibration_file_is_refused_in_one_line():
    with pytest.raises(InputError, match="x is not a calibration file .* Create it with: fairline calibrate"):
        read_curves(b'{"fitted_ts": 3}', "x")

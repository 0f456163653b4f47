"""Pooled opinions: real weights are found, others are not claimed, and shared inputs count once."""

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import norm

from fairline.config.model_settings import ModelSettings, model_settings
from fairline.errors import InputError
from fairline.models import group_by_evidence, load
from fairline.models.blend import FILE, BlendModel
from fairline.models.pool import Opinion, Pool, pool_opinions, read_pool
from fairline.scoring.blending import MIN_EVENTS, fit_pool, read_opinions
from fairline.sources import Payload, Request
from fairline.store.datasets import DATASETS
from fairline.store.store import Store
from tests.unit.pricing.test_edge import NOW, markets

NAN = float("nan")


def simulate_opinions(events=3_000, noise=None, seed=0):
    """Results of a hidden truth that the price knows with an error, and each model with its own (in log-odds)."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(scale=1.2, size=events)
    price = expit(truth + rng.normal(scale=0.5, size=events))
    y = (rng.random(events) < expit(truth)).astype(float)
    parts = []
    for name, sd in (noise or {"good": 0.5}).items():
        p = expit(truth + rng.normal(scale=sd, size=events)) if sd is not None else price
        parts.append(pl.DataFrame({
            "ticker": [f"T{n}" for n in range(events)], "event_ticker": [f"E{n}" for n in range(events)],
            "cluster": [f"day {n // 5}" for n in range(events)],
            "model": [name] * events, "p": p, "p_sd": [0.05] * events, "price": price, "y": y,
        }))  # fmt: skip
    return pl.concat(parts)


def weights(pool):
    return {"+".join(opinion.models): opinion.weight for opinion in pool.opinions}


def test_a_model_as_good_as_the_price_gets_half_the_weight_and_beats_it():
    pool = fit_pool(simulate_opinions(), [["good"]], NOW)
    assert weights(pool)["good"] == pytest.approx(0.5, abs=0.12), "two equal errors: the mean is best"
    assert pool.beats_price
    assert pool.opinions[0].error < 0.1


def test_a_poorer_model_gets_less_weight():
    pool = fit_pool(simulate_opinions(noise={"good": 0.5, "poor": 2.0}), [["good"], ["poor"]], NOW)
    assert weights(pool)["poor"] < weights(pool)["good"] / 3


def test_a_model_that_repeats_the_price_gets_no_weight():
    pool = fit_pool(simulate_opinions(noise={"echo": None}), [["echo"]], NOW)
    assert weights(pool) == {"echo": 0.0}
    assert not pool.beats_price


def test_noise_hardly_ever_beats_the_price():
    claims = 0
    for seed in range(12):
        rows = simulate_opinions(600, seed=seed)
        rng = np.random.default_rng(seed)
        noise = expit(logit(rows["price"].to_numpy()) + rng.normal(size=rows.height))
        claims += fit_pool(rows.with_columns(p=pl.Series(noise)), [["good"]], NOW).beats_price
    assert claims <= 1


def test_an_election_night_is_one_piece_of_evidence():
    """Return all races of a night err together: 210 of them, or five such nights, prove nothing."""
    claims = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        night = np.repeat(np.arange(5), 60)
        lean = rng.normal(size=300) * 1.2
        y = (lean + (rng.normal(size=5) * 0.8)[night] + rng.normal(size=300) > 0).astype(float)
        price = np.clip(norm.cdf(lean / np.hypot(0.8, 1)), 0.01, 0.99)
        tilt = expit(logit(price) + (rng.normal(size=5) * 0.5)[night])
        rows = pl.DataFrame({
            "ticker": [f"T{n}" for n in range(300)], "event_ticker": [f"E{n}" for n in range(300)],
            "cluster": [f"night {n}" for n in night], "model": ["polls"] * 300, "p": tilt, "p_sd": [0.05] * 300,
            "price": price, "y": y,
        })  # fmt: skip
        pool = fit_pool(rows, [["polls"]], NOW)
        claims += pool.beats_price
        assert pool.opinions[0].weight == 0
    assert claims == 0


def test_an_opinion_cannot_borrow_events_from_another():
    many, few = simulate_opinions(3_000), simulate_opinions(60, noise={"rare": 0.1}, seed=1)
    few = few.with_columns(pl.format("R{}", name).alias(name) for name in ("ticker", "event_ticker", "cluster"))
    pool = fit_pool(pl.concat([many, few]), [["good"], ["rare"]], NOW)
    assert weights(pool)["rare"] == 0.0
    assert weights(pool)["good"] > 0.3


def test_nothing_is_claimed_if_one_outcome_hardly_occurred():
    rows = simulate_opinions(600).with_columns(y=pl.lit(0.0), p=pl.col("p") * 0.1)
    assert not fit_pool(rows, [["good"]], NOW).beats_price


def test_nothing_is_claimed_on_few_events():
    pool = fit_pool(simulate_opinions(MIN_EVENTS - 1), [["good"]], NOW)
    assert weights(pool) == {"good": 0.0}
    assert not pool.beats_price
    assert msgspec.json.decode(msgspec.json.encode(pool), type=Pool) == pool


def test_two_models_with_the_same_input_are_one_opinion():
    rows = simulate_opinions()
    twice = pl.concat([rows, rows.with_columns(model=pl.lit("twin"))])
    together = fit_pool(twice, [["good", "twin"]], NOW)
    assert together.opinions[0].weight == pytest.approx(fit_pool(rows, [["good"]], NOW).opinions[0].weight, abs=0.01)


class Reads:
    version = "1"

    def __init__(self, name, *keys, **more):
        self.name, self.keys = name, keys
        vars(self).update(more)

    def covers(self, markets):
        return pl.lit(value=True)

    def requests(self, markets, asof):
        return [Request("file", key) for key in self.keys]


def test_models_are_grouped_by_shared_inputs_and_those_made_of_prices_left_out():
    models = [Reads("a", "x"), Reads("b", "y"), Reads("c", "x", "z"), Reads("d"), Reads("e"), Reads("f", "z", "y"),
              Reads("prices", "q", from_prices=True)]  # fmt: skip
    none = markets().clear()
    assert [sorted(group) for group in group_by_evidence(models, none, NOW)] == [["d"], ["e"], ["a", "b", "c", "f"]]
    own = [load(name, model_settings()) for name in ("blend", "calibrated", "coherent", "consensus", "elo")]
    assert group_by_evidence(own, none, NOW) == [["consensus"], ["elo"]]
    other = [Reads("g", "/a/../x"), Reads("h", "/x")]
    assert [sorted(group) for group in group_by_evidence(other, none, NOW)] == [["g", "h"]]
    highs = markets({}).with_columns(series_ticker=pl.lit("KXHIGHNY"))
    other_feed = Reads("other")
    other_feed.requests = lambda rows, asof: [Request("https", "https://api.open-meteo.com/v1/forecast?other=1")]
    assert [
        sorted(group) for group in group_by_evidence([load("weather", model_settings()), other_feed], highs, NOW)
    ] == [["other", "weather"]]


@settings(max_examples=100, deadline=None)
@given(
    st.floats(0.01, 0.99), st.floats(0.0, 1.0), st.one_of(st.just(NAN), st.floats(0.0, 0.2)), st.floats(0.0, 1.0),
)  # fmt: skip
def test_a_blend_lies_between_the_price_and_the_opinion(price, opinion, p_sd, weight):
    market, p = np.array([price]), np.array([opinion])
    result, sd = pool_opinions(market, {"a": (p, np.array([p_sd]))}, [Opinion(["a"], weight, 0.0)])
    low, high = sorted((price, min(max(opinion, 1e-4), 1 - 1e-4)))
    assert low - 1e-9 <= result[0] <= high + 1e-9
    assert sd[0] >= 0


def test_a_market_without_an_opinion_keeps_its_price():
    price = np.array([0.3, 0.3])
    result, sd = pool_opinions(price, {"a": (np.array([NAN, 0.9]), np.array([NAN, 0.1]))}, [Opinion(["a"], 0.5, 0.1)])
    assert result[0] == pytest.approx(0.3)
    assert sd[0] == 0
    assert result[1] > 0.5
    assert pool_opinions(price, {}, [Opinion(["a"], 0.5, 0.1)])[0] == pytest.approx(price)


def record_opinions(tmp_path, *opinions):
    """Return a store in which a market closed, with these opinions: hours before the close, model, p, bid, ask."""
    store, close = Store(tmp_path), datetime(2026, 11, 23, tzinfo=UTC)
    store.acquire()

    def put(dataset, at, **columns):
        schema = DATASETS[dataset]
        store.append(dataset, pl.DataFrame([dict.fromkeys(schema) | columns], schema=schema), at)

    put("facts", close - timedelta(days=2), ticker="A", event_ticker="E", close_ts=close)
    put("facts", close - timedelta(days=1), ticker="A", event_ticker="E", close_ts=close + timedelta(days=5))
    for hours, model, p, bid, ask in opinions:
        at = close - timedelta(hours=hours)
        put("predictions", at, ticker="A", event_ticker="E", category="Sports", model=model, p=p, p_bid=bid, p_ask=ask,
            asof=at)  # fmt: skip
    put("settlements", close, ticker="A", event_ticker="E", result="yes", payout_u=1_000_000)
    result = read_opinions(store)
    store.release()
    return result.sort("model")


def test_opinions_count_up_to_an_hour_before_the_close(tmp_path):
    result = record_opinions(
        tmp_path, (30, "m", 0.2, 0.1, 0.2), (2, "m", 0.4, 0.3, 0.4), (0.5, "m", 0.99, 0.9, 0.99),
        (1.5, "n", 0.5, 0.4, None),
    )  # fmt: skip
    assert result.select("model", "p", "price", "y").rows() == [("m", 0.4, pytest.approx(0.35), 1.0)]
    assert result["cluster"].to_list() == ["Sports 2026-11-23"]


def test_opinions_are_of_the_instant_at_which_most_models_had_one(tmp_path):
    result = record_opinions(
        tmp_path, (9, "good", 0.7, 0.4, 0.5), (8.5, "echo", 0.55, 0.5, 0.6), (2, "echo", 0.8, 0.75, 0.85),
    )  # fmt: skip
    assert result.select("model", "p", "price").rows() == [
        ("echo", 0.55, pytest.approx(0.55)), ("good", 0.7, pytest.approx(0.55)),
    ]  # fmt: skip


class Fixed:
    name, version = "fixed", "1"

    def covers(self, markets):
        return pl.lit(value=True)

    def requests(self, markets, asof):
        return [Request("file", "fixed.csv")]

    def predict(self, markets, payloads, asof):
        if payloads[Request("file", "fixed.csv")].body == b"broken":
            raise InputError("broken", remedy="Repair it")
        return markets.select(
            "ticker", p=pl.lit(0.9), p_sd=pl.lit(0.05), model=pl.lit("fixed"), asof=pl.lit(asof)
        ).head(1)


class Odd(Fixed):
    """Answers with whatever rows it was given."""

    rows = None

    def predict(self, markets, payloads, asof):
        return pl.DataFrame(self.rows).with_columns(model=pl.lit("fixed"), asof=pl.lit(asof))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"ticker": ["T0"], "p": [1.7], "p_sd": [0.1]}, "p = 1.7 is not a probability"),
        ({"ticker": ["T0"], "p": [float("nan")], "p_sd": [0.1]}, "is not a probability"),
        ({"ticker": ["T0"], "p": [0.5], "p_sd": [float("nan")]}, "is impossible"),
        ({"ticker": ["T0"], "p": [0.5]}, "fixed is left out"),
        ({"p": [0.5]}, "fixed is left out"),
    ],
)
def test_an_impossible_prediction_is_left_out(rows, message):
    pool = Pool(NOW - timedelta(days=1), [Opinion(["fixed"], 0.5, 0.1)], 500, 400, 0.1, 0.05, 0.15)
    result, _ = predict_blend(pool, model=type("Model", (Odd,), {"rows": rows}))
    assert result["p"].null_count() == result.height
    assert message in "\n".join(result["note"].drop_nulls())


def test_an_opinion_without_a_deviation_widens_the_blends():
    pool = Pool(NOW - timedelta(days=1), [Opinion(["fixed"], 0.5, 0.0)], 500, 400, 0.1, 0.05, 0.15)
    sds = []
    for sd in (0.01, None):
        rows = {"ticker": ["T0", "T0"], "p": [0.9, 0.8], "p_sd": pl.Series([sd, sd], dtype=pl.Float64)}
        result, _ = predict_blend(pool, model=type("Model", (Odd,), {"rows": rows}))
        priced = result.drop_nulls("p")
        assert priced.height == 1, "priced twice, it counts once"
        sds.append(priced["p_sd"][0])
    assert sds[1] > sds[0]


def test_a_blend_built_without_weights_keeps_its_answers_when_they_appear(tmp_path):
    settings_ = ModelSettings(tmp_path, tmp_path)
    model, frame = BlendModel.from_settings(settings_), markets({})
    covered = frame.filter(model.covers(frame)).height
    pool = Pool(NOW, [Opinion(["coherent"], 0.5, 0.1)], 500, 400, 0.1, 0.05, 0.15)
    (tmp_path / FILE).write_bytes(msgspec.json.encode(pool))
    assert frame.filter(model.covers(frame)).height == covered
    assert [request.shown for request in model.requests(frame, NOW)] == ["user:blend.json"]
    payloads = {request: Payload(request, NOW, msgspec.json.encode(pool)) for request in model.requests(frame, NOW)}
    assert "coherent has a weight but is not loaded" in model.predict(frame, payloads, NOW)["note"][0]
    rebuilt = BlendModel.from_settings(settings_).predict(frame, payloads, NOW)
    assert rebuilt["note"].null_count() == rebuilt.height


def test_weights_can_be_passed_to_the_constructor():
    pool = Pool(NOW - timedelta(days=1), [Opinion(["coherent"], 0.5, 0.1)], 500, 400, 0.1, 0.05, 0.15)
    model, frame = BlendModel([load("coherent", model_settings())], pool), markets({})
    assert model.requests(frame, NOW) == []
    assert model.predict(frame, {}, NOW)["p"].null_count() == 0


def predict_blend(pool, body=b"", model=None):
    blend = BlendModel([(model or Fixed)()])
    frame = markets({}, {"ticker": "T2", "event_ticker": "E2"})
    frame = frame.filter(blend.covers(frame))
    weights_ = msgspec.json.encode(pool) if isinstance(pool, Pool) else pool
    payloads = {r: Payload(r, NOW, weights_ if r.key == FILE else body) for r in blend.requests(frame, NOW)}
    return blend.predict(frame, payloads, NOW), frame


def test_the_blend_moves_the_price_by_the_weight_of_the_opinion():
    pool = Pool(NOW - timedelta(days=1), [Opinion(["fixed"], 0.5, 0.1)], 500, 400, 0.1, 0.05, 0.15)
    result, frame = predict_blend(pool)
    price = (frame["yes_bid_u"][0] + frame["yes_ask_u"][0]) / 2e6
    assert result["ticker"].to_list() == [frame["ticker"][0]], "no model priced the other"
    assert result["p"][0] == pytest.approx(expit((logit(price) + logit(0.9)) / 2))
    assert result["p_sd"][0] > 0.05


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"low": -0.01}, "did not beat the price on 400 events"),
        ({"fitted_ts": NOW + timedelta(days=1)}, "were fitted after"),
    ],
)
def test_the_blend_prices_nothing_without_a_record(changes, message):
    pool = Pool(NOW - timedelta(days=1), [Opinion(["fixed"], 0.5, 0.1)], 500, 400, 0.1, 0.05, 0.15)
    with pytest.raises(InputError, match=message):
        predict_blend(msgspec.structs.replace(pool, **changes))
    with pytest.raises(InputError, match="is not a file of blend weights"):
        predict_blend(b"{}")


def test_a_failing_model_and_old_weights_are_reported():
    pool = Pool(NOW - timedelta(days=60), [Opinion(["fixed"], 0.5, 0.1)], 500, 400, 0.1, 0.05, 0.15)
    result, _ = predict_blend(pool, b"broken")
    notes = result["note"].drop_nulls().to_list()
    assert notes[0] == "fixed is left out: broken"
    assert "refit with fairline blend" in notes[1]
    assert result["p"].null_count() == result.height


def test_a_file_that_is_not_a_pool_is_refused_in_one_line():
    with pytest.raises(InputError, match="x is not a file of blend weights"):
        read_pool(b"[]", "x")

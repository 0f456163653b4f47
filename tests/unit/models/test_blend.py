"""Pooled opinions: weights that are there are found, others not claimed, and nobody trades on his own input."""

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import norm

from fairline.errors import InputError
from fairline.models import load, voices
from fairline.models.blend import blend_path
from fairline.models.pool import Pool, Voice, pooled, read_pool
from fairline.scoring.blending import FEWEST, fit_pool, opinions
from fairline.sources import Payload, Request
from fairline.store.datasets import DATASETS
from fairline.store.store import Store
from tests.unit.pricing.test_edge import NOW, markets

NAN = float("nan")


def said(events=3_000, noise=None, seed=0):
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
    return {"+".join(voice.models): voice.weight for voice in pool.voices}


def test_a_model_as_good_as_the_price_gets_half_of_the_say_and_beats_it():
    pool = fit_pool(said(), [["good"]], NOW)
    assert weights(pool)["good"] == pytest.approx(0.5, abs=0.12), "two equal errors: the mean is best"
    assert pool.better
    assert pool.voices[0].error < 0.1


def test_who_knows_less_weighs_less_and_noise_nothing():
    pool = fit_pool(said(noise={"good": 0.5, "poor": 2.0}), [["good"], ["poor"]], NOW)
    assert weights(pool)["poor"] < weights(pool)["good"] / 3


def test_who_only_repeats_the_price_adds_nothing():
    pool = fit_pool(said(noise={"echo": None}), [["echo"]], NOW)
    assert weights(pool) == {"echo": 0.0}
    assert not pool.better


def test_noise_is_hardly_ever_taken_for_knowledge():
    claims = 0
    for seed in range(12):
        rows = said(600, seed=seed)
        rng = np.random.default_rng(seed)
        noise = expit(logit(rows["price"].to_numpy()) + rng.normal(size=rows.height))
        claims += fit_pool(rows.with_columns(p=pl.Series(noise)), [["good"]], NOW).better
    assert claims <= 1


def test_an_election_night_is_one_piece_of_evidence():
    """All races of a night err together: 210 of them, or five such nights, prove nothing."""
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
        claims += pool.better
        assert pool.voices[0].weight == 0
    assert claims == 0


def test_a_voice_is_not_carried_over_the_threshold_by_another():
    many, few = said(3_000), said(60, noise={"rare": 0.1}, seed=1)
    few = few.with_columns(pl.format("R{}", name).alias(name) for name in ("ticker", "event_ticker", "cluster"))
    pool = fit_pool(pl.concat([many, few]), [["good"], ["rare"]], NOW)
    assert weights(pool)["rare"] == 0.0
    assert weights(pool)["good"] > 0.3


def test_where_one_end_was_hardly_ever_seen_nothing_is_claimed():
    rows = said(600).with_columns(y=pl.lit(0.0), p=pl.col("p") * 0.1)
    assert not fit_pool(rows, [["good"]], NOW).better


def test_with_few_events_nothing_is_claimed():
    pool = fit_pool(said(FEWEST - 1), [["good"]], NOW)
    assert weights(pool) == {"good": 0.0}
    assert not pool.better
    assert msgspec.json.decode(msgspec.json.encode(pool), type=Pool) == pool


def test_two_that_rest_on_one_input_are_one_voice():
    rows = said()
    twice = pl.concat([rows, rows.with_columns(model=pl.lit("twin"))])
    together = fit_pool(twice, [["good", "twin"]], NOW)
    assert together.voices[0].weight == pytest.approx(fit_pool(rows, [["good"]], NOW).voices[0].weight, abs=0.01)


class Reads:
    version = "1"

    def __init__(self, name, *keys, **more):
        self.name, self.keys = name, keys
        vars(self).update(more)

    def covers(self, markets):
        return pl.lit(value=True)

    def requests(self, markets, asof):
        return [Request("file", key) for key in self.keys]


def test_voices_are_those_that_share_no_input_and_are_not_made_of_prices():
    models = [Reads("a", "x"), Reads("b", "y"), Reads("c", "x", "z"), Reads("d"), Reads("e"), Reads("f", "z", "y"),
              Reads("made", "q", from_prices=True)]  # fmt: skip
    none = markets().clear()
    assert [sorted(group) for group in voices(models, none, NOW)] == [["d"], ["e"], ["a", "b", "c", "f"]]
    own = [load(name) for name in ("blend", "calibrated", "coherent", "consensus", "elo")]
    assert voices(own, none, NOW) == [["consensus"], ["elo"]]
    other = [Reads("g", "/a/../x"), Reads("h", "/x")]
    assert [sorted(group) for group in voices(other, none, NOW)] == [["g", "h"]]
    highs = markets({}).with_columns(series_ticker=pl.lit("KXHIGHNY"))
    mine = Reads("mine")
    mine.requests = lambda rows, asof: [Request("https", "https://api.open-meteo.com/v1/forecast?other=1")]
    assert [sorted(group) for group in voices([load("weather"), mine], highs, NOW)] == [["mine", "weather"]]


@settings(max_examples=100, deadline=None)
@given(
    st.floats(0.01, 0.99), st.floats(0.0, 1.0), st.one_of(st.just(NAN), st.floats(0.0, 0.2)), st.floats(0.0, 1.0),
)  # fmt: skip
def test_a_blend_lies_between_the_price_and_the_opinion(price, opinion, doubt, weight):
    market, p = np.array([price]), np.array([opinion])
    made, sd = pooled(market, {"a": (p, np.array([doubt]))}, [Voice(["a"], weight, 0.0)])
    low, high = sorted((price, min(max(opinion, 1e-4), 1 - 1e-4)))
    assert low - 1e-9 <= made[0] <= high + 1e-9
    assert sd[0] >= 0


def test_silence_leaves_the_price_as_it_is():
    price = np.array([0.3, 0.3])
    made, sd = pooled(price, {"a": (np.array([NAN, 0.9]), np.array([NAN, 0.1]))}, [Voice(["a"], 0.5, 0.1)])
    assert made[0] == pytest.approx(0.3)
    assert sd[0] == 0
    assert made[1] > 0.5
    assert pooled(price, {}, [Voice(["a"], 0.5, 0.1)])[0] == pytest.approx(price)


def recorded(tmp_path, *said):
    """A store in which a market closed, with these opinions: hours before the close, model, p, bid, ask."""
    store, close = Store(tmp_path), datetime(2026, 11, 23, tzinfo=UTC)
    store.acquire()

    def put(dataset, at, **columns):
        schema = DATASETS[dataset]
        store.append(dataset, pl.DataFrame([dict.fromkeys(schema) | columns], schema=schema), at)

    put("facts", close - timedelta(days=2), ticker="A", event_ticker="E", close_ts=close)
    put("facts", close - timedelta(days=1), ticker="A", event_ticker="E", close_ts=close + timedelta(days=5))
    for hours, model, p, bid, ask in said:
        at = close - timedelta(hours=hours)
        put("predictions", at, ticker="A", event_ticker="E", category="Sports", model=model, p=p, p_bid=bid, p_ask=ask,
            asof=at)  # fmt: skip
    put("settlements", close, ticker="A", event_ticker="E", result="yes", payout_u=1_000_000)
    made = opinions(store)
    store.release()
    return made.sort("model")


def test_opinions_are_those_of_an_hour_before_the_close_and_no_later(tmp_path):
    made = recorded(
        tmp_path, (30, "m", 0.2, 0.1, 0.2), (2, "m", 0.4, 0.3, 0.4), (0.5, "m", 0.99, 0.9, 0.99),
        (1.5, "n", 0.5, 0.4, None),
    )  # fmt: skip
    assert made.select("model", "p", "price", "y").rows() == [("m", 0.4, pytest.approx(0.35), 1.0)]
    assert made["cluster"].to_list() == ["Sports 2026-11-23"]


def test_opinions_are_of_one_instant_at_which_the_most_spoke_and_of_its_price(tmp_path):
    made = recorded(
        tmp_path, (9, "good", 0.7, 0.4, 0.5), (8.5, "echo", 0.55, 0.5, 0.6), (2, "echo", 0.8, 0.75, 0.85),
    )  # fmt: skip
    assert made.select("model", "p", "price").rows() == [
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
            raise InputError("broken", remedy="Mend it")
        return markets.select(
            "ticker", p=pl.lit(0.9), p_sd=pl.lit(0.05), model=pl.lit("fixed"), asof=pl.lit(asof)
        ).head(1)


class Odd(Fixed):
    """Says whatever it was made to say."""

    rows = None

    def predict(self, markets, payloads, asof):
        return pl.DataFrame(self.rows).with_columns(model=pl.lit("fixed"), asof=pl.lit(asof))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"ticker": ["T0"], "p": [1.7], "p_sd": [0.1]}, "p = 1.7 is not a probability"),
        ({"ticker": ["T0"], "p": [float("nan")], "p_sd": [0.1]}, "is not a probability"),
        ({"ticker": ["T0"], "p": [0.5], "p_sd": [float("nan")]}, "is impossible"),
        ({"ticker": ["T0"], "p": [0.5]}, "fixed is silent"),
        ({"p": [0.5]}, "fixed is silent"),
    ],
)
def test_a_voice_that_says_what_cannot_be_has_no_say(monkeypatch, tmp_path, rows, words):
    pool = Pool(NOW - timedelta(days=1), [Voice(["fixed"], 0.5, 0.1)], 500, 400, 0.1, 0.05, 0.15)
    made, _ = blended(monkeypatch, tmp_path, pool, model=type("Model", (Odd,), {"rows": rows}))
    assert made["p"].null_count() == made.height
    assert words in "\n".join(made["note"].drop_nulls())


def test_a_voice_that_is_not_sure_how_sure_it_is_makes_the_blend_less_sure(monkeypatch, tmp_path):
    pool = Pool(NOW - timedelta(days=1), [Voice(["fixed"], 0.5, 0.0)], 500, 400, 0.1, 0.05, 0.15)
    sds = []
    for number, sd in enumerate((0.01, None)):
        rows = {"ticker": ["T0", "T0"], "p": [0.9, 0.8], "p_sd": pl.Series([sd, sd], dtype=pl.Float64)}
        (folder := tmp_path / str(number)).mkdir()
        made, _ = blended(monkeypatch, folder, pool, model=type("Model", (Odd,), {"rows": rows}))
        priced = made.drop_nulls("p")
        assert priced.height == 1, "said twice, it counts once"
        sds.append(priced["p_sd"][0])
    assert sds[1] > sds[0]


def test_a_watch_that_began_before_the_weights_were_there_takes_them_up(monkeypatch, tmp_path):
    monkeypatch.setattr("fairline.models.blend.blend_path", lambda: str(tmp_path / "blend.json"))
    monkeypatch.setattr("fairline.models.blend.load", lambda name: Fixed())
    model, frame = load("blend"), markets({})
    assert len(model.requests(frame, NOW)) == 1
    pool = Pool(NOW, [Voice(["fixed"], 0.5, 0.1)], 500, 400, 0.1, 0.05, 0.15)
    (tmp_path / "blend.json").write_bytes(msgspec.json.encode(pool))
    assert len(model.requests(frame, NOW)) == 2


def blended(monkeypatch, tmp_path, pool, body=b"", model=None):
    monkeypatch.setattr("fairline.models.blend.blend_path", lambda: str(tmp_path / "blend.json"))
    voice = (model or Fixed)()
    monkeypatch.setattr("fairline.models.blend.load", lambda name: voice)
    (tmp_path / "blend.json").write_bytes(msgspec.json.encode(pool) if isinstance(pool, Pool) else pool)
    model = load("blend")
    frame = markets({}, {"ticker": "T2", "event_ticker": "E2"})
    frame = frame.filter(model.covers(frame))
    bodies = {"blend.json": (tmp_path / "blend.json").read_bytes()}
    payloads = {r: Payload(r, NOW, bodies.get(r.key.rpartition("/")[2], body)) for r in model.requests(frame, NOW)}
    return model.predict(frame, payloads, NOW), frame


def test_the_model_moves_the_price_by_its_record_where_a_voice_speaks(monkeypatch, tmp_path):
    pool = Pool(NOW - timedelta(days=1), [Voice(["fixed"], 0.5, 0.1)], 500, 400, 0.1, 0.05, 0.15)
    made, frame = blended(monkeypatch, tmp_path, pool)
    price = (frame["yes_bid_u"][0] + frame["yes_ask_u"][0]) / 2e6
    assert made["ticker"].to_list() == [frame["ticker"][0]], "of the other nobody said anything"
    assert made["p"][0] == pytest.approx(expit((logit(price) + logit(0.9)) / 2))
    assert made["p_sd"][0] > 0.05


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"low": -0.01}, "was not better than the price"),
        ({"fitted_ts": NOW + timedelta(days=1)}, "was fitted later than it is used"),
    ],
)
def test_the_model_prices_nothing_without_a_record(monkeypatch, tmp_path, changes, words):
    pool = Pool(NOW - timedelta(days=1), [Voice(["fixed"], 0.5, 0.1)], 500, 400, 0.1, 0.05, 0.15)
    with pytest.raises(InputError, match=words):
        blended(monkeypatch, tmp_path, msgspec.structs.replace(pool, **changes))
    with pytest.raises(InputError, match="is no file of weights"):
        blended(monkeypatch, tmp_path, b"{}")


def test_a_silent_model_and_old_weights_are_told(monkeypatch, tmp_path):
    pool = Pool(NOW - timedelta(days=60), [Voice(["fixed"], 0.5, 0.1)], 500, 400, 0.1, 0.05, 0.15)
    made, _ = blended(monkeypatch, tmp_path, pool, b"broken")
    notes = made["note"].drop_nulls().to_list()
    assert notes[0] == "fixed is silent: broken"
    assert "fit them again with fairline blend" in notes[1]
    assert made["p"].null_count() == made.height


def test_a_file_that_is_none_of_weights_is_one_line():
    with pytest.raises(InputError, match="x is no file of weights"):
        read_pool(b"[]", "x")
    assert blend_path().endswith("blend.json")

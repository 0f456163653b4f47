"""What a market is about: by evidence that agrees, or not at all, with the reason."""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from fairline.config.model_settings import read_user_file
from fairline.errors import ConfigError
from fairline.market.frame import MARKETS
from fairline.models.linking import MIN_CONFIDENCE, link, pays
from fairline.models.subjects import Subject, load_subjects

DAILY = {"ticker": "KXHIGHNY-26MAR30-B66.5", "event_ticker": "KXHIGHNY-26MAR30", "series_ticker": "KXHIGHNY",
         "market_type": "binary", "strike_type": "between", "floor_strike": 66.0, "cap_strike": 67.0,
         "close_ts": datetime(2026, 3, 31, 4, 59, tzinfo=UTC), "rules_station": "NYC"}  # fmt: skip
HOURLY = DAILY | {"ticker": "KXBTC-26JUL0307-T1", "event_ticker": "KXBTC-26JUL0307", "series_ticker": "KXBTC",
                  "close_ts": datetime(2026, 7, 3, 11, tzinfo=UTC), "strike_type": "greater",
                  "rules_station": None}  # fmt: skip


def link_rows(base=DAILY, **changes):
    row = dict.fromkeys(MARKETS) | base | changes
    result = link(pl.DataFrame([row], schema=MARKETS))
    return result.row(0, named=True) if result.height else None


def test_a_day_follows_local_standard_time_even_in_summer():
    winter = link_rows()
    assert (winter["kind"], winter["subject"], winter["day"]) == ("high", "KNYC", date(2026, 3, 30))
    assert winter["confidence"] >= MIN_CONFIDENCE
    summer = link_rows(event_ticker="KXHIGHNY-26JUL01", close_ts=datetime(2026, 7, 2, 4, 59, tzinfo=UTC))
    assert summer["day"] == date(2026, 7, 1), "04:59 UTC is 23:59 of the day before by standard time, summer or not"


def test_the_hour_in_a_ticker_is_in_new_york_time():
    result = link_rows(HOURLY)
    assert (result["subject"], result["at_ts"], result["day"]) == ("BTC", HOURLY["close_ts"], None)
    assert result["window_s"] == 60


@pytest.mark.parametrize(
    ("base", "changes", "message"),
    [
        (
            DAILY,
            {"close_ts": datetime(2026, 4, 1, 4, 59, tzinfo=UTC)},
            "the ticker says 2026-03-30, the closing time 2026-03-31",
        ),
        (HOURLY, {"close_ts": datetime(2026, 7, 3, 12, tzinfo=UTC)}, "the ticker says 7 o'clock, the closing time 8"),
        (
            HOURLY,
            {"close_ts": datetime(2026, 7, 3, 11, 15, tzinfo=UTC)},
            "the ticker says 0 minutes past the hour, the closing time 15",
        ),
        (HOURLY, {"event_ticker": "KXBTC-26JUL030715"}, "the ticker says 15 minutes past the hour, the closing time 0"),
        (DAILY, {"market_type": "scalar"}, "a scalar market has no YES and NO"),
        (DAILY, {"strike_type": "structured"}, "strike type structured is not a range of values"),
        (DAILY, {"strike_type": None}, "strike type none is not a range"),
        (DAILY, {"cap_strike": None}, "a strike is missing"),
        (DAILY, {"floor_strike": 70.0}, "the floor is above the cap"),
        (DAILY, {"yes_sub_title": "64° to 65°"}, "the outcome is 64° to 65°, its strikes are not"),
        (HOURLY, {"yes_sub_title": "$66 or below"}, "the outcome is $66 or below, its strikes are not"),
        (HOURLY, {"yes_sub_title": "$67,000 or above"}, "the outcome is $67,000 or above, its strikes are not"),
        (DAILY | {"strike_type": "less"}, {"yes_sub_title": "67° or above"}, "its strikes are not"),
        (DAILY, {"rules_day": date(2026, 11, 30)}, "closing time says 2026-03-30, the rules 2026-11-30"),
        (DAILY, {"rules_extreme": "low"}, "the rules are of a low, not of a high"),
        (HOURLY, {"title": "Ethereum price on Jul 3, 2026?"}, "its title is Ethereum price on Jul 3, 2026?"),
    ],
)
def test_contradictory_evidence_gives_a_reason_and_no_link(base, changes, message):
    result = link_rows(base, **changes)
    assert result["confidence"] == 0.0
    assert message in result["reason"]


def test_outcome_rules_and_title_can_confirm_a_link():
    result = link_rows(DAILY, yes_sub_title="66° to 67°", rules_day=date(2026, 3, 30), rules_extreme="high",
                  title="Highest temperature in NYC on Mar 30, 2026?")  # fmt: skip
    assert result["evidence"] == "series, strikes, closing time, ticker, outcome, rules"
    assert link_rows(HOURLY, yes_sub_title="$66.01 or above", title="Bitcoin price on Jul 3, 2026?")["reason"] is None


def test_a_link_without_the_tickers_day_is_too_uncertain():
    result = link_rows(event_ticker="KXHIGHNY-SPECIAL")
    assert 0 < result["confidence"] < MIN_CONFIDENCE
    assert result["evidence"] == "series, strikes, closing time, rules"


def test_an_unknown_series_is_not_linked():
    assert link_rows(series_ticker="KXNEW", event_ticker="KXNEW-26MAR30") is None


@pytest.mark.parametrize(
    ("strike", "floor", "cap", "inside", "outside"),
    [
        ("greater", 70, None, [70.01, 71], [70, 69]),
        ("greater_or_equal", 70, None, [70, 71], [69.99]),
        ("less", None, 62, [61.99, 0], [62, 63]),
        ("less_or_equal", None, 62, [62], [62.01]),
        ("between", 66, 67, [66, 66.5, 67], [65.99, 67.01]),
    ],
)
def test_yes_pays_within_the_strikes(strike, floor, cap, inside, outside):
    row = dict.fromkeys(MARKETS) | DAILY | {"strike_type": strike, "floor_strike": floor, "cap_strike": cap}
    result = link(pl.DataFrame([row], schema=MARKETS))
    values = pl.DataFrame({"value": [float(v) for v in (*inside, *outside)]}).join(result, how="cross")
    assert values.select(pays(pl.col("value"))).to_series().to_list() == [True] * len(inside) + [False] * len(outside)


def test_a_users_subjects_take_precedence_and_broken_ones_are_named(tmp_path):
    path = tmp_path / "subjects.toml"
    path.write_text(
        '[KXHIGHNY]\nkind = "high"\nsubject = "KLGA"\nutc_offset = -5\n[KXNEW]\nkind = "price"\nsubject = "SOL"\n'
    )
    result = load_subjects(read_user_file(path))
    assert (result["KXHIGHNY"].subject, result["KXNEW"]) == ("KLGA", Subject("KXNEW", "price", "SOL"))
    assert "KXBTC" in result
    assert "KXNEW" not in load_subjects()
    for text, message in (
        ('[A]\nkind = "mood"\nsubject = "x"', "subjects.toml: A: Invalid enum value 'mood'"),
        ("[A]\nkinds = 1", "A: Object contains unknown field `kinds`"),
        ("[A", "is not valid TOML"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            load_subjects(read_user_file(path))
    assert read_user_file(tmp_path / "none.toml") is None


@pytest.mark.parametrize(
    ("name", "strike", "floor", "cap", "agrees"),
    [
        ("$0.90 or above", "greater", 0.0999, None, False),
        ("$0.10 or above", "greater", 0.0999, None, True),
        ("$0.0999 or below", "less", None, 0.1, True),
        ("$60,001 or above", "greater_or_equal", 60_000.0, None, False),
        ("$60,000 or above", "greater", 59_999.99, None, True),
    ],
)
def test_an_outcome_agrees_with_its_strike_within_one_step_of_the_quantity(name, strike, floor, cap, agrees):
    """Return the subject of the row publishes in cents; a text with more decimals has a finer step."""
    row = dict.fromkeys(MARKETS) | HOURLY | {
        "yes_sub_title": name, "strike_type": strike, "floor_strike": floor, "cap_strike": cap,
    }  # fmt: skip
    (result,) = link(pl.DataFrame([row], schema=MARKETS)).to_dicts()
    assert (result["reason"] is None) == agrees, result["reason"]


@pytest.mark.parametrize(
    ("name", "floor", "cap"),
    [("-1° to 0°", -1, 0), ("-12° to -11°", -12, -11), ("−5° to −4°", -5, -4), ("66-67°", 66, 67), ("66–67°", 66, 67)],
)
def test_a_temperature_below_zero_keeps_its_sign_and_a_hyphen_is_not_one(name, floor, cap):
    row = dict.fromkeys(MARKETS) | DAILY | {
        "yes_sub_title": name, "strike_type": "between", "floor_strike": floor, "cap_strike": cap,
    }  # fmt: skip
    (result,) = link(pl.DataFrame([row], schema=MARKETS)).to_dicts()
    assert result["reason"] is None
    wrong = row | {"yes_sub_title": "1° to 0°" if floor < 0 else f"-{name}"}
    assert link(pl.DataFrame([wrong], schema=MARKETS))["reason"][0] is not None

"""Alert rules: what they report, when, and that they report nothing twice."""

from datetime import UTC, datetime, time, timedelta

import polars as pl
import pytest

from fairline.errors import ConfigError
from fairline.watch.alerts import Changes, QuietHours, Rule, Tracked, compose, decide, delay_reason

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEY = ("A", "yes", "elo")


def opportunities(*rows):
    base = {
        "ticker": "A", "side": "yes", "model": "elo", "title": "Will it?", "category": "Sports", "series_ticker": "S",
        "p": 0.55, "price_u": 500_000, "fee_u": 10_000, "size_cc": 5_000, "edge_points": 5.0, "ev_u": 40_000,
        "decided_ts": NOW + timedelta(hours=3),
        "close_ts": NOW + timedelta(days=1),
    }  # fmt: skip
    return (
        pl.DataFrame([base | row for row in rows], schema_overrides={"edge_points": pl.Float64, "category": pl.String})
        if rows
        else pl.DataFrame([base]).clear()
    )


class Reader:
    """A rule and what its receivers know, scan after scan."""

    def __init__(self, **settings):
        self.rule, self.tracked = Rule("r", **settings), {}

    def scan(self, rows=(), minutes=0, gone=None, paid=None, followed=()):
        changes = Changes(opportunities(*rows), gone or {}, paid or {}, NOW + timedelta(minutes=minutes))
        items, updates = decide(self.rule, changes, self.tracked, followed)
        self.tracked |= {each.key: each for each in updates}
        return [item.kind for item in items], [item.text for item in items]


def test_an_opportunity_is_reported_once_when_it_appears():
    reader = Reader()
    assert reader.scan([{}])[0] == ["appeared"]
    assert reader.scan([{}], 1)[0] == []
    assert reader.scan([{"edge_points": 5.5}], 90)[0] == []


def test_the_message_states_price_probability_edge_and_size():
    [text] = Reader().scan([{}])[1]
    assert text == (
        "appeared: YES A at 0.500, p 0.550 by elo: edge 5.0 points, EV $0.040 after fees, 50 contracts, "
        "decided 2026-11-23 15:00 UTC, closes 2026-11-24 12:00 UTC · Will it?"
    )


def test_growth_is_reported_only_above_the_threshold_and_after_the_cooldown():
    reader = Reader(cooldown=timedelta(minutes=30))
    reader.scan([{}])
    assert reader.scan([{"edge_points": 9.0}], 10)[0] == []
    kinds, texts = reader.scan([{"edge_points": 9.0}], 31)
    assert kinds == ["grew"]
    assert "(was 5.0)" in texts[0]
    assert reader.scan([{"edge_points": 10.5}], 120)[0] == []


def test_a_departure_has_a_reason_and_an_unseen_market_is_not_gone():
    reader = Reader()
    reader.scan([{}])
    assert reader.scan([], 1)[0] == []
    kinds, texts = reader.scan([], 2, gone={KEY: "spread"})
    assert kinds == ["gone"]
    assert texts == ["gone: YES A: the spread is too wide"]
    assert reader.scan([], 3, gone={KEY: "spread"})[0] == []


def test_an_opportunity_that_flickers_within_the_cooldown_is_reported_once():
    reader = Reader(cooldown=timedelta(hours=1))
    assert reader.scan([{}])[0] == ["appeared"]
    assert reader.scan([], 1, gone={KEY: "spread"})[0] == ["gone"]
    assert reader.scan([{}], 2)[0] == []
    assert reader.scan([], 3, gone={KEY: "spread"})[0] == []
    assert reader.scan([{}], 4)[0] == []
    # It stayed: after the hour it is reported.
    assert reader.scan([{}], 62)[0] == ["appeared"]


def test_an_opportunity_below_the_rules_own_threshold_is_gone():
    reader = Reader(min_edge=4.0)
    assert reader.scan([{"edge_points": 3.9}])[0] == []
    assert reader.scan([{}], 1)[0] == ["appeared"]
    kinds, texts = reader.scan([{"edge_points": 3.0}], 2)
    assert kinds == ["gone"]
    assert "below the rule's thresholds" in texts[0]


@pytest.mark.parametrize(("side", "paid", "profit"), [("yes", 1_000_000, "+0.490"), ("no", 1_000_000, "-0.510"),
                                                   ("yes", 240_000, "-0.270")])  # fmt: skip
def test_a_settlement_is_reported_once_with_the_profit_per_contract(side, paid, profit):
    reader = Reader()
    reader.scan([{"side": side}])
    kinds, texts = reader.scan([], 10, paid={"A": paid}, gone={("A", side, "elo"): "open"})
    assert kinds == ["settled"]
    assert f"profit per contract bought at 0.500: {profit}" in texts[0]
    assert reader.scan([], 11, paid={"A": paid})[0] == []
    assert reader.scan([{"side": side}], 200)[0] == []


def test_only_the_chosen_kinds_are_reported():
    reader = Reader(on=("settled",))
    assert reader.scan([{}])[0] == []
    assert reader.scan([], 1, paid={"A": 0})[0] == ["settled"]


@pytest.mark.parametrize(
    ("settings", "row", "matches"),
    [
        ({"categories": ("sports",)}, {}, True),
        ({"categories": ("Politics",)}, {}, False),
        ({"categories": ("Politics",)}, {"category": None}, False),
        ({"series": ("S",)}, {}, True),
        ({"models": ("polls",)}, {}, False),
        ({"sides": ("no",)}, {}, False),
        ({"min_ev": 0.04}, {}, True),
        ({"min_ev": 0.041}, {}, False),
        ({"min_contracts": 51}, {}, False),
        ({"closes_within": timedelta(hours=23)}, {}, False),
        ({"followed": True}, {}, False),
    ],
)
def test_a_rule_matches_by_its_settings(settings, row, matches):
    assert bool(Reader(**settings).scan([row])[0]) == matches
    if settings == {"followed": True}:
        assert Reader(**settings).scan([row], followed=["A"])[0] == ["appeared"]


def test_quiet_hours_follow_local_time_across_clock_changes():
    rule = Rule("r", quiet=QuietHours(time(23), time(7)), timezone="America/New_York")
    assert time(2) in QuietHours(time(23), time(7))
    assert time(8, 59) not in QuietHours(time(9), time(17))
    # 06:30 UTC is 02:30 before and 01:30 after the clocks went back on 2026-11-01; 12:30 is 08:30, then 07:30.
    for day in (datetime(2026, 10, 31, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)):
        assert delay_reason(rule, day, [], day + timedelta(hours=6, minutes=30)) == "quiet hours"
        assert delay_reason(rule, day, [], day + timedelta(hours=12, minutes=30)) == ""
    # 11:30 UTC: in summer it is 07:30, in winter 06:30 and still quiet.
    assert delay_reason(rule, NOW, [], datetime(2026, 10, 31, 11, 30, tzinfo=UTC)) == ""
    assert delay_reason(rule, NOW, [], datetime(2026, 11, 2, 11, 30, tzinfo=UTC)) == "quiet hours"


def test_messages_wait_for_a_digest_and_for_the_hourly_limit():
    assert delay_reason(Rule("r", digest=timedelta(hours=1)), NOW - timedelta(minutes=59), [], NOW) == "digest"
    assert delay_reason(Rule("r", digest=timedelta(hours=1)), NOW - timedelta(minutes=60), [], NOW) == ""
    sent = [NOW - timedelta(minutes=m) for m in (10, 20, 59, 61)]
    assert delay_reason(Rule("r", per_hour=3), NOW, sent, NOW) == "limit of 3 messages per hour"
    assert delay_reason(Rule("r", per_hour=4), NOW, sent, NOW) == ""


def test_a_message_lists_twelve_changes_and_counts_the_rest():
    rows = [{"ticker": f"T{n}"} for n in range(500)]
    items, _ = decide(Rule("all"), Changes(opportunities(*rows), {}, {}, NOW), {})
    title, body = compose(Rule("all"), items, "quiet hours")
    assert title == "all: 500 appeared"
    assert body.splitlines()[-2:] == ["… and 488 more; fairline report lists all", "(delayed: quiet hours)"]
    assert len(body.splitlines()) == 14


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            {"min_egde": 3},
            "unknown key 'min_egde' in [alerts.mine] of f.toml. Did you mean min_edge? Expected one of: name",
        ),
        ({"name": "x"}, "unknown key 'name' in [alerts.mine] of f.toml"),
        ({"min_edge": "3"}, "invalid min_edge in [alerts.mine] of f.toml: expected a finite number"),
        ({"min_edge": float("nan")}, "invalid min_edge in [alerts.mine] of f.toml: expected a finite number"),
        ({"min_edge": 10**400}, "invalid min_edge in [alerts.mine] of f.toml: expected a finite number"),
        ({"grow_points": float("inf")}, "invalid grow_points in [alerts.mine] of f.toml: expected a finite number"),
        ({"on": ["appeard"]}, ": expected a list with one or more of appeared, grew, gone, settled"),
        ({"on": []}, ": expected a list with one or more of appeared, grew, gone, settled"),
        ({"quiet": "night"}, "invalid quiet in [alerts.mine] of f.toml: expected two times of day, such as"),
        ({"quiet": "23:00Z-07:00Z"}, ": expected two times of day, such as"),
        ({"quiet": "07:00-07:00"}, ": expected two times of day, such as"),
        ({"timezone": "America"}, ': expected a time zone such as "America/New_York"'),
        ({"timezone": "New York"}, ': expected a time zone such as "America/New_York"'),
        ({"cooldown": "soon"}, 'invalid cooldown in [alerts.mine] of f.toml: expected a duration such as "1h"'),
        ({"closes_within": 3}, 'invalid closes_within in [alerts.mine] of f.toml: expected a duration such as "2d"'),
        ({"sides": ["maybe"]}, ": expected a list of yes, no or both"),
        ({"per_hour": 0}, "invalid per_hour in [alerts.mine] of f.toml: expected a whole number from 1"),
        ({"to": "phone"}, "invalid to in [alerts.mine] of f.toml: expected a list of receivers' names"),
        ({"models": [1]}, "invalid models in [alerts.mine] of f.toml: expected a list of texts"),
        ({"followed": 1}, "invalid followed in [alerts.mine] of f.toml: expected true or false"),
    ],
)
def test_an_invalid_rule_is_one_line_with_file_table_key_and_expectation(table, expected):
    with pytest.raises(ConfigError) as raised:
        Rule.from_table("mine", table, "f.toml")
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_rule_is_read_from_its_table():
    table = {"on": ["Appeared"], "sides": ["NO"], "series": ["kxa"], "min_edge": 5, "closes_within": "2d",
             "quiet": "23:00-07:00", "timezone": "America/New_York", "followed": True}  # fmt: skip
    rule = Rule.from_table("mine", table)
    assert (rule.name, rule.on, rule.sides, rule.series, rule.min_edge) == ("mine", ("appeared",), ("no",), ("KXA",), 5)
    assert rule.closes_within == timedelta(days=2)
    assert time(23, 30) in rule.quiet
    assert (rule.cooldown, rule.digest, rule.per_hour) == (timedelta(hours=1), timedelta(), 20)


def test_other_tracked_opportunities_are_left_alone():
    reader = Reader()
    reader.tracked = {("B", "no", "x"): Tracked(("B", "no", "x"), "sent", 4.0, NOW, {"side": "no", "ticker": "B"})}
    reader.scan([{}])
    assert reader.tracked[("B", "no", "x")].phase == "sent"


def test_an_unknown_category_does_not_make_an_opportunity_gone():
    reader = Reader(categories=("Sports",))
    assert reader.scan([{}])[0] == ["appeared"]
    assert reader.scan([{"category": None}], 1)[0] == []
    assert reader.scan([{"category": "Politics"}], 2)[0] == ["gone"]


def test_titles_cannot_contain_control_characters_or_line_breaks():
    bad = "\x1b[31mred\ngone: YES B\u202e\x07"
    [text] = Reader().scan([{"title": bad}])[1]
    assert text.endswith("·  [31mred gone: YES B  ")


def test_a_clock_that_was_set_back_delays_nothing():
    reader = Reader(cooldown=timedelta(hours=1))
    reader.scan([{}], 5_000)
    assert reader.scan([{"edge_points": 9.0}], 0)[0] == ["grew"]
    assert delay_reason(Rule("r", per_hour=1), NOW, [NOW + timedelta(days=2)], NOW) == ""


def test_a_message_states_the_believed_ev_if_it_is_known():
    assert "EV $0.040 after fees, believed $0.015, 50 contracts" in Reader().scan([{"believed_ev_u": 15_000}])[1][0]

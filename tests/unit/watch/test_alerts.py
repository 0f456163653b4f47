"""What is told of an opportunity's life, when, and what is not told twice."""

from datetime import UTC, datetime, time, timedelta

import polars as pl
import pytest

from fairline.errors import ConfigError
from fairline.watch.alerts import Happened, Rule, Told, compose, decide, hold, in_quiet

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEY = ("A", "yes", "elo")


def kept(*rows):
    base = {
        "ticker": "A", "side": "yes", "model": "elo", "title": "Will it?", "category": "Sports", "series_ticker": "S",
        "p": 0.55, "price_u": 500_000, "fee_u": 10_000, "size_cc": 5_000, "edge_points": 5.0, "ev_u": 40_000,
        "close_ts": NOW + timedelta(days=1),
    }  # fmt: skip
    return (
        pl.DataFrame([base | row for row in rows], schema_overrides={"edge_points": pl.Float64, "category": pl.String})
        if rows
        else pl.DataFrame([base]).clear()
    )


class Reader:
    """A rule and what it knows, scan after scan."""

    def __init__(self, **settings):
        self.rule, self.known = Rule("r", **settings), {}

    def scan(self, rows=(), minutes=0, gone=None, paid=None, followed=()):
        happened = Happened(kept(*rows), gone or {}, paid or {}, NOW + timedelta(minutes=minutes))
        items, told = decide(self.rule, happened, self.known, followed)
        self.known |= {each.key: each for each in told}
        return [item.kind for item in items], [item.text for item in items]


def test_an_opportunity_is_told_when_it_appears_and_not_again():
    reader = Reader()
    assert reader.scan([{}])[0] == ["appeared"]
    assert reader.scan([{}], 1)[0] == []
    assert reader.scan([{"edge_points": 5.5}], 90)[0] == []


def test_the_message_has_the_numbers_that_matter():
    [text] = Reader().scan([{}])[1]
    assert text == (
        "appeared: YES A at 0.500, p 0.550 by elo: edge 5.0 points, EV $0.040 after fees, 50 contracts, "
        "closes 2026-11-24 12:00 UTC · Will it?"
    )


def test_it_grew_only_by_enough_and_after_the_cooldown():
    reader = Reader(cooldown=timedelta(minutes=30))
    reader.scan([{}])
    assert reader.scan([{"edge_points": 9.0}], 10)[0] == []
    kinds, texts = reader.scan([{"edge_points": 9.0}], 31)
    assert kinds == ["grew"]
    assert "(was 5.0)" in texts[0]
    assert reader.scan([{"edge_points": 10.5}], 120)[0] == []


def test_it_is_gone_for_a_reason_and_what_the_scan_did_not_see_is_not_gone():
    reader = Reader()
    reader.scan([{}])
    assert reader.scan([], 1)[0] == []
    kinds, texts = reader.scan([], 2, gone={KEY: "spread"})
    assert kinds == ["gone"]
    assert texts == ["gone: YES A: the spread is too wide"]
    assert reader.scan([], 3, gone={KEY: "spread"})[0] == []


def test_one_that_comes_and_goes_within_the_cooldown_is_told_once():
    reader = Reader(cooldown=timedelta(hours=1))
    assert reader.scan([{}])[0] == ["appeared"]
    assert reader.scan([], 1, gone={KEY: "spread"})[0] == ["gone"]
    assert reader.scan([{}], 2)[0] == []
    assert reader.scan([], 3, gone={KEY: "spread"})[0] == []
    assert reader.scan([{}], 4)[0] == []
    # It stays: when the hour is over it is told after all.
    assert reader.scan([{}], 62)[0] == ["appeared"]


def test_below_the_rules_own_threshold_is_gone_though_it_is_an_opportunity():
    reader = Reader(min_edge=4.0)
    assert reader.scan([{"edge_points": 3.9}])[0] == []
    assert reader.scan([{}], 1)[0] == ["appeared"]
    kinds, texts = reader.scan([{"edge_points": 3.0}], 2)
    assert kinds == ["gone"]
    assert "below the rule's thresholds" in texts[0]


@pytest.mark.parametrize(("side", "paid", "made"), [("yes", 1_000_000, "+0.490"), ("no", 1_000_000, "-0.510"),
                                                   ("yes", 240_000, "-0.270")])  # fmt: skip
def test_it_is_settled_once_with_what_a_contract_made(side, paid, made):
    reader = Reader()
    reader.scan([{"side": side}])
    kinds, texts = reader.scan([], 10, paid={"A": paid}, gone={("A", side, "elo"): "open"})
    assert kinds == ["settled"]
    assert f"that is {made} a contract" in texts[0]
    assert reader.scan([], 11, paid={"A": paid})[0] == []
    assert reader.scan([{"side": side}], 200)[0] == []


def test_only_what_was_asked_for_is_told():
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
def test_rules_choose(settings, row, matches):
    assert bool(Reader(**settings).scan([row])[0]) == matches
    if settings == {"followed": True}:
        assert Reader(**settings).scan([row], followed=["A"])[0] == ["appeared"]


def test_quiet_hours_are_by_the_clock_on_the_wall_also_when_it_changes():
    rule = Rule("r", quiet=(time(23), time(7)), timezone="America/New_York")
    assert in_quiet((time(23), time(7)), time(2))
    assert not in_quiet((time(9), time(17)), time(8, 59))
    # 06:30 UTC is 02:30 before and 01:30 after the clocks went back on 2026-11-01; 12:30 is 08:30, then 07:30.
    for day in (datetime(2026, 10, 31, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)):
        assert hold(rule, day, [], day + timedelta(hours=6, minutes=30)) == "quiet hours"
        assert hold(rule, day, [], day + timedelta(hours=12, minutes=30)) == ""
    # 11:30 UTC: in summer it is 07:30, in winter 06:30 and still quiet.
    assert hold(rule, NOW, [], datetime(2026, 10, 31, 11, 30, tzinfo=UTC)) == ""
    assert hold(rule, NOW, [], datetime(2026, 11, 2, 11, 30, tzinfo=UTC)) == "quiet hours"


def test_a_digest_waits_and_no_more_messages_go_out_than_allowed():
    assert hold(Rule("r", digest=timedelta(hours=1)), NOW - timedelta(minutes=59), [], NOW) == "digest"
    assert hold(Rule("r", digest=timedelta(hours=1)), NOW - timedelta(minutes=60), [], NOW) == ""
    sent = [NOW - timedelta(minutes=m) for m in (10, 20, 59, 61)]
    assert hold(Rule("r", per_hour=3), NOW, sent, NOW) == "more than 3 messages an hour"
    assert hold(Rule("r", per_hour=4), NOW, sent, NOW) == ""


def test_a_message_of_very_many_changes_counts_what_it_does_not_spell_out():
    rows = [{"ticker": f"T{n}"} for n in range(500)]
    items, _ = decide(Rule("all"), Happened(kept(*rows), {}, {}, NOW), {})
    title, body = compose(Rule("all"), items, "quiet hours")
    assert title == "all: 500 appeared"
    assert body.splitlines()[-2:] == ["… and 488 more; fairline report has them all", "(held back: quiet hours)"]
    assert len(body.splitlines()) == 14


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"min_egde": 3}, "unknown setting 'min_egde'. It takes categories"),
        ({"min_edge": "3"}, "min_edge = '3' cannot be used"),
        ({"on": ["appeard"]}, "it takes appeared, grew, gone, settled"),
        ({"quiet": "night"}, "quiet = 'night' cannot be used"),
        ({"quiet": "23:00Z-07:00Z"}, "the zone is a setting of its own"),
        ({"timezone": "America"}, "timezone = 'America' cannot be used"),
        ({"timezone": "New York"}, "timezone = 'New York' cannot be used"),
        ({"cooldown": "soon"}, "not 'soon'"),
        ({"min_edge": float("nan")}, "a number that is finite"),
        ({"min_edge": 10**400}, "min_edge"),
        ({"sides": ["maybe"]}, "it takes yes, no"),
        ({"on": []}, "it takes appeared"),
        ({"quiet": "07:00-07:00"}, "it begins when it ends"),
        ({"per_hour": 0}, "a whole number from 1"),
        ({"to": "phone"}, "a list of texts is wanted"),
        ({"followed": 1}, "true or false is wanted"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_one_line_that_names_it(table, words):
    with pytest.raises(ConfigError) as raised:
        Rule.of("mine", table)
    assert str(raised.value).startswith("alerts.mine")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_is_known_of_something_else_is_left_alone():
    reader = Reader()
    reader.known = {("B", "no", "x"): Told(("B", "no", "x"), "told", 4.0, NOW, {"side": "no", "ticker": "B"})}
    reader.scan([{}])
    assert reader.known[("B", "no", "x")].phase == "told"


def test_what_is_not_known_of_an_opportunity_does_not_make_it_gone():
    reader = Reader(categories=("Sports",))
    assert reader.scan([{}])[0] == ["appeared"]
    assert reader.scan([{"category": None}], 1)[0] == []
    assert reader.scan([{"category": "Politics"}], 2)[0] == ["gone"]


def test_what_the_exchange_says_cannot_command_a_terminal_or_look_like_several_lines():
    bad = "\x1b[31mred\ngone: YES B\u202e\x07"
    [text] = Reader().scan([{"title": bad}])[1]
    assert text.endswith("·  [31mred gone: YES B  ")


def test_a_clock_that_stepped_back_holds_nothing_up():
    reader = Reader(cooldown=timedelta(hours=1))
    reader.scan([{}], 5_000)
    assert reader.scan([{"edge_points": 9.0}], 0)[0] == ["grew"]
    assert hold(Rule("r", per_hour=1), NOW, [NOW + timedelta(days=2)], NOW) == ""

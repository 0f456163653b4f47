"""Events with several subjects: which markets nest, and that every locked trade survives every outcome."""

import json
from datetime import UTC, date, datetime
from itertools import product

import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairline.kalshi.wire import Market
from fairline.market.frame import NOTIONAL_U, markets_frame
from fairline.pricing.coherence import LOCKED, violations
from fairline.pricing.ladders import all_rungs, strike_ladders
from fairline.pricing.projection import coherent
from tests.unit.pricing.test_coherence import NOW, markets, quote

TEAMS = {"LA": "Los Angeles", "HOU": "Houston", "TB": "Tampa Bay"}


def spread(team, strike, bid, ask, **more):
    name = TEAMS[team]
    outcome = {
        "ticker": f"KXMLBSPREAD-26AUG07-{team}{strike + 0.5:.0f}",
        "event_ticker": "KXMLBSPREAD-26AUG07",
        "yes_sub_title": f"{name} wins by over {strike} runs",
        "title": f"{name} wins by over {strike} runs?",
        "strike_target": json.dumps({"baseball_team": f"{team:0>36}".lower().replace("l", "a")}),
        "strike_type": "greater",
        "floor_strike": float(strike),
    }
    return quote(bid, ask, **(outcome | more))


def find(*rows):
    return violations(markets(*rows), asof=NOW)


def test_spreads_of_two_teams_are_not_one_ladder():
    """Both legs lose when Houston wins by two."""
    assert find(spread("LA", 1.5, 20, 30), spread("HOU", 2.5, 60, 65)).is_empty()


def test_spreads_of_one_team_are_one_ladder():
    (trade,) = find(spread("LA", 1.5, 20, 30), spread("LA", 2.5, 60, 65), spread("HOU", 1.5, 60, 65)).to_dicts()
    assert (trade["kind"], trade["certainty"]) == ("ladder", LOCKED)
    assert {leg["ticker"][-3:] for leg in trade["legs"]} == {"LA2", "LA3"}


@pytest.mark.parametrize(
    "other",
    [
        {"strike_target": '{"baseball_team": "x"}'},
        {"yes_sub_title": "Houston wins by over 2.5 runs"},
        {"title": "Los Angeles wins the first half by over 2.5 runs?"},
        {"yes_sub_title": "Los Angeles wins by over 2.5 1H runs"},
        {"ticker": "KXMLBSPREAD-26AUG07-HOU3"},
    ],
)
def test_markets_that_disagree_on_the_subject_are_on_different_ladders(other):
    assert find(spread("LA", 1.5, 20, 30), spread("LA", 2.5, 60, 65, **other)).is_empty()


def test_a_subject_whose_rules_differ_is_on_no_ladder():
    same, different = {"rules_form": 1}, {"rules_form": 2}
    assert find(spread("LA", 1.5, 20, 30, **same), spread("LA", 2.5, 60, 65, **different)).is_empty()
    assert find(spread("LA", 1.5, 20, 30, **same), spread("LA", 2.5, 60, 65, **same)).height == 1


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("$100,000 or above", "$1,250,000 or above"),
        ("Above 3.5%", "Above 4%"),
        ("59° or above", "61° or above"),
        ("-1° or above", "2° or above"),
        ("More than 100k", "More than 250k"),
    ],
)
def test_numbers_in_any_form_do_not_separate_the_rungs_of_one_subject(wide, narrow):
    above = {"strike_type": "greater"}
    rungs = (
        quote(20, 30, floor_strike=1.0, yes_sub_title=wide, ticker="E-T1", **above),
        quote(60, 65, floor_strike=2.0, yes_sub_title=narrow, ticker="E-T2", **above),
    )
    assert find(*rungs).height == 1


def test_ranges_and_thresholds_of_one_quantity_are_one_ladder():
    rows = (
        quote(20, 30, ticker="E-T100", strike_type="greater", floor_strike=100.0, yes_sub_title="$100 or above"),
        quote(45, 50, ticker="E-B115", strike_type="between", floor_strike=110.0, cap_strike=120.0,
              yes_sub_title="$110 to $120"),
    )  # fmt: skip
    assert find(*rows).height == 1


subjects = st.lists(st.sampled_from(["words", "target", "tail", "title"]), min_size=1, max_size=3)
prices = st.tuples(st.integers(1, 97), st.integers(1, 30)).map(lambda pair: (pair[0], min(99, sum(pair))))
rung = st.tuples(st.sampled_from(["greater", "greater_or_equal", "less", "less_or_equal"]), st.integers(0, 4), prices)


@given(subjects, st.lists(st.tuples(st.integers(0, 2), rung), min_size=2, max_size=7))
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)
def test_locked_trades_of_events_with_several_subjects_survive_every_outcome(differences, chosen):
    """Subject n > 0 differs from subject 0 in one of the four signals only; its value is independent of the others'."""
    rows, meaning = [], {}
    for place, (number, (kind, strike, (bid, ask))) in enumerate(chosen):
        subject = number % (len(differences) + 1)
        signal = differences[subject - 1] if subject else None
        mark = "abcd"[subject]
        row = {
            "ticker": f"E-{mark if signal == 'tail' else 'x'}{place}",
            "strike_target": f'{{"team": "{mark if signal == "target" else "x"}"}}',
            "yes_sub_title": f"{mark if signal == 'words' else 'x'} over {strike} runs",
            "title": f"{mark if signal == 'title' else 'x'} scores?",
            "strike_type": kind,
            "floor_strike": float(strike) if kind.startswith("greater") else None,
            "cap_strike": float(strike) if kind.startswith("less") else None,
        }
        rows.append(quote(bid, ask, **row))
        meaning[row["ticker"]] = (subject, kind, strike)

    def pays(ticker, values):
        subject, kind, strike = meaning[ticker]
        value = values[subject]
        return {
            "greater": value > strike,
            "greater_or_equal": value >= strike,
            "less": value < strike,
            "less_or_equal": value <= strike,
        }[kind]

    # Values between and on the strikes, for each subject.
    grid = [half / 2 for half in range(-1, 11)]
    outcomes = list(product(grid, repeat=len(differences) + 1)) if len(differences) < 3 else list(_some_outcomes(grid))
    for trade in find(*rows).filter(certainty=LOCKED).to_dicts():
        per_contract = min(
            sum(pays(leg["ticker"], values) == (leg["side"] == "yes") for leg in trade["legs"]) for values in outcomes
        )
        assert per_contract * NOTIONAL_U * trade["size_cc"] // 100 >= trade["payoff_u"]


def _some_outcomes(grid):
    """Return all values of every pair of four subjects: a trade has two legs."""
    for one, other in product(range(4), repeat=2):
        for a, b in product(grid, repeat=2):
            values = [0.0] * 4
            values[one], values[other] = a, b
            yield values


def test_the_recorded_sports_events_have_no_trade_between_two_subjects(shared):
    path = shared / "kalshi_api_recorded_2026-08" / "events_sports_nested.json"
    events = json.loads(path.read_text())
    rows = [msgspec.json.decode(json.dumps(market), type=Market) for event in events for market in event["markets"]]
    exclusive = {event["event_ticker"]: event["mutually_exclusive"] for event in events}
    frame, rejected = markets_frame(rows)
    assert (frame.height, rejected) == (245, [])
    frame = frame.with_columns(
        mutually_exclusive=pl.col("event_ticker").replace_strict(exclusive),
        close_ts=pl.lit(datetime(2030, 1, 1, tzinfo=UTC)),
        status=pl.lit("active"),
    )
    assert violations(frame, asof=datetime(2026, 8, 1, tzinfo=UTC)).filter(certainty=LOCKED).is_empty()
    rungs = strike_ladders(frame.lazy()).collect()
    assert rungs.height == 137, "every market with a strike is on a ladder"
    teams = rungs.filter(pl.col("strike_target").is_not_null())
    assert teams.group_by("ladder").agg(pl.col("strike_target").n_unique())["strike_target"].max() == 1
    assert teams["ladder"].n_unique() == 18, "two teams in each of nine events"


def deadline(text, day, bid, ask, **more):
    facts = {"yes_sub_title": text, "title": "When will it launch?", "rules_deadline": day, "rules_form": 7}
    return quote(bid, ask, **(facts | {"strike_type": "custom"} | more))


def test_an_earlier_deadline_lies_inside_a_later_one():
    march, june = date(2027, 3, 1), date(2027, 6, 1)
    rows = (deadline("Before Mar 1, 2027", march, 45, 50), deadline("Before Jun 1, 2027", june, 20, 30))
    (trade,) = find(*rows).to_dicts()
    assert (trade["kind"], trade["certainty"]) == ("deadline", LOCKED)
    assert {leg["ticker"]: leg["side"] for leg in trade["legs"]} == {"M1": "yes", "M0": "no"}
    assert find(*reversed([row | {"rules_form": n} for n, row in enumerate(rows)])).is_empty(), "other rules"
    assert find(deadline("Before Mar 1, 2027", march, 20, 30), deadline("Before Jun 1, 2027", june, 45, 50)).is_empty()


def test_a_deadline_is_read_only_if_the_rules_repeat_it():
    rules = "If it launches {} Mar 1, 2027, then the market resolves to Yes."
    outcome = {"yes_sub_title": "Before Mar 1, 2027", "strike_type": "custom"}
    assert _facts(outcome | {"rules_primary": rules.format("before")})["rules_deadline"] == date(2027, 3, 1)
    assert _facts(outcome | {"rules_primary": rules.format("after")})["rules_deadline"] is None
    june = _facts({"yes_sub_title": "Before Jun 2027", "rules_primary": "If it launches before Jun 2027, Yes."})
    assert june["rules_deadline"] == date(2027, 6, 1)
    year = _facts({"yes_sub_title": "Before 2028", "rules_primary": "If it launches before 2028, Yes."})
    assert year["rules_deadline"] == date(2028, 1, 1)


def test_rules_that_differ_only_in_the_deadline_have_one_form():
    march, june, dearer = (
        _facts({"yes_sub_title": f"Before {day}", "rules_primary": f"If it costs {price} before {day}, then Yes."})
        for day, price in (("Mar 1, 2027", "$100"), ("Jun 1, 2027", "$100"), ("Jun 1, 2027", "$200"))
    )
    assert march["rules_form"] == june["rules_form"] != dearer["rules_form"]
    assert march["rules_hash"] != june["rules_hash"]


@pytest.mark.parametrize(
    ("rules", "low", "high"),
    [
        ("If they score more than {} runs on Aug 7, 2026 at 9:45 PM EDT, then Yes.", ("8.5", 8.5), ("9.5", 9.5)),
        ("If it is at least {} points at 3 PM on Jul 10, 2026, then Yes.", ("21", 20.5), ("1,250", 1249.5)),
        ("If BTC is above ${} at 3 PM EDT on Jul 10, 2026, then Yes.", ("53,299.99", 53299.99), ("120,000", 119999.99)),
        ("If more than {} people attend, then Yes.", ("1.5 million", 1_500_000.0), ("2 million", 2_000_000.0)),
        ("If the temperature is above {}° on Nov 23, 2026, then Yes.", ("-1", -1.0), ("23", 23.0)),
    ],
)
def test_rules_that_differ_only_in_the_strike_have_one_form(rules, low, high):
    forms = {
        _facts({"rules_primary": rules.format(text), "strike_type": "greater", "floor_strike": strike})["rules_form"]
        for text, strike in (low, high)
    }
    assert len(forms) == 1


def test_other_numbers_of_the_rules_tell_quantities_apart():
    rules = "If Ann scores more than {} points in quarter {}, then Yes."
    forms = [
        _facts({"rules_primary": rules.format(strike, quarter), "strike_type": "greater", "floor_strike": strike})
        for quarter, strike in ((1, 10.5), (2, 12.5), (1, 12.5))
    ]
    assert forms[0]["rules_form"] == forms[2]["rules_form"] != forms[1]["rules_form"]


def _facts(change):
    from tests.unit.kalshi.test_wire import MARKET

    row = msgspec.json.decode(json.dumps(MARKET | change), type=Market)
    return markets_frame([row])[0].row(0, named=True)


def game(team, bid, ask, **more):
    target = f"{team:0>36}".lower().replace("l", "a")
    outcome = {"ticker": f"KXMLBGAME-26AUG07-{team}", "event_ticker": "KXMLBGAME-26AUG07", "target": target,
               "yes_sub_title": TEAMS[team], "strike_type": "structured", "mutually_exclusive": True,
               "rules_named": True}  # fmt: skip
    return quote(bid, ask, **(outcome | more))


HEX = {"TB": "b" * 36, "HOU": "c" * 36}


def _with_hex(row):
    """Use a team id that reads like the exchange's."""
    team = "TB" if "Tampa" in row["yes_sub_title"] else "HOU"
    ids = {"target": HEX[team]} if row.get("target") else {"strike_target": json.dumps({"baseball_team": HEX[team]})}
    return row | ids


def test_a_margin_implies_its_winner():
    rows = [game("TB", 30, 35), game("HOU", 40, 70), spread("TB", 1.5, 45, 50), spread("HOU", 1.5, 20, 60)]
    (trade,) = find(*map(_with_hex, rows)).to_dicts()
    assert (trade["kind"], trade["certainty"]) == ("margin", LOCKED)
    assert {leg["ticker"]: leg["side"] for leg in trade["legs"]} == {
        "KXMLBGAME-26AUG07-TB": "yes",
        "KXMLBSPREAD-26AUG07-TB2": "no",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"event_ticker": "KXMLBGAME-26AUG08"},
        {"target": "d" * 36},
        {"rules_named": False},
        {"yes_sub_title": "Reg Time: Tampa Bay"},
    ],
)
def test_a_margin_of_another_game_team_or_period_implies_nothing(change):
    rows = [*map(_with_hex, [game("TB", 30, 35), game("HOU", 40, 70), spread("TB", 1.5, 45, 50)])]
    assert find(rows[0] | change, *rows[1:]).is_empty()


def test_where_a_tie_is_an_outcome_a_margin_is_not_compared_with_the_winner():
    tie = quote(10, 20, ticker="KXMLBGAME-26AUG07-TIE", event_ticker="KXMLBGAME-26AUG07", strike_type="structured",
                target="e" * 36, yes_sub_title="Tie", mutually_exclusive=True, rules_named=True)  # fmt: skip
    rows = [*map(_with_hex, [game("TB", 30, 35), game("HOU", 40, 50), spread("TB", 1.5, 45, 50)])]
    assert find(*rows, tie).filter(kind="margin").is_empty()


def test_the_same_question_twice_is_worth_the_same():
    facts = {"rules_hash": 5, "yes_sub_title": "Yes", "decided_ts": NOW}
    rows = (quote(20, 30, event_ticker="A", **facts), quote(60, 65, event_ticker="B", **facts))
    (trade,) = find(*rows).to_dicts()
    assert (trade["kind"], trade["certainty"]) == ("duplicate", LOCKED)
    assert {leg["ticker"]: leg["side"] for leg in trade["legs"]} == {"M0": "yes", "M1": "no"}
    for change in ({"rules_hash": 6}, {"yes_sub_title": "No"}, {"decided_ts": datetime(2028, 1, 1, tzinfo=UTC)}):
        assert find(rows[0], rows[1] | change).is_empty()


def combination(legs, sides, bid, ask):
    strike = {"Associated Events": "A,B", "Associated Market Sides": sides, "Associated Markets": legs}
    return quote(
        bid, ask, ticker="COMBO", event_ticker="KXMVE-1", strike_type="custom", strike_target=json.dumps(strike)
    )


def test_a_combination_is_worth_no_more_than_any_of_its_legs():
    legs = quote(20, 30, ticker="A-1", event_ticker="A"), quote(85, 90, ticker="B-1", event_ticker="B")
    (trade,) = find(*legs, combination("A-1,B-1", "yes,yes", 45, 50)).to_dicts()
    assert (trade["kind"], trade["certainty"]) == ("combination", "assumed")
    assert "every leg" in trade["needs"]
    assert {leg["ticker"]: leg["side"] for leg in trade["legs"]} == {"A-1": "yes", "COMBO": "no"}
    assert find(*legs, combination("A-1,B-1", "yes,yes", 25, 28)).is_empty()


def test_a_combination_that_needs_no_of_a_leg_is_compared_with_its_no():
    leg = quote(85, 90, ticker="B-1", event_ticker="B")
    (trade,) = find(leg, combination("B-1", "no", 45, 50)).to_dicts()
    assert {leg["ticker"]: leg["side"] for leg in trade["legs"]} == {"B-1": "no", "COMBO": "no"}
    assert find(leg, combination("B-1", "no", 10, 12)).is_empty()


def test_the_recorded_combinations_are_compared_with_their_recorded_legs(shared):
    recorded = json.loads((shared / "kalshi_api_recorded_2026-08" / "combo_priced_markets.json").read_text())
    rows = [*recorded["combos"], *recorded["legs"].values()]
    frame, _ = markets_frame([msgspec.json.decode(json.dumps(row), type=Market) for row in rows])
    rungs = all_rungs(frame.lazy()).collect().filter(family="combination")
    assert rungs["ladder"].n_unique() * 2 == rungs.height > 40
    assert set(rungs["ticker"]) == set(frame["ticker"])


def test_ladders_with_different_payouts_are_not_compared():
    floor = {"payout_low_u": 200_000, "payout_high_u": NOTIONAL_U}
    assert find(spread("LA", 1.5, 20, 30, **floor), spread("LA", 2.5, 60, 65)).is_empty()
    assert find(spread("LA", 1.5, 20, 30, **floor), spread("LA", 2.5, 60, 65, **floor)).height == 1


def test_a_basket_of_markets_with_a_floor_pays_less():
    exclusive = {"mutually_exclusive": True, "payout_low_u": 200_000, "payout_high_u": NOTIONAL_U}
    (trade,) = find(*(quote(50, 55, **exclusive) for _ in range(3))).filter(certainty=LOCKED).to_dicts()
    # Three NO: two lose 80 cents each at most, so 3 · 0.80 − 0.80 = $1.60 come back.
    assert trade["payoff_u"] == 100 * 1_600_000


def test_coherent_probabilities_do_not_order_two_subjects():
    rows = (spread("LA", 1.5, 20, 24), spread("HOU", 2.5, 60, 64))
    p = dict(coherent(markets(*rows)).select("ticker", "p").iter_rows())
    assert sorted(p.values()) == pytest.approx([0.22, 0.62])


def test_a_market_can_be_on_several_ladders():
    rows = [
        *map(_with_hex, [game("TB", 30, 35), game("HOU", 40, 70), spread("TB", 1.5, 45, 50), spread("TB", 2.5, 9, 50)])
    ]
    families = all_rungs(markets(*rows).lazy()).collect().group_by("family").len()
    assert dict(families.iter_rows()) == {"ladder": 2, "margin": 3}

"""Polls, averages, races and what the model makes of them: what is given, and what is refused with its reason."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairline.config.model_settings import model_settings
from fairline.errors import InputError
from fairline.market.frame import MARKETS
from fairline.models import load
from fairline.models.linking import MIN_CONFIDENCE
from fairline.models.politics.election import (
    DRIFT_ALL,
    DRIFT_PLACE,
    ERROR_ALL,
    ERROR_PLACE,
    average,
    simulate,
    win_probability,
)
from fairline.models.politics.model import election_day
from fairline.models.politics.polls import POLLS, read_polls
from fairline.models.politics.races import link_races
from fairline.models.politics.states import electors
from fairline.sources import Payload

NOW = datetime(2028, 10, 1, 16, tzinfo=UTC)
HEAD = "poll_id,question_id,office_type,cycle,state,pollster,fte_grade,sample_size,population,partisan,end_date,candidate_party,candidate_name,pct\n"  # noqa: E501


def lines(poll, dem, rep, state="Ohio", office="U.S. Senate", end="2028-09-25", **more):
    about = {
        "population": "lv",
        "grade": "B",
        "partisan": "",
        "question": poll,
        "names": ("Ann", "Bob"),
        "n": 600,
    } | more
    return "".join(
        f"{poll},{about['question']},{office},2028,{state},P{poll},{about['grade']},{about['n']},{about['population']},"
        f"{about['partisan']},{end},{party},{name},{share}\n"
        for party, name, share in zip(("DEM", "REP"), about["names"], (dem, rep), strict=True)
    )


def market(event="SENATEOH-28", code="D", name="Democratic", **more):
    return dict.fromkeys(MARKETS) | {
        "ticker": f"{event}-{code}", "event_ticker": event, "status": "active", "market_type": "binary",
        "yes_sub_title": name, "close_ts": datetime(2029, 1, 3, tzinfo=UTC), **more,
    }  # fmt: skip


def predict(text, *rows, now=NOW, past=None):
    model, markets = load("polls", model_settings()), pl.DataFrame(rows, schema=MARKETS)
    bodies = [text.encode(), past]
    payloads = Missing({r: Payload(r, now, b) for r, b in zip(model.requests(markets, now), bodies, strict=False) if b})
    result = model.predict(markets.filter(model.covers(markets)), payloads, now)
    return result.filter(pl.col("p").is_not_null()), "\n".join(result["note"].drop_nulls())


class Missing(dict):
    def __missing__(self, request):
        raise InputError(f"{request.shown} is missing", remedy="Put it there")


def test_a_seat_is_priced_by_polls_their_error_and_the_time_left():
    text = HEAD + "".join(lines(n, 50, 46) for n in range(5))
    result, notes = predict(text, market(), market(code="R", name="Republican"))
    assert notes == ""
    assert result["p"].sum() == pytest.approx(1.0)
    assert 0.65 < result["p"][0] < 0.8, "four points ahead, five weeks before"
    later, _ = predict(text, market(), now=datetime(2028, 11, 7, 12, tzinfo=UTC))
    assert later["p"][0] > result["p"][0], "the same lead is worth more on the day"


@pytest.mark.parametrize(
    ("text", "row", "now", "message"),
    [
        (HEAD + lines(1, 50, 46) + lines(2, 50, 46), market(), NOW, "fewer than 3 usable polls"),
        (HEAD + "".join(lines(n, 50, 46, end="2028-07-01") for n in range(3)), market(), NOW, "is 92 days old"),
        (HEAD + "".join(lines(n, 50, 46) for n in range(3)), market(), NOW + timedelta(days=40), "is over"),
        (HEAD + "".join(lines(n, 50, 46) for n in range(3)), market(), NOW - timedelta(days=500), "days away"),
        (HEAD + "".join(lines(n, 50, 46) for n in range(3)), market("SENATEOHS-28"), NOW, "fewer than 3 usable polls"),
        (HEAD + "".join(lines(n, 50, 46) for n in range(3)), market(name="Republican"), NOW, "their link is uncertain"),
        (HEAD + "".join(lines(n, 50, 46) for n in range(3)), market(name="Ann Smith"), NOW, "their link is uncertain"),
        (HEAD + "".join(lines(n, 50, 46, "", "U.S. President") for n in range(3)), market("KXPRESPARTY-2028"), NOW,
         "past-results.csv is missing"),
    ],
)  # fmt: skip
def test_races_without_enough_polls_are_not_priced(text, row, now, message):
    result, notes = predict(text, row, now=now)
    assert result.is_empty()
    assert message in notes


def test_the_presidency_needs_every_state_to_have_a_poll_or_a_past():
    states = [place for place in electors(2028) if "-" not in place and place != "DC"]
    text = HEAD + "".join(lines(n, 50, 46, place, "U.S. President") for n, place in enumerate(states[:20]))
    text += "".join(lines(n, 50, 46, "", "U.S. President") for n in range(900, 905))
    past = "year,state,dem,rep\n" + "".join(f"2024,{place},0.48,0.49\n" for place in states)
    market_ = market("KXPRESPARTY-2028")
    assert "DC has neither a poll nor a past result" in predict(text, market_, past=past.encode())[1]
    result, notes = predict(text, market_, past=(past + "2024,DC,0.9,0.06\n").encode())
    assert notes == ""
    assert result["p"][0] > 0.7
    assert "the past results cannot be used" in predict(text, market_, past=b"a,b\n1,2\n")[1]


def test_the_likeliest_voters_count_and_questions_are_averaged():
    text = HEAD + lines(1, 50, 40) + lines(1, 44, 44, population="rv") + lines(1, 48, 42, question=9)
    polls, faults = read_polls(text.encode())
    assert faults == []
    (row,) = polls.select("place", "office", "year", "dem", "rep").rows()
    assert row == ("OH", "senate", 2028, 49.0, 41.0)


def test_primaries_and_earlier_match_ups_are_left_out():
    text = HEAD + lines(1, 50, 40) + lines(2, 51, 41) + lines(3, 20, 70, names=("Zed", "Bob"))
    polls, faults = read_polls(text.encode())
    assert polls["dem"].to_list() == [50.0, 51.0]
    assert faults == ["1 questions ask about others than most of the latest, such as Bob and Zed"]
    polls, faults = read_polls((HEAD + lines(1, 50, 40).replace("REP", "DEM")).encode())
    assert polls.is_empty()
    assert faults == ["the latest questions on senate OH 2028 name two Democrats: the race is left out"]


def test_the_latest_match_up_counts_not_the_most_frequent():
    before = "".join(lines(n, 38, 56, names=("Zed", "Bob"), end=f"2028-08-{1 + n:02}") for n in range(12))
    after = "".join(lines(100 + n, 53, 43, end=f"2028-09-{10 + n:02}") for n in range(5))
    with_them, alone = (predict(HEAD + text, market())[0]["p"][0] for text in (before + after, after))
    assert with_them == pytest.approx(alone, abs=0.02)


def test_future_polls_do_not_decide_who_is_on_the_ballot():
    now = "".join(lines(n, 50, 46) for n in range(4))
    later = "".join(lines(n, 10, 86, names=("Cyd", "Bob"), end="2028-10-30") for n in range(50, 60))
    assert predict(HEAD + now + later, market())[0]["p"].equals(predict(HEAD + now, market())[0]["p"])


def test_duplicate_rows_of_a_file_count_once():
    body = "".join(lines(n, 50, 46) for n in range(4))
    assert read_polls((HEAD + body + body).encode())[0].equals(read_polls((HEAD + body).encode())[0])


@pytest.mark.parametrize("size", ["nan", "0", "-5", "inf", ""])
def test_an_invalid_sample_size_counts_as_unknown(size):
    text = HEAD + "".join(lines(n, 50, 46, n=size) for n in range(3))
    assert 0.5 < predict(text, market())[0]["p"][0] < 0.9


def test_races_of_three_and_two_seats_at_once_are_not_priced():
    third = "".join(f"{n},{n},U.S. Senate,2028,Ohio,P{n},B,600,lv,,2028-09-25,IND,Dan,20\n" for n in range(5))
    body = "".join(lines(n, 40, 36) for n in range(5))
    assert (
        "the latest questions on senate OH 2028 name a strong independent" in predict(HEAD + body + third, market())[1]
    )
    rows = [market(), market(code="R", name="Republican"), market(code="DOSB", name="Dan")]
    assert "3 markets are not priced: their link is uncertain" in predict(HEAD + body, *rows)[1]
    two = HEAD.replace("state,", "seat_name,state,") + body.replace(",Ohio,", ",Class II,Ohio,")
    two += body.replace(",Ohio,", ",Class III,Ohio,")
    result, notes = predict(two, market())
    assert result.is_empty()
    assert "two seats of OH are contested" in notes


def test_nothing_is_priced_after_polls_close_and_nothing_is_certain():
    text = HEAD + "".join(lines(n, 80, 15, end="2028-11-05") for n in range(10))
    before, _ = predict(text, market(), now=datetime(2028, 11, 7, 22, 59, tzinfo=UTC))
    assert before.select("p", "p_sd").row(0) == (0.995, 0.01)
    after, notes = predict(text, market(), now=datetime(2028, 11, 7, 23, 0, tzinfo=UTC))
    assert after.is_empty()
    assert "its election day is over" in notes


def test_a_pollster_that_polled_in_better_days_has_no_house_effect():
    today = date(2028, 10, 1)
    nation = [
        ("US", f"N{n}", today - timedelta(days=3 * n), 48 + 0.2 * 3 * n / 2, 48 - 0.2 * 3 * n / 2) for n in range(20)
    ]
    old = [("US", "Z", today - timedelta(days=age), 48 + 0.1 * age, 48 - 0.1 * age) for age in (45, 50, 55, 60)]
    state = [("OH", "Z", today, 48.0, 48.0)]
    result = average(frame(nation + old + state), today, {}).filter(pl.col("place") == "OH")
    assert result["dem"][0] - result["rep"][0] == pytest.approx(0, abs=0.3)


def test_invalid_past_results_are_not_used():
    states = [place for place in electors(2028) if "-" not in place]
    text = HEAD + "".join(lines(n, 50, 46, place, "U.S. President") for n, place in enumerate(states[:20]))
    text += "".join(lines(n, 50, 46, "", "U.S. President") for n in range(900, 905))
    past = "year,state,dem,rep\n" + "".join(f"2024,{place},0.48,0.49\n" for place in states)
    row = market("KXPRESPARTY-2028")
    plain = predict(text, row, past=past.encode())[0]["p"]
    assert predict(text, row, past=(past + "2028,OH,0.9,0.1\n2024,PR,,0.3\n").encode())[0]["p"].equals(plain)
    assert "not all between 0 and 1" in predict(text, row, past=past.replace("0.48", "48").encode())[1]


def test_unusable_rows_are_counted_with_a_line_number():
    text = HEAD + lines(1, 50, 40) + lines(2, 50, 40, end="soon") + lines(3, 50, 40, "Atlantis") + lines(4, 5, 400)
    text += lines(5, 50, 40, office="Mayor")
    polls, faults = read_polls(text.encode())
    assert polls.height == 1
    assert faults.pop() == "1 questions do not name one candidate of each party", "one lost an answer above"
    assert [fault.partition(": ")[2] for fault in faults] == [
        "soon is not a date", "Atlantis is not a place", "the share is not a percentage", "Mayor is not a known office",
    ]  # fmt: skip
    assert faults[0].startswith("2 rows such as line 4")
    with pytest.raises(InputError, match="have no column state"):
        read_polls(b"a\n1\n")
    with pytest.raises(InputError, match="are not a CSV file"):
        read_polls(b"")


def frame(rows):
    full = [("x", "senate", 2028, place, pollster, "B", 600.0, "lv", False, end, dem, rep, 0.0)
            for place, pollster, end, dem, rep in rows]  # fmt: skip
    return pl.DataFrame(full, schema=POLLS, orient="row")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["US", "OH", "TX"]), st.sampled_from("ABC"), st.integers(0, 300), st.floats(30, 60),
                  st.floats(30, 60)), min_size=1, max_size=25),
)  # fmt: skip
def test_an_average_lies_between_its_polls_and_ignores_later_ones(rows):
    today = date(2028, 10, 1)
    polls = frame([(place, who, today - timedelta(days=age), dem, rep) for place, who, age, dem, rep in rows])
    result = average(polls, today, {})
    shares = [share for row in rows for share in row[3:]]
    assert result["dem"].is_between(min(shares) - 31, max(shares) + 31).all()
    assert (result["weight"] > 0).all()
    later = frame([("OH", "A", today + timedelta(days=1), 0.0, 99.0)])
    assert average(pl.concat([polls, later]), today, {}).equals(result)


def test_a_single_biased_pollster_does_not_move_the_average_fully():
    end = date(2028, 9, 30)
    others = [("OH", f"P{n}", end, 48.0, 48.0) for n in range(6)]
    biased = [(place, "Z", end, 58.0, 38.0) for place in ("OH", "TX", "FL", "PA")]
    fair = [(place, f"Q{n}", end, 48.0, 48.0) for n in range(4) for place in ("TX", "FL", "PA")]
    result = average(frame(others + biased + fair), date(2028, 10, 1), {}).filter(pl.col("place") == "OH")
    assert result["dem"][0] < np.mean([48.0] * 6 + [58.0]), "its lean elsewhere is taken off"


def test_win_probabilities_are_those_of_a_normal_margin():
    weight = np.array([1e12])
    p, sd = win_probability(np.array([0.0]), 100, weight)
    assert p[0] == pytest.approx(0.5)
    expected = ERROR_ALL**2 + ERROR_PLACE**2 + 100 * (DRIFT_ALL**2 + DRIFT_PLACE**2)
    assert sd[0] ** 2 == pytest.approx(expected)
    won = simulate(np.array([sd[0]]), weight, np.array([1]), 100, runs=100_000)
    assert won.mean() == pytest.approx(0.8413, abs=0.005)


def test_errors_of_places_are_correlated():
    margin, weight, votes = np.zeros(50), np.full(50, 1e12), np.ones(50, dtype=np.int64)
    seats = simulate(margin, weight, votes, 0)
    assert seats.mean() == pytest.approx(25, abs=0.5)
    assert seats.std() > 3 * np.sqrt(50) / 2


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (market(), ("senate", "OH", 2028, "dem")),
        (market("GOVPARTYNH-28", "R", "Republican Party"), ("governor", "NH", 2028, "rep")),
        (market("KXPRESPARTY-2028", "R", "Republican"), ("president", "US", 2028, "rep")),
    ],
)
def test_races_are_linked_by_event_ticker_and_name(row, expected):
    (result,) = link_races(pl.DataFrame([row], schema=MARKETS)).to_dicts()
    assert (result["office"], result["place"], result["year"], result["side"]) == expected
    assert result["confidence"] >= MIN_CONFIDENCE


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (market(code="JFET", name="John"), "it is not about one of the two parties"),
        (market(name="Republican"), "the outcome is Republican, the ticker says dem"),
        (market(rules_named=False), "the rules do not name Democratic"),
        (market(market_type="scalar"), "has no YES and NO"),
        (market(close_ts=datetime(2027, 1, 1, tzinfo=UTC)), "before the year of its ticker"),
    ],
)
def test_a_race_that_contradicts_itself_is_not_linked(row, message):
    (result,) = link_races(pl.DataFrame([row], schema=MARKETS)).to_dicts()
    assert message in result["reason"]


def test_other_events_are_not_races():
    wrong = link_races(pl.DataFrame([market("SENATEUS-28"), market("SENATEXX-28")], schema=MARKETS))
    assert wrong["confidence"].to_list() == [0.0, 0.0]
    rows = [market("SENATEOH-28NOV"), market("KXHOUSERACE-28"), market("SENATEOHIO-28"), market("KXSENATEX-2028")]
    assert link_races(pl.DataFrame(rows, schema=MARKETS)).is_empty()


def test_there_are_538_electors_and_election_day_is_a_tuesday():
    for year in (2012, 2016, 2020, 2024, 2028):
        assert sum(electors(year).values()) == 538
        assert election_day(year).weekday() == 1
    assert election_day(2020) == date(2020, 11, 3)
    assert election_day(2022) == date(2022, 11, 8)
    with pytest.raises(InputError, match="2032 are unknown"):
        electors(2032)


NEW_HEAD = HEAD.replace("candidate_party", "party").replace("fte_grade", "numeric_grade")


def test_the_columns_of_2021_to_2024_are_read():
    polls, faults = read_polls((NEW_HEAD + "".join(lines(n, 50, 46, grade="2.5") for n in range(3))).encode())
    assert faults == []
    assert polls.select("dem", "rep", "grade").unique().rows() == [(50.0, 46.0, "2.5")]
    priced, _ = predict(NEW_HEAD + "".join(lines(n, 50, 46, grade="2.5") for n in range(4)), market())
    assert 0.6 < priced["p"][0] < 0.9


def test_a_better_pollster_counts_more_by_stars_as_by_letters():
    def average_of(good, poor):
        text = HEAD + lines(1, 60, 30, grade=good) + lines(2, 40, 50, grade=poor) + lines(3, 50, 40, grade=poor)
        return average(read_polls(text.encode())[0], date(2028, 9, 26), {})["dem"][0]

    assert average_of("3.0", "0.5") > average_of("1.5", "1.5") > average_of("0.5", "3.0")
    assert average_of("A", "C") > average_of("B", "B")


def answer(poll, party, name, share, end="2028-09-28"):
    return f"{poll},{poll},U.S. Senate,2028,Ohio,P{poll},B,600,lv,,{end},{party},{name},{share}\n"


OLD = "".join(lines(n, 50, 46, end="2028-08-15") for n in range(8))


@pytest.mark.parametrize(
    ("latest", "reason"),
    [
        ((("REP", "Bob", 46), ("IND", "Dan", 44)), "no Democrat"),
        ((("DEM", "Ann", 46), ("IND", "Dan", 44)), "no Republican"),
        ((("DEM", "Ann", 46), ("DEM", "Eve", 44)), "two Democrats"),
        ((("REP", "Bob", 46), ("REP", "Guy", 44)), "two Republicans"),
        ((("DEM", "Ann", 40), ("REP", "Bob", 36), ("IND", "Dan", 20)), "a strong independent"),
    ],
)
def test_the_latest_questions_decide_who_is_running(latest, reason):
    """Earlier match-ups between a Democrat and a Republican do not price a race that is none."""
    text = HEAD + OLD + "".join(answer(n, *candidate) for n in range(100, 105) for candidate in latest)
    priced, notes = predict(text, market())
    assert priced.is_empty()
    assert f"the latest questions on senate OH 2028 name {reason}: the race is left out" in notes
    assert predict(HEAD + OLD, market())[0].height == 1


def test_one_odd_question_does_not_leave_a_race_out():
    text = (
        HEAD + "".join(lines(n, 50, 46) for n in range(5)) + answer(90, "REP", "Bob", 46) + answer(90, "IND", "D", 40)
    )
    priced, notes = predict(text, market())
    assert priced.height == 1
    assert notes == "1 questions do not name one candidate of each party"

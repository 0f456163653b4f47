"""Results as the usual sources write them, with what cannot be used named by line."""

import io
from datetime import date

import polars as pl
import pytest

from fairline.errors import InputError
from fairline.models.sports.results import read_results
from fairline.models.sports.teams import load_leagues

NFL, EPL = load_leagues()["nfl"], load_leagues()["epl"]


@pytest.mark.parametrize(
    "text",
    [
        "date,home,away,home_score,away_score\n2026-09-13,NYG,DAL,20,17\n",
        "gameday,home_team,away_team,home_score,away_score\n20260913,New York Giants,Cowboys,20.0,17.0\n",
        "schedule_date,team_home,score_home,score_away,team_away\n9/13/2026,new york g,20,17,Dallas\n",
        "\ufeffDate,Team1,Team2,Score1,Score2\n2026-09-13T20:00:00Z,NYG,DAL,20,17\n",
    ],
)
def test_columns_dates_and_names_of_the_usual_sources_are_read(text):
    games, faults = read_results(text.encode(), NFL)
    assert faults == []
    (row,) = games.to_dicts()
    assert (row["day"], row["home"], row["away"], row["score1"], row["score2"]) == (
        date(2026, 9, 13), "NYG", "DAL", 20, 17,
    )  # fmt: skip


def test_parquet_is_read_too():
    body = io.BytesIO()
    pl.DataFrame({"date": [date(2026, 9, 13)], "home": ["NYG"], "away": ["DAL"], "home_score": [1], "away_score": [2]}
                 ).write_parquet(body)  # fmt: skip
    assert read_results(body.getvalue(), NFL)[0]["score2"].to_list() == [2]


def test_a_season_begins_after_a_break_of_two_months_if_the_file_does_not_say():
    text = "date,home,away,home_score,away_score\n" + "".join(
        f"{day},ARS,LEE,1,0\n" for day in ("2025-11-16", "2025-12-01", "2026-01-02", "2026-02-20", "2026-04-21")
    )
    assert read_results(text.encode(), EPL)[0]["season"].to_list() == [2025, 2025, 2025, 2025, 2026]


def test_unusable_lines_are_reported_and_the_rest_is_used():
    text = (
        "date,home,away,home_score,away_score\n2026-08-15,ARS,LEE,1,0\nsoon,ARS,LEE,1,0\n2026-08-16,Roma,LEE,1,0\n"
        "2026-08-17,ARS,LEE,1,-\n2026-08-18,ARS,LEE,,\n2026-08-19,ARS,,1,1\n2026-08-20,ARS,LEE,-1,2\n"
    )
    games, faults = read_results(text.encode(), EPL)
    assert games["score1"].to_list() == [1, 1, None], "one to come has no score"
    assert games["home"].to_list() == ["ARS", "Roma", "ARS"]
    assert faults == [
        "line 3: soon is not a date",
        "line 5: the score is not two numbers",
        "line 7: it does not name two teams",
        "line 8: the score is not two numbers",
        "Roma and 0 other teams are unknown and keep their own names",
    ]


def test_a_game_that_is_listed_twice_counts_once():
    head, row = "date,home,away,home_score,away_score", "2026-08-15,ARS,LEE,1,0\n"
    games, faults = read_results(f"{head}\n{row}{row}2026-08-16,ARS,LEE,,\n".encode(), EPL)
    assert (games.height, faults) == (2, ["1 rows repeat a game and were dropped"])
    both = f"game_pk,{head}\n1,{row}2,{row}"
    assert read_results(both.encode(), EPL)[0].height == 2, "a doubleheader that ended alike"


@pytest.mark.parametrize("empty", ["", "NA", "nan", "NULL"])
def test_empty_values_of_pandas_are_empty(empty):
    text = f"date,home,away,home_score,away_score,season\n2026-08-15,ARS,LEE,{empty},{empty},{empty}\n"
    (row,) = read_results(text.encode(), EPL)[0].to_dicts()
    assert (row["score1"], row["score2"], row["season"]) == (None, None, 2026)
    odd = "date,home,away,home_score,away_score,season\n2026-08-15,ARS,LEE,1e300,inf,inf\n"
    assert read_results(odd.encode(), EPL)[1] == ["line 2: the score is not two numbers"]


def test_dates_follow_the_leagues_order_of_day_and_month():
    head = "date,home,away,home_score,away_score\n"
    days = read_results(f"{head}05/08/26,ARS,LEE,1,0\n06/08/2026,ARS,LEE,1,0\n".encode(), EPL)[0]["day"].to_list()
    assert days == [date(2026, 8, 5), date(2026, 8, 6)]
    assert read_results(f"{head}09/10/26,NYG,DAL,1,0\n".encode(), NFL)[0]["day"].to_list() == [date(2026, 9, 10)]
    assert read_results(f"{head}13/09/26,NYG,DAL,1,0\n".encode(), NFL)[0]["day"].to_list() == [date(2026, 9, 13)]


def test_a_missing_season_is_that_of_the_previous_game():
    rows = [("2025-11-01", "2026"), ("2025-12-01", "2026"), ("2025-12-20", ""), ("2026-10-20", "")]
    text = "date,home,away,home_score,away_score,season\n" + "".join(f"{d},NYG,DAL,1,0,{s}\n" for d, s in rows)
    assert read_results(text.encode(), NFL)[0]["season"].to_list() == [2026, 2026, 2026, 2027]


@pytest.mark.parametrize(
    ("body", "message"),
    [(b"", "neither CSV nor Parquet"), (b"a,b\n1,2\n", "no column date and home"), (b"PAR1x", "neither")],
)
def test_a_file_that_is_not_a_file_of_results_is_refused(body, message):
    with pytest.raises(InputError, match=message):
        read_results(body, EPL)

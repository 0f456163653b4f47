"""Which game a market is about: evidence that agrees, or no link and the reason."""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from fairline.config.model_settings import read_user_file
from fairline.errors import ConfigError
from fairline.market.frame import MARKETS
from fairline.models.linking import MIN_CONFIDENCE
from fairline.models.sports.games import link_games, match_fixtures
from fairline.models.sports.teams import League, age_note, load_leagues

DETROIT, PHILADELPHIA = "8905d233-d4fc-485d-9df7-3092bb192b3e", "bf277158-b28d-4a0e-aa3b-54fd3acd3009"
GAME = {"ticker": "KXMLBGAME-26JUL101840PHIDET-DET", "event_ticker": "KXMLBGAME-26JUL101840PHIDET",
        "series_ticker": "KXMLBGAME", "market_type": "binary", "yes_sub_title": "Detroit", "target": DETROIT,
        "rules_day": date(2026, 7, 10), "rules_named": True,
        "decided_ts": datetime(2026, 7, 11, 1, 40, tzinfo=UTC)}  # fmt: skip
OTHER = GAME | {"ticker": "KXMLBGAME-26JUL101840PHIDET-PHI", "yes_sub_title": "Philadelphia", "target": PHILADELPHIA}
MATCH = GAME | {"event_ticker": "KXEPLGAME-26AUG15ARSWBA", "series_ticker": "KXEPLGAME", "target": None,
                "rules_day": date(2026, 8, 15), "decided_ts": None}  # fmt: skip


def link_rows(*rows, known=None):
    return link_games(pl.DataFrame([dict.fromkeys(MARKETS) | row for row in rows], schema=MARKETS), known).to_dicts()


def test_the_second_team_is_at_home_and_yes_pays_the_markets_own_team():
    (result,) = link_rows(GAME)
    assert (result["league"], result["home"], result["away"], result["side"]) == ("mlb", "DET", "PHI", "home")
    assert result["start_ts"] == datetime(2026, 7, 10, 22, 40, tzinfo=UTC), "18:40 in New York, in summer"
    assert result["confidence"] >= MIN_CONFIDENCE
    assert link_rows(OTHER)[0]["side"] == "away"


def test_a_tie_is_a_side_and_an_unknown_code_is_found_from_the_other_market():
    rows = [
        MATCH | {"ticker": "KXEPLGAME-26AUG15ARSWBA-ARS", "yes_sub_title": "Arsenal"},
        MATCH | {"ticker": "KXEPLGAME-26AUG15ARSWBA-WBA", "yes_sub_title": "Reg Time: Wolves"},
        MATCH | {"ticker": "KXEPLGAME-26AUG15ARSWBA-TIE", "yes_sub_title": "Tie"},
    ]
    result = link_rows(*rows)
    assert [row["side"] for row in result] == ["home", "away", "tie"]
    assert {(row["home"], row["away"]) for row in result} == {("ARS", "WOL")}, "the first named is at home"
    assert link_rows(rows[2])[0]["reason"], "a tie alone names no team"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": PHILADELPHIA}, "the target is PHI, the ticker says DET"),
        ({"target": None, "yes_sub_title": "Philadelphia"}, "the outcome is PHI, the ticker says DET"),
        ({"rules_named": False}, "the rules do not name Detroit"),
        ({"rules_day": date(2026, 7, 11)}, "the ticker says 2026-07-10, the rules 2026-07-11"),
        ({"decided_ts": datetime(2026, 7, 20, tzinfo=UTC)}, "it is decided on 2026-07-19, not on 2026-07-10"),
        ({"decided_ts": datetime(2026, 7, 9, 16, tzinfo=UTC)}, "it is decided on 2026-07-09, not on 2026-07-10"),
        ({"decided_ts": datetime(2026, 7, 10, 20, 0, tzinfo=UTC)}, "is expected at 2026-07-10 20:00, before"),
        ({"market_type": "scalar"}, "a scalar market has no YES and NO"),
        ({"event_ticker": "KXMLBGAME-PHIDET"}, "the ticker is not that of a game"),
        ({"ticker": "KXMLBGAME-26JUL101840PHIDET-XYZ", "yes_sub_title": "X", "target": None}, "no team is known as X"),
        (
            {"event_ticker": "KXMLBGAME-26JUL101840PHIXYZ", "ticker": "KXMLBGAME-26JUL101840PHIXYZ-PHI",
             "yes_sub_title": "Philadelphia", "target": None},
            "PHIXYZ are not two known teams",
        ),
    ],
)  # fmt: skip
def test_contradictory_evidence_is_not_linked(changes, message):
    (result,) = link_rows(GAME | changes)
    assert message in result["reason"]
    assert result["confidence"] == 0


MILESTONE = {"milestone_ts": datetime(2026, 7, 10, 22, 45, tzinfo=UTC), "home_target": DETROIT,
             "away_target": PHILADELPHIA}  # fmt: skip
CLOCKLESS = GAME | {"ticker": "KXMLBGAME-26JUL10PHIDET-DET", "event_ticker": "KXMLBGAME-26JUL10PHIDET"}


def test_a_milestone_confirms_a_game_and_gives_its_start_if_the_ticker_does_not():
    result = link_rows(GAME | MILESTONE, OTHER | MILESTONE)
    assert [row["side"] for row in result] == ["home", "away"]
    assert all(", milestone" in row["evidence"] and row["confidence"] >= MIN_CONFIDENCE for row in result)
    assert {row["start_ts"] for row in result} == {datetime(2026, 7, 10, 22, 40, tzinfo=UTC)}
    (result,) = link_rows(CLOCKLESS | MILESTONE)
    assert (result["start_ts"], result["likely_ts"]) == (None, MILESTONE["milestone_ts"])


def test_the_same_target_twice_is_one_piece_of_evidence():
    bare = dict.fromkeys(("yes_sub_title", "rules_day", "rules_named", "decided_ts"))
    rows = [CLOCKLESS | bare | more | {"ticker": f"{CLOCKLESS['event_ticker']}-{code}", "target": target}
            for more in ({}, MILESTONE) for code, target in (("DET", "x"), ("PHI", PHILADELPHIA))]  # fmt: skip
    for two in (rows[:2], [row | {"home_target": "x"} for row in rows[2:]]):
        assert link_rows(*two)[0]["confidence"] == 0.9


@pytest.mark.parametrize(
    ("row", "milestone", "before"),
    [
        (GAME, datetime(2026, 7, 11, 3, 0, tzinfo=UTC), datetime(2026, 7, 10, 22, 40, tzinfo=UTC)),
        (GAME, datetime(2026, 7, 10, 20, 0, tzinfo=UTC), datetime(2026, 7, 10, 20, 0, tzinfo=UTC)),
        (CLOCKLESS, datetime(2026, 7, 11, 3, 0, tzinfo=UTC), datetime(2026, 7, 10, 21, 40, tzinfo=UTC)),
        (CLOCKLESS | {"decided_ts": None}, datetime(2026, 7, 11, 3, 0, tzinfo=UTC),
         datetime(2026, 7, 11, 3, 0, tzinfo=UTC)),
        (CLOCKLESS | {"decided_ts": None}, None, datetime(2026, 7, 10, 4, 0, tzinfo=UTC)),
        # A mere date, written as its midnight.
        (CLOCKLESS, datetime(2026, 7, 10, tzinfo=UTC), datetime(2026, 7, 10, 21, 40, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_a_game_may_have_started_as_soon_as_any_source_says_so(row, milestone, before):
    (result,) = link_rows(row | MILESTONE | {"milestone_ts": milestone})
    assert result["reason"] is None
    assert result["before_ts"] == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"home_target": PHILADELPHIA, "away_target": DETROIT}, "the milestone has another team at home"),
        ({"away_target": "b"}, "the milestone names another team"),
        ({"milestone_ts": datetime(2026, 7, 11, 17, 5, tzinfo=UTC)},
         "the ticker says 2026-07-10, the milestone 2026-07-11"),
        # It is of a different game, or names only one team.
        ({"home_target": "a", "away_target": "b", "milestone_ts": datetime(2026, 7, 20, tzinfo=UTC)}, None),
        ({"away_target": None}, None),
    ],
)  # fmt: skip
def test_a_contradicting_milestone_leaves_the_whole_game_unlinked(changes, message):
    for result in link_rows(GAME | MILESTONE | changes, OTHER | MILESTONE | changes):
        assert result["reason"] == message
        assert (result["confidence"] == 0) == (message is not None)


def test_a_tie_has_a_target_that_no_milestone_names():
    milestone = {"milestone_ts": datetime(2026, 8, 15, 14, tzinfo=UTC), "home_target": "h", "away_target": "a"}
    rows = [
        MATCH | milestone | {"ticker": f"KXEPLGAME-26AUG15ARSWBA-{code}", "yes_sub_title": name, "target": target}
        for code, name, target in (("ARS", "Arsenal", "h"), ("WBA", "Wolves", "a"), ("TIE", "Tie", "t"))
    ]
    assert [row["side"] for row in link_rows(*rows) if row["confidence"] >= MIN_CONFIDENCE] == ["home", "away", "tie"]


def test_two_games_of_a_day_are_distinguished_by_number_and_clock():
    early, late = datetime(2026, 7, 10, 17, 5, tzinfo=UTC), datetime(2026, 7, 10, 22, 40, tzinfo=UTC)
    fixtures = pl.DataFrame({
        "league": ["mlb"] * 2, "day": [date(2026, 7, 10)] * 2, "start_ts": [early, late], "home": ["DET"] * 2,
        "away": ["PHI"] * 2, "game": [1, 2],
    })  # fmt: skip
    rows = [
        GAME | MILESTONE | {"ticker": f"{event}-DET", "event_ticker": event, "milestone_ts": early}
        for event in ("KXMLBGAME-26JUL10PHIDETG2", "KXMLBGAME-26JUL101840PHIDETG2")
    ]
    links = link_games(pl.DataFrame([dict.fromkeys(MARKETS) | row for row in rows], schema=MARKETS))
    assert match_fixtures(links, fixtures)["game"].to_list() == [2, 2]


def test_one_piece_of_evidence_alone_is_not_enough():
    bare = dict.fromkeys(("target", "yes_sub_title", "rules_day", "rules_named", "decided_ts"))
    (result,) = link_rows(GAME | bare)
    assert result["reason"] is None
    assert result["confidence"] < MIN_CONFIDENCE


def test_two_games_of_a_pair_need_a_time_or_a_number():
    early, late = datetime(2026, 7, 10, 17, 10, tzinfo=UTC), datetime(2026, 7, 10, 22, 45, tzinfo=UTC)
    both = fixtures(early, late)
    timed = match_fixtures(frame(GAME), both)
    assert timed["score"].to_list() == [1], "22:40 is the one of 22:45"
    numbered = GAME | {"event_ticker": "KXMLBGAME-26JUL10PHIDETG1", "ticker": "KXMLBGAME-26JUL10PHIDETG1-DET"}
    first = match_fixtures(frame(numbered), both)
    assert first.select("score", "reason").rows() == [(0, None)]
    second = {name: text.replace("G1", "G2") for name, text in numbered.items() if name.endswith("ticker")}
    assert match_fixtures(frame(numbered | second), both).select("score", "reason").rows() == [(1, None)]
    bare = GAME | {"event_ticker": "KXMLBGAME-26JUL10PHIDET", "ticker": "KXMLBGAME-26JUL10PHIDET-DET"}
    assert match_fixtures(frame(bare), both)["score"].to_list() == [1], "by its expected answer"
    unknown = bare | {"decided_ts": None}
    assert match_fixtures(frame(unknown), both)["reason"].to_list() == ["2 games of PHI at DET on 2026-07-10"]
    assert match_fixtures(frame(bare), fixtures(None, None))["reason"].to_list() == [
        "2 games of PHI at DET on 2026-07-10"
    ]
    for one in (GAME, numbered, bare):
        (reason,) = match_fixtures(frame(one), fixtures(early))["reason"]
        assert reason == "start time does not match the only known game", "it could be either of two"


def test_a_market_whose_neighbour_contradicts_itself_is_not_linked():
    result = link_rows(GAME, OTHER | {"target": "c4a480e0-1cf0-4326-981f-dcf507692bf6"})
    assert result[0]["reason"] == "another market of the game contradicts itself"
    assert result[1]["reason"] == "the target is NYM, the ticker says PHI"


def test_a_postponed_game_has_no_fixture_on_its_day():
    moved = fixtures(datetime(2026, 7, 11, 22, 40, tzinfo=UTC)).with_columns(day=pl.lit(date(2026, 7, 11)))
    (result,) = match_fixtures(frame(GAME), moved).to_dicts()
    assert result["reason"] == "no game of PHI at DET on 2026-07-10 is known"


def test_a_users_file_adds_names_and_leagues(tmp_path):
    path = tmp_path / "teams.toml"
    path.write_text('[mlb.teams]\nDET = ["Motor City"]\n[xfl]\nseries = "KXXFL"\nhome = "first"\nteams = { A = [] }\n')
    known = load_leagues(read_user_file(path))
    assert known["xfl"] == League("xfl", "KXXFL", "first", teams={"A": []})
    (result,) = link_rows(GAME | {"yes_sub_title": "Motor City"}, known=known)
    assert result["reason"] is None
    assert "name" in result["evidence"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[mlb.teams]\nDET = ["Philadelphia"]\n', "'philadelphia' names both"),
        ('[mlb.teams]\nDET = "Detroit"\n', "Expected `array`, got `str`"),
        ('[mlb]\nhome = "third"\n', "Invalid enum value 'third'"),
        ("[mlb]\nhomes = 1\n", "unknown field `homes`"),
        ("mlb = 1\n", "mlb is not a table"),
        ("[[", "is not valid TOML"),
        ("[mlb]\nteams = 5\n", "Expected `object`, got `int`"),
        ("[mlb]\ntargets = []\n", "Expected `object`, got `array`"),
        ("[mlb]\nties = 'no'\n", "Expected `bool`, got `str`"),
        ("[mlb.targets]\nDET = 'bf277158-b28d-4a0e-aa3b-54fd3acd3009'\n", "two teams have the same target"),
        ("[x]\nseries = 'KXMLBGAME'\nhome = 'first'\n", "have the same series"),
    ],
)
def test_an_ambiguous_or_invalid_team_file_is_refused(tmp_path, text, message):
    path = tmp_path / "teams.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_leagues(read_user_file(path))


def frame(row):
    return link_games(pl.DataFrame([dict.fromkeys(MARKETS) | row], schema=MARKETS))


def fixtures(*starts):
    schema = {"league": pl.String, "day": pl.Date, "start_ts": pl.Datetime("us", "UTC"), "home": pl.String,
              "away": pl.String, "score": pl.Int64}  # fmt: skip
    rows = [("mlb", date(2026, 7, 10), start, "DET", "PHI", n) for n, start in enumerate(starts)]
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_a_promoted_club_is_linked_by_its_name_in_the_rules():
    rows = [
        MATCH | {"ticker": f"KXEPLGAME-26AUG15ARSCVC-{code}", "event_ticker": "KXEPLGAME-26AUG15ARSCVC",
                 "yes_sub_title": name}
        for code, name in (("ARS", "Arsenal"), ("CVC", "Coventry City"), ("TIE", "Tie"))
    ]  # fmt: skip
    links = link_rows(*rows)
    assert [(row["side"], row["away"], row["reason"]) for row in links] == [
        ("home", "COV", None), ("away", "COV", None), ("tie", "COV", None),
    ]  # fmt: skip
    assert min(row["confidence"] for row in links) >= MIN_CONFIDENCE


def test_an_unknown_club_is_reported_with_the_date_of_the_table():
    (link, *_) = link_rows(MATCH | {"ticker": "KXEPLGAME-26AUG15ARSXYZ-XYZ", "event_ticker": "KXEPLGAME-26AUG15ARSXYZ",
                                    "yes_sub_title": "Xyz Rovers"})  # fmt: skip
    assert link["reason"] == "no team is known as Xyz Rovers in teams.toml of 2026-08-02"


def test_an_id_of_the_exchange_that_differs_from_the_table_is_noticed():
    (link,) = link_rows(GAME | {"target": "00000000-0000-0000-0000-000000000000"})
    assert link["reason"] == "the exchange's id of DET is not the one in teams.toml of 2026-08-02"
    assert link["confidence"] == 0


def test_a_table_of_teams_older_than_a_season_is_reported():
    mlb = load_leagues()["mlb"]
    assert age_note(mlb, date(2027, 7, 1)) is None
    assert "the teams of mlb were last checked on 2026-08-02" in age_note(mlb, date(2027, 9, 1))
    assert age_note(League("x", "KXX", "first"), date(2030, 1, 1)) is None

"""Models of games: prices for what is surely linked, reasons for everything else."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import polars as pl
import pytest
from scipy.special import expit, logit

from fairline.config.model_settings import model_settings
from fairline.errors import InputError
from fairline.market.frame import MARKETS
from fairline.models import load
from fairline.models.sports.ratings import GAMES, load_parameters, rate, three_way
from fairline.sources import Payload

NOW = datetime(2026, 7, 10, 15, 0, tzinfo=UTC)
EVENT = "KXMLBGAME-26JUL101840PHIDET"
NAMES = {"DET": "Detroit", "PHI": "Philadelphia"}
RESULTS = "date,home,away,home_score,away_score\n" + "".join(
    f"2026-07-{day:02},DET,PHI,{5 if day < 7 else 1},3\n" for day in range(1, 9)
)
EPL = "KXEPLGAME-26AUG15ARSLEE"


def market(code, event=EVENT, **more):
    return dict.fromkeys(MARKETS) | {
        "ticker": f"{event}-{code}", "event_ticker": event, "series_ticker": event.partition("-")[0],
        "status": "active", "market_type": "binary", "yes_sub_title": NAMES.get(code, code), **more,
    }  # fmt: skip


class Missing(dict):
    def __missing__(self, request):
        raise InputError(f"{request.shown} is missing", remedy="Put it there")


def predict(model, bodies, *rows, now=NOW):
    """Predictions by ticker, and the notes. `bodies` are by a part of the request's key."""
    result, frame = load(model, model_settings()), pl.DataFrame(rows, schema=MARKETS)
    payloads = Missing()
    for request in result.requests(frame, now):
        match = [body for part, body in bodies.items() if part in request.key]
        if match:
            payloads[request] = Payload(request, now, match[0])
    table = result.predict(frame.filter(result.covers(frame)), payloads, now)
    priced = table.filter(pl.col("p").is_not_null())
    return dict(priced.select("ticker", "p").iter_rows()), table["note"].drop_nulls().to_list(), priced


def test_elo_prices_both_sides_of_a_game_to_one():
    p, notes, rows = predict("elo", {"mlb.csv": RESULTS.encode()}, market("DET"), market("PHI"))
    assert notes == []
    assert sum(p.values()) == pytest.approx(1.0)
    assert p[f"{EVENT}-DET"] > 0.53, "at home, and won six of eight"
    assert rows["p_sd"].to_list() == pytest.approx([0.0672] * 2, abs=0.001), "47 points either way"


def test_elo_ignores_results_of_today_or_later():
    later = RESULTS + "2026-07-10,DET,PHI,0,30\n2026-07-11,DET,PHI,0,30\n"
    rows = [market("DET"), market("PHI")]
    assert (
        predict("elo", {"mlb.csv": later.encode()}, *rows)[0] == predict("elo", {"mlb.csv": RESULTS.encode()}, *rows)[0]
    )


@pytest.mark.parametrize(
    ("results", "now", "message"),
    [
        (RESULTS, datetime(2026, 7, 10, 22, 40, tzinfo=UTC), "they may have started"),
        *(
            (RESULTS.replace("2026-07", month), NOW, f"the results end on {month}-08: update them")
            for month in ("2026-06", "2026-05", "2026-04", "2026-02", "2025-10", "2025-05", "2024-10")
        ),
        (RESULTS.replace("2026", "2025"), datetime(2026, 2, 27, tzinfo=UTC), "the results end on 2025-07-08"),
        (RESULTS.replace("PHI", "NYM"), NOW, "a team has no result in two seasons"),
        (RESULTS.replace("2026", "2027"), NOW, "there are no results before today"),
        ("x", NOW, "have no column date"),
        (None, NOW, "mlb.csv is missing"),
    ],
)
def test_elo_does_not_price_from_outdated_results(results, now, message):
    bodies = {} if results is None else {"mlb.csv": results.encode()}
    p, notes, _ = predict("elo", bodies, market("DET"), now=now)
    assert p == {}
    assert message in "\n".join(notes)


def game(day):
    return f"KXMLBGAME-26{day}1840PHIDET"


def test_ratings_return_to_the_mean_once_per_season():
    text, now = RESULTS.replace("2026-07", "2025-10"), datetime(2026, 3, 25, tzinfo=UTC)
    fresh = predict("elo", {"mlb.csv": text.encode()}, market("DET", game("MAR30")), now=now)[0][f"{game('MAR30')}-DET"]
    same = predict("elo", {"mlb.csv": RESULTS.encode()}, market("DET"))[0][f"{EVENT}-DET"]
    home = expit(24 * 0.00575646)
    assert logit(fresh) - logit(home) == pytest.approx((logit(same) - logit(home)) * 2 / 3, rel=1e-3)


def test_a_games_price_does_not_depend_on_other_games():
    near, far = game("JUL12"), game("SEP20")
    alone = predict("elo", {"mlb.csv": RESULTS.encode()}, market("DET", near))[0][f"{near}-DET"]
    for rows in ([market("DET", far), market("DET", near)], [market("DET", near), market("DET", far)]):
        p, notes, _ = predict("elo", {"mlb.csv": RESULTS.encode()}, *rows)
        assert notes == [], "the results are of today; the season is the same in September"
        assert p == {f"{near}-DET": alone, f"{far}-DET": alone}


def test_games_that_do_not_count_are_not_priced():
    text = "date,home,away,home_score,away_score\n2026-02-08,DET,CHI,20,3\n"
    event = "KXNFLGAME-26AUG14CHIDET"
    p, notes, _ = predict(
        "elo", {"nfl.csv": text.encode()}, market("DET", event), now=datetime(2026, 8, 13, tzinfo=UTC)
    )
    assert p == {}
    assert "1 games are not priced: they are outside a season whose games count" in notes


def test_results_of_the_night_are_unknown_at_half_past_one():
    late = RESULTS + "2026-07-09,DET,PHI,0,30\n"
    night, morning = (datetime(2026, 7, 10, hour, 30, tzinfo=UTC) for hour in (5, 15))
    at_night, without = (predict("elo", {"mlb.csv": t.encode()}, market("DET"), now=night)[0] for t in (late, RESULTS))
    assert at_night == without
    assert predict("elo", {"mlb.csv": late.encode()}, market("DET"), now=morning)[0] != without


def test_a_draw_has_its_own_probability():
    text = "date,home,away,home_score,away_score\n2026-08-08,ARS,LEE,1,1\n"
    rows = [market(code, EPL) for code in ("ARS", "LEE", "TIE")]
    p, notes, _ = predict("elo", {"epl.csv": text.encode()}, *rows, now=datetime(2026, 8, 14, tzinfo=UTC))
    assert notes == []
    assert sum(p.values()) == pytest.approx(1.0)
    league = load_parameters()["epl"]
    win, tie = three_way(
        pl.Series([league.home - 2 * 25 * (1 / (1 + 10 ** (-75 / 400)) - 0.5)]).to_numpy(), league.draw
    )
    assert p[f"{EPL}-TIE"] == pytest.approx(tie[0])
    assert p[f"{EPL}-ARS"] == pytest.approx(win[0])


def odds(*quotes, start="2026-07-10T22:40:00Z", **more):
    """Return the Odds API's JSON: quotes are (book, odds on Detroit, on Philadelphia, seconds old)."""
    books = [
        {"key": key, "last_update": f"2026-07-10T{14 - old // 3600:02}:{59 - old % 3600 // 60:02}:00Z", "markets": [
            {"key": "h2h", "outcomes": [{"name": "Detroit Tigers", "price": home}, {"name": "Philadelphia Phillies",
                                                                                    "price": away}]},
            {"key": "spreads", "outcomes": [{"name": "Detroit Tigers", "price": 9.0, "point": -1.5}]},
        ]} for key, home, away, old in quotes
    ]  # fmt: skip
    event = {"id": "x", "sport_key": "baseball_mlb", "commence_time": start, "home_team": "Detroit Tigers",
             "away_team": "Philadelphia Phillies", "bookmakers": books}  # fmt: skip
    return json.dumps([event | more]).encode()


FOUR = (("a", 1.8, 2.1, 60), ("b", 1.8, 2.1, 60), ("c", 1.8, 2.1, 60), ("pinnacle", 1.9, 2.0, 60))


def test_the_consensus_is_the_weighted_mean_of_books_without_margin():
    p, notes, rows = predict("consensus", {"odds/mlb.json": odds(*FOUR)}, market("DET"), market("PHI"))
    assert notes == []
    assert sum(p.values()) == pytest.approx(1.0)
    plain = [(1 / home) / (1 / home + 1 / away) for _, home, away, _ in FOUR]
    expected = expit(sum(w * logit(q) for w, q in zip((1, 1, 1, 2), plain, strict=True)) / 5)
    assert p[f"{EVENT}-DET"] == pytest.approx(expected, abs=0.002), "removing a margin otherwise differs by less"
    assert rows["p_sd"].min() > 0.004
    agree = predict("consensus", {"odds/mlb.json": odds(*FOUR[:3])}, market("DET"))[2]
    assert agree["p_sd"].to_list() == [0.01], "agreement makes nothing certain"


def test_american_odds_give_the_same_probabilities():
    american = [(key, -125.0, 110.0, old) for key, _, _, old in FOUR]
    p = predict("consensus", {"odds/mlb.json": odds(*american)}, market("DET"))[0]
    same = predict("consensus", {"odds/mlb.json": odds(*((k, 1.8, 2.1, o) for k, _, _, o in FOUR))}, market("DET"))[0]
    assert p == pytest.approx(same)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (odds(*((key, h, a, 7_200) for key, h, a, _ in FOUR)), "fewer than 3 books have current odds"),
        (odds(*FOUR[:2]), "fewer than 3 books"),
        (odds(*[FOUR[0]] * 4), "fewer than 3 books"),
        (odds(*((f"unibet_{n}", 1.8, 2.1, 60) for n in "abcd")), "fewer than 3 books"),
        (odds(*((key, 0.0, a, old) for key, h, a, old in FOUR)), "fewer than 3 books"),
        (odds(*((key, None, a, old) for key, h, a, old in FOUR)), "fewer than 3 books"),
        (
            json.dumps(
                [
                    {
                        "commence_time": "2026-07-10T22:40:00Z",
                        "home_team": "Detroit",
                        "away_team": "Philadelphia",
                        "bookmakers": [{"key": "a"}],
                    }
                ]
            ).encode(),
            "no game of PHI at DET",
        ),
        (b" Date,Date,HomeTeam,AwayTeam,B365H,B365D,B365A\n1,2,3,4,5,6,7\n", "no game of PHI at DET"),
        (odds(*((key, h * 2, a * 2, old) for key, h, a, old in FOUR)), "fewer than 3 books"),
        (odds(*((key, 1.2, 1.3, old) for key, h, a, old in FOUR)), "fewer than 3 books"),
        (odds(*(("kalshi", h, a, old) for _, h, a, old in FOUR)), "fewer than 3 books"),
        (odds(*FOUR, start="2026-07-11T22:40:00Z"), "no game of PHI at DET on 2026-07-10 is known"),
        (odds(*FOUR, start="2026-07-10T18:10:00Z"), "start time does not match the only known game"),
        (odds(*FOUR, home_team="Rome"), "no team of mlb is known as Rome"),
        (odds(*FOUR, sport_key="baseball_npb"), "these are not the odds on mlb"),
        (b"{}", "unexpected format of the odds"),
        (b'[{"commence_time": 5}]', "unexpected format of the odds"),
        (b"[]", "no game of PHI at DET"),
        (b"", "neither JSON nor CSV"),
        (b"Date,HomeTeam,AwayTeam\n", "lack columns"),
    ],
)
def test_consensus_does_not_use_stale_few_or_unrelated_odds(body, message):
    p, notes, _ = predict("consensus", {"odds/mlb.json": body}, market("DET"))
    assert p == {}
    assert message in "\n".join(notes)


def test_consensus_prefers_a_file_and_reports_what_is_missing():
    other = odds(("a", 5.0, 1.2, 60), ("b", 5.0, 1.2, 60), ("c", 5.0, 1.2, 60))
    both = predict("consensus", {"odds/mlb.json": odds(*FOUR), "the-odds-api": other}, market("DET"))[0]
    assert both[f"{EVENT}-DET"] > 0.5
    assert predict("consensus", {"the-odds-api": other}, market("DET"))[0][f"{EVENT}-DET"] < 0.25
    _, notes, _ = predict("consensus", {}, market("DET"))
    assert (
        "1 markets of mlb are not priced: https://api.the-odds-api.com/v4/sports/baseball_mlb/odds is missing" in notes
    )


def test_football_data_prices_all_three_outcomes():
    text = ("Div,Date,HomeTeam,AwayTeam,FTHG,B365H,B365D,B365A,BWH,BWD,BWA,PSH,PSD,PSA,PSCH,PSCD,PSCA,AvgH,AvgD,AvgA\n"
            "E0,15/08/2026,Arsenal,Leeds,,1.5,4.5,7,1.5,4.5,7,1.52,4.6,7.2,9,9,9,9,9,9\n")  # fmt: skip
    rows = [market(code, EPL) for code in ("ARS", "LEE", "TIE")]
    p, notes, _ = predict("consensus", {"odds/epl.csv": text.encode()}, *rows, now=datetime(2026, 8, 14, tzinfo=UTC))
    assert notes == []
    assert sum(p.values()) == pytest.approx(1.0)
    assert p[f"{EPL}-ARS"] == pytest.approx(0.648, abs=0.01)


def test_compiled_ratings_equal_interpreted_ones(monkeypatch):
    pytest.importorskip("numba")
    rng = np.random.default_rng(1)
    one = rng.integers(0, 30, 25_000)
    games = pl.DataFrame({
        "season": 1900 + np.arange(25_000) // 400, "team1": [f"T{n}" for n in one],
        "team2": [f"T{n}" for n in (one + rng.integers(1, 30, 25_000)) % 30], "neutral": rng.random(25_000) < 0.1,
        "score1": rng.integers(0, 9, 25_000), "score2": rng.integers(0, 9, 25_000),
    }).with_columns(score1=pl.when(pl.int_range(pl.len()) < 24_990).then("score1"))  # fmt: skip
    for league in load_parameters().values():
        resets = msgspec.structs.replace(league, reset={"T31905": 1700.0, "T31906": 1100.0}, start={"T1": 1400.0})
        fast = rate(games, resets)
        monkeypatch.setattr("fairline.models.sports.ratings.compile_function", lambda _: None)
        plain = rate(games, resets)
        monkeypatch.undo()
        for name in ("elo1", "elo2", "p1", "after1", "after2"):
            assert fast[name].equals(plain[name], null_equal=True) or (fast[name] - plain[name]).abs().max() < 1e-9
        assert fast["after1"].null_count() == 10


def test_an_empty_list_of_games_is_rated():
    empty = pl.DataFrame(schema=GAMES)
    assert rate(empty, load_parameters()["nfl"]).height == 0


BOOKS = [(f"book{n}", 3.7 + 0.05 * n, 1.33, 60) for n in range(3)]


@pytest.mark.parametrize(
    "broken",
    [("betfair", 1.01, 50.0, 60), ("pinnacle", 1.33, 3.7, 60), ("a", 1.01, 50.0, 60), ("b", 90.0, 1.01, 60)],
    ids=["empty exchange", "swapped teams at a sharp book", "empty book", "reversed empty book"],
)
@pytest.mark.parametrize("good", [2, 3, 6])
def test_one_broken_bookmaker_does_not_move_the_consensus(broken, good):
    books = [(f"book{n}", 3.7 + 0.05 * n, 1.33, 60) for n in range(good)]
    p = predict("consensus", {"odds/mlb.json": odds(*books, broken)}, market("DET"))[0][f"{EVENT}-DET"]
    alone = [(1 / home) / (1 / home + 1 / away) for _, home, away, _ in books]
    assert p == pytest.approx(np.mean(alone), abs=0.012)


def test_a_game_on_neutral_ground_gets_no_home_advantage():
    lines = RESULTS.splitlines()
    upcoming = {
        flag: "\n".join([f"{lines[0]},neutral", *(f"{line},0" for line in lines[1:]), f"2026-07-10,{teams},,,{flag}"])
        for flag, teams in (("0", "DET,PHI"), ("1", "DET,PHI"))
    }
    swapped = upcoming["1"].replace("2026-07-10,DET,PHI", "2026-07-10,PHI,DET")
    at_home, neutral, either = (
        predict("elo", {"mlb.csv": text.encode()}, market("DET"))[0][f"{EVENT}-DET"]
        for text in (upcoming["0"], upcoming["1"], swapped)
    )
    points = 400 * np.log10(at_home / (1 - at_home)) - 400 * np.log10(neutral / (1 - neutral))
    assert points == pytest.approx(load_parameters()["mlb"].home)
    assert either == pytest.approx(neutral)


@pytest.mark.parametrize(("model", "floor"), [("elo", 0.055), ("consensus", 0.01)])
def test_the_deviation_is_at_least_the_measured_distance_to_the_price(model, floor):
    bodies = {"mlb.csv": RESULTS.encode(), "odds/mlb.json": odds(*FOUR)}
    assert predict(model, bodies, market("DET"))[2]["p_sd"][0] >= floor


def test_american_odds_that_are_all_positive_are_recognised():
    start = datetime(2026, 8, 15, 14, tzinfo=UTC)
    now = datetime(2026, 8, 15, 10, tzinfo=UTC)
    prices = {"Arsenal": 150, "Draw": 230, "Leeds": 180}
    outcomes = [{"name": name, "price": price} for name, price in prices.items()]
    books = [
        {"key": key, "last_update": now.isoformat(), "markets": [{"key": "h2h", "outcomes": outcomes}]} for key in "abc"
    ]
    event = {"sport_key": "soccer_epl", "commence_time": start.isoformat(), "home_team": "Arsenal",
             "away_team": "Leeds", "bookmakers": books}  # fmt: skip
    rows = [market(code, EPL, decided_ts=start + timedelta(hours=3)) for code in ("ARS", "LEE", "TIE")]
    p, notes, _ = predict("consensus", {"odds/epl.json": json.dumps([event]).encode()}, *rows, now=now)
    assert notes == []
    implied = np.array([100 / (100 + price) for price in prices.values()])
    assert [p[f"{EPL}-{code}"] for code in ("ARS", "TIE", "LEE")] == pytest.approx(implied / implied.sum(), abs=0.01)

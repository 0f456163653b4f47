"""FiveThirtyEight's published ratings and probabilities, reproduced."""

import msgspec
import polars as pl
import pytest

from fairline.config.model_settings import read_user_file
from fairline.errors import ConfigError, InputError
from fairline.models.sports.ratings import load_parameters, rate


def test_a_century_of_nfl_ratings_is_reproduced(shared):
    folder = shared / "538_nfl_elo"
    start = dict(pl.read_csv(folder / "initial_elos.csv").iter_rows())
    games = pl.read_csv(folder / "nfl_games.csv.gz").rename({"elo1": "published1", "elo2": "published2"})
    result = rate(games, msgspec.structs.replace(load_parameters()["nfl"], start=start))
    assert result.height == 16_810
    for side in ("1", "2"):
        assert (result[f"elo{side}"] - result[f"published{side}"]).abs().max() < 0.01
    assert (result["p1"] - result["elo_prob1"]).abs().max() < 1e-5


@pytest.fixture(scope="module")
def nba(shared):
    path = shared / "538_nba_elo" / "nba_elo_1977_2020.csv.gz"
    whole = {name: pl.col(name).cast(pl.Int64) for name in ("season", "score1", "score2")}
    return pl.read_csv(path, infer_schema_length=None).with_columns(**whole)


def test_forty_four_nba_seasons_are_reproduced(nba):
    """Teams that come under another name bring their published rating; everything else follows from the games."""
    reset, seen = {}, {}
    for season, *pairs in nba.select("season", "team1", "elo1_pre", "team2", "elo2_pre").iter_rows():
        for team, elo in (pairs[:2], pairs[2:]):
            if seen.get(team) not in (season, season - 1):
                reset[f"{team}{season}"] = elo
            seen[team] = season
    assert len(reset) < 45
    result = rate(nba, msgspec.structs.replace(load_parameters()["nba"], reset=reset))
    assert result.height == 51_457
    # The file has a game of 2008 that was protested and replayed in a place where it was not played, and a few of 2016;
    # what follows is off until the next seasons wash it out. All else is met to the four decimals that it has.
    off = ((result["elo1"] - result["elo1_pre"]).abs() > 0.005) | ((result["p1"] - result["elo_prob1"]).abs() > 1e-5)
    assert off.mean() < 0.035
    assert set(result.filter(off)["season"]) == {2008, 2009, 2015, 2016, 2017}


def test_each_nba_game_is_reproduced_to_the_files_precision(nba):
    played = nba.filter(pl.col("elo1_post").is_not_null()).tail(3_000)
    league = load_parameters()["nba"]
    for row in played.iter_rows(named=True):
        alone = msgspec.structs.replace(league, start={row["team1"]: row["elo1_pre"], row["team2"]: row["elo2_pre"]})
        result = rate(pl.DataFrame([row], schema=nba.schema), alone).row(0, named=True)
        assert result["p1"] == pytest.approx(row["elo_prob1"], abs=1e-9)
        assert result["after1"] == pytest.approx(row["elo1_post"], abs=6e-5)
        assert result["after2"] == pytest.approx(row["elo2_post"], abs=6e-5)


def test_another_league_is_a_table_in_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[chess]\nk = 32.0\nhome = 0.0\nmean = 1500.0\nkeep = 1.0\nmargin = "none"\nnew_team = 1500.0\n')
    games = pl.DataFrame(
        {"season": [1, 1, 1], "team1": ["A", "B", "A"], "team2": ["B", "A", "B"], "neutral": [True] * 3,
         "score1": [1, 1, None], "score2": [0, 1, None]}
    )  # fmt: skip
    result = rate(games, load_parameters(read_user_file(path))["chess"])
    assert result["p1"].to_list()[0] == 0.5
    assert (result["after1"][0], result["after2"][0]) == (1516.0, 1484.0)
    # 1484 against 1516 draws: 32 · (0.5 − 1 / (1 + 10^(32/400)))
    assert result["after1"][1] == pytest.approx(1484 + 32 * (0.5 - 1 / (1 + 10 ** (32 / 400))))
    assert result["after1"][2] is None
    assert result["p1"][2] > 0.5


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[a]\nk = 1\n", "missing required field `home`"),
        ('[a]\nk = 1\nhome = 2\nmargin = "huge"\n', "Invalid enum value 'huge'"),
        ("[a]\nk = 1\nhome = 2\ntypo = 3\n", "unknown field `typo`"),
        ("[a", "is not valid TOML"),
    ],
)
def test_a_file_without_valid_parameters_is_refused_in_one_line(tmp_path, text, sentence):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        load_parameters(read_user_file(path))


def test_a_frame_without_the_columns_of_games_is_refused():
    with pytest.raises(InputError, match="these are not games"):
        rate(pl.DataFrame({"season": [1]}), load_parameters()["nfl"])

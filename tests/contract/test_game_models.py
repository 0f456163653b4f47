"""How good the models of games were, on results and odds that others recorded."""

import gzip
import json
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from fairline.models.sports.agreement import consensus
from fairline.models.sports.games import link_games, match_fixtures
from fairline.models.sports.odds import read_odds
from fairline.models.sports.ratings import load_parameters, rate, three_way
from fairline.models.sports.results import read_results
from fairline.models.sports.teams import load_leagues
from fairline.scoring.blending import fit_pool
from tests.contract.test_games import MLB, bare

NO_TIME = pl.lit(None, dtype=pl.Datetime("us", "UTC"))


def brier(p, y):
    return float(np.mean((np.asarray(p) - np.asarray(y)) ** 2))


def log_loss(p, outcomes):
    return float(-np.mean(np.log(p[np.arange(len(outcomes)), outcomes])))


def rated_baseball(shared):
    """Two seasons with the ratings before each game."""
    seasons = [read_results((shared / MLB / f"statsapi_games_{year}.csv").read_bytes(), load_leagues()["mlb"])[0]
               for year in (2024, 2025)]  # fmt: skip
    return rate(pl.concat(seasons), load_parameters()["mlb"]).with_columns(start_ts=NO_TIME)


def test_the_price_of_baseball_is_better_than_ratings(shared):
    rated = rated_baseball(shared)
    rows = pl.read_csv(shared / MLB / "kalshi_mlb_games.csv")
    links = link_games(bare(rows.select("ticker", event_ticker="event", yes_sub_title="yes_team")))
    match = match_fixtures(links, rated).filter(pl.col("reason").is_null())
    result = match.join(rows.select("ticker", "result", "close_mid"), on="ticker")
    assert result.height == 2_104
    p = np.where(result["side"] == "home", result["p1"], 1 - result["p1"])
    y = result["result"] == "yes"
    assert brier(p, y) == pytest.approx(0.2440, abs=0.0002)
    assert brier(result["close_mid"], y) == pytest.approx(0.2425, abs=0.0002), "the market was better"
    assert brier(np.full(result.height, y.mean()), y) > 0.2495
    inside = result["close_mid"].is_between(0.05, 0.95).to_numpy()
    market = result["close_mid"].to_numpy()
    apart = np.log(p / (1 - p))[inside] - np.log(market / (1 - market))[inside]
    assert float(np.std(apart)) * 400 / np.log(10) == pytest.approx(load_parameters()["mlb"].lead_sd, abs=1.0)


def test_ratings_of_baseball_add_nothing_significant_to_the_price(shared):
    rated = rated_baseball(shared)
    rows = pl.read_csv(shared / MLB / "kalshi_mlb_games.csv")
    links = link_games(bare(rows.select("ticker", event_ticker="event", yes_sub_title="yes_team")))
    match = match_fixtures(links, rated).filter(pl.col("reason").is_null())
    result = match.join(rows.select("ticker", "result", "close_mid", event_ticker="event"), on="ticker")
    priced = result.filter(pl.col("close_mid").is_between(0.02, 0.98)).select(
        "ticker", "event_ticker", model=pl.lit("elo"),
        p=pl.when(pl.col("side") == "home").then("p1").otherwise(1 - pl.col("p1")), p_sd=pl.lit(0.07),
        cluster=pl.col("day").cast(pl.String), price="close_mid", y=(pl.col("result") == "yes").cast(pl.Float64),
    )  # fmt: skip
    pool = fit_pool(priced, [["elo"]], datetime(2025, 12, 1, tzinfo=UTC))
    assert pool.events > 2_000
    assert not pool.beats_price
    assert pool.opinions[0].weight < 0.5


@pytest.fixture(scope="module")
def premier_league(shared):
    """Matches of 2012 to 2018 with ratings from all before, read as the model reads them, and the odds on them."""
    body = gzip.decompress((shared / "sports_results_with_odds" / "football_data_england_odds.csv.gz").read_bytes())
    games, faults = read_results(body, load_leagues()["epl"])
    assert len(faults) == 1
    assert "are unknown and keep their own names" in faults[0]
    odds = ("PSH", "PSD", "PSA", "PSCH", "PSCD", "PSCA", "B365H", "B365D", "B365A")
    table = pl.read_csv(body, infer_schema=False)
    home = {name: code for code, names in load_leagues()["epl"].teams.items() for name in [code, *names]}
    quoted = table.select(
        *(pl.col(name).cast(pl.Float64, strict=False) for name in odds),
        day=pl.when(pl.col("Date").str.len_chars() == 8).then(pl.col("Date").str.to_date("%d/%m/%y", strict=False))
        .otherwise(pl.col("Date").str.to_date("%d/%m/%Y", strict=False)),
        home=pl.col("HomeTeam").replace(home), away=pl.col("AwayTeam").replace(home),
    )  # fmt: skip
    rated = rate(games, load_parameters()["epl"])
    return rated.join(quoted, on=["day", "home", "away"], how="left")


def outcomes(rows):
    return np.where(rows["score1"] > rows["score2"], 0, np.where(rows["score1"] == rows["score2"], 1, 2))


def test_closing_odds_of_the_premier_league_are_better_than_ratings(premier_league):
    rows = premier_league.filter((pl.col("season") >= 2012) & pl.col("PSCH").is_not_null())
    league = load_parameters()["epl"]
    win, tie = three_way((rows["elo1"] - rows["elo2"]).to_numpy() + league.home, league.draw)
    y = outcomes(rows)
    prices = 1 / rows.select("PSCH", "PSCD", "PSCA").to_numpy()
    assert rows.height == 2_410
    assert log_loss(np.stack([win, tie, 1 - win - tie], axis=1), y) == pytest.approx(0.9755, abs=0.0005)
    assert log_loss(prices / prices.sum(axis=1, keepdims=True), y) == pytest.approx(0.9504, abs=0.0005)
    shares = np.bincount(y, minlength=3) / len(y)
    assert log_loss(np.tile(shares, (len(y), 1)), y) == pytest.approx(1.066, abs=0.0005)
    assert tie.mean() == pytest.approx(float((y == 1).mean()), abs=0.02)


def test_the_book_with_more_weight_forecasts_better(premier_league):
    """Both before the match, not at its close."""
    rows = premier_league.filter(pl.all_horizontal(pl.col("PSH", "B365H").is_not_null()))
    losses = []
    for book in ("PS", "B365"):
        prices = 1 / rows.select(f"{book}H", f"{book}D", f"{book}A").to_numpy()
        losses.append(log_loss(prices / prices.sum(axis=1, keepdims=True), outcomes(rows)))
    assert rows.height > 2_000
    assert losses[0] < losses[1]


def test_recorded_odds_of_thirty_books_are_read_and_agree(shared):
    path = shared / "bookmaker_odds_mlb_2026-08" / "odds_mlb_h2h_spreads_totals.json"
    at = datetime.fromtimestamp(json.loads(path.read_text())["captured_ms"] / 1000, UTC)
    odds, faults = read_odds(path.read_bytes(), load_leagues()["mlb"], at)
    assert faults == []
    result = consensus(odds, at, 3_600)
    assert result.height == 15
    assert result["books"].min() >= 21, "houses, of which some write under several names"
    assert (result["home_p"] + result["away_p"] - 1).abs().max() < 1e-9
    assert result["home_sd"].max() < 0.011


def test_the_consensus_is_close_to_a_third_partys(shared):
    """Their method is not documented, and their odds are of four books."""
    lines = (shared / "book_odds_devig_vs_kalshi_2025-08" / "odds_hourly.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["sport"] == "MLB" and row.get("market_ticker")]
    games = {}
    for row in rows:
        games.setdefault((row["timestamp"], row["game_id"]), []).append(row)
    apart = []
    at = datetime(2025, 8, 23, tzinfo=UTC)
    for pair in (pair for pair in games.values() if len(pair) == 2):
        one, two = pair
        books = sorted(set(one["per_book_american_odds"]) & set(two["per_book_american_odds"]))
        event = {"commence_time": "2025-08-23T23:00:00Z", "home_team": one["team"], "away_team": two["team"],
                 "bookmakers": [{"key": book, "last_update": at.isoformat(), "markets": [{"key": "h2h", "outcomes": [
                     {"name": side["team"], "price": side["per_book_american_odds"][book]} for side in pair]}]}
                     for book in books]}  # fmt: skip
        odds, faults = read_odds(json.dumps([event]).encode(), load_leagues()["mlb"], at)
        if not faults and odds.height >= 3:
            apart.append(consensus(odds, at, 60)["home_p"][0] - one["composite_devigged_odds"])
    assert len(apart) >= 20
    assert float(np.median(np.abs(apart))) < 0.01

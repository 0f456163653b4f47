"""Links of games against league results, the exchange's own settlements, and the names that others match."""

import json

import polars as pl

from fairline.kalshi.wire import markets_page
from fairline.market.frame import empty_markets, markets_frame
from fairline.models.linking import MIN_CONFIDENCE
from fairline.models.sports.games import link_games, match_fixtures
from fairline.models.sports.results import read_results
from fairline.models.sports.teams import load_leagues, name_key, team_names

MLB = "kalshi_mlb_games_close_price_2025"


def read_recorded(objects):
    return markets_frame(markets_page(json.dumps({"cursor": "", "markets": objects}).encode()).rows)[0]


def bare(rows):
    """Markets of which only ticker, event and the outcome's name were recorded."""
    return pl.concat([empty_markets(), rows.with_columns(market_type=pl.lit("binary"))], how="diagonal")


def team(links):
    """Return the team whose win YES pays."""
    return links.with_columns(own=pl.when(pl.col("side") == "home").then("home").otherwise("away"))


def test_a_season_of_baseball_settles_by_the_leagues_results(shared):
    rows = pl.read_csv(shared / MLB / "kalshi_mlb_games.csv")
    links = link_games(bare(rows.select("ticker", event_ticker="event", yes_sub_title="yes_team")))
    assert links.height == rows.height == 2_202
    assert links.filter(pl.col("reason").is_null() & (pl.col("confidence") >= MIN_CONFIDENCE)).height == 2_200, (
        "not the stars"
    )
    games, problems = read_results((shared / MLB / "statsapi_games_2025.csv").read_bytes(), load_leagues()["mlb"])
    assert problems == ["34 rows repeat a game and were dropped"]
    match = match_fixtures(links, games.with_columns(start_ts=pl.lit(None, dtype=pl.Datetime("us", "UTC"))))
    sure = match.filter(pl.col("reason").is_null()).join(rows.select("ticker", "result"), on="ticker")
    won = pl.when(pl.col("score1") > pl.col("score2")).then(pl.lit("home")).otherwise(pl.lit("away"))
    right = sure.select(((won == pl.col("side")) == (pl.col("result") == "yes")).mean()).item()
    assert sure.height == 2_104, "the others are doubleheaders without a time, and games moved to another day"
    assert right == 1.0


def test_games_settled_in_august_pay_the_winner(shared):
    document = json.loads((shared / "kalshi_api_recorded_2026-08" / "markets_settled.json").read_text())
    objects = [m for value in document.values() if isinstance(value, list) for m in value if "ticker" in m]
    objects += [m for query in document["queries"] for m in query.get("markets", [])] if not objects else []
    games = [m for m in objects if m["ticker"].split("-")[0] in {league.series for league in load_leagues().values()}]
    links = team(link_games(read_recorded(games)))
    assert links.height == len(games) >= 40
    assert links["reason"].null_count() == links.height
    priced = pl.DataFrame({name: [m[name] for m in games] for name in ("ticker", "result", "expiration_value")})
    winners = links.join(priced, on="ticker").with_columns(key=name_key(pl.col("expiration_value")))
    result = winners.join(team_names(load_leagues()), on=["league", "key"])
    assert result.height == links.height
    assert result.select(((pl.col("own") == pl.col("team")) == (pl.col("result") == "yes")).all()).item()


def test_every_game_of_known_leagues_in_july_is_linked_by_all_its_evidence(shared):
    lines = (shared / "kalshi_markets_raw_2026-07-10" / "sports_pairs_20260710T182301Z.jsonl").read_text().splitlines()
    links = link_games(read_recorded([json.loads(line) for line in lines]))
    assert dict(links["league"].value_counts().iter_rows()) == {"mlb": 72, "nfl": 48, "wnba": 10}
    assert set(links["evidence"]) == {"series, ticker, target, code, name, rules, time"}
    assert links["confidence"].min() >= MIN_CONFIDENCE


def test_teams_match_a_third_partys_list(shared):
    lines = (shared / "book_odds_devig_vs_kalshi_2025-08" / "odds_hourly.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if "market_ticker" in row]
    theirs = pl.DataFrame(
        [(row["market_ticker"], row["market_ticker"].rpartition("-")[0], row["team"]) for row in rows],
        schema=["ticker", "event_ticker", "theirs"], orient="row",
    ).unique("ticker")  # fmt: skip
    links = team(link_games(bare(theirs.select("ticker", "event_ticker"))))
    result = (
        links.filter(pl.col("reason").is_null()).join(theirs, on="ticker").with_columns(key=name_key(pl.col("theirs")))
    )
    result = result.join(team_names(load_leagues()), on=["league", "key"], how="left")
    assert result.height == 34
    assert (result["own"] == result["team"]).all()

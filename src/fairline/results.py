"""What was played, from a file of results: columns as the usual sources name them, teams as the exchange does."""

import io

import polars as pl

from fairline.elo import GAMES
from fairline.errors import InputError
from fairline.teams import League, key_of, names

_OWN: dict[str, pl.DataType | type[pl.DataType]]
_OWN = {"league": pl.String, "day": pl.Date, "home": pl.String, "away": pl.String}
RESULTS = pl.Schema([*_OWN.items(), *GAMES.items()])
"""One row a game in the order in which they were played; `team1` is `home`. Scores are null before it is played."""

_SYNONYMS = {
    "date": ("date", "day", "gameday", "schedule_date", "game_date"),
    "season": ("season", "schedule_season"),
    "home": ("home", "home_team", "hometeam", "team_home", "team1"),
    "away": ("away", "away_team", "awayteam", "team_away", "team2"),
    "score1": ("home_score", "score_home", "fthg", "score1"),
    "score2": ("away_score", "score_away", "ftag", "score2"),
    "neutral": ("neutral", "is_neutral"),
}
_BREAK_D = 60
_DAYS = ("%Y-%m-%d", "%Y%m%d", "%d/%m/%Y", "%d/%m/%y", "%m/%d/%Y")
_EXPECTED = "Expected columns: date,home,away,home_score,away_score, and if known season,neutral"


def played(body: bytes, league: League) -> tuple[pl.DataFrame, list[str]]:
    """RESULTS of a CSV or Parquet file, and a line for each of its rows that cannot be used.

    Dates are 2026-11-23 or 20261123, or all of a file with slashes, the day first unless that is impossible. Without a
    season there is a new one after every break of two months. Raises `InputError` for what is no such file.
    """
    table = _columns(_table(body, league.name), league.name)
    day = _day(table["date"])
    known = names({league.name: league}).select("key", "team")
    rows = table.with_row_index("line", offset=2).with_columns(day=day)
    for side in ("home", "away"):
        rows = (
            rows.with_columns(key=key_of(pl.col(side)))
            .join(known, on="key", how="left", maintain_order="left")
            .rename({"team": f"{side}_team"})
            .drop("key")
        )
    score1, score2 = (pl.col(name).cast(pl.Float64, strict=False) for name in ("score1", "score2"))
    given = pl.col("score1").fill_null("").is_in(["", "NA"]).not_()
    rows = rows.with_columns(
        fault=pl.coalesce(
            pl.when(pl.col("day").is_null()).then(pl.format("{} is no date", pl.col("date").fill_null("nothing"))),
            _unknown("home", league),
            _unknown("away", league),
            pl.when(given & ~(score1.is_between(0, 999) & score2.is_between(0, 999)).fill_null(value=False)).then(
                pl.lit("the score is not two numbers")
            ),
        )
    )
    faults = [f"line {line}: {fault}" for line, fault in rows.drop_nulls("fault").select("line", "fault").iter_rows()]
    season = pl.col("season").cast(pl.Float64, strict=False).cast(pl.Int64)
    sound = rows.filter(pl.col("fault").is_null()).sort("day", maintain_order=True)
    breaks = (pl.col("day").diff().dt.total_days() >= _BREAK_D).fill_null(value=False).cum_sum()
    made = sound.select(
        "day",
        league=pl.lit(league.name),
        home="home_team",
        away="away_team",
        season=pl.coalesce(season, pl.col("day").first().dt.year().cast(pl.Int64) + breaks.cast(pl.Int64)),
        team1="home_team",
        team2="away_team",
        neutral=pl.col("neutral").str.to_lowercase().is_in(["1", "true", "yes", "neutral"]).fill_null(value=False),
        score1=score1.cast(pl.Int64),
        score2=score2.cast(pl.Int64),
    )
    return made.select(RESULTS.names()), faults


def _table(body: bytes, league: str) -> pl.DataFrame:
    try:
        if body[:4] == b"PAR1":
            return pl.read_parquet(io.BytesIO(body)).cast(pl.String)
        return pl.read_csv(body, infer_schema=False, truncate_ragged_lines=True)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0][:120]
        raise InputError(f"the results of {league} are neither CSV nor Parquet ({reason})", remedy=_EXPECTED) from None


def _columns(table: pl.DataFrame, league: str) -> pl.DataFrame:
    there = {name.strip().lower().lstrip("\ufeff"): name for name in table.columns}
    found = {own: next((there[n] for n in others if n in there), None) for own, others in _SYNONYMS.items()}
    missing = [name for name in ("date", "home", "away", "score1", "score2") if found[name] is None]
    if missing:
        raise InputError(f"the results of {league} have no column {' and '.join(missing)}", remedy=_EXPECTED)
    return table.select(
        pl.lit(None, dtype=pl.String).alias(own) if name is None else pl.col(name).str.strip_chars().alias(own)
        for own, name in found.items()
    )


def _day(texts: pl.Series) -> pl.Series:
    """The one way of writing dates that reads most of them, so that one file is never read two ways."""
    read = [texts.str.slice(0, 10).str.to_date(form, strict=False) for form in _DAYS]
    return min(read, key=lambda days: days.null_count())


def _unknown(side: str, league: League) -> pl.Expr:
    return pl.when(pl.col(f"{side}_team").is_null()).then(
        pl.format("no team of {} is known as {}", pl.lit(league.name), pl.col(side).fill_null("nothing"))
    )

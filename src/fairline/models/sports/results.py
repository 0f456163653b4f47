"""Results of games from a file: columns as the usual sources name them, teams as the exchange does."""

import io

import polars as pl

from fairline.errors import InputError
from fairline.models.sports.ratings import GAMES
from fairline.models.sports.teams import League, with_teams

_OWN_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "league": pl.String,
    "day": pl.Date,
    "home": pl.String,
    "away": pl.String,
}
RESULTS = pl.Schema([*_OWN_COLUMNS.items(), *GAMES.items()])
"""One row per game in the order in which they were played; `team1` is `home`. Scores are null before it is played."""

_COLUMN_NAMES = {
    "date": ("date", "day", "gameday", "schedule_date", "game_date"),
    "season": ("season", "schedule_season"),
    "home": ("home", "home_team", "hometeam", "team_home", "team1"),
    "away": ("away", "away_team", "awayteam", "team_away", "team2", "visteam"),
    "score1": ("home_score", "score_home", "fthg", "score1", "hruns"),
    "score2": ("away_score", "score_away", "ftag", "score2", "vruns"),
    "neutral": ("neutral", "is_neutral", "location"),
    "game": ("game_id", "game_pk", "gid", "id"),
}
_REQUIRED = ("date", "home", "away", "score1", "score2")
SEASON_BREAK_DAYS = 60
_DAY_FIRST = ("%d/%m/%Y", "%d/%m/%y")
_MONTH_FIRST = ("%m/%d/%Y", "%m/%d/%y")
_MIN_YEAR = 1850
"""No game is older, so a year of two digits is not read as the year 25."""
_MAX_SCORE = 999
_EMPTY = ["", "na", "nan", "null", "none", "-"]
_NEUTRAL = ["1", "true", "yes", "neutral"]
EXPECTED = "Expected columns: date,home,away,home_score,away_score, and if known season,neutral"


def read_results(body: bytes, league: League) -> tuple[pl.DataFrame, list[str]]:
    """Return RESULTS of a CSV or Parquet file, and a line for each row that cannot be used.

    Dates are 2026-11-23 or 20261123, or all of a file with slashes, by the league's habit if day or month could come
    first. Without a season a new one begins after every break of two months. A team that is unknown keeps its own name.
    Rows of one game (the same `game_id`, else the same in everything) count once. Raises `InputError`.
    """
    table = _standard_columns(_read_table(body, league.name), league.name)
    rows = table.with_row_index("line", offset=2).with_columns(day=_dates(table["date"], league))
    rows = with_teams(rows, league).with_columns(fault=_fault())
    faults = [f"line {line}: {fault}" for line, fault in rows.drop_nulls("fault").select("line", "fault").iter_rows()]
    usable = rows.filter(pl.col("fault").is_null()).sort("day", maintain_order=True)
    games = _distinct_games(usable)
    faults += _repeat_notes(usable, games) + _unknown_team_notes(games)
    return _to_results(games, league.name), faults


def _scores() -> list[pl.Expr]:
    return [pl.col(name).fill_null("").cast(pl.Float64, strict=False) for name in ("score1", "score2")]


def _fault() -> pl.Expr:
    """Why a row cannot be used, null if it can."""
    unplayed = pl.all_horizontal(
        pl.col(name).fill_null("").str.to_lowercase().is_in(_EMPTY) for name in ("score1", "score2")
    )
    played = pl.all_horizontal(score.is_between(0, _MAX_SCORE).fill_null(value=False) for score in _scores())
    nameless = pl.any_horizontal(pl.col(side).fill_null("").eq("") for side in ("home", "away"))
    return pl.coalesce(
        pl.when(pl.col("day").is_null()).then(pl.format("{} is not a date", pl.col("date").fill_null("nothing"))),
        pl.when(nameless).then(pl.lit("it does not name two teams")),
        pl.when(~(unplayed | played)).then(pl.lit("the score is not two numbers")),
    )


_SAME_GAME = ["day", "home_team", "away_team", "home", "away", "score1", "score2"]


def _distinct_games(rows: pl.DataFrame) -> pl.DataFrame:
    key = _SAME_GAME if rows["game"].null_count() else ["game"]
    return rows.unique(key, keep="first", maintain_order=True)


def _repeat_notes(rows: pl.DataFrame, games: pl.DataFrame) -> list[str]:
    repeated = rows.height - games.height
    return [f"{repeated} rows repeat a game and were dropped"] if repeated else []


def _unknown_team_notes(games: pl.DataFrame) -> list[str]:
    names = [name for side in ("home", "away") for name in games.filter(pl.col(f"{side}_team").is_null())[side]]
    others = len(set(names)) - 1
    return [f"{names[0]} and {others} other teams are unknown and keep their own names"] if names else []


def _to_results(games: pl.DataFrame, league: str) -> pl.DataFrame:
    home, away = pl.coalesce("home_team", "home"), pl.coalesce("away_team", "away")
    score1, score2 = _scores()
    return games.select(
        league=pl.lit(league),
        day="day",
        home=home,
        away=away,
        season=_season(),
        team1=home,
        team2=away,
        neutral=pl.col("neutral").str.to_lowercase().is_in(_NEUTRAL).fill_null(value=False),
        score1=score1.cast(pl.Int64, strict=False),
        score2=score2.cast(pl.Int64, strict=False),
    ).select(RESULTS.names())


def _season() -> pl.Expr:
    """Return the season as given; otherwise that of the game before, or the next one after a break."""
    given = pl.col("season").cast(pl.Float64, strict=False).cast(pl.Int64, strict=False)
    is_break = (pl.col("day").diff().dt.total_days() >= SEASON_BREAK_DAYS).fill_null(value=False)
    breaks = is_break.cum_sum().cast(pl.Int64)
    last_given = (given - breaks).forward_fill()
    return pl.coalesce(given, last_given + breaks, pl.col("day").first().dt.year().cast(pl.Int64) + breaks)


def _read_table(body: bytes, league: str) -> pl.DataFrame:
    try:
        if body[:4] == b"PAR1":
            return pl.read_parquet(io.BytesIO(body)).cast(pl.String)
        return pl.read_csv(body, infer_schema=False, truncate_ragged_lines=True)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0][:120]
        raise InputError(f"the results of {league} are neither CSV nor Parquet ({reason})", remedy=EXPECTED) from error


def _standard_columns(table: pl.DataFrame, league: str) -> pl.DataFrame:
    present = {name.strip().lower().lstrip("\ufeff"): name for name in table.columns}
    columns = {own: next((present[n] for n in names if n in present), None) for own, names in _COLUMN_NAMES.items()}
    missing = [name for name in _REQUIRED if columns[name] is None]
    if missing:
        raise InputError(f"the results of {league} have no column {' and '.join(missing)}", remedy=EXPECTED)
    return table.select(
        pl.lit(None, dtype=pl.String).alias(own) if name is None else pl.col(name).str.strip_chars().alias(own)
        for own, name in columns.items()
    )


def _dates(texts: pl.Series, league: League) -> pl.Series:
    """Return the dates in the one notation that reads most of them, so that one file is never read in two ways."""
    first, second = (_MONTH_FIRST, _DAY_FIRST) if league.month_first else (_DAY_FIRST, _MONTH_FIRST)
    candidates = [_parse_dates(texts, formats) for formats in (("%Y-%m-%d",), ("%Y%m%d",), first, second)]
    return min(candidates, key=lambda days: days.null_count())


def _parse_dates(texts: pl.Series, formats: tuple[str, ...]) -> pl.Series:
    days = [pl.col("text").str.slice(0, 10).str.to_date(form, strict=False) for form in formats]
    plausible = [pl.when(day.dt.year() >= _MIN_YEAR).then(day) for day in days]
    return texts.alias("text").to_frame().select(pl.coalesce(plausible)).to_series()

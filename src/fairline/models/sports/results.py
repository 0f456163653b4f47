"""What was played, from a file of results: columns as the usual sources name them, teams as the exchange does."""

import io

import polars as pl

from fairline.errors import InputError
from fairline.models.sports.ratings import GAMES
from fairline.models.sports.teams import League, key_of, names

_OWN: dict[str, pl.DataType | type[pl.DataType]]
_OWN = {"league": pl.String, "day": pl.Date, "home": pl.String, "away": pl.String}
RESULTS = pl.Schema([*_OWN.items(), *GAMES.items()])
"""One row a game in the order in which they were played; `team1` is `home`. Scores are null before it is played."""

_SYNONYMS = {
    "date": ("date", "day", "gameday", "schedule_date", "game_date"),
    "season": ("season", "schedule_season"),
    "home": ("home", "home_team", "hometeam", "team_home", "team1"),
    "away": ("away", "away_team", "awayteam", "team_away", "team2", "visteam"),
    "score1": ("home_score", "score_home", "fthg", "score1", "hruns"),
    "score2": ("away_score", "score_away", "ftag", "score2", "vruns"),
    "neutral": ("neutral", "is_neutral", "location"),
    "game": ("game_id", "game_pk", "gid", "id"),
}
_BREAK_D = 60
_DAY_FIRST, _MONTH_FIRST = ("%d/%m/%Y", "%d/%m/%y"), ("%m/%d/%Y", "%m/%d/%y")
_OLDEST = 1850
"""No game is older; a year of two digits is not that of the Romans."""
_EMPTY = ["", "na", "nan", "null", "none", "-"]
_EXPECTED = "Expected columns: date,home,away,home_score,away_score, and if known season,neutral"


def played(body: bytes, league: League) -> tuple[pl.DataFrame, list[str]]:
    """RESULTS of a CSV or Parquet file, and a line for each of its rows that cannot be used.

    Dates are 2026-11-23 or 20261123, or all of a file with slashes, by the league's habit if day or month could come
    first. Without a season there is a new one after every break of two months. A team that nobody knows takes part
    under its own name. Rows of one game (`game_id`, else all that they say) count once. Raises `InputError` for what is
    no such file.
    """
    table = _columns(_table(body, league.name), league.name)
    rows = table.with_row_index("line", offset=2).with_columns(day=_day(table["date"], league))
    known = names({league.name: league}).select("key", "team")
    for side in ("home", "away"):
        rows = rows.with_columns(key=key_of(pl.col(side)))
        rows = (
            rows.join(known, on="key", how="left", maintain_order="left").rename({"team": f"{side}_team"}).drop("key")
        )
    texts = [pl.col(name).fill_null("").str.to_lowercase() for name in ("score1", "score2")]
    scores = [text.cast(pl.Float64, strict=False) for text in texts]
    empty = pl.all_horizontal(text.is_in(_EMPTY) for text in texts)
    sound = pl.all_horizontal(score.is_between(0, 999).fill_null(value=False) for score in scores)
    rows = rows.with_columns(
        fault=pl.coalesce(
            pl.when(pl.col("day").is_null()).then(pl.format("{} is no date", pl.col("date").fill_null("nothing"))),
            pl.when(pl.col("home").fill_null("").eq("") | pl.col("away").fill_null("").eq("")).then(
                pl.lit("it names no two teams")
            ),
            pl.when(~(empty | sound)).then(pl.lit("the score is not two numbers")),
        )
    )
    faults = [f"line {line}: {fault}" for line, fault in rows.drop_nulls("fault").select("line", "fault").iter_rows()]
    good = rows.filter(pl.col("fault").is_null()).sort("day", maintain_order=True)
    once = good.unique(_ONCE if good["game"].null_count() else ["game"], keep="first", maintain_order=True)
    if once.height < good.height:
        faults.append(f"{good.height - once.height} rows repeat a game and were dropped")
    strangers = [name for side in ("home", "away") for name in once.filter(pl.col(f"{side}_team").is_null())[side]]
    if strangers:
        faults.append(
            f"no team is known as {strangers[0]} and {len(set(strangers)) - 1} others: they go by these names"
        )
    made = once.select(
        "day",
        league=pl.lit(league.name),
        home=pl.coalesce("home_team", "home"),
        away=pl.coalesce("away_team", "away"),
        season=_season(),
        team1=pl.coalesce("home_team", "home"),
        team2=pl.coalesce("away_team", "away"),
        neutral=pl.col("neutral").str.to_lowercase().is_in(["1", "true", "yes", "neutral"]).fill_null(value=False),
        score1=scores[0].cast(pl.Int64, strict=False),
        score2=scores[1].cast(pl.Int64, strict=False),
    )
    return made.select(RESULTS.names()), faults


_ONCE = ["day", "home_team", "away_team", "home", "away", "score1", "score2"]


def _season() -> pl.Expr:
    """As it is given; where it is not, that of the game before, or the next one after a break."""
    given = pl.col("season").cast(pl.Float64, strict=False).cast(pl.Int64, strict=False)
    broken = (pl.col("day").diff().dt.total_days() >= _BREAK_D).fill_null(value=False).cum_sum().cast(pl.Int64)
    before = (given - broken).forward_fill()
    return pl.coalesce(given, before + broken, pl.col("day").first().dt.year().cast(pl.Int64) + broken)


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


def _day(texts: pl.Series, league: League) -> pl.Series:
    """The one way of writing dates that reads most of them, so that one file is never read two ways."""
    first, second = (_MONTH_FIRST, _DAY_FIRST) if league.month_first else (_DAY_FIRST, _MONTH_FIRST)
    read = [_read(texts, forms) for forms in (("%Y-%m-%d",), ("%Y%m%d",), first, second)]
    return min(read, key=lambda days: days.null_count())


def _read(texts: pl.Series, forms: tuple[str, ...]) -> pl.Series:
    days = [pl.col("text").str.slice(0, 10).str.to_date(form, strict=False) for form in forms]
    likely = [pl.when(day.dt.year() >= _OLDEST).then(day) for day in days]
    return texts.alias("text").to_frame().select(pl.coalesce(likely)).to_series()

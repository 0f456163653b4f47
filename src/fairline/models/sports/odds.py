"""Bookmakers' odds on games, as The Odds API and football-data.co.uk write them."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
import polars as pl

from fairline.errors import InputError
from fairline.models.sports.teams import League, with_teams

_ODDS: dict[str, pl.DataType | type[pl.DataType]] = {
    "league": pl.String,
    "day": pl.Date,
    "start_ts": pl.Datetime("us", "UTC"),
    "home": pl.String,
    "away": pl.String,
    "book": pl.String,
    "updated_ts": pl.Datetime("us", "UTC"),
    "home_odds": pl.Float64,
    "tie_odds": pl.Float64,
    "away_odds": pl.Float64,
}
ODDS = pl.Schema(_ODDS)
"""Decimal odds, one row per book's quote on a game; `tie_odds` only where a game can end drawn. `day` is New York's."""

SIDES = ("home", "tie", "away")
_ODDS_COLUMNS = [f"{side}_odds" for side in SIDES]
_OLDEST_YEAR = 1990
MIN_AMERICAN_ODDS = 100
_BOOK_COLUMN = r"(?!Bb|Avg|Max)[A-Z0-9]{2,4}H"
"""Columns of one book's home odds: averages and maxima over books are not a book."""
CSV_EXPECTED = "Expected: a CSV of football-data.co.uk with Date,HomeTeam,AwayTeam and odds such as B365H,B365D,B365A"


class _Outcome(msgspec.Struct):
    name: str
    price: float | None = None


class _BookMarket(msgspec.Struct):
    key: str
    outcomes: list[_Outcome] = []
    last_update: datetime | None = None


class _Book(msgspec.Struct):
    key: str
    markets: list[_BookMarket] = []
    last_update: datetime | None = None


class _Event(msgspec.Struct):
    commence_time: datetime
    home_team: str
    away_team: str
    bookmakers: list[_Book] = []
    sport_key: str = ""


def read_odds(body: bytes, league: League, read_ts: datetime) -> tuple[pl.DataFrame, list[str]]:
    """Return ODDS of a league, and a line for each team that is unknown.

    Reads JSON of The Odds API (`h2h`, decimal or American odds) and CSV of football-data.co.uk. A CSV does not say when
    its odds were quoted, so they count as of `read_ts`. Raises `InputError` for anything else.
    """
    is_json = body.lstrip()[:1] in (b"[", b"{")
    rows = _read_json(body, league) if is_json else _read_csv(body, league, read_ts)
    rows = with_teams(rows, league)
    faults = _unknown_teams(rows, league)
    # A match that can be drawn needs the tie's odds; odds on a tie otherwise belong to a different kind of bet.
    is_complete = pl.col("tie_odds").is_not_null() == league.ties
    usable = rows.drop_nulls(["home_team", "away_team"]).filter(is_complete)
    if usable.is_empty() and not rows.is_empty() and not faults:
        faults = [f"the odds on {league.name} are {'without' if league.ties else 'with'} ties"]
    usable = usable.with_columns(league=pl.lit(league.name), home="home_team", away="away_team")
    return usable.select(pl.col(name).cast(dtype) for name, dtype in ODDS.items()), faults


def _unknown_teams(rows: pl.DataFrame, league: League) -> list[str]:
    names = [name for side in ("home", "away") for name in rows.filter(pl.col(f"{side}_team").is_null())[side]]
    return [f"no team of {league.name} is known as {name}" for name in dict.fromkeys(names) if name is not None]


def _read_json(body: bytes, league: League) -> pl.DataFrame:
    events = _decode_events(body, league)
    if any(event.sport_key not in ("", league.odds) for event in events):
        raise InputError(f"these are not the odds on {league.name}", remedy=f"Expected: {league.odds or 'none'}")
    rows = [quote for event in events for quote in _quotes(event)]
    names = ("start_ts", "home", "away", "book", "updated_ts", *_ODDS_COLUMNS)
    table = pl.DataFrame(rows, orient="row", schema={name: ODDS[name] for name in names})
    if _are_american(table):
        table = table.with_columns(_to_decimal(pl.col(name)).alias(name) for name in _ODDS_COLUMNS)
    return table.with_columns(day=pl.col("start_ts").dt.convert_time_zone("America/New_York").dt.date())


def _decode_events(body: bytes, league: League) -> list[_Event]:
    try:
        if body.lstrip()[:1] == b"[":
            return msgspec.json.decode(body, type=list[_Event])
        return msgspec.convert(msgspec.json.decode(body, type=dict[str, Any])["events"], type=list[_Event])
    except (msgspec.MsgspecError, KeyError) as error:
        message = f"unexpected format of the odds on {league.name} ({error})"
        raise InputError(message, remedy="Expected: JSON of The Odds API, h2h") from error


def _are_american(table: pl.DataFrame) -> bool:
    """Return whether odds are American: those of favourites are negative, and all are at least 100 in size."""
    lowest = table.select(pl.min_horizontal(_ODDS_COLUMNS).min()).item()
    return lowest is not None and (lowest < 0 or lowest >= MIN_AMERICAN_ODDS)


def _quotes(event: _Event) -> list[tuple[Any, ...]]:
    return [_quote(event, book, market) for book in event.bookmakers for market in book.markets if market.key == "h2h"]


def _quote(event: _Event, book: _Book, market: _BookMarket) -> tuple[Any, ...]:
    """Return one book's quote on an event in the order of the columns."""
    prices: Mapping[str, float | None] = {outcome.name: outcome.price for outcome in market.outcomes}
    sides = (prices.get(event.home_team), prices.get("Draw"), prices.get(event.away_team))
    updated = market.last_update or book.last_update
    return event.commence_time, event.home_team, event.away_team, book.key, updated, *sides


def _to_decimal(american: pl.Expr) -> pl.Expr:
    return pl.when(american > 0).then(1 + american / 100).otherwise(1 - 100 / american)


def _read_csv(body: bytes, league: League, read_ts: datetime) -> pl.DataFrame:
    table = _csv_table(body, league)
    books = _books(table.columns, league)
    missing = {"Date", "HomeTeam", "AwayTeam"} - set(table.columns)
    if missing or not books:
        raise InputError(f"the odds on {league.name} lack columns", remedy=CSV_EXPECTED)
    rows = pl.concat([_book_rows(table, book, read_ts) for book in books], how="diagonal")
    rows = rows.drop_nulls(["day", "home_odds", "away_odds"])
    return rows if "tie_odds" in rows.columns else rows.with_columns(tie_odds=pl.lit(None, dtype=pl.Float64))


def _csv_table(body: bytes, league: League) -> pl.DataFrame:
    try:
        table = pl.read_csv(body, infer_schema=False, truncate_ragged_lines=True, encoding="utf8-lossy")
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0][:120]
        message = f"the odds on {league.name} are neither JSON nor CSV ({reason})"
        raise InputError(message, remedy=CSV_EXPECTED) from error
    # Of columns with the same name the first counts.
    columns = {name.strip().lstrip("\ufeff"): name for name in reversed(table.columns)}
    return table.select(pl.col(name).alias(stripped) for stripped, name in columns.items())


def _books(columns: list[str], league: League) -> list[str]:
    """Books with odds on all outcomes, without closing odds (`PSC`), which are not known before the game."""
    candidates = [name.removesuffix("H") for name in columns if re.fullmatch(_BOOK_COLUMN, name)]
    needed = ("D", "A") if league.ties else ("A",)
    complete = [book for book in candidates if all(book + code in columns for code in needed)]
    return [book for book in complete if not (book.endswith("C") and book[:-1] in candidates)]


def _book_rows(table: pl.DataFrame, book: str, read_ts: datetime) -> pl.DataFrame:
    days = [pl.col("Date").str.to_date(form, strict=False) for form in ("%d/%m/%Y", "%d/%m/%y")]
    odds = {
        f"{side}_odds": pl.col(book + code).cast(pl.Float64, strict=False)
        for side, code in (("home", "H"), ("tie", "D"), ("away", "A"))
        if book + code in table.columns
    }
    return table.select(
        day=pl.coalesce(pl.when(day.dt.year() > _OLDEST_YEAR).then(day) for day in days),
        home="HomeTeam",
        away="AwayTeam",
        book=pl.lit(book.lower()),
        updated_ts=pl.lit(read_ts).cast(ODDS["updated_ts"]),
        start_ts=pl.lit(None, dtype=ODDS["start_ts"]),
        **odds,
    )

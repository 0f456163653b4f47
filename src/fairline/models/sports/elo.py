"""Games by the ratings of their teams, from a file of results."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import platformdirs
import polars as pl

from fairline.errors import FairlineError, InputError
from fairline.models.answer import answered, told
from fairline.models.linking import SURE
from fairline.models.sports import ratings, teams
from fairline.models.sports.games import link_games
from fairline.models.sports.results import played
from fairline.sources import Payload, Request

_NEW_YORK = ZoneInfo("America/New_York")
_FRESH_D = 14
"""Days after the last result, or after the season's begin, until which results are not missed."""
_FINAL_D = 60
"""Days before a season's end within which its last result lies: a knocked-out league plays on with few teams."""
_SEASONS = 2
_NIGHT = timedelta(hours=6)
"""What was played late in the evening is known next morning."""


def results_path(league: str) -> str:
    """Where the results of a league are looked for."""
    return str(platformdirs.user_data_path("fairline") / "results" / f"{league}.csv")


class EloModel:
    """Who wins a game, by Elo ratings of the teams; leagues whose results it is given, and whose parameters it knows.

    It knows results and where a game is played: no line-up, no injury, no neutral ground.
    """

    name, version = "elo", "1"

    def __init__(self) -> None:
        self._parameters = ratings.leagues()
        self._leagues = {name: league for name, league in teams.leagues().items() if name in self._parameters}

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        series = [league.series for league in self._leagues.values()]
        return pl.col("series_ticker").is_in(series) & (pl.col("status") == "active")

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        """The results of the leagues that have games among the markets; without any market, of all."""
        there = set(markets["series_ticker"])
        wanted = [name for name, league in self._leagues.items() if league.series in there or not there]
        return [Request("file", results_path(name)) for name in wanted]

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """PREDICTIONS of the games that are surely linked; a `note` says what is left unpriced and why."""
        links = link_games(markets, self._leagues)
        parts = list[pl.DataFrame]()
        for (name,), rows in links.group_by("league", maintain_order=True):
            league = str(name)
            try:
                body = payloads[Request("file", results_path(league))].body
                games, faults = played(body, self._leagues[league])
                parts += [told(f"{league} results: {fault}") for fault in faults[:_MOST_NOTES]]
                parts.append(_priced(rows, games, self._parameters[league], asof))
            except FairlineError as error:
                parts.append(told(f"{rows.height} markets of {league} are not priced: {error.message}"))
        return answered(parts, self.name, asof)


_MOST_NOTES = 5


def _priced(links: pl.DataFrame, games: pl.DataFrame, league: ratings.League, asof: datetime) -> pl.DataFrame:
    """Ticker, p, p_sd and note of the links of one league. Raises `InputError` if the results say nothing of now."""
    # What was played today may have been played after `asof`.
    today = (asof.astimezone(_NEW_YORK) - _NIGHT).date()
    known = games.filter((pl.col("day") < today) & pl.col("score1").is_not_null() & pl.col("score2").is_not_null())
    if known.is_empty():
        raise InputError("there is no result before today", remedy="Add results")
    last, season = known["day"].to_list()[-1], known["season"].to_list()[-1]
    sure = links.filter((pl.col("confidence") >= SURE) & (pl.col("before_ts") > asof))
    days = sure["day"].unique().to_list()
    spans = {day: _season(league, day) for day in days}
    ahead = {day: _ahead(spans[day], last, today, league) for day in days}
    counted = sure.filter(pl.col("day").is_in([day for day in days if spans[day] is not None]))
    current = counted.filter(pl.col("day").is_in([day for day in days if ahead[day] is not None]))
    recent = known.filter(pl.col("season") > season - _SEASONS)
    there = list({*recent["home"], *recent["away"]})
    rated = current.filter(pl.col("home").is_in(there) & pl.col("away").is_in(there))
    notes = [
        (links.height - sure.height, "their link is not sure, or they may have begun"),
        (sure.height - counted.height, "they are not of a season whose games count"),
        (counted.height - current.height, f"the results end on {last}: bring them up to date"),
        (current.height - rated.height, "a team has no result in two seasons"),
    ]
    parts = [told(f"{number} games are not priced: {why}") for number, why in notes if number]
    # A season further on comes last: a team's rating returns to the mean only once.
    rated = rated.with_columns(
        season=season + pl.col("day").replace_strict(ahead, default=None, return_dtype=pl.Int64)
    ).sort("season", maintain_order=True)  # fmt: skip
    to_come = rated.select(
        "season", team1="home", team2="away", neutral=pl.lit(value=False), score1=pl.lit(None, dtype=pl.Int64),
        score2=pl.lit(None, dtype=pl.Int64),
    )  # fmt: skip
    past = known.select(ratings.GAMES.names())
    made = ratings.rate(pl.concat([past, to_come.cast(ratings.GAMES)]), league).tail(rated.height)
    lead = (made["elo1"] - made["elo2"]).to_numpy() + league.home
    side = rated["side"].to_numpy()
    p, more, less = (_at(side, lead + shift, league.draw) for shift in (0.0, league.doubt, -league.doubt))
    doubt = np.maximum(np.abs(more - less) / 2, np.where(side == "tie", league.draw_doubt, 0.0))
    bounded = np.minimum(doubt, np.sqrt(p * (1 - p)))
    priced = rated.select("ticker", p=pl.Series(p), p_sd=pl.Series(bounded), note=pl.lit(None, dtype=pl.String))
    return pl.concat([priced, *parts])


def _season(league: ratings.League, day: date) -> tuple[date, date] | None:
    """The season that a day lies in, None between two."""
    for year in (day.year, day.year - 1):
        begin = date.fromisoformat(f"{year}-{league.begins}")
        end = date.fromisoformat(f"{year + (league.ends < league.begins)}-{league.ends}")
        if begin <= day <= end:
            return begin, end
    return None


def _ahead(span: tuple[date, date] | None, last: date, today: date, league: ratings.League) -> int | None:
    """How many seasons after the last result's a game is, 0 or 1; None if results are missing in between."""
    if span is None:
        return None
    begin = span[0]
    if last >= begin:
        return 0 if (today - last).days <= _FRESH_D else None
    before = _season(league, date.fromisoformat(f"{begin.year - 1}-{league.begins}"))
    complete = before is not None and last >= before[1] - timedelta(days=_FINAL_D)
    return 1 if complete and (today - begin).days <= _FRESH_D else None


def _at(side: np.ndarray, lead: np.ndarray, draw: float) -> np.ndarray:
    home, tie = ratings.three_way(lead, draw)
    return np.where(side == "home", home, np.where(side == "tie", tie, 1 - home - tie))

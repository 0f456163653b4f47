"""Games by the Elo ratings of their teams, from a file of results."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Self
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from fairline.config.model_settings import ModelSettings
from fairline.errors import FairlineError, InputError
from fairline.models.answer import note_row, priced_rows, to_predictions
from fairline.models.linking import MIN_CONFIDENCE
from fairline.models.sports import ratings, teams
from fairline.models.sports.games import link_games
from fairline.models.sports.ratings import EloParameters, load_parameters, rate, three_way
from fairline.models.sports.results import read_results
from fairline.models.sports.teams import League, load_leagues
from fairline.sources import Payload, Request

NEW_YORK = ZoneInfo("America/New_York")
MAX_RESULT_AGE_DAYS = 14
"""Days after the last result, or after the season's start, for which no result is assumed to be missing."""
SEASON_FINAL_DAYS = 60
"""Days before a season's end within which its last result lies: the last rounds have few teams."""
RATED_SEASONS = 2
REPORTED_AFTER = timedelta(hours=6)
"""Results of evening games are known the next morning."""
MAX_NOTES = 5
MIN_P_SD = 0.055
"""Root mean square distance between this model and the market's midpoint (docs/models/elo.md)."""


class EloModel:
    """Who wins a game, by the teams' Elo ratings, for leagues with known parameters and a file of results.

    It knows results, home advantage and neutral ground, but no line-ups and no injuries.
    """

    name = "elo"
    version = "2"

    def __init__(
        self,
        results: Mapping[str, Path] | None = None,
        leagues: Mapping[str, League] | None = None,
        parameters: Mapping[str, EloParameters] | None = None,
    ) -> None:
        """`results` names a file per league; other leagues are read from `user:results/LEAGUE.csv`."""
        self._results = dict(results or {})
        self._parameters = load_parameters() if parameters is None else parameters
        leagues = load_leagues() if leagues is None else leagues
        self._leagues = {name: league for name, league in leagues.items() if name in self._parameters}

    @classmethod
    def from_settings(cls, settings: ModelSettings) -> Self:
        """Build the model with the user's teams and parameters."""
        leagues = load_leagues(settings.table(teams.FILE))
        return cls(leagues=leagues, parameters=load_parameters(settings.table(ratings.FILE)))

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        series = [league.series for league in self._leagues.values()]
        return pl.col("series_ticker").is_in(series) & (pl.col("status") == "active")

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        """Return the results of the leagues among the markets; without any market, of all leagues."""
        listed = set(markets["series_ticker"])
        names = [name for name, league in self._leagues.items() if league.series in listed or not listed]
        return [self._request(name) for name in names]

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """Return PREDICTIONS of the reliably linked games; a `note` says what is not priced and why."""
        links = link_games(markets, self._leagues)
        parts = list[pl.DataFrame]()
        for (name,), rows in links.group_by("league", maintain_order=True):
            league = str(name)
            try:
                games, faults = read_results(payloads[self._request(league)].body, self._leagues[league])
                parts += [note_row(f"{league} results: {fault}") for fault in faults[:MAX_NOTES]]
                parts += [note_row(note) for note in [teams.age_note(self._leagues[league], asof.date())] if note]
                parts += _price(rows, games, self._parameters[league], asof)
            except FairlineError as error:
                parts.append(note_row(f"{rows.height} markets of {league} are not priced: {error.message}"))
        return to_predictions(parts, self.name, asof)

    def _request(self, league: str) -> Request:
        path = self._results.get(league)
        return Request("user", f"results/{league}.csv") if path is None else Request("file", str(path))


def _price(links: pl.DataFrame, games: pl.DataFrame, parameters: EloParameters, asof: datetime) -> list[pl.DataFrame]:
    """Return the games of one league, and notes. Raises `InputError` if the results are not current."""
    today = (asof.astimezone(NEW_YORK) - REPORTED_AFTER).date()
    known = _known_results(games, today)
    last, season = known["day"].to_list()[-1], known["season"].to_list()[-1]
    rows = links.join(_calendar(links, last, today, parameters), on="day", how="left", maintain_order="left")
    rows = rows.with_columns(
        note=_fault(asof, last, _rated_teams(known, season)), season=season + pl.col("seasons_ahead")
    )
    priced = rows.filter(pl.col("note").is_null()).join(
        _neutral_games(games), on=["day", "home", "away"], how="left", maintain_order="left"
    )
    counts = rows.drop_nulls("note").group_by("note", maintain_order=True).len()
    notes = [note_row(f"{number} games are not priced: {note}") for note, number in counts.iter_rows()]
    # Games of a later season come last, because ratings return to the mean once per season.
    return [_probabilities(priced.sort("season", maintain_order=True), known, parameters), *notes]


def _known_results(games: pl.DataFrame, today: date) -> pl.DataFrame:
    """Games played before today: today's may have been played after the instant of the prices."""
    is_played = pl.col("score1").is_not_null() & pl.col("score2").is_not_null()
    known = games.filter((pl.col("day") < today) & is_played)
    if known.is_empty():
        raise InputError("there are no results before today", remedy="Add results")
    return known


def _rated_teams(known: pl.DataFrame, season: int) -> list[str]:
    recent = known.filter(pl.col("season") > season - RATED_SEASONS)
    return list({*recent["home"], *recent["away"]})


def _calendar(links: pl.DataFrame, last: date, today: date, parameters: EloParameters) -> pl.DataFrame:
    """Return, for each day of the links, whether its games count and how many seasons after the last result it is."""
    rows = [
        (day, _season(parameters, day) is not None, _seasons_ahead(day, last, today, parameters))
        for day in links["day"].drop_nulls().unique()
    ]
    schema = {"day": pl.Date, "counts": pl.Boolean, "seasons_ahead": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _fault(asof: datetime, last: date, rated: Sequence[str]) -> pl.Expr:
    """Why a linked game is not priced, null if it is."""
    is_sure = (pl.col("confidence") >= MIN_CONFIDENCE) & (pl.col("before_ts") > asof)
    is_rated = pl.col("home").is_in(rated) & pl.col("away").is_in(rated)
    return pl.coalesce(
        pl.when(~is_sure.fill_null(value=False)).then(pl.lit("their link is uncertain, or they may have started")),
        pl.when(~pl.col("counts").fill_null(value=False)).then(pl.lit("they are outside a season whose games count")),
        pl.when(pl.col("seasons_ahead").is_null()).then(pl.lit(f"the results end on {last}: update them")),
        pl.when(~is_rated).then(pl.lit("a team has no result in two seasons")),
    )


def _neutral_games(games: pl.DataFrame) -> pl.DataFrame:
    """`{day, home, away, neutral}` of games on neutral ground, in both orders: neither team is at home."""
    neutral = games.filter("neutral").select("day", "home", "away", "neutral")
    swapped = neutral.select("day", home="away", away="home", neutral="neutral")
    return pl.concat([neutral, swapped]).unique(["day", "home", "away"])


def _probabilities(rows: pl.DataFrame, known: pl.DataFrame, parameters: EloParameters) -> pl.DataFrame:
    unplayed = pl.lit(None, dtype=pl.Int64)
    on_neutral = pl.col("neutral").fill_null(value=False)
    upcoming = rows.select(
        "season", team1="home", team2="away", neutral=on_neutral, score1=unplayed, score2=unplayed
    ).cast(ratings.GAMES)
    rated = rate(pl.concat([known.select(ratings.GAMES.names()), upcoming]), parameters).tail(rows.height)
    home = rated.select(pl.when("neutral").then(0.0).otherwise(parameters.home)).to_series().to_numpy()
    lead = (rated["elo1"] - rated["elo2"]).to_numpy() + home
    side = rows["side"].to_numpy()
    p, higher, lower = (
        _side_probability(side, lead + shift, parameters.draw)
        for shift in (0.0, parameters.lead_sd, -parameters.lead_sd)
    )
    p_sd = np.maximum(np.abs(higher - lower) / 2, np.where(side == "tie", parameters.draw_sd, 0.0))
    return priced_rows(rows["ticker"], p, p_sd, MIN_P_SD)


def _season(parameters: EloParameters, day: date) -> tuple[date, date] | None:
    """Return the season that a day lies in, None between two seasons."""
    for year in (day.year, day.year - 1):
        begin = date.fromisoformat(f"{year}-{parameters.begins}")
        end = date.fromisoformat(f"{year + (parameters.ends < parameters.begins)}-{parameters.ends}")
        if begin <= day <= end:
            return begin, end
    return None


def _seasons_ahead(day: date, last: date, today: date, parameters: EloParameters) -> int | None:
    """Return how many seasons a game is after the last result: 0, 1, or None if results in between are missing."""
    season = _season(parameters, day)
    if season is None:
        return None
    begin = season[0]
    if last >= begin:
        return 0 if (today - last).days <= MAX_RESULT_AGE_DAYS else None
    previous = _season(parameters, date.fromisoformat(f"{begin.year - 1}-{parameters.begins}"))
    is_complete = previous is not None and last >= previous[1] - timedelta(days=SEASON_FINAL_DAYS)
    return 1 if is_complete and (today - begin).days <= MAX_RESULT_AGE_DAYS else None


def _side_probability(side: np.ndarray, lead: np.ndarray, draw: float) -> np.ndarray:
    home, tie = three_way(lead, draw)
    return np.where(side == "home", home, np.where(side == "tie", tie, 1 - home - tie))

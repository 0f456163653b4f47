"""Games by bookmakers' odds."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Self

import polars as pl

from fairline.config.model_settings import ModelSettings
from fairline.errors import FairlineError, InputError
from fairline.models.answer import note_row, priced_rows, to_predictions
from fairline.models.linking import MIN_CONFIDENCE
from fairline.models.sports import teams
from fairline.models.sports.agreement import consensus
from fairline.models.sports.games import link_games, match_fixtures
from fairline.models.sports.odds import SIDES, read_odds
from fairline.models.sports.teams import League, load_leagues
from fairline.sources import Payload, Request

ODDS_URL = (
    "https://api.the-odds-api.com/v4/sports/{}/odds?regions=us,eu&markets=h2h&oddsFormat=decimal"
    "&apiKey={{key:the-odds-api}}"
)
REFRESH_S = 900.0
MAX_ODDS_AGE_S = 3_600.0
"""Older odds are ignored. The vendor says when each book was last read."""
MIN_BOOKS = 3
"""With fewer books their disagreement says nothing."""
MIN_AGREEING_BOOKS = 2
MAX_NOTES = 5


class ConsensusModel:
    """Who wins a game, by bookmakers' odds without their margin; how far books differ is its uncertainty.

    It reads a file of odds if there is one, else The Odds API, which needs the user's key. A game with fewer than three
    current books, or without two that agree, stays left_out.
    """

    name = "consensus"
    version = "2"

    def __init__(self, odds: Mapping[str, Path] | None = None, leagues: Mapping[str, League] | None = None) -> None:
        """`odds` names a file per league; other leagues use `user:odds/LEAGUE.json` or `.csv`, else The Odds API."""
        self._odds = dict(odds or {})
        self._leagues = load_leagues() if leagues is None else leagues

    @classmethod
    def from_settings(cls, settings: ModelSettings) -> Self:
        """Build the model with the user's teams."""
        return cls(leagues=load_leagues(settings.table(teams.FILE)))

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        series = [league.series for league in self._leagues.values()]
        return pl.col("series_ticker").is_in(series) & (pl.col("status") == "active")

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        """Return the files and the address of each league among the markets; without any market, of all leagues."""
        listed = set(markets["series_ticker"])
        leagues = [league for league in self._leagues.values() if league.series in listed or not listed]
        return [request for league in leagues for request in self._requests(league)]

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """Return PREDICTIONS of the reliably linked games with current odds; a `note` says what is not priced."""
        links = link_games(markets, self._leagues)
        parts = list[pl.DataFrame]()
        for (name,), rows in links.group_by("league", maintain_order=True):
            league = self._leagues[str(name)]
            try:
                payload = _first_available(self._requests(league), payloads)
                odds, faults = read_odds(payload.body, league, payload.fetched_ts)
                parts += [note_row(fault) for fault in faults[:MAX_NOTES]]
                parts += [note_row(note) for note in [teams.age_note(league, asof.date())] if note]
                parts += _price(rows, odds, asof)
            except FairlineError as error:
                parts.append(note_row(f"{rows.height} markets of {name} are not priced: {error.message}"))
        return to_predictions(parts, self.name, asof)

    def _requests(self, league: League) -> list[Request]:
        if league.name in self._odds:
            return [Request("file", str(self._odds[league.name]))]
        files = [Request("user", f"odds/{league.name}{suffix}") for suffix in (".json", ".csv")]
        if not league.odds:
            return files
        replaced_by = tuple(file.key for file in files)
        return [*files, Request("https", ODDS_URL.format(league.odds), max_age_s=REFRESH_S, unless=replaced_by)]


def _first_available(requests: Sequence[Request], payloads: Mapping[Request, Payload]) -> Payload:
    """Return the first payload that could be read. Raises the last error if there is none.

    All are accessed, because a missing file is not a fault if there is a feed.
    """
    error: FairlineError = InputError("there are no odds", remedy="Provide a file or a key")
    available = []
    for request in requests:
        try:
            available.append(payloads[request])
        except FairlineError as missing:
            error = missing
    if not available:
        raise error
    return available[0]


def _price(links: pl.DataFrame, odds: pl.DataFrame, asof: datetime) -> list[pl.DataFrame]:
    """Return the priced games of one league, and notes on the others."""
    games = consensus(odds, asof, MAX_ODDS_AGE_S)
    is_sure = (pl.col("confidence") >= MIN_CONFIDENCE) & (pl.col("before_ts") > asof)
    sure = links.filter(is_sure)
    matches = match_fixtures(sure, games).with_columns(note=_fault(asof))
    priced = matches.filter(pl.col("note").is_null())
    notes = [_count(links.height - sure.height, "their link is uncertain, or they may have started")]
    left_out = matches.drop_nulls("note").group_by("note", maintain_order=True).agg(pl.len(), pl.col("reason").first())
    for note, number, reason in left_out.iter_rows():
        notes.append(_count(number, f"{note}, such as {reason}" if reason else note))
    p = priced.select(_by_side("p")).to_series().to_numpy()
    p_sd = priced.select(_by_side("sd")).to_series().to_numpy()
    return [priced_rows(priced["ticker"], p, p_sd), *(note for note in notes if not note.is_empty())]


def _fault(asof: datetime) -> pl.Expr:
    """Why a linked game is not priced, null if it is."""
    has_started = (pl.col("start_ts_fixture") <= asof).fill_null(value=False)
    quoted, agreeing = pl.col("books") + pl.col("outliers"), pl.col("books")
    too_few = ((quoted < MIN_BOOKS) | (agreeing < MIN_AGREEING_BOOKS)).fill_null(value=True)
    return pl.coalesce(
        pl.when(pl.col("reason").is_not_null()).then(pl.lit("no odds match them")),
        pl.when(has_started).then(pl.lit("they have started")),
        pl.when(too_few).then(pl.lit(f"fewer than {MIN_BOOKS} books have current odds that agree")),
    )


def _by_side(quantity: str) -> pl.Expr:
    return pl.coalesce(pl.when(pl.col("side") == side).then(f"{side}_{quantity}") for side in SIDES).cast(pl.Float64)


def _count(number: int, reason: str) -> pl.DataFrame:
    return note_row(f"{number} games are not priced: {reason}") if number else note_row("").clear()

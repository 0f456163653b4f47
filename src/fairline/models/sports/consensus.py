"""Games by what bookmakers pay on them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import platformdirs
import polars as pl

from fairline.errors import FairlineError, InputError
from fairline.models.answer import answered, told
from fairline.models.linking import SURE
from fairline.models.sports import teams
from fairline.models.sports.games import link_games, matched
from fairline.models.sports.odds import consensus, read_odds
from fairline.sources import Payload, Request

_ADDRESS = (
    "https://api.the-odds-api.com/v4/sports/{}/odds?regions=us,eu&markets=h2h&oddsFormat=decimal"
    "&apiKey={{key:the-odds-api}}"
)
_AGE_S = 900.0
_STALE_S = 3_600.0
"""Older odds are not looked at. The vendor says of each book when it was last read."""
_FEWEST = 3
"""Books below which their disagreement says nothing."""
_MOST_NOTES = 5


def odds_path(league: str) -> str:
    """Where a file of odds on a league is looked for, before The Odds API is asked."""
    return str(platformdirs.user_data_path("fairline") / "odds" / league)


class ConsensusModel:
    """Who wins a game, by bookmakers' odds without their margin; how far they lie apart is its uncertainty.

    It reads a file of odds where there is one, else The Odds API, which needs a key of one's own. A game with fewer
    than three current books stays unpriced.
    """

    name, version = "consensus", "1"

    def __init__(self) -> None:
        self._leagues = teams.leagues()

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        series = [league.series for league in self._leagues.values()]
        return pl.col("series_ticker").is_in(series) & (pl.col("status") == "active")

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        """A file and an address of each league that has games among the markets; without any market, of all."""
        there = set(markets["series_ticker"])
        wanted = [league for league in self._leagues.values() if league.series in there or not there]
        return [request for league in wanted for request in _requests(league)]

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """PREDICTIONS of the games that are surely linked to one with current odds; a `note` says what is not."""
        links = link_games(markets, self._leagues)
        parts = list[pl.DataFrame]()
        for (name,), rows in links.group_by("league", maintain_order=True):
            league = self._leagues[str(name)]
            try:
                payload = _payload(league, payloads)
                odds, faults = read_odds(payload.body, league, payload.fetched_ts)
                parts += [told(fault) for fault in faults[:_MOST_NOTES]]
                parts.append(_priced(rows, odds, asof))
            except FairlineError as error:
                parts.append(told(f"{rows.height} markets of {name} are not priced: {error.message}"))
        return answered(parts, self.name, asof)


def _requests(league: teams.League) -> list[Request]:
    files = [Request("file", odds_path(league.name) + ending) for ending in (".json", ".csv")]
    address = Request("https", _ADDRESS.format(league.odds), max_age_s=_AGE_S, unless=tuple(file.key for file in files))
    return [*files, address] if league.odds else files


def _payload(league: teams.League, payloads: Mapping[Request, Payload]) -> Payload:
    """The first that is there. Raises the last one's `FairlineError`: an absent file is no fault if a feed is there."""
    error: FairlineError = InputError("there are no odds", remedy="Give a file or a key")
    there = []
    for request in _requests(league):
        try:
            there.append(payloads[request])
        except FairlineError as missing:
            error = missing
    if not there:
        raise error
    return there[0]


def _priced(links: pl.DataFrame, odds: pl.DataFrame, asof: datetime) -> pl.DataFrame:
    games = consensus(odds, asof, _STALE_S)
    sure = links.filter((pl.col("confidence") >= SURE) & (pl.col("before_ts") > asof))
    found = matched(sure, games)
    begun = pl.col("start_ts_there") <= asof
    priced = found.filter(pl.col("reason").is_null() & ~begun.fill_null(value=False) & (pl.col("books") >= _FEWEST))
    unmatched = found.filter(pl.col("reason").is_not_null())
    notes = [
        (links.height - sure.height, "their link is not sure, or they may have begun"),
        (unmatched.height, f"such as {unmatched['reason'][0]}" if unmatched.height else ""),
        (found.height - unmatched.height - priced.height, f"fewer than {_FEWEST} books have current odds"),
    ]
    sides = ("home", "tie", "away")
    p, p_sd = (
        pl.coalesce(pl.when(pl.col("side") == side).then(f"{side}_{kind}") for side in sides) for kind in ("p", "sd")
    )
    possible = (pl.col("p") * (1 - pl.col("p"))).sqrt()
    rows = priced.with_columns(p=p, p_sd=p_sd).select(
        "ticker", "p", p_sd=pl.min_horizontal("p_sd", possible), note=pl.lit(None, dtype=pl.String)
    )
    return pl.concat([rows, *(told(f"{number} games are not priced: {why}") for number, why in notes if number)])

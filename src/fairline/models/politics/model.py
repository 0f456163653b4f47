"""Who wins an office, by the polls."""

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import platformdirs
import polars as pl

from fairline.errors import FairlineError, InputError
from fairline.models.answer import answered, told
from fairline.models.linking import SURE
from fairline.models.politics.election import average, simulate, win_probability
from fairline.models.politics.polls import read_polls
from fairline.models.politics.races import is_race, link_races
from fairline.models.politics.states import NATION, electors
from fairline.sources import Payload, Request

_FEWEST = 3
_LONGEST_D = 400
"""Days before an election further out than which drift was never measured."""
_QUIET_D = 60
"""Days without a poll after which those there were say nothing of now, within half a year of the election."""
_NEW_YORK = ZoneInfo("America/New_York")
_THIRD = 10.0
"""Percent from which on another candidate makes it a race of three."""
_POLLS_CLOSE = time(18)
_SUREST = 0.995
"""The errors of polls are judged, not measured: nothing is surer than this."""
_DOUBT = 0.25
"""Relative error of the standard deviation of the margin: its parts are judged, not measured."""


def polls_path() -> str:
    """Where a file of polls is looked for."""
    return str(platformdirs.user_data_path("fairline") / "polls.csv")


def past_path() -> str:
    """Where past results by state are looked for: `year,state,dem,rep` in shares of 1."""
    return str(platformdirs.user_data_path("fairline") / "past-results.csv")


def election_day(year: int) -> date:
    """The Tuesday after the first Monday of November."""
    first = date(year, 11, 1)
    return first + timedelta(days=(7 - first.weekday()) % 7 + 1)


class PollsModel:
    """Who wins the Senate seat, the governorship or the presidency, by polls, their errors and the time that is left.

    It reads a file of polls. The presidency is simulated over the states, with past results where there are few polls.
    """

    name, version = "polls", "1"

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        return is_race() & (pl.col("status") == "active")

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        """The polls, and past results if the presidency is among the markets, or no market is."""
        polls, past = Request("file", polls_path()), Request("file", past_path())
        wanted = markets.is_empty() or markets["event_ticker"].str.contains("PRESPARTY").any()
        return [polls, past] if wanted else [polls]

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """PREDICTIONS of the races with enough polls; a `note` says what is left unpriced and why."""
        today = asof.astimezone(_NEW_YORK).date()
        table, faults = read_polls(payloads[Request("file", polls_path())].body, today)
        parts = [*map(told, faults[:5])]
        links = link_races(markets)
        sure = links.filter(pl.col("confidence") >= SURE)
        if links.height > sure.height:
            parts.append(told(f"{links.height - sure.height} markets are not priced: their link is not sure"))
        for (office, place, year), rows in sure.group_by("office", "place", "year", maintain_order=True):
            race = str(office), str(place), int(str(year))
            try:
                mine = table.filter((pl.col("office") == race[0]) & (pl.col("year") == race[2]))
                if race[0] == "president":
                    p, doubt = _president(mine, _past(payloads, race[2]), race[2], asof)
                else:
                    p, doubt = _place(mine, race[1], race[2], asof)
            except FairlineError as error:
                parts.append(told(f"{race[0]} {race[1]} {race[2]} is not priced: {error.message}"))
                continue
            dem = pl.col("side") == "dem"
            priced = rows.select("ticker", p=pl.when(dem).then(p).otherwise(1 - p), p_sd=pl.lit(doubt))
            parts.append(priced.with_columns(note=pl.lit(None, dtype=pl.String)))
        return answered(parts, self.name, asof)


def _left(polls: pl.DataFrame, year: int, asof: datetime) -> tuple[date, int]:
    """Today and the days to the election. Raises `InputError` where polls as these say nothing of it."""
    now = asof.astimezone(_NEW_YORK)
    today, days = now.date(), (election_day(year) - now.date()).days
    recent = polls.filter(pl.col("end") <= today)
    if days < 0 or (days == 0 and now.time() >= _POLLS_CLOSE):
        raise InputError("its election day is over", remedy="Wait for the result")
    if days > _LONGEST_D:
        raise InputError(f"it is {days} days away", remedy=f"Polls are used for {_LONGEST_D} days")
    if recent.height < _FEWEST:
        raise InputError(f"there are fewer than {_FEWEST} polls", remedy="Add polls")
    quiet = (today - recent["end"].sort().to_list()[-1]).days
    if quiet > _QUIET_D:
        raise InputError(f"the last poll is {quiet} days old", remedy="Bring the polls up to date")
    third = recent.filter(pl.col("end") >= today - timedelta(days=_QUIET_D))["other"].mean()
    if isinstance(third, float) and third >= _THIRD:
        raise InputError(f"another candidate has {third:.0f} %", remedy="Races of three are not priced")
    return today, days


def _place(polls: pl.DataFrame, place: str, year: int, asof: datetime) -> tuple[float, float]:
    """Houses are known by all that they asked about that office; the average is the place's."""
    today, days = _left(polls.filter(pl.col("place") == place), year, asof)
    made = average(polls, today, {}).filter(pl.col("place") == place)
    margin, weight = (made["dem"] - made["rep"]).to_numpy(), made["weight"].to_numpy()
    p, _ = win_probability(margin, days, weight)
    wide, narrow = (win_probability(margin * factor, days, weight)[0][0] for factor in (1 - _DOUBT, 1 + _DOUBT))
    return _bounded(float(p[0]), abs(wide - narrow) / 2)


def _president(polls: pl.DataFrame, past: pl.DataFrame, year: int, asof: datetime) -> tuple[float, float]:
    """By electors. States without a poll are where past results and the nation's polls put them."""
    (today, days), votes = _left(polls.filter(pl.col("place") == NATION), year, asof), electors(year)
    shares = {state: (100 * dem, 100 * rep) for state, dem, rep in past.select("state", "dem", "rep").iter_rows()}
    shares |= {place: shares[place[:2]] for place in votes if place[:2] in shares and place not in shares}
    made = average(polls, today, shares)
    there = {place: (dem - rep, weight) for place, dem, rep, _, weight in made.iter_rows()}
    lean = {place: dem - rep for place, (dem, rep) in shares.items()}
    shared = [place for place in there if place in lean and place in votes]
    if len(shared) < 8:
        raise InputError("fewer than 8 states have polls and a past result", remedy="Add polls or past results")
    swing = float(np.average([there[s][0] - lean[s] for s in shared], weights=[there[s][1] for s in shared]))
    missing = [place for place in votes if place not in there and place not in lean]
    if missing:
        raise InputError(f"{missing[0]} has neither a poll nor a past result", remedy="Add past results")
    states = [(*there[place], n) if place in there else (lean[place] + swing, 0.2, n) for place, n in votes.items()]
    margin, weight = (np.array([state[k] for state in states]) for k in (0, 1))
    count = np.array([state[2] for state in states])
    if not (np.isfinite(margin).all() and np.isfinite(weight).all()):
        raise InputError("the average of a state is no number", remedy="Look at its polls")

    def wins(factor: float) -> float:
        won = simulate(margin * factor, weight, count, days)
        # A tie of electors is decided by the House's delegations: half.
        return float(np.mean((won > count.sum() / 2) + 0.5 * (won == count.sum() / 2)))

    p = wins(1.0)
    return _bounded(p, abs(wins(1 - _DOUBT) - wins(1 + _DOUBT)) / 2)


def _bounded(p: float, doubt: float) -> tuple[float, float]:
    p = min(max(p, 1 - _SUREST), _SUREST)
    return p, min(max(doubt, 0.01), math.sqrt(p * (1 - p)))


def _past(payloads: Mapping[Request, Payload], year: int) -> pl.DataFrame:
    """The last result of each state before that year, in shares of 1. Raises `InputError`."""
    remedy = "Expected columns: year,state,dem,rep, in shares of 1"
    try:
        table = pl.read_csv(payloads[Request("file", past_path())].body)
        rows = table.select(pl.col("year", "dem", "rep").cast(pl.Float64), pl.col("state").cast(pl.String)).drop_nulls()
        if not rows.select(pl.all_horizontal(pl.col("dem", "rep").is_between(0, 1)).all()).item():
            raise InputError("the past results are not all between 0 and 1", remedy=remedy)
        return rows.filter(pl.col("year") < year).sort("year").unique("state", keep="last", maintain_order=True)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0][:100]
        raise InputError(f"the past results cannot be used ({reason})", remedy=remedy) from None

"""Who wins an office, by the polls."""

import math
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from fairline.errors import FairlineError, InputError
from fairline.models.answer import note_row, priced_rows, to_predictions
from fairline.models.linking import MIN_CONFIDENCE
from fairline.models.politics.election import MIN_PLACES_FOR_PAST, Floats, average, simulate, win_probability
from fairline.models.politics.polls import STRONG_INDEPENDENT, read_polls
from fairline.models.politics.races import is_race, link_races
from fairline.models.politics.states import NATION, electors
from fairline.sources import Payload, Request

POLLS_FILE = "polls.csv"
PAST_FILE = "past-results.csv"
"""Past results by state, `year,state,dem,rep` in shares of 1."""
MIN_POLLS = 3
MAX_DAYS_AHEAD = 400
"""The drift of polls was not measured over more days."""
MAX_DAYS_WITHOUT_POLL = 60
"""A longer time without a poll says nothing about now."""
NEW_YORK = ZoneInfo("America/New_York")
POLLS_CLOSE = time(18)
MAX_P = 0.995
"""The normal distribution of errors is not trusted beyond this."""
SD_ERROR = 0.25
"""Relative error of the standard deviation of the margin (a judgement: few cycles)."""
MIN_P_SD = 0.01
UNPOLLED_WEIGHT = 0.2
MAX_NOTES = 5
_PRESIDENCY = "PRESPARTY"


def election_day(year: int) -> date:
    """Return the Tuesday after the first Monday of November."""
    first = date(year, 11, 1)
    return first + timedelta(days=(7 - first.weekday()) % 7 + 1)


class PollsModel:
    """Who wins a Senate seat, a governorship or the presidency, by polls, their errors and the time left.

    It reads a file of polls. The presidency is simulated over the states, with past results where polls are few.
    """

    name = "polls"
    version = "2"

    def __init__(self, polls: Path | None = None, past_results: Path | None = None) -> None:
        """Without a path, `user:polls.csv` and `user:past-results.csv` are read."""
        self._polls = Request("user", POLLS_FILE) if polls is None else Request("file", str(polls))
        self._past = Request("user", PAST_FILE) if past_results is None else Request("file", str(past_results))

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        return is_race() & (pl.col("status") == "active")

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        """Return the polls, and past results if the presidency is among the markets, or if there are no markets."""
        needs_past = markets.is_empty() or markets["event_ticker"].str.contains(_PRESIDENCY).any()
        return [self._polls, self._past] if needs_past else [self._polls]

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """Return PREDICTIONS of the races with enough polls; a `note` says what is not priced and why."""
        today = asof.astimezone(NEW_YORK).date()
        polls, faults = read_polls(payloads[self._polls].body, today)
        parts = [note_row(fault) for fault in faults[:MAX_NOTES]]
        links = link_races(markets)
        sure = links.filter(pl.col("confidence") >= MIN_CONFIDENCE)
        if links.height > sure.height:
            parts.append(note_row(f"{links.height - sure.height} markets are not priced: their link is uncertain"))
        for (office, place, year), rows in sure.group_by("office", "place", "year", maintain_order=True):
            try:
                of_race = polls.filter((pl.col("office") == office) & (pl.col("year") == year))
                p, p_sd = self._win_probability(of_race, str(place), int(str(year)), payloads, asof)
            except FairlineError as error:
                parts.append(note_row(f"{office} {place} {year} is not priced: {error.message}"))
            else:
                parts.append(_both_sides(rows, p, p_sd))
        return to_predictions(parts, self.name, asof)

    def _win_probability(
        self, polls: pl.DataFrame, place: str, year: int, payloads: Mapping[Request, Payload], asof: datetime
    ) -> tuple[float, float]:
        """Return the Democrat's probability and its standard deviation, by the office's polls. Raises `InputError`."""
        if place == NATION:
            return _presidency(polls, _past_results(payloads[self._past].body, year), year, asof)
        return _seat(polls, place, year, asof)


def _both_sides(rows: pl.DataFrame, p: float, p_sd: float) -> pl.DataFrame:
    is_dem = (rows["side"] == "dem").to_numpy()
    return priced_rows(rows["ticker"], np.where(is_dem, p, 1 - p), np.full(rows.height, p_sd), MIN_P_SD)


def _days_left(polls: pl.DataFrame, year: int, asof: datetime) -> tuple[date, int]:
    """Today and the days to the election. Raises `InputError` if these polls say nothing about it."""
    now = asof.astimezone(NEW_YORK)
    today = now.date()
    days = (election_day(year) - today).days
    if days < 0 or (days == 0 and now.time() >= POLLS_CLOSE):
        raise InputError("its election day is over", remedy="Wait for the result")
    if days > MAX_DAYS_AHEAD:
        raise InputError(f"it is {days} days away", remedy=f"Polls are used for {MAX_DAYS_AHEAD} days")
    _check_polls(polls.filter(pl.col("end") <= today), today)
    return today, days


def _check_polls(polls: pl.DataFrame, today: date) -> None:
    """Raise `InputError` for polls that are few or old, or of a race with a strong independent."""
    if polls.height < MIN_POLLS:
        raise InputError(f"there are fewer than {MIN_POLLS} usable polls", remedy="Add polls")
    last = polls["end"].sort().to_list()[-1]
    quiet_days = (today - last).days
    if quiet_days > MAX_DAYS_WITHOUT_POLL:
        raise InputError(f"the last poll is {quiet_days} days old", remedy="Update the polls")
    recent = polls.filter(pl.col("end") >= today - timedelta(days=MAX_DAYS_WITHOUT_POLL))
    other = recent["other"].mean()
    if isinstance(other, float) and other >= STRONG_INDEPENDENT:
        raise InputError(f"another candidate has {other:.0f} %", remedy="Races of three are not priced")


def _seat(polls: pl.DataFrame, place: str, year: int, asof: datetime) -> tuple[float, float]:
    """Return the Democrat's probability of winning a seat, and its standard deviation."""
    today, days = _days_left(polls.filter(pl.col("place") == place), year, asof)
    averages = average(polls, today, {}).filter(pl.col("place") == place)
    margin, weight = (averages["dem"] - averages["rep"]).to_numpy(), averages["weight"].to_numpy()

    def probability(factor: float) -> float:
        return float(win_probability(margin * factor, days, weight)[0][0])

    return _bound(probability)


def _presidency(polls: pl.DataFrame, past: pl.DataFrame, year: int, asof: datetime) -> tuple[float, float]:
    """Return the Democrat's probability of winning most electors and its standard deviation."""
    today, days = _days_left(polls.filter(pl.col("place") == NATION), year, asof)
    votes = electors(year)
    shares = _past_shares(past, votes)
    margin, weight = _state_margins(average(polls, today, shares), shares, votes)
    count = np.array(list(votes.values()))

    def probability(factor: float) -> float:
        won = simulate(margin * factor, weight, count, days)
        # The House decides a tie of electors by state delegations: half.
        return float(np.mean((won > count.sum() / 2) + 0.5 * (won == count.sum() / 2)))

    return _bound(probability)


def _past_shares(past: pl.DataFrame, votes: Mapping[str, int]) -> dict[str, tuple[float, float]]:
    """Past shares in percent by place; a district has those of its state."""
    shares = {state: (100 * dem, 100 * rep) for state, dem, rep in past.select("state", "dem", "rep").iter_rows()}
    districts = {place: shares[place[:2]] for place in votes if place not in shares and place[:2] in shares}
    return shares | districts


def _state_margins(
    averages: pl.DataFrame, shares: Mapping[str, tuple[float, float]], votes: Mapping[str, int]
) -> tuple[Floats, Floats]:
    """Margin and weight of every place. A place without a poll is where its past and the average swing put it."""
    polled = {place: (dem - rep, weight) for place, dem, rep, _, weight in averages.iter_rows()}
    past = {place: dem - rep for place, (dem, rep) in shares.items()}
    _check_places(polled.keys(), past.keys(), votes)
    swing = _average_swing(polled, past, votes)
    rows = [polled[place] if place in polled else (past[place] + swing, UNPOLLED_WEIGHT) for place in votes]
    margin, weight = (np.array(column) for column in zip(*rows, strict=True))
    if not (np.isfinite(margin).all() and np.isfinite(weight).all()):
        raise InputError("the average of a state is not a number", remedy="Check its polls")
    return margin, weight


def _check_places(polled: Set[str], past: Set[str], votes: Mapping[str, int]) -> None:
    """Raise `InputError` unless every place has a poll or a past result, and enough places have both."""
    if len(votes.keys() & polled & past) < MIN_PLACES_FOR_PAST:
        message = f"fewer than {MIN_PLACES_FOR_PAST} states have polls and a past result"
        raise InputError(message, remedy="Add polls or past results")
    missing = [place for place in votes if place not in polled | past]
    if missing:
        raise InputError(f"{missing[0]} has neither a poll nor a past result", remedy="Add past results")


def _average_swing(
    polled: Mapping[str, tuple[float, float]], past: Mapping[str, float], votes: Mapping[str, int]
) -> float:
    """Return the weighted mean change of the margin since the past result, over places with both."""
    in_both = [place for place in votes if place in polled and place in past]
    swings = [polled[place][0] - past[place] for place in in_both]
    return float(np.average(swings, weights=[polled[place][1] for place in in_both]))


def _bound(probability: Callable[[float], float]) -> tuple[float, float]:
    """Probability within its bounds, and its standard deviation from a margin scaled by the error of its own."""
    p = min(max(probability(1.0), 1 - MAX_P), MAX_P)
    p_sd = abs(probability(1 - SD_ERROR) - probability(1 + SD_ERROR)) / 2
    return p, min(p_sd, math.sqrt(p * (1 - p)))


def _past_results(body: bytes, year: int) -> pl.DataFrame:
    """Return the last result of each state before a year, in shares of 1. Raises `InputError`."""
    remedy = "Expected columns: year,state,dem,rep, in shares of 1"
    try:
        table = pl.read_csv(body)
        numbers = pl.col("year", "dem", "rep").cast(pl.Float64)
        rows = table.select(numbers, pl.col("state").cast(pl.String)).drop_nulls()
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0][:100]
        raise InputError(f"the past results cannot be used ({reason})", remedy=remedy) from error
    if not rows.select(pl.all_horizontal(pl.col("dem", "rep").is_between(0, 1)).all()).item():
        raise InputError("the past results are not all between 0 and 1", remedy=remedy)
    return rows.filter(pl.col("year") < year).sort("year").unique("state", keep="last", maintain_order=True)

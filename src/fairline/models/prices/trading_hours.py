"""How much of a trading day lies between two instants, for an index that is made while the stock exchanges are open.

A day's variance falls on its session (half past nine to four in New York, evenly) and, a quarter of it, on the night
before: prices vary far more while they are traded (French and Roll, Journal of Financial Economics 1986; the quarter is
a judgement). Weekends and holidays count as one night: closes from Friday to Monday vary by hardly more than others.
"""

import tomllib
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from fairline.errors import InputError

NEW_YORK = ZoneInfo("America/New_York")
OPEN, CLOSE, EARLY = time(9, 30), time(16), time(13)
NIGHT = 0.25
_WHOLE = timedelta(hours=6, minutes=30)
_FRIDAY = 4


def session(day: date) -> tuple[datetime, datetime] | None:
    """From when to when that day has a session, None if it has none. Raises `InputError` for years not known."""
    closed, early = _calendar()
    if day.year not in {known.year for known in closed}:
        raise InputError(f"the holidays of {day.year} are not known", remedy="Take a newer version of Fairline")
    if day.weekday() > _FRIDAY or day in closed:
        return None
    opens, closes = (datetime.combine(day, at, NEW_YORK) for at in (OPEN, EARLY if day in early else CLOSE))
    return opens.astimezone(UTC), closes.astimezone(UTC)


def trading_days(begin: datetime, end: datetime) -> float:
    """Trading days from one instant to another, in variance: 1 from close to close, 0.75 from open to close."""
    first, last = begin.astimezone(NEW_YORK).date(), end.astimezone(NEW_YORK).date()
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return sum(_within(hours, begin, end) for day in days if (hours := session(day)) is not None)


def _within(hours: tuple[datetime, datetime], begin: datetime, end: datetime) -> float:
    opens, closes = hours
    traded = max(min(end, closes) - max(begin, opens), timedelta(0))
    return (NIGHT if begin < opens <= end else 0.0) + (1 - NIGHT) * (traded / _WHOLE)


@cache
def _calendar() -> tuple[frozenset[date], frozenset[date]]:
    content = tomllib.loads(files("fairline.models.prices").joinpath("trading_hours.toml").read_text())
    return frozenset(content["closed"]), frozenset(content["early"])

"""How much of a trading day lies between two instants, for an index computed while the stock exchanges are open.

A day's variance falls on its session (9:30 to 16:00 in New York, evenly) and, for a quarter of it, on the night before:
prices vary far more while they are traded (French and Roll, Journal of Financial Economics 1986; the quarter is a
judgement). Weekends and holidays count as one night: closes from Friday to Monday vary hardly more than others.

Holidays and early closes are those of the `holidays` library's calendar of the New York Stock Exchange.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from holidays import HALF_DAY, PUBLIC, financial_holidays

NEW_YORK = ZoneInfo("America/New_York")
OPEN = time(9, 30)
CLOSE = time(16)
EARLY_CLOSE = time(13)
NIGHT_SHARE = 0.25
FULL_SESSION = timedelta(hours=6, minutes=30)
_FRIDAY = 4


_CLOSED_DAYS = financial_holidays("NYSE", categories=PUBLIC)
_SHORT_DAYS = financial_holidays("NYSE", categories=HALF_DAY)
"""Calendars that add a year when it is first asked for. Building one opens a file, so they are built on import."""


def market_hours(day: date) -> tuple[datetime, datetime] | None:
    """Return when the stock exchanges open and close on a day (UTC), None if they stay closed."""
    if day.weekday() > _FRIDAY or day in _CLOSED_DAYS:
        return None
    close = EARLY_CLOSE if day in _SHORT_DAYS else CLOSE
    return tuple(datetime.combine(day, at, NEW_YORK).astimezone(UTC) for at in (OPEN, close))  # type: ignore[return-value]


def trading_days(begin: datetime, end: datetime) -> float:
    """Return the trading days between two instants, in variance: 1 from close to close, 0.75 from open to close."""
    first, last = begin.astimezone(NEW_YORK).date(), end.astimezone(NEW_YORK).date()
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return sum(_share_within(hours, begin, end) for day in days if (hours := market_hours(day)) is not None)


def _share_within(hours: tuple[datetime, datetime], begin: datetime, end: datetime) -> float:
    opens, closes = hours
    traded = max(min(end, closes) - max(begin, opens), timedelta(0))
    night = NIGHT_SHARE if begin < opens <= end else 0.0
    return night + (1 - NIGHT_SHARE) * (traded / FULL_SESSION)

"""How much of a trading day lies between two instants, for an index that is made while the stock exchanges are open.

A day's variance falls on its session (half past nine to four in New York, evenly) and, a quarter of it, on the night
before: prices vary far more while they are traded (French and Roll, Journal of Financial Economics 1986; the quarter is
a judgement). Weekends count as one night: closes from Friday to Monday vary by hardly more than others. Holidays are
not known, so that over one of them a day too many is counted.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
OPEN, CLOSE = time(9, 30), time(16)
NIGHT = 0.25
_FRIDAY = 4


def trading_days(begin: datetime, end: datetime) -> float:
    """Trading days from one instant to another, in variance: 1 from close to close, 0.75 from open to close."""
    first, last = begin.astimezone(NEW_YORK).date(), end.astimezone(NEW_YORK).date()
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return sum(_within(day, begin, end) for day in days if day.weekday() <= _FRIDAY)


def _within(day: date, begin: datetime, end: datetime) -> float:
    opens, closes = (datetime.combine(day, at, NEW_YORK).astimezone(UTC) for at in (OPEN, CLOSE))
    session = max((min(end, closes) - max(begin, opens)) / (closes - opens), 0.0)
    night = NIGHT if begin < opens <= end else 0.0
    return night + (1 - NIGHT) * session

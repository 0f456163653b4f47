"""The difference between this machine's clock and the exchange's, measured from the `Date` header of answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# Accepted and refused differences measured on the wire in 2026: production accepted 10 s and refused 60 s (October),
# demo refused 30 s (June). The exchange documents no limit.
SAFE_S = 5.0
TOLERATED_S = 10.0
REFUSED_S = 30.0
REPLAY_S = 3_600.0
"""A difference above this is no wrong clock: the exchange replays the past, and its time is the one that counts."""


@dataclass(frozen=True, slots=True)
class Skew:
    """How many `seconds` the exchange's clock is ahead of the local one (negative: behind), plus or minus `error`."""

    seconds: float
    error: float

    def __str__(self) -> str:
        if abs(self.seconds) <= self.error:
            return f"this machine's clock agrees with the exchange's to {self.error:.1f} s"
        side = "behind" if self.seconds > 0 else "ahead of"
        return f"this machine's clock is {abs(self.seconds):.1f} s {side} the exchange's (± {self.error:.1f} s)"


def skew_of(headers: Mapping[str, str], sent: float, received: float) -> Skew | None:
    """Return the skew measured from an answer's `Date` header, or None without a usable one.

    `sent` and `received` are Unix seconds by the local clock. `Date` names the whole second in which the answer was
    made, on average half a second before it. That instant is assumed to be the middle of the round trip.
    """
    try:
        stamp = parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return Skew(stamp + 0.5 - (sent + received) / 2, 0.5 + (received - sent) / 2)


def certainly_past(local: float, skew: Skew | None) -> float:
    """Return the exchange's time at local time `local`, rounded down by the error of the measurement."""
    if skew is None:
        return local
    theirs = local + skew.seconds - skew.error
    return min(local, theirs) if abs(skew.seconds) <= skew.error else theirs


def in_maintenance_window(now: float) -> bool:
    """Return whether it is Thursday 03:00-05:00 in New York, the exchange's weekly maintenance window."""
    try:
        local = datetime.fromtimestamp(now, ZoneInfo("America/New_York"))
    except ZoneInfoNotFoundError:
        return False
    return local.weekday() == 3 and 3 <= local.hour < 5

"""How far this machine's clock is from the exchange's, by the `Date` header of any answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# Accepted and refused differences as measured on the wire in 2026: 10 s passed, 60 s did not (production, October);
# 30 s back was refused (demo, June). The official window is not documented.
SAFE_S = 5.0
TOLERATED_S = 10.0
REFUSED_S = 30.0


@dataclass(frozen=True, slots=True)
class Skew:
    """`seconds` that the exchange's clock is ahead of ours (negative: behind), give or take `error`."""

    seconds: float
    error: float

    def __str__(self) -> str:
        if abs(self.seconds) <= self.error:
            return f"this machine's clock agrees with the exchange's to {self.error:.1f} s"
        side = "behind" if self.seconds > 0 else "ahead of"
        return f"this machine's clock is {abs(self.seconds):.1f} s {side} the exchange's (± {self.error:.1f} s)"


def skew_of(headers: Mapping[str, str], sent: float, received: float) -> Skew | None:
    """The skew by an answer's `Date` (whole seconds), corrected for the round trip; None without a usable `Date`.

    `sent` and `received` are Unix seconds by the local clock. The header names the second in which the answer was
    made, which was on average half a second old, at a moment taken as the middle of the round trip.
    """
    try:
        stamp = parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return None
    return Skew(stamp + 0.5 - (sent + received) / 2, 0.5 + (received - sent) / 2)


def surely_past(ours: float, skew: Skew | None) -> float:
    """The exchange's time at our time `ours`, for sure not later than it was: its `Date` is of whole seconds."""
    if skew is None:
        return ours
    theirs = ours + skew.seconds - skew.error
    return min(ours, theirs) if abs(skew.seconds) <= skew.error else theirs


def maintenance(now: float) -> bool:
    """Whether it is Thursday 03:00-05:00 in New York, the exchange's weekly window."""
    try:
        local = datetime.fromtimestamp(now, ZoneInfo("America/New_York"))
    except ZoneInfoNotFoundError:
        return False
    return local.weekday() == 3 and 3 <= local.hour < 5

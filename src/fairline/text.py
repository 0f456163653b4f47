"""Clean untrusted text, and parse and format durations."""

import re
import unicodedata
from datetime import timedelta

from fairline.errors import UsageError
from fairline.kalshi.redaction import show_value

_UNSAFE_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_HOURS = {"s": 1 / 3600, "m": 1 / 60, "h": 1, "d": 24, "w": 168}
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_MAX_HOURS = 24 * 36_525
"""A century."""


def sanitize(text: object) -> str:
    """Replace control characters, line breaks and characters that change the writing direction by spaces."""
    return "".join(" " if unicodedata.category(char) in _UNSAFE_CATEGORIES else char for char in str(text))


def sanitize_lines(text: object) -> str:
    """Sanitize every line of a text, and keep the line breaks."""
    return "\n".join(sanitize(line) for line in str(text).split("\n"))


def parse_duration(text: str, *, field: str = "duration") -> timedelta:
    """Parse a duration such as 90m, 12h, 7d or 4w. Raises `UsageError` for `field`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip().lower())
    if match is None:
        raise UsageError(f"expected a duration such as 90m, 12h, 7d or 4w, not {show_value(text)}", field=field)
    hours = float(match[1]) * _HOURS[match[2]]
    if hours > _MAX_HOURS:
        raise UsageError(f"{show_value(text)} is longer than a century; expected a duration such as 7d", field=field)
    return timedelta(hours=hours)


def format_duration(duration: timedelta) -> str:
    """Return a duration in the largest unit that divides it, in whole seconds: `90m` for an hour and a half."""
    total = round(duration.total_seconds())
    unit = next(unit for unit, size in _SECONDS.items() if total % size == 0)
    return f"{total // _SECONDS[unit]}{unit}"

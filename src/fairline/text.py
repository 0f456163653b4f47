"""Clean text that came from elsewhere, and parse durations that people type."""

import re
import unicodedata
from datetime import timedelta

from fairline.errors import UsageError

_UNSAFE_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def plain(text: object) -> str:
    """Without control characters, line ends and marks that turn the direction of writing; a space stands for each."""
    return "".join(" " if unicodedata.category(sign) in _UNSAFE_CATEGORIES else sign for sign in str(text))


def span(text: str, what: str = "--closes-within") -> timedelta:
    """Raises `UsageError`; `what` names the option or setting in it."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip().lower())
    if match is None:
        raise UsageError(f"{text!r} is not a span of time", remedy=f"{what} takes spans such as 90m, 12h, 7d, 4w")
    hours = float(match[1]) * {"s": 1 / 3600, "m": 1 / 60, "h": 1, "d": 24, "w": 168}[match[2]]
    if hours > 24 * 36_525:
        raise UsageError(f"{text!r} is longer than a century", remedy=f"{what} takes spans such as 7d")
    return timedelta(hours=hours)

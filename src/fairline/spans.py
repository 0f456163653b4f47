"""Spans of time as people write them: 90m, 12h, 7d, 4w."""

import re
from datetime import timedelta

from fairline.errors import UsageError


def span(text: str, what: str = "--closes-within") -> timedelta:
    """Raises `UsageError`; `what` names the option or setting in it."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip().lower())
    if match is None:
        raise UsageError(f"{text!r} is not a span of time", remedy=f"{what} takes spans such as 90m, 12h, 7d, 4w")
    hours = float(match[1]) * {"s": 1 / 3600, "m": 1 / 60, "h": 1, "d": 24, "w": 168}[match[2]]
    if hours > 24 * 36_525:
        raise UsageError(f"{text!r} is longer than a century", remedy=f"{what} takes spans such as 7d")
    return timedelta(hours=hours)

"""Facts read from a market's texts: its rules, outcome and custom strike.

The rules are half of a market's size, so they are read once, page by page, and only these facts are retained.
"""

import re
from functools import lru_cache
from typing import NamedTuple
from zlib import adler32, crc32

from fairline.kalshi.wire import Market, Series

_SCHEDULED = "scheduled for "
_PERIOD = "Reg Time: "
_REPORT = re.compile(r"\(CLI([A-Z]{3})\)")
_REPORT_URL = re.compile(r"[?&]product=CLI&issuedby=([A-Z]{3})\b")
_EXTREME = re.compile(r"\b(?:(maximum|highest)|minimum|lowest) temperature")
_DEADLINE = re.compile(r"(?:before|by) (?=.*\b(?:19|20)\d\d$)", re.IGNORECASE)
_NUMBER_CHARACTERS = b"0123456789.,$%+-"
_DATE, _TIME, _NUMBER = (
    rb"[A-Z][a-z]{2,8}\.? \d{1,2}, \d{4}",
    rb"\d{1,2}(?::\d\d)? ?[AaPp]\.?[Mm]",
    rb"\d[\d,]*(?:\.\d+)?",
)
_NUMBERS = re.compile(rb"|".join((_DATE, _TIME, _NUMBER)))
_SCALES = (1e3, 1e6, 1e9)
"""Thousand, million and billion, which rules write as words."""


class Facts(NamedTuple):
    """What a market's texts say; None where they do not.

    `target`: the exchange's id of a structured outcome. `strike_target`: the custom strike of any other market, as
    text. `rules_day`: the day that the rules schedule the event for, otherwise the last day they mention, as text.
    `rules_named`: whether the rules name the outcome. `rules_station`: the weather station whose climate report
    decides, if they name it. `rules_extreme`: high or low. `rules_deadline`: the date of an outcome "before" or "by" a
    date that the rules repeat, as text. `rules_hash`: a hash of the rules. `rules_form`: a hash of the rules without
    that date, or without the market's own strikes, so that markets that differ in nothing else have one form.
    """

    target: str | None
    strike_target: str | None
    rules_day: str | None
    rules_named: bool | None
    rules_station: str | None
    rules_extreme: str | None
    rules_deadline: str | None
    rules_hash: int | None
    rules_form: int | None


def read_facts(market: Market) -> Facts:
    """Read the facts of a market's texts."""
    rules = market.rules_primary or ""
    outcome = market.yes_sub_title or ""
    named = outcome.removeprefix(_PERIOD) in rules if outcome and rules else None
    custom = str(market.custom_strike, "utf-8", "replace")
    structured = market.strike_type == "structured"
    day = _scheduled_day(rules)
    deadline = None if structured else _deadline(outcome, rules)
    station, extreme = _climate_report(rules)
    content = rules.encode("ascii", "replace")
    # Positional, because this runs for every market: keywords take a microsecond more.
    return Facts(
        custom[-38:-2] if structured else None,
        None if structured or custom in ("", "null") else custom,
        day if structured else day or _last_day(rules),
        named,
        None if structured else station,
        None if structured else extreme,
        deadline,
        _hash(content) if rules else None,
        _form(content, deadline, market) if rules else None,
    )


def _scheduled_day(rules: str) -> str | None:
    at = rules.find(_SCHEDULED)
    return rules[at + len(_SCHEDULED) :][: len("Nov 23, 2026")] if at >= 0 else None


def _last_day(rules: str) -> str | None:
    last = rules.rfind(", 20")
    return rules[max(last - len("September 30"), 0) : last + len(", 2026")] if last >= 0 else None


def _climate_report(rules: str) -> tuple[str | None, str | None]:
    if "temperature" not in rules:
        return None, None
    stations = set(_REPORT.findall(rules))
    is_high = {bool(highest) for highest in _EXTREME.findall(rules)}
    extreme = ("high" if is_high.pop() else "low") if len(is_high) == 1 else None
    return stations.pop() if len(stations) == 1 else None, extreme


def _deadline(outcome: str, rules: str) -> str | None:
    """Return the date of an outcome such as "Before Jan 1, 2027" if the rules say "before Jan 1, 2027" too."""
    start = _DEADLINE.match(outcome)
    return outcome[start.end() :] if start and outcome.lower() in rules.lower() else None


def _form(content: bytes, deadline: str | None, market: Market) -> int | None:
    """Return the hash of the rules without the deadline or the strikes; None for a market that has neither."""
    if deadline is not None:
        return _hash(content.replace(deadline.encode("ascii", "replace"), b""))
    strikes = [abs(strike) for strike in (market.floor_strike, market.cap_strike) if strike is not None]
    if not strikes:
        return None
    # Dates, times and other numbers stay: quarter 1 and quarter 2 are different quantities.
    others = [text for text in _NUMBERS.findall(content) if not _is_strike(text, strikes)]
    return _hash(b"|".join([content.translate(None, _NUMBER_CHARACTERS), *others]))


def _is_strike(text: bytes, strikes: list[float]) -> bool:
    """Return whether a number of the rules is a strike, which may be half a unit or a cent away from it."""
    value = _parse_number(text)
    if value is None:
        return False
    for strike in strikes:
        if -0.5 <= value - strike <= 0.5:
            return True
        if value < 1_000 <= strike and any(abs(value * scale - strike) <= 1e-6 * strike for scale in _SCALES):
            return True
    return False


@lru_cache(maxsize=4_096)
def _parse_number(text: bytes) -> float | None:
    """Return the value of a number; None for a date or a time of day."""
    digits = text.rstrip(b",")
    return float(digits.replace(b",", b"")) if (digits[:1] + digits[-1:]).isdigit() and b":" not in digits else None


def _hash(content: bytes) -> int:
    """Return a 64-bit hash that does not depend on the process."""
    return (crc32(content) << 32 | adler32(content)) - (1 << 63)


def settlement_station(series: Series) -> str | None:
    """Return the weather station whose climate report settles a series, None if it names none or several."""
    urls = [source.url or "" for source in series.settlement_sources or ()]
    stations = {match[1] for url in urls if (match := _REPORT_URL.search(url))}
    return stations.pop() if len(stations) == 1 else None

"""Facts read from a market's texts: its rules, outcome and custom strike.

The rules are half of a market's size, so they are read once, page by page, and only these facts are retained.
"""

import re
from typing import NamedTuple
from zlib import adler32, crc32

from fairline.kalshi.wire import Market

_SCHEDULED = "scheduled for "
_PERIOD = "Reg Time: "
_REPORT = re.compile(r"\(CLI([A-Z]{3})\)")
_EXTREME = re.compile(r"\b(?:(maximum|highest)|minimum|lowest) temperature")
_DEADLINE = re.compile(r"(?:before|by) (?=.*\b(?:19|20)\d\d$)", re.IGNORECASE)
_WITHOUT_NUMBERS = str.maketrans("", "", "0123456789.,$€£%°+-−–")


class Facts(NamedTuple):
    """What a market's texts say; None where they do not.

    `target`: the exchange's id of a structured outcome. `strike_target`: the custom strike of any other market, as
    text. `rules_day`: the day that the rules schedule the event for, otherwise the last day they mention, as text.
    `rules_named`: whether the rules name the outcome. `rules_station` and `rules_extreme`: the weather station whose
    climate report decides, and high or low. `rules_deadline`: the date of an outcome "before" or "by" a date that the
    rules repeat, as text. `rules_hash`: a hash of the rules. `rules_form`: a hash of the rules without numbers and
    without that date, so that markets with one wording have one form.
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
    return Facts(
        target=custom[-38:-2] if structured else None,
        strike_target=None if structured or custom in ("", "null") else custom,
        rules_day=day if structured else day or _last_day(rules),
        rules_named=named,
        rules_station=None if structured else station,
        rules_extreme=None if structured else extreme,
        rules_deadline=deadline,
        rules_hash=_hash(rules) if rules else None,
        rules_form=_hash(_form(rules, deadline)) if rules else None,
    )


def _scheduled_day(rules: str) -> str | None:
    at = rules.find(_SCHEDULED)
    return rules[at + len(_SCHEDULED) :][: len("Nov 23, 2026")] if at >= 0 else None


def _last_day(rules: str) -> str | None:
    last = rules.rfind(", 20")
    return rules[max(last - len("September 30"), 0) : last + len(", 2026")] if last >= 0 else None


def _climate_report(rules: str) -> tuple[str | None, str | None]:
    if "(CLI" not in rules:
        return None, None
    stations = set(_REPORT.findall(rules))
    is_high = {bool(highest) for highest in _EXTREME.findall(rules)}
    extreme = ("high" if is_high.pop() else "low") if len(is_high) == 1 else None
    return stations.pop() if len(stations) == 1 else None, extreme


def _deadline(outcome: str, rules: str) -> str | None:
    """Return the date of an outcome such as "Before Jan 1, 2027" if the rules say "before Jan 1, 2027" too."""
    start = _DEADLINE.match(outcome)
    return outcome[start.end() :] if start and outcome.lower() in rules.lower() else None


def _form(rules: str, deadline: str | None) -> str:
    if deadline is not None:
        rules = rules.replace(deadline, "")
    return rules.translate(_WITHOUT_NUMBERS)


def _hash(text: str) -> int:
    """Return a 64-bit hash that does not depend on the process."""
    content = text.encode("utf-8", "replace")
    return (crc32(content) << 32 | adler32(content)) - (1 << 63)

"""Which changes are worth telling whom, and when: pure decisions over EDGES; what was told is `state`'s to keep.

A rule looks at opportunities. One that it is told of appears, grows, goes and is settled, and each of these is told
once: `decide` compares with what was told before. What is to be told waits as items until `hold` lets them go:
together in a digest, not in quiet hours, not more messages in an hour than the rule allows.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from fairline.errors import ConfigError, UsageError
from fairline.market.frame import NOTIONAL_U
from fairline.pricing.steps import failure_text
from fairline.text import parse_duration, sanitize

KINDS = ("appeared", "grew", "gone", "settled")
Key = tuple[str, str, str]
"""Ticker, side and model."""

_LINES = 12
"""Changes that a message spells out; the others are counted."""
_BELOW = "below the rule's thresholds"


@dataclass(frozen=True, slots=True)
class Rule:
    """What to be told of. Absent thresholds are those of the scan; `to` names receivers, all of them if empty.

    `grew` wants `grow_points` more edge than was told last; the same opportunity is not told again within `cooldown`.
    """

    name: str
    to: tuple[str, ...] = ()
    on: tuple[str, ...] = KINDS
    min_edge: float | None = None
    min_ev: float | None = None
    min_contracts: float | None = None
    categories: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    sides: tuple[str, ...] = ()
    followed: bool = False
    closes_within: timedelta | None = None
    grow_points: float = 2.0
    cooldown: timedelta = timedelta(hours=1)
    digest: timedelta = timedelta()
    quiet: tuple[time, time] | None = None
    timezone: str = "UTC"
    per_hour: int = 20

    @classmethod
    def of(cls, name: str, table: Mapping[str, Any]) -> "Rule":
        """A rule from its table in the settings. Raises `ConfigError` naming rule and setting."""
        known = {each.name for each in fields(cls)} - {"name"}
        made: dict[str, Any] = {}
        for key, value in table.items():
            if key not in known:
                raise ConfigError(
                    f"alerts.{name} has an unknown setting {key!r}", remedy=f"It takes {', '.join(sorted(known))}"
                )
            try:
                made[key] = _READ[key](value)
            except (TypeError, ValueError, KeyError, OSError, ArithmeticError, UsageError) as error:
                raise ConfigError(
                    f"alerts.{name}: {key} = {value!r} cannot be used ({error})", remedy="See docs/running.md"
                ) from None
        return cls(name, **made)

    def matches(self, kept: pl.DataFrame, followed: Iterable[str], now: datetime) -> pl.DataFrame:
        """The opportunities with `about`: whether the rule is about them; null where that is not known."""
        tests = [pl.lit(value=True)]
        for column, least in (("edge_points", self.min_edge), ("ev_u", self.min_ev), ("size_cc", self.min_contracts)):
            scale = {"ev_u": NOTIONAL_U, "size_cc": 100}.get(column, 1)
            tests += [] if least is None else [pl.col(column) >= least * scale]
        if self.categories:
            tests.append(pl.col("category").str.to_lowercase().is_in([name.lower() for name in self.categories]))
        for column, wanted in (("series_ticker", self.series), ("model", self.models), ("side", self.sides)):
            tests += [pl.col(column).is_in(list(wanted))] if wanted else []
        if self.followed:
            tests.append(pl.col("ticker").is_in(list(followed)))
        if self.closes_within is not None:
            tests.append(pl.col("close_ts") <= now + self.closes_within)
        return kept.with_columns(about=pl.all_horizontal(tests))


@dataclass(frozen=True, slots=True)
class Told:
    """What a rule's reader knows of an opportunity. `phase`: told, back (not told again yet), gone or settled."""

    key: Key
    phase: str
    edge_points: float
    told_ts: datetime
    row: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Item:
    """One change to be told."""

    key: Key
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Happened:
    """What became of opportunities in a scan: those that are there, why others went, and how markets ended."""

    kept: pl.DataFrame
    departed: Mapping[Key, str]
    payouts_u: Mapping[str, int]
    now: datetime


def decide(
    rule: Rule, happened: Happened, known: Mapping[Key, Told], followed: Iterable[str] = ()
) -> tuple[list[Item], list[Told]]:
    """What to tell by a rule, and what is known then. What a scan says nothing of is left as it was."""
    items, after = list[Item](), list[Told]()
    judged = rule.matches(happened.kept, followed, happened.now)
    there = {_key(row): row for row in _rows(judged.filter("about"))}
    for key, row in there.items():
        kind, told = _arrived(rule, key, row, known.get(key), happened.now)
        items += [Item(key, kind, describe(kind, told.row))] if kind and told else []
        after += [told] if told else []
    others = set(judged.filter(~pl.col("about")).select("ticker", "side", "model").iter_rows())
    for key, told in known.items():
        payout = happened.payouts_u.get(key[0])
        if payout is not None and told.phase != "settled":
            items.append(Item(key, "settled", describe("settled", told.row | {"payout_u": payout})))
            after = [each for each in after if each.key != key] + [
                Told(key, "settled", told.edge_points, happened.now, told.row)
            ]
        elif key not in there and told.phase in ("told", "back"):
            reason = _BELOW if key in others else happened.departed.get(key)
            if reason is not None:
                # Of one that came back within the cooldown nobody was told, so nobody is told that it went.
                items += (
                    [Item(key, "gone", describe("gone", told.row | {"reason": reason}))] if told.phase == "told" else []
                )
                at = happened.now if told.phase == "told" else told.told_ts
                after.append(Told(key, "gone", told.edge_points, at, told.row))
    return [item for item in items if item.kind in rule.on], after


def _arrived(rule: Rule, key: Key, row: dict[str, Any], known: Told | None, now: datetime) -> tuple[str, Told | None]:
    """What to say of an opportunity that is there, if anything, and what is known then, if it changed."""
    edge = float(row["edge_points"])
    if known is None:
        return "appeared", Told(key, "told", edge, now, row)
    if known.phase == "settled":
        return "", None
    # What was told at a time that is still to come was told by a clock that has stepped back since.
    rested = now - known.told_ts >= rule.cooldown or known.told_ts > now
    if known.phase in ("gone", "back"):
        if rested:
            return "appeared", Told(key, "told", edge, now, row)
        return "", Told(key, "back", known.edge_points, known.told_ts, row)
    if rested and edge >= known.edge_points + rule.grow_points:
        return "grew", Told(key, "told", edge, now, row | {"edge_before": known.edge_points})
    return "", None


def hold(rule: Rule, oldest: datetime, sent: Sequence[datetime], now: datetime) -> str:
    """Why what has waited since `oldest` must wait on, or nothing. `sent` is when messages went out of late."""
    if rule.quiet is not None and in_quiet(rule.quiet, now.astimezone(ZoneInfo(rule.timezone)).time()):
        return "quiet hours"
    if rule.digest and now - oldest < rule.digest:
        return "digest"
    if len([at for at in sent if timedelta() <= now - at < timedelta(hours=1)]) >= rule.per_hour:
        return f"more than {rule.per_hour} messages an hour"
    return ""


def in_quiet(quiet: tuple[time, time], at: time) -> bool:
    """Whether a time of day lies from the first to before the second, over midnight if that is earlier."""
    begin, end = quiet
    return begin <= at < end if begin <= end else at >= begin or at < end


def compose(rule: Rule, items: Sequence[Item], held: str = "") -> tuple[str, str]:
    """Title and body of the message about some changes; `held` is why they had to wait."""
    counts = {kind: sum(item.kind == kind for item in items) for kind in KINDS}
    title = f"{rule.name}: " + ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    lines = [item.text for item in items[:_LINES]]
    if len(items) > _LINES:
        lines.append(f"… and {len(items) - _LINES:,} more; fairline report has them all")
    if held:
        lines.append(f"(held back: {held})")
    return title, "\n".join(lines)


def describe(kind: str, row: Mapping[str, Any]) -> str:
    """A change in a line."""
    what = sanitize(f"{row.get('side', '').upper()} {row.get('ticker', '')}")
    price = f"at {row['price_u'] / NOTIONAL_U:.3f}"
    title = sanitize(row.get("title") or "")
    if kind == "gone":
        return f"gone: {what}: {failure_text(row['reason'])}"
    if kind == "settled":
        paid = row["payout_u"] if row.get("side") == "yes" else NOTIONAL_U - row["payout_u"]
        made = (paid - row["price_u"] - row["fee_u"]) / NOTIONAL_U
        return f"settled: {what} paid ${paid / NOTIONAL_U:.2f}; bought {price} that is {made:+.3f} a contract · {title}"
    grown = f" (was {row['edge_before']:.1f})" if kind == "grew" else ""
    closes = f", closes {row['close_ts']:%Y-%m-%d %H:%M} UTC" if row.get("close_ts") else ""
    return (
        f"{kind}: {what} {price}, p {row['p']:.3f} by {sanitize(row['model'])}: "
        f"edge {row['edge_points']:.1f} points{grown}, "
        f"EV ${row['ev_u'] / NOTIONAL_U:.3f} after fees, {row['size_cc'] / 100:,.0f} contracts{closes} · {title}"
        + (" (an edge so large is more likely a bug)" if row.get("suspect") else "")
    )


_CARRIED = (
    "ticker", "side", "model", "title", "p", "price_u", "fee_u", "size_cc", "edge_points", "ev_u", "close_ts",
)  # fmt: skip


def _rows(kept: pl.DataFrame) -> list[dict[str, Any]]:
    return kept.select(*_CARRIED, *(name for name in ("suspect",) if name in kept.columns)).to_dicts()


def _key(row: Mapping[str, Any]) -> Key:
    return row["ticker"], row["side"], row["model"]


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise TypeError("a list of texts is wanted")
    return tuple(value)


def _among(*allowed: str) -> Callable[[Any], tuple[str, ...]]:
    def read(value: Any) -> tuple[str, ...]:
        made = tuple(text.lower() for text in _texts(value))
        if not made or not set(made) <= set(allowed):
            raise ValueError(f"it takes {', '.join(allowed)}")
        return made

    return read


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a number is wanted")
    if not math.isfinite(value):
        raise ValueError("a number that is finite is wanted")
    return float(value)


def _quiet(value: Any) -> tuple[time, time]:
    begin, end = (time.fromisoformat(text) for text in str(value).split("-"))
    if begin.tzinfo or end.tzinfo:
        raise ValueError("the zone is a setting of its own, timezone")
    if begin == end:
        raise ValueError("it begins when it ends")
    return begin, end


def _zone(value: Any) -> str:
    return ZoneInfo(str(value)).key


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TypeError("a whole number from 1 is wanted")
    return value


def _yes(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false is wanted")
    return value


_READ = {
    **dict.fromkeys(("to", "categories", "models"), _texts),
    **dict.fromkeys(("min_edge", "min_ev", "min_contracts", "grow_points"), _number),
    **dict.fromkeys(("closes_within", "cooldown", "digest"), lambda value: parse_duration(str(value))),
    "on": _among(*KINDS),
    "sides": _among("yes", "no"),
    "series": lambda value: tuple(text.upper() for text in _texts(value)),
    "quiet": _quiet,
    "timezone": _zone,
    "per_hour": _count,
    "followed": _yes,
}

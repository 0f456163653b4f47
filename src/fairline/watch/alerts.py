"""Decide which changes an alert rule reports, and when: pure decisions over EDGES; `state` keeps what was sent.

A rule follows each matching opportunity through its life: appeared, grew, gone, settled. `decide` compares a scan with
what was sent before and reports each change once. Changes wait as items until `delay_reason` finds none: for a digest,
for the end of quiet hours, or for the rule's hourly limit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

import msgspec
import polars as pl
from msgspec import Meta

from fairline.config.validation import Duration, ZoneName, convert_table
from fairline.errors import ConfigError
from fairline.market.frame import NOTIONAL_U
from fairline.market.labels import label
from fairline.pricing.steps import failure_text
from fairline.text import sanitize

Key = tuple[str, str, str]
"""Ticker, side and model."""

Phase = Literal["sent", "returned", "gone", "settled"]
"""`returned`: there again, but within the rule's cooldown, so not reported again yet."""

MAX_LINES = 12
"""Changes that a message lists; the rest are counted."""
_BELOW = "below the rule's thresholds"
_LARGEST = 1e9
_KEY = ("ticker", "side", "model")


class _Word(StrEnum):
    """A setting that is written in any case."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        lower = str(value).lower()
        return cls(lower) if lower != value and lower in list(cls) else None


class Kind(_Word):
    """The changes that an alert reports."""

    APPEARED = "appeared"
    GREW = "grew"
    GONE = "gone"
    SETTLED = "settled"
    FADED = "faded"
    """The believed edge of something held is gone; only with `watch --holdings`."""


class Section(_Word):
    """Which opportunities a rule follows: those that the models' records support, or those that they do not yet."""

    BELIEVED = "believed"
    UNPROVEN = "unproven"


class RuleSide(_Word):
    YES = "yes"
    NO = "no"


class QuietHours:
    """Hours of the day in which nothing is sent, over midnight if they end before they begin."""

    __slots__ = ("begin", "end")

    def __init__(self, begin: time, end: time) -> None:
        self.begin = begin
        self.end = end

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read `23:00-07:00`. Raises `ValueError`."""
        begin, end = (time.fromisoformat(text) for text in str(value).split("-"))
        if begin.tzinfo or end.tzinfo or begin == end:
            raise ValueError("expected two different times of day without a zone")
        return cls(begin, end)

    def __contains__(self, at: time) -> bool:
        if self.begin <= self.end:
            return self.begin <= at < self.end
        return at >= self.begin or at < self.end


_Texts = Annotated[tuple[str, ...], Meta(description="a list of texts")]
_Finite = Annotated[float, Meta(ge=-_LARGEST, le=_LARGEST)]
_Number = Annotated[_Finite | None, Meta(description="a finite number")]
_Sides = Annotated[tuple[RuleSide, ...], Meta(min_length=1)]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to report. Thresholds default to those of the scan; `to` names receivers, all of them if empty.

    `grew` requires `grow_points` more edge than was last reported; the same opportunity is not reported again within
    `cooldown`.
    """

    name: Annotated[str, Meta(description="a name")]
    to: Annotated[tuple[str, ...], Meta(description="a list of receivers' names")] = ()
    on: Annotated[tuple[Kind, ...], Meta(min_length=1, description=f"a list with one or more of {', '.join(Kind)}")] = (
        tuple(Kind)
    )
    min_edge: _Number = None
    min_ev: _Number = None
    min_contracts: _Number = None
    categories: _Texts = ()
    series: _Texts = ()
    models: _Texts = ()
    sides: Annotated[_Sides | None, Meta(description="a list of yes, no or both")] = None
    followed: Annotated[bool, Meta(description="true or false")] = False
    decided_within: Annotated[Duration | None, Meta(description='a duration such as "2d"')] = None
    closes_within: Annotated[Duration | None, Meta(description='a duration such as "2d"')] = None
    section: Annotated[Section, Meta(description="believed or unproven")] = Section.BELIEVED
    grow_points: Annotated[float, Meta(ge=-_LARGEST, le=_LARGEST, description="a finite number")] = 2.0
    cooldown: Annotated[Duration, Meta(description='a duration such as "1h"')] = Duration(hours=1)
    digest: Annotated[Duration, Meta(description='a duration such as "30m"')] = Duration()
    quiet: Annotated[QuietHours | None, Meta(description='two times of day, such as "23:00-07:00"')] = None
    timezone: Annotated[ZoneName, Meta(description='a time zone such as "America/New_York"')] = ZoneName("UTC")
    per_hour: Annotated[int, Meta(ge=1, description="a whole number from 1")] = 20

    @classmethod
    def from_table(cls, name: str, table: object, file: object = "fairline.toml") -> "Rule":
        """Read a rule from its table in the settings. Raises `ConfigError` that names file, rule and key."""
        where = f"[alerts.{name}] of {file}"
        if isinstance(table, dict):
            if "name" in table:
                raise ConfigError(f"unknown key 'name' in {where}", remedy="The rule's name is in the table's heading")
            table = {"name": name, **table}
        rule = convert_table(table, cls, where)
        return msgspec.structs.replace(rule, series=tuple(text.upper() for text in rule.series))

    def mark_matches(self, opportunities: pl.DataFrame, followed: Iterable[str], now: datetime) -> pl.DataFrame:
        """Add the column `matches`: whether the rule is about an opportunity; null where that is not known."""
        tests = [pl.lit(value=True), *self._thresholds()]
        if self.categories:
            tests.append(pl.col("category").str.to_lowercase().is_in([name.lower() for name in self.categories]))
        for column, wanted in (("series_ticker", self.series), ("model", self.models), ("side", self.sides)):
            if wanted:
                tests.append(pl.col(column).is_in([str(each) for each in wanted]))
        if self.followed:
            tests.append(pl.col("ticker").is_in(list(followed)))
        if self.decided_within is not None:
            tests.append(pl.col("decided_ts") <= now + self.decided_within)
        if self.closes_within is not None:
            tests.append(pl.col("close_ts") <= now + self.closes_within)
        return opportunities.with_columns(matches=pl.all_horizontal(tests))

    def _thresholds(self) -> list[pl.Expr]:
        units = (("edge_points", self.min_edge, 1), ("ev_u", self.min_ev, NOTIONAL_U),
                 ("size_cc", self.min_contracts, 100))  # fmt: skip
        return [pl.col(column) >= least * unit for column, least, unit in units if least is not None]


@dataclass(frozen=True, slots=True)
class Tracked:
    """What a rule's receivers know about an opportunity."""

    key: Key
    phase: Phase
    edge_points: float
    sent_ts: datetime
    row: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Item:
    """One change to report."""

    key: Key
    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Changes:
    """The result of a scan as rules see it: the opportunities, why others are gone, and YES payouts by ticker."""

    opportunities: pl.DataFrame
    gone: Mapping[Key, str]
    payouts_u: Mapping[str, int]
    now: datetime


_Decision = tuple[Item | None, Tracked | None]
_NOTHING: _Decision = (None, None)


def decide(
    rule: Rule, changes: Changes, tracked: Mapping[Key, Tracked], followed: Iterable[str] = ()
) -> tuple[list[Item], list[Tracked]]:
    """Return what a rule reports, and what its receivers know afterwards. What a scan did not cover stays as it was."""
    marked = rule.mark_matches(changes.opportunities, followed, changes.now)
    present = {_key(row): row for row in _rows(marked.filter("matches"))}
    excluded = marked.filter(~pl.col("matches")).select(_KEY)
    reasons = {**changes.gone, **dict.fromkeys(excluded.iter_rows(), _BELOW)}
    decisions = [
        _decide_one(rule, present.get(key), tracked.get(key), reasons.get(key), changes)
        for key in dict.fromkeys([*present, *tracked])
    ]
    items = [item for item, _ in decisions if item is not None and item.kind in rule.on]
    return items, [update for _, update in decisions if update is not None]


def _decide_one(
    rule: Rule, row: dict[str, Any] | None, known: Tracked | None, reason: str | None, changes: Changes
) -> _Decision:
    """`row` is the opportunity if it is present, `reason` why it is not."""
    if known is not None and known.phase != "settled" and known.key[0] in changes.payouts_u:
        return _decide_settled(known, changes)
    if row is not None:
        return _decide_present(rule, row, known, changes.now)
    return _NOTHING if known is None else _decide_absent(known, reason, changes.now)


def _decide_settled(known: Tracked, changes: Changes) -> _Decision:
    row = known.row | {"payout_u": changes.payouts_u[known.key[0]]}
    item = Item(known.key, Kind.SETTLED, describe(Kind.SETTLED, row))
    return item, Tracked(known.key, "settled", known.edge_points, changes.now, known.row)


def _decide_present(rule: Rule, row: dict[str, Any], known: Tracked | None, now: datetime) -> _Decision:
    key, edge = _key(row), float(row["edge_points"])
    if known is None:
        return _report(Kind.APPEARED, key, edge, row, now)
    if known.phase == "settled":
        return _NOTHING
    # A time in the future was written before the clock was set back.
    rested = now - known.sent_ts >= rule.cooldown or known.sent_ts > now
    if known.phase in ("gone", "returned"):
        if rested:
            return _report(Kind.APPEARED, key, edge, row, now)
        return None, Tracked(key, "returned", known.edge_points, known.sent_ts, row)
    if rested and edge >= known.edge_points + rule.grow_points:
        return _report(Kind.GREW, key, edge, row | {"edge_before": known.edge_points}, now)
    return _NOTHING


def _decide_absent(known: Tracked, reason: str | None, now: datetime) -> _Decision:
    if reason is None or known.phase not in ("sent", "returned"):
        return _NOTHING
    if known.phase == "returned":
        # Its return was not reported, so its departure is not either.
        return None, Tracked(known.key, "gone", known.edge_points, known.sent_ts, known.row)
    item = Item(known.key, Kind.GONE, describe(Kind.GONE, known.row | {"reason": reason}))
    return item, Tracked(known.key, "gone", known.edge_points, now, known.row)


def _report(kind: Kind, key: Key, edge: float, row: dict[str, Any], now: datetime) -> _Decision:
    return Item(key, kind, describe(kind, row)), Tracked(key, "sent", edge, now, row)


def delay_reason(rule: Rule, oldest: datetime, sent: Sequence[datetime], now: datetime) -> str:
    """Return why items that have waited since `oldest` must wait longer, or "". `sent`: times of recent messages."""
    if rule.quiet is not None and now.astimezone(ZoneInfo(rule.timezone)).time() in rule.quiet:
        return "quiet hours"
    if rule.digest and now - oldest < rule.digest:
        return "digest"
    if len([at for at in sent if timedelta() <= now - at < timedelta(hours=1)]) >= rule.per_hour:
        return f"limit of {rule.per_hour} messages per hour"
    return ""


def compose(rule: Rule, items: Sequence[Item], delay: str = "") -> tuple[str, str]:
    """Return title and body of a message about some changes; `delay` is why they had to wait."""
    counts = {kind: sum(item.kind == kind for item in items) for kind in Kind}
    title = f"{rule.name}: " + ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    lines = [item.text for item in items[:MAX_LINES]]
    if len(items) > MAX_LINES:
        lines.append(f"… and {len(items) - MAX_LINES:,} more; fairline report lists all")
    if delay:
        lines.append(f"(delayed: {delay})")
    return title, "\n".join(lines)


def describe(kind: Kind, row: Mapping[str, Any]) -> str:
    """Return a change as one line of text."""
    if kind is Kind.GONE:
        return f"gone: {_contract(row)}: {failure_text(row['reason'])}"
    title = sanitize(row.get("title") or "")
    if kind is Kind.FADED:
        believed = row["believed_u"] / NOTIONAL_U
        return (
            f"faded: you hold {_contract(row)}, believed worth {believed:.3f} by {sanitize(row['model'])}, "
            f"and can sell at {row['exit_u'] / NOTIONAL_U:.3f} · {title}"
        )
    if kind is Kind.SETTLED:
        return f"{_settlement(row)} · {title}"
    bug = " (an edge this large is more likely a bug)" if row.get("suspect") else ""
    link = f" · {sanitize(row['url'])}" if row.get("url") else ""
    return f"{kind}: {_offer(kind, row)} · {title}{bug}{link}"


def _contract(row: Mapping[str, Any]) -> str:
    return sanitize(f"{row.get('side', '').upper()} {row.get('ticker', '')}")


def _settlement(row: Mapping[str, Any]) -> str:
    paid_u = row["payout_u"] if row.get("side") == "yes" else NOTIONAL_U - row["payout_u"]
    profit = (paid_u - row["price_u"] - row["fee_u"]) / NOTIONAL_U
    price = row["price_u"] / NOTIONAL_U
    return (
        f"settled: {_contract(row)} paid ${paid_u / NOTIONAL_U:.2f}; "
        f"profit per contract bought at {price:.3f}: {profit:+.3f}"
    )


def _offer(kind: Kind, row: Mapping[str, Any]) -> str:
    grown = f" (was {row['edge_before']:.1f})" if kind is Kind.GREW else ""
    decided = f", decided {row['decided_ts']:%Y-%m-%d %H:%M} UTC" if row.get("decided_ts") else ""
    closes = f", closes {row['close_ts']:%Y-%m-%d %H:%M} UTC" if row.get("close_ts") else ""
    return (
        f"{_contract(row)} at {row['price_u'] / NOTIONAL_U:.3f}, p {row['p']:.3f} by {sanitize(row['model'])}: "
        f"edge {row['edge_points']:.1f} points{grown}, "
        f"EV ${row['ev_u'] / NOTIONAL_U:.3f} after fees{_belief(row)}, "
        f"{row['size_cc'] / 100:,.0f} contracts{decided}{closes}"
    )


def _belief(row: Mapping[str, Any]) -> str:
    believed_u = row.get("believed_ev_u")
    return "" if believed_u is None else f", believed ${believed_u / NOTIONAL_U:.3f}"


_REPORTED = (*_KEY, "title", "p", "price_u", "fee_u", "size_cc", "edge_points", "ev_u", "decided_ts", "close_ts")


def _rows(opportunities: pl.DataFrame) -> list[dict[str, Any]]:
    optional = [name for name in ("suspect", "believed_ev_u", "url") if name in opportunities.columns]
    if "yes_sub_title" in opportunities.columns:
        opportunities = opportunities.with_columns(title=label())
    return opportunities.select(*_REPORTED, *optional).to_dicts()


def _key(row: Mapping[str, Any]) -> Key:
    return row["ticker"], row["side"], row["model"]

"""The fee terms in force for one market at an instant, with where they come from.

A series has a type and a multiplier; both can change at a scheduled time. An event can override them, also from a
scheduled time on, or clear its override again. A market can be waived for a while.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import TypeVar

import msgspec
import polars as pl

from fairline.kalshi.fee_changes import FeeChanges
from fairline.kalshi.wire import Event, EventFeeChange, Series, SeriesFeeChange
from fairline.market.fees import CAUTIOUS, COEFFICIENTS, TAKER, Policy, coefficient, order_fee_u
from fairline.market.frame import FEE_UNIT, NOTIONAL_U, multiplier_units

C = TypeVar("C", SeriesFeeChange, EventFeeChange)


@dataclass(frozen=True, slots=True)
class Terms:
    """Fee type, multiplier in 1/10,000, and whose terms these are."""

    fee_type: str
    multiplier_m: int
    source: str


@dataclass(frozen=True, slots=True)
class Quote:
    """The fee of one order: `fee_u` charged, `trade_fee_u` before rounding up, both in micro-dollars."""

    terms: Terms
    policy: Policy
    price_u: int
    count_cc: int
    maker: bool
    trade_fee_u: int
    fee_u: int

    def derivation(self) -> list[str]:
        """The calculation, a line a step."""
        k = Fraction(_rate(self.terms.fee_type, maker=self.maker), 10_000)
        m, p, c = Fraction(self.terms.multiplier_m, FEE_UNIT), _fraction(self.price_u), Fraction(self.count_cc, 100)
        factors = " × ".join(f"{float(factor):.12g}" for factor in (m, k, c, p, 1 - p))
        each = f"{self.fee_u / NOTIONAL_U / float(c):.6g}"
        return [
            f"terms      {self.terms.fee_type} × {float(m):g} ({self.terms.source})",
            f"role       {'maker' if self.maker else 'taker'}: k = {float(k):g}",
            f"trade fee  {factors} = ${float(k * m * c * p * (1 - p)):.12g}",
            f"rounding   {self.policy.name} ({self.policy.source})",
            f"fee        ${_dollars(self.fee_u)} for the order, ${each} a contract",
        ]


def terms_at(
    series: Series,
    series_changes: Sequence[SeriesFeeChange],
    event: Event | None,
    event_changes: Sequence[EventFeeChange],
    at: datetime,
    *,
    waived_until: datetime | None = None,
) -> Terms:
    """What applies at `at`: a waiver, else the event's override, else the series' terms.

    The latest change not after `at` counts; without one, what the object itself says now.
    """
    if waived_until is not None and waived_until > at:
        return Terms("quadratic", 0, f"waived until {waived_until:%Y-%m-%d %H:%M}")
    own = _latest(series_changes, at)
    if own is not None:
        base = Terms(own.fee_type, multiplier_units(own.fee_multiplier), f"series since {own.scheduled_ts:%Y-%m-%d}")
    else:
        base = Terms(series.fee_type or "unknown", multiplier_units(_or_one(series.fee_multiplier)), "series")
    change = _latest(event_changes, at)
    kind = change.fee_type_override if change else event.fee_type_override if event else None
    multiplier = change.fee_multiplier_override if change else event.fee_multiplier_override if event else None
    if kind is None and multiplier is None:
        return base
    since = f" since {change.scheduled_ts:%Y-%m-%d}" if change else ""
    units = base.multiplier_m if multiplier is None else multiplier_units(multiplier)
    return Terms(kind or base.fee_type, units, f"event override{since}")


def apply_changes(
    series: Sequence[Series],
    events: Sequence[Event],
    changes: FeeChanges,
    since: tuple[datetime, datetime],
    asof: datetime,
) -> tuple[list[Series], list[Event]]:
    """Series and events with what has come into force by `asof`; read at `since` (series, events) or later."""
    of_series = {c.series_ticker: c for c in _in_order(changes.series, since[0], asof)}
    of_events = {c.event_ticker: c for c in _in_order(changes.events, since[1], asof)}
    return [_changed_series(s, of_series.get(s.ticker)) for s in series], [
        _changed_event(e, of_events.get(e.event_ticker)) for e in events
    ]


def _in_order(changes: Sequence[C], since: datetime, asof: datetime) -> list[C]:
    return sorted((c for c in changes if since < c.scheduled_ts <= asof), key=lambda change: change.scheduled_ts)


def _changed_series(series: Series, change: SeriesFeeChange | None) -> Series:
    if change is None:
        return series
    return msgspec.structs.replace(series, fee_type=change.fee_type, fee_multiplier=change.fee_multiplier)


def _changed_event(event: Event, change: EventFeeChange | None) -> Event:
    if change is None:
        return event
    kind, multiplier = change.fee_type_override, change.fee_multiplier_override
    return msgspec.structs.replace(event, fee_type_override=kind, fee_multiplier_override=multiplier)


def quote(terms: Terms, price_u: int, count_cc: int, *, maker: bool = False, policy: Policy = CAUTIOUS) -> Quote:
    """The fee of an order of `count_cc` at `price_u`, filled at once."""
    frame = pl.DataFrame({"p": [price_u], "c": [count_cc], "m": [terms.multiplier_m], "t": [terms.fee_type]})
    rate = coefficient(pl.col("t"), maker=maker)

    def under(chosen: Policy) -> int:
        charged = order_fee_u(pl.col("p"), pl.col("c"), pl.col("m"), rate=rate, policy=chosen)
        return int(frame.select(charged).item())

    return Quote(terms, policy, price_u, count_cc, maker, under(Policy("exact", "")), under(policy))


def _dollars(micro: int) -> str:
    """Exactly, with two decimals or as many as it takes."""
    whole, part = divmod(micro, NOTIONAL_U)
    return f"{whole}.{f'{part:06d}'.rstrip('0'):0<2}"


def _rate(fee_type: str, *, maker: bool) -> int:
    return COEFFICIENTS.get(fee_type, (TAKER, TAKER))[1 if maker else 0]


def _latest(changes: Sequence[C], at: datetime) -> C | None:
    past = [change for change in changes if change.scheduled_ts <= at]
    return max(past, key=lambda change: change.scheduled_ts, default=None)


def _or_one(multiplier: float | None) -> float:
    return 1.0 if multiplier is None else multiplier


def _fraction(price_u: int) -> Fraction:
    return Fraction(price_u, NOTIONAL_U)

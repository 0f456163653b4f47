"""The fee terms in force for one market at an instant, with where they come from.

A series has a type and a multiplier; both can change at a scheduled time. An event can override them, also from a
scheduled time on, or clear its override again. A market's fee can be waived until some time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING, TypeVar

import msgspec
import polars as pl

from fairline.kalshi.wire import Event, EventFeeChange, Series, SeriesFeeChange
from fairline.market.fees import CAUTIOUS, COEFFICIENTS, TAKER, Policy, coefficient, order_fee_u
from fairline.market.frame import FEE_UNIT, NOTIONAL_U, multiplier_units

if TYPE_CHECKING:
    from fairline.kalshi.fee_changes import FeeChanges  # importing it loads the HTTP library

C = TypeVar("C", SeriesFeeChange, EventFeeChange)


@dataclass(frozen=True, slots=True)
class Terms:
    """Fee type, multiplier in 1/10,000, and where they come from."""

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
        """Return the calculation, one line per step."""
        k = Fraction(_rate(self.terms.fee_type, maker=self.maker), 10_000)
        m = Fraction(self.terms.multiplier_m, FEE_UNIT)
        p = Fraction(self.price_u, NOTIONAL_U)
        c = Fraction(self.count_cc, 100)
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
    """Return the terms that apply at `at`: a waiver, else the event's override, else the series' terms.

    The latest change not after `at` counts; without one, what the object itself says now.
    """
    if waived_until is not None and waived_until > at:
        return Terms("quadratic", 0, f"waived until {waived_until:%Y-%m-%d %H:%M}")
    base = _series_terms(series, _latest(series_changes, at))
    change = _latest(event_changes, at)
    override = change or event
    if override is None or (override.fee_type_override is None and override.fee_multiplier_override is None):
        return base
    since = f" since {change.scheduled_ts:%Y-%m-%d}" if change else ""
    multiplier = override.fee_multiplier_override
    units = base.multiplier_m if multiplier is None else multiplier_units(multiplier)
    return Terms(override.fee_type_override or base.fee_type, units, f"event override{since}")


def _series_terms(series: Series, change: SeriesFeeChange | None) -> Terms:
    if change is not None:
        units = multiplier_units(change.fee_multiplier)
        return Terms(change.fee_type, units, f"series since {change.scheduled_ts:%Y-%m-%d}")
    multiplier = 1.0 if series.fee_multiplier is None else series.fee_multiplier
    return Terms(series.fee_type or "unknown", multiplier_units(multiplier), "series")


def apply_changes(
    series: Sequence[Series],
    events: Sequence[Event],
    changes: "FeeChanges",
    since: tuple[datetime, datetime],
    asof: datetime,
) -> tuple[list[Series], list[Event]]:
    """Return series and events with the changes in force by `asof`.

    `since` says when the series and the events were read at the earliest; older changes are already in them.
    """
    by_series = {c.series_ticker: c for c in _in_order(changes.series, since[0], asof)}
    by_event = {c.event_ticker: c for c in _in_order(changes.events, since[1], asof)}
    changed_series = [_change_series(s, by_series.get(s.ticker)) for s in series]
    changed_events = [_change_event(e, by_event.get(e.event_ticker)) for e in events]
    return changed_series, changed_events


def _in_order(changes: Sequence[C], since: datetime, asof: datetime) -> list[C]:
    return sorted((c for c in changes if since < c.scheduled_ts <= asof), key=lambda change: change.scheduled_ts)


def _change_series(series: Series, change: SeriesFeeChange | None) -> Series:
    if change is None:
        return series
    return msgspec.structs.replace(series, fee_type=change.fee_type, fee_multiplier=change.fee_multiplier)


def _change_event(event: Event, change: EventFeeChange | None) -> Event:
    if change is None:
        return event
    return msgspec.structs.replace(
        event,
        fee_type_override=change.fee_type_override,
        fee_multiplier_override=change.fee_multiplier_override,
    )


def quote(terms: Terms, price_u: int, count_cc: int, *, maker: bool = False, policy: Policy = CAUTIOUS) -> Quote:
    """Return the fee of an order of `count_cc` at `price_u`, filled at once."""
    frame = pl.DataFrame({"p": [price_u], "c": [count_cc], "m": [terms.multiplier_m], "t": [terms.fee_type]})
    rate = coefficient(pl.col("t"), maker=maker)

    def under(chosen: Policy) -> int:
        charged = order_fee_u(pl.col("p"), pl.col("c"), pl.col("m"), rate=rate, policy=chosen)
        return int(frame.select(charged).item())

    return Quote(terms, policy, price_u, count_cc, maker, under(Policy("exact", "")), under(policy))


def _dollars(micro: int) -> str:
    """Format exactly, with two decimals or as many as needed."""
    whole, part = divmod(micro, NOTIONAL_U)
    return f"{whole}.{f'{part:06d}'.rstrip('0'):0<2}"


def _rate(fee_type: str, *, maker: bool) -> int:
    return COEFFICIENTS.get(fee_type, (TAKER, TAKER))[1 if maker else 0]


def _latest(changes: Sequence[C], at: datetime) -> C | None:
    past = [change for change in changes if change.scheduled_ts <= at]
    return max(past, key=lambda change: change.scheduled_ts, default=None)

"""The fee of one order, offline or with the terms of a listed market."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from fairline.api.options import Connection
from fairline.api.running import run_sync
from fairline.errors import UsageError
from fairline.kalshi.redaction import show_value
from fairline.market.fees import CAUTIOUS, COEFFICIENTS, POLICIES
from fairline.market.frame import NOTIONAL_U, multiplier_units
from fairline.market.terms import Terms, quote

_MAX_COUNT_CC = 10**9


@dataclass(frozen=True, slots=True)
class FeeReport:
    """The fee of one order in dollars, the terms it follows, and the calculation."""

    fee: float
    fee_per_contract: float
    trade_fee: float
    price: float
    size: float
    role: Literal["maker", "taker"]
    fee_type: str
    multiplier: float
    terms_from: str
    policy: str
    policy_source: str
    derivation: list[str]

    def __str__(self) -> str:
        return "\n".join(self.derivation)


async def fee_async(
    ticker: str = "",
    *,
    size: float | str = 100,
    price: float | str | None = None,
    type: str = "",  # noqa: A002  the exchange's own word, and the flag's
    multiplier: float | None = None,
    maker: bool = False,
    policy: str = CAUTIOUS.name,
    at: datetime | str | None = None,
    exchange: str | None = None,
    profile: str | None = None,
) -> FeeReport:
    """Return the fee of an order. See `fee`."""
    if policy not in POLICIES:
        raise UsageError(f"expected one of {', '.join(POLICIES)}, not {show_value(policy)}", field="policy")
    count_cc = _parse_exact(size, 2, "size")
    if not 0 < count_cc <= _MAX_COUNT_CC:
        raise UsageError("expected contracts above 0, up to 10,000,000", field="size")
    moment = _parse_moment(at)
    if ticker and (type or multiplier is not None):
        raise UsageError("a market brings its own terms", remedy="Leave out type and multiplier, or the ticker")
    best_ask_u: int | None = None
    if ticker:
        from fairline.api.terms import read_terms  # noqa: PLC0415  offline fees need no client

        terms, best_ask_u = await read_terms(Connection(exchange, profile), ticker, moment)
    else:
        terms = _given_terms(type, multiplier)
    price_u = best_ask_u if price is None else _parse_exact(price, 6, "price")
    if price_u is None:
        raise UsageError("the market has no ask, so a price is needed, such as 0.37", field="price")
    if not 0 < price_u < NOTIONAL_U:
        raise UsageError("expected dollars between 0 and 1, such as 0.37", field="price")
    result = quote(terms, price_u, count_cc, maker=maker, policy=POLICIES[policy])
    return FeeReport(
        fee=result.fee_u / NOTIONAL_U,
        fee_per_contract=round(result.fee_u / NOTIONAL_U / (count_cc / 100), 6),
        trade_fee=result.trade_fee_u / NOTIONAL_U,
        price=price_u / NOTIONAL_U,
        size=count_cc / 100,
        role="maker" if maker else "taker",
        fee_type=terms.fee_type,
        multiplier=terms.multiplier_m / 10_000,
        terms_from=terms.source,
        policy=result.policy.name,
        policy_source=result.policy.source,
        derivation=result.derivation(),
    )


def _given_terms(fee_type: str, multiplier: float | None) -> Terms:
    if not fee_type:
        raise UsageError("a ticker or a fee type is needed", remedy="Give a ticker, or type and multiplier")
    if fee_type not in COEFFICIENTS:
        raise UsageError(f"expected one of {', '.join(COEFFICIENTS)}, not {show_value(fee_type)}", field="type")
    if multiplier is not None and not 0 <= multiplier <= 1_000:
        raise UsageError("expected a number from 0 to 1,000", field="multiplier")
    return Terms(fee_type, multiplier_units(1.0 if multiplier is None else multiplier), "as given")


def _parse_exact(value: float | str, decimals: int, field: str) -> int:
    """Return a decimal number as an integer in units of its last decimal. Raises `UsageError`."""
    text = value.strip() if isinstance(value, str) else format(Decimal(repr(value)), "f")
    match = re.fullmatch(rf"(\d{{0,9}})(?:\.(\d{{0,{decimals}}})0*)?", text)
    if match is None or not (match[1] or match[2]):
        raise UsageError(f"expected a number with at most {decimals} decimals, not {show_value(text)}", field=field)
    return int((match[1] or "0") + (match[2] or "").ljust(decimals, "0"))


def _parse_moment(value: datetime | str | None) -> datetime:
    if value is None or value == "":
        return datetime.now(UTC)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise UsageError(
                f"expected a time such as 2026-11-22T18:00Z, not {show_value(value)}", field="at"
            ) from error
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def fee(
    ticker: str = "",
    *,
    size: float | str = 100,
    price: float | str | None = None,
    type: str = "",  # noqa: A002  the exchange's own word, and the flag's
    multiplier: float | None = None,
    maker: bool = False,
    policy: str = CAUTIOUS.name,
    at: datetime | str | None = None,
    exchange: str | None = None,
    profile: str | None = None,
) -> FeeReport:
    """Return the fee of an order in dollars, with the calculation.

    With a ticker, the market's terms come from the exchange; without one, `type` and `multiplier` give them and
    nothing is read. `size` is in contracts, `price` in dollars per contract (default: the best ask). Options are those
    of the command `fairline fees`.
    """
    return run_sync(
        fee_async(
            ticker,
            size=size,
            price=price,
            type=type,
            multiplier=multiplier,
            maker=maker,
            policy=policy,
            at=at,
            exchange=exchange,
            profile=profile,
        )
    )

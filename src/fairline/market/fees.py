"""The fee schedule as exact integer column expressions.

Trade fee: `M × k × C × P × (1 − P)` dollars for C contracts at P dollars. For takers k = 0.07 (Kalshi's schedule
effective 2026-07-07; the 0.07 is also in the exchange's own rounding example), for makers 0, 0.0175 or 0.035 by fee
type. M is the series' multiplier unless the event overrides it. The trade fee is rounded up before it is charged; the
published descriptions of the rounding differ, so each is a named `Policy`.
"""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from fairline.market.frame import FEE_UNIT, NOTIONAL_U

# k in units of 1/10,000, by fee type: (taker, maker). Makers under "quadratic" pay nothing; a quarter and a half of the
# taker's k are from the 2026 schedule and the changelog of 2026-08-20 (combos). "flat" has an unpublished table.
COEFFICIENTS = {
    "quadratic": (700, 0),
    "quadratic_with_maker_fees": (700, 175),
    "quadratic_with_combo_maker_fees": (700, 350),
}
TAKER = 700

CENT_U, CENTICENT_U = 10_000, 100


@dataclass(frozen=True, slots=True)
class Policy:
    """How the trade fee of an order filled at once is rounded up.

    `fee_unit_u`: the fee is rounded up to a multiple of it, in micro-dollars. `balance_unit_u`: cost and fee together
    are. With both, the more expensive result is charged.
    """

    name: str
    source: str
    fee_unit_u: int = 1
    balance_unit_u: int = 1


CAUTIOUS = Policy(
    "cautious",
    "the most expensive of the published rules for accounts that are not direct members",
    CENT_U,
    CENT_U,
)
POLICIES = {
    policy.name: policy
    for policy in (
        CAUTIOUS,
        Policy("order-cent", "fee page until March 2026: next cent on the order's fee", fee_unit_u=CENT_U),
        Policy("order-centicent", "fee page of August 2026: next $0.0001 on the fee", fee_unit_u=CENTICENT_U),
        Policy("balance-cent", "fee-rounding page of September 2026, not a direct member", balance_unit_u=CENT_U),
        Policy("balance-centicent", "the same, direct member; also the fee schedule's PDF", balance_unit_u=CENTICENT_U),
        Policy("exact", "the trade fee itself, to $0.000001"),
    )
}

# k·M·C·P·(1−P) in micro-dollars is k·m·c·p·(1e6−p) over this, with k and m in 1/10,000, c in 1/100 of a contract and p
# in micro-dollars.
FEE_DENOMINATOR = 10_000 * FEE_UNIT * 100 * NOTIONAL_U


def coefficient(fee_type: pl.Expr, *, maker: bool = False) -> pl.Expr:
    """Return k in 1/10,000 by fee type. An unknown type is charged like a taker, which can only overstate the fee."""
    rates = {name: rate[1 if maker else 0] for name, rate in COEFFICIENTS.items()}
    return fee_type.fill_null("").replace_strict(rates, default=TAKER, return_dtype=pl.Int64)


def order_fee_u(
    price_u: pl.Expr,
    count_cc: pl.Expr,
    multiplier_m: pl.Expr,
    *,
    rate: pl.Expr | int = TAKER,
    policy: Policy = CAUTIOUS,
) -> pl.Expr:
    """Return the charge for an order filled at once, in micro-dollars; null where an input is null.

    Exact: 128-bit integers hold the product of a million contracts.
    """
    price = price_u.cast(pl.Int128)
    charged = charge_u(trade_fee_parts(price_u, count_cc, multiplier_m, rate=rate), price * count_cc, policy)
    return pl.when(price_u.is_not_null() & count_cc.is_not_null()).then(charged).cast(pl.Int64)


def trade_fee_parts(
    price_u: pl.Expr, count_cc: pl.Expr, multiplier_m: pl.Expr, *, rate: pl.Expr | int = TAKER
) -> pl.Expr:
    """Return the trade fee as a 128-bit numerator over `FEE_DENOMINATOR` micro-dollars.

    The numerators of an order's fills add up exactly.
    """
    price = price_u.cast(pl.Int128)
    return rate * multiplier_m * count_cc * price * (NOTIONAL_U - price)


def charge_u(parts: pl.Expr, cost: pl.Expr, policy: Policy) -> pl.Expr:
    """Return the charge for an order in micro-dollars.

    `parts` is the numerator of its trade fee (`trade_fee_parts`), `cost` its cost in 1/100 micro-dollars.
    """
    by_fee = _up(parts, FEE_DENOMINATOR * policy.fee_unit_u) * policy.fee_unit_u
    if policy.balance_unit_u == 1:
        return by_fee.cast(pl.Int64)
    # In 1/100 micro-dollars, because prices of six decimals times counts of two have eight.
    trade_fee = _up(parts, FEE_DENOMINATOR) * 100
    unit = policy.balance_unit_u * 100
    by_balance = _up(_up(cost + trade_fee, unit) * unit - cost, 100)
    # Without a trade fee nothing is rounded either.
    return pl.max_horizontal(by_fee, pl.when(parts > 0).then(by_balance).otherwise(0)).cast(pl.Int64)


def contract_fee_u(price_u: pl.Expr, multiplier_m: pl.Expr, *, rate: pl.Expr | int = TAKER) -> pl.Expr:
    """Return the unrounded trade fee of one contract in micro-dollars, as a float: to compare, not to charge."""
    return trade_fee_parts(price_u, pl.lit(100), multiplier_m, rate=rate).cast(pl.Float64) / FEE_DENOMINATOR


def multiplier_at(asof: datetime) -> pl.Expr:
    """Return the multiplier in force: 0 while the market's fee is waived, 1 if it is unknown."""
    return pl.when(is_waived(pl.lit(asof))).then(0).otherwise(pl.col("fee_multiplier_m").fill_null(FEE_UNIT))


def per_contract_u(order_fee: pl.Expr, count_cc: pl.Expr) -> pl.Expr:
    """Spread an order's fee over its contracts, rounded up to the micro-dollar."""
    return -((-100 * order_fee) // count_cc)


def is_waived(asof_ts: pl.Expr) -> pl.Expr:
    """Return whether the market's fee waiver is still in force at `asof_ts`."""
    return (pl.col("fee_waiver_ts") > asof_ts).fill_null(value=False)


def fills_fee_u(
    fills: list[tuple[int, int]], multiplier_m: int, *, rate: int = TAKER, unit_u: int = CENT_U
) -> list[tuple[int, int, int]]:
    """Return (trade fee, rounding fee, rebate) in micro-dollars for each fill `(price_u, count_cc)` of one buy order.

    The rule of the fee-rounding page of September 2026: the change of balance is rounded down to the member's
    precision, the difference is added to an accumulator of the order, and whole units of it are rebated, but never
    so much that a fill's fee would be negative.
    """
    saved = 0
    fees = []
    for price_u, count_cc in fills:
        numerator = rate * multiplier_m * count_cc * price_u * (NOTIONAL_U - price_u)
        trade_fee = -(-numerator // FEE_DENOMINATOR)
        owed = -(-price_u * count_cc // 100) + trade_fee
        rounding = (-owed) % unit_u
        saved += rounding
        rebate = min(saved // unit_u, (trade_fee + rounding) // unit_u) * unit_u
        saved -= rebate
        fees.append((trade_fee, rounding, rebate))
    return fees


def _up(value: pl.Expr, unit: int) -> pl.Expr:
    return (value + (unit - 1)) // unit

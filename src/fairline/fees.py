"""The fee schedule as exact integer column expressions.

Taker: `M × 0.07 × C × P × (1 − P)` for C contracts at P dollars (Kalshi fee schedule effective 2026-07-07; the 0.07 is
also in the exchange's own rounding example). M is the series' multiplier unless the event overrides it. The exact fee
is then rounded up for the whole order.
"""

from enum import IntEnum

import polars as pl

from fairline.frame import FEE_UNIT, NOTIONAL_U


class Rounding(IntEnum):
    """The unit, in micro-dollars, to which an order's fee is rounded up.

    The published descriptions differ (API changelog 2026-03, 2026-08, 2026-09); rounding the order's total up to the
    cent is never below any of them for an account that is not a direct member.
    """

    CENT = 10_000
    CENTICENT = 100
    MICRO = 1


# 0.07 × M × C × P × (1 − P) in micro-dollars is 7 · m · c · p · (1e6 − p) over this, with m in 1/10,000, c in 1/100
# of a contract and p in micro-dollars.
_DENOMINATOR = 100 * FEE_UNIT * 100 * NOTIONAL_U


def taker_fee_u(
    price_u: pl.Expr, count_c: pl.Expr, multiplier_m: pl.Expr, rounding: Rounding = Rounding.CENT
) -> pl.Expr:
    """Fee of an order in micro-dollars, rounded up once to the unit. Null where an input is null.

    Exact: 128-bit integers hold the product of a million contracts.
    """
    price = price_u.cast(pl.Int128)
    numerator = 7 * multiplier_m * count_c * price * (NOTIONAL_U - price)
    per_unit = _DENOMINATOR * int(rounding)
    return ((numerator + (per_unit - 1)) // per_unit * int(rounding)).cast(pl.Int64)


def per_contract_u(order_fee_u: pl.Expr, count_c: pl.Expr) -> pl.Expr:
    """An order's fee spread over its contracts, rounded up to the micro-dollar."""
    return -((-100 * order_fee_u) // count_c)


def waived(asof_ts: pl.Expr) -> pl.Expr:
    """Whether the market's fee waiver is still in force at `asof`."""
    return (pl.col("fee_waiver_ts") > asof_ts).fill_null(value=False)

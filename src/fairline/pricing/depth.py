"""What an order of a given size costs: walk the offers of a book level by level, with fees.

Buying YES takes the NO bids from the best down, each at a dollar less its price; buying NO takes the YES bids. Money is
exact: costs are integers of 1/100 micro-dollars (prices of six decimals times counts of two), fees are 128-bit.
"""

from collections.abc import Sequence

import polars as pl

from fairline.market.fees import (
    CAUTIOUS,
    FEE_DENOMINATOR,
    TAKER,
    Policy,
    charge_u,
    coefficient,
    contract_fee_u,
    trade_fee_parts,
)
from fairline.market.frame import FEE_UNIT, NOTIONAL_U
from fairline.pricing.steps import KEPT_BIN

_KEY = ["ticker", "side"]


def offers(levels: pl.DataFrame) -> pl.DataFrame:
    """Return `{ticker, side, price_u, size_cc}`: what can be bought, cheapest first, from a book's bids (LEVELS).

    `side` is the side to buy. Levels of one price are added up.
    """
    return (
        levels.lazy()
        .select(
            "ticker",
            side=pl.when(pl.col("side") == "no").then(pl.lit("yes")).otherwise(pl.lit("no")),
            price_u=NOTIONAL_U - pl.col("price_u"),
            size_cc="size_cc",
        )
        .group_by("ticker", "side", "price_u")
        .agg(pl.col("size_cc").sum())
        .sort("ticker", "side", "price_u")
        .collect()
    )


def executions(
    offered: pl.DataFrame,
    sizes_cc: Sequence[int],
    terms: pl.DataFrame | None = None,
    *,
    policy: Policy = CAUTIOUS,
) -> pl.DataFrame:
    """Return what an order of each size gets: a row for each ticker, side and size.

    `fill_cc` is the part that can be filled, `average_u` the mean price rounded up, `worst_u` the most expensive level
    used, `fee_u` the taker fee of the order. `terms` gives `{ticker, rate, multiplier_m}`; the defaults are the usual
    taker rate and a multiplier of one.
    """
    levels = _with_terms(offered.lazy(), terms).with_columns(ahead_cc=_size_ahead(_KEY))
    fills = [_fill(levels, _KEY, pl.lit(size, dtype=pl.Int64), policy) for size in sizes_cc]
    return pl.concat(fills).collect()


def _size_ahead(key: list[str]) -> pl.Expr:
    """Return the size of all better levels."""
    return pl.col("size_cc").cum_sum().over(key) - pl.col("size_cc")


def _fill(levels: pl.LazyFrame, key: list[str], order_cc: pl.Expr, policy: Policy) -> pl.LazyFrame:
    """Fill an order of `order_cc` from levels that have `ahead_cc`."""
    share = trade_fee_parts(pl.col("price_u"), pl.col("take_cc"), pl.col("multiplier_m"), rate=pl.col("rate"))
    # Each fill's own fee is rounded up to the micro-dollar before they are added: at most one for each.
    parts = pl.when(pl.col("parts") > 0).then(pl.col("parts") + (pl.col("fills") - 1) * FEE_DENOMINATOR).otherwise(0)
    return (
        levels.with_columns(order_cc=order_cc)
        .with_columns(take_cc=(pl.col("order_cc") - pl.col("ahead_cc")).clip(0, pl.col("size_cc")))
        .filter(pl.col("take_cc") > 0)
        .group_by(key, maintain_order=True)
        .agg(
            pl.col("order_cc").first(),
            fill_cc=pl.col("take_cc").sum(),
            cost=(pl.col("price_u") * pl.col("take_cc")).sum(),
            worst_u=pl.col("price_u").max(),
            parts=share.sum(),
            fills=pl.len(),
        )
        .select(
            *key,
            "order_cc",
            "fill_cc",
            "cost",
            "worst_u",
            average_u=-(-pl.col("cost") // pl.col("fill_cc")),
            fee_u=charge_u(parts, pl.col("cost"), policy),
        )
    )


def size_violations(
    violations: pl.DataFrame, offered: pl.DataFrame, terms: pl.DataFrame | None = None, *, policy: Policy = CAUTIOUS
) -> pl.DataFrame:
    """Return violations (`coherence.violations`) at their most profitable size, every leg walked through its book.

    One more contract of each leg adds the payoff less each leg's price and fee at that level, which only rise; so the
    size grows as long as that is a gain. `price_u` of a leg is then its average. A violation whose legs are no longer
    all on offer is left out; one without a gain is shown at the size of its best levels.
    """
    numbered = violations.with_row_index("set").with_columns(floor_u=pl.col("payoff_u") * 100 // pl.col("size_cc"))
    legs = numbered.select("set", "floor_u", "legs").explode("legs").unnest("legs").select("set", "floor_u", *_KEY)
    key = ["set", *_KEY]
    levels = (
        _with_terms(legs.lazy().join(offered.lazy(), on=_KEY, how="inner", maintain_order="left"), terms)
        .sort(*key, "price_u")
        .with_columns(ahead_cc=_size_ahead(key))
        .with_columns(end_cc=pl.col("ahead_cc") + pl.col("size_cc"))
        .collect()
    )
    levels = levels.join(_fully_offered(legs, levels), on="set", how="semi", maintain_order="left")
    sized_levels = levels.lazy().join(_best_joint_sizes(levels, key).lazy(), on="set", maintain_order="left")
    fills = _fill(sized_levels, key, pl.col("best_cc"), policy).collect()
    result = (
        fills.group_by("set", maintain_order=True)
        .agg(
            size_cc=pl.col("order_cc").first(),
            cost_u=-(-pl.col("cost").sum() // 100),
            fee_u=pl.col("fee_u").sum(),
            legs=pl.struct("ticker", "side", price_u="average_u", fee_u="fee_u"),
        )
        .join(numbered.select("set", "floor_u", "kind", "event_ticker", "certainty", "needs"), on="set")
        .with_columns(payoff_u=pl.col("floor_u") * pl.col("size_cc") // 100)
        .with_columns(profit_u=pl.col("payoff_u") - pl.col("cost_u") - pl.col("fee_u"))
    )
    return result.sort("profit_u", "set", descending=[True, False]).select(violations.columns)


def _fully_offered(legs: pl.DataFrame, levels: pl.DataFrame) -> pl.DataFrame:
    """Return the sets all of whose legs are on offer."""
    wanted = legs.group_by("set").len("legs")
    offered = levels.group_by("set").agg(offered=pl.struct(_KEY).n_unique())
    return wanted.join(offered, on="set").filter(pl.col("legs") == pl.col("offered")).select("set")


def _best_joint_sizes(levels: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """Return `{set, best_cc}`: the most profitable size of each leg.

    The gain changes only where a leg reaches its next level.
    """
    depths = levels.group_by(key).agg(pl.col("end_cc").max())
    limits = depths.group_by("set").agg(limit_cc=pl.col("end_cc").min())
    ends = levels.select("set", at_cc="end_cc").unique().join(limits, on="set")
    ends = ends.filter(pl.col("at_cc") <= pl.col("limit_cc"))
    fee = contract_fee_u(pl.col("price_u"), pl.col("multiplier_m"), rate=pl.col("rate"))
    costs = levels.select(*key, "floor_u", at_cc="end_cc", unit=pl.col("price_u") + fee).sort("at_cc")
    sizes = ends.select("set", "at_cc").join(levels.select(key).unique(), on="set").sort("at_cc")
    # Both are sorted; polars cannot check that within groups.
    marginal = sizes.join_asof(costs, on="at_cc", by=key, strategy="forward", check_sortedness=False)
    gains = marginal.group_by("set", "at_cc").agg(gain=pl.col("floor_u").first() - pl.col("unit").sum())
    best = gains.group_by("set").agg(
        best_cc=pl.col("at_cc").filter(pl.col("gain") > 0).max(), first_cc=pl.col("at_cc").min()
    )
    return best.select("set", best_cc=pl.coalesce("best_cc", "first_cc"))


def best_sizes(offered: pl.DataFrame, fair: pl.DataFrame, terms: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return `{ticker, side, payout_u, best_cc, best_ev_u, breakeven_cc}`.

    `best_cc` is the size with the largest EV of the whole order, `best_ev_u` that EV in micro-dollars, `breakeven_cc`
    the size at which it has fallen to zero (null if the book ends before). `fair` gives `{ticker, side, payout_u}`,
    one or more expected payouts of a side. Each level adds c·(E − P − k·M·P·(1−P)); price and fee together rise with
    the price, so the sum rises and then falls. The rounding of the order's fee, at most a cent, is left out.
    """
    price, key = pl.col("price_u"), [*_KEY, "payout_u"]
    fee = contract_fee_u(price, pl.col("multiplier_m"), rate=pl.col("rate"))
    gain = (pl.col("payout_u") - price - fee).alias("gain")
    levels = (
        _with_terms(offered.lazy(), terms)
        .join(fair.lazy().select(*_KEY, "payout_u"), on=_KEY, how="inner", maintain_order="left")
        .with_columns(gain, ahead_cc=_size_ahead(key))
        .with_columns(ev=pl.col("gain") * pl.col("size_cc") / 100)
        .with_columns(after=pl.col("ev").cum_sum().over(key))
    )
    turning = (pl.col("after") < 0) & (pl.col("after") - pl.col("ev") >= 0)
    # A level with a gain of exactly zero never turns the sum, but is computed all the same.
    more_cc = ((pl.col("after") - pl.col("ev")) * 100 / -pl.col("gain")).floor().cast(pl.Int64, strict=False)
    crossing = pl.col("ahead_cc") + more_cc
    good = pl.col("gain") > 0
    return (
        levels.group_by(key, maintain_order=True)
        .agg(
            best_cc=pl.col("size_cc").filter(good).sum(),
            best_ev_u=pl.col("ev").filter(good).sum().round().cast(pl.Int64),
            breakeven_cc=crossing.filter(turning).first(),
        )
        .collect()
    )


def fill_opportunities(
    opportunities: pl.DataFrame, offered: pl.DataFrame, size: int, policy: Policy = CAUTIOUS
) -> pl.DataFrame:
    """Return what an order of `size` contracts would get for each EDGES row, and the size with the largest EV.

    Columns: `ticker, side, model, fill_cc, average_u, worst_u, fill_fee_u, fill_ev_u, best_cc, best_ev_u,
    breakeven_cc`. `fill_ev_u` is per filled contract. Expected payouts are the believed ones; for rows that are not
    believed, the model's. Null where the book is empty.
    """
    terms = opportunities.select("ticker", "multiplier_m", rate=coefficient(pl.col("fee_type")))
    terms = terms.unique("ticker", maintain_order=True)
    is_believed = pl.col("bin") == KEPT_BIN
    opportunities = opportunities.with_columns(payout_u=pl.when(is_believed).then("believed_u").otherwise("expected_u"))
    fair = opportunities.select("ticker", "side", "payout_u").unique(maintain_order=True)
    wanted = offered.join(fair, on=_KEY, how="semi")
    filled = executions(wanted, [size * 100], terms, policy=policy)
    best = best_sizes(wanted, fair, terms)
    joined = (
        opportunities.select(*_KEY, "model", "payout_u")
        .join(filled, on=_KEY, how="left")
        .join(best, on=[*_KEY, "payout_u"], how="left")
    )
    spent = -(-(pl.col("cost") + 100 * pl.col("fee_u")) // pl.col("fill_cc"))
    return joined.select(
        *_KEY,
        "model",
        "fill_cc",
        "average_u",
        "worst_u",
        fill_fee_u="fee_u",
        fill_ev_u=pl.col("payout_u") - spent,
        best_cc="best_cc",
        best_ev_u="best_ev_u",
        breakeven_cc="breakeven_cc",
    )


def _with_terms(levels: pl.LazyFrame, terms: pl.DataFrame | None) -> pl.LazyFrame:
    if terms is None:
        return levels.with_columns(rate=pl.lit(TAKER, dtype=pl.Int64), multiplier_m=pl.lit(FEE_UNIT, dtype=pl.Int64))
    return levels.join(
        terms.lazy().select("ticker", "rate", "multiplier_m"), on="ticker", how="left", maintain_order="left"
    ).with_columns(pl.col("rate").fill_null(TAKER), pl.col("multiplier_m").fill_null(FEE_UNIT))

"""What an order of some size really costs: the offers of a book walked level by level, after fees.

Buying YES takes the bids for NO from the best down, each at a dollar less its price; buying NO takes the bids for YES.
Money is exact: costs are integers of 1/100 micro-dollars (prices of six decimals times counts of two), fees 128-bit.
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

_KEY = ["ticker", "side"]


def offers(levels: pl.DataFrame) -> pl.DataFrame:
    """`{ticker, side, price_u, size_cc}`: what can be bought, the cheapest first, from a book's bids (`books.levels`).

    `side` is what one would buy. Levels of one price are added up.
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
    """What an order of each size gets: a row for each ticker, side and size.

    `fill_cc` is what of it can be filled, `average_u` the mean price rounded up, `worst_u` the dearest level used,
    `fee_u` the taker's fee of the order. `terms` gives `{ticker, rate, multiplier_m}`, else the usual ones are taken.
    """
    levels = _with_terms(offered.lazy(), terms).with_columns(before_cc=_before(_KEY))
    made = [_filled(levels, _KEY, pl.lit(size, dtype=pl.Int64), policy) for size in sizes_cc]
    return pl.concat(made).collect()


def _before(key: list[str]) -> pl.Expr:
    return pl.col("size_cc").cum_sum().over(key) - pl.col("size_cc")


def _filled(levels: pl.LazyFrame, key: list[str], order_cc: pl.Expr, policy: Policy) -> pl.LazyFrame:
    """What an order of `order_cc` gets of levels that know how much lies `before_cc` each."""
    share = trade_fee_parts(pl.col("price_u"), pl.col("take_cc"), pl.col("multiplier_m"), rate=pl.col("rate"))
    # Each fill's own fee is rounded up to the micro-dollar before they are added: at most one for each.
    parts = pl.when(pl.col("parts") > 0).then(pl.col("parts") + (pl.col("fills") - 1) * FEE_DENOMINATOR).otherwise(0)
    return (
        levels.with_columns(order_cc=order_cc)
        .with_columns(take_cc=(pl.col("order_cc") - pl.col("before_cc")).clip(0, pl.col("size_cc")))
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


def deepened(
    found: pl.DataFrame, offered: pl.DataFrame, terms: pl.DataFrame | None = None, *, policy: Policy = CAUTIOUS
) -> pl.DataFrame:
    """Broken rules (`coherence.violations`) at the size that brings most, every leg walked through its book.

    A contract of each leg more brings the payoff less what each leg costs there with its fee, which only rises: so it
    goes on as long as that is a gain. `price_u` of a leg is then its average. One whose legs are not all on offer any
    more is left out; one that gains nothing is shown for what all its best levels hold.
    """
    numbered = found.with_row_index("set").with_columns(floor_u=pl.col("payoff_u") * 100 // pl.col("size_cc"))
    legs = numbered.select("set", "floor_u", "legs").explode("legs").unnest("legs").select("set", "floor_u", *_KEY)
    key = ["set", *_KEY]
    levels = (
        _with_terms(legs.lazy().join(offered.lazy(), on=_KEY, how="inner", maintain_order="left"), terms)
        .sort(*key, "price_u")
        .with_columns(before_cc=_before(key))
        .with_columns(upto_cc=pl.col("before_cc") + pl.col("size_cc"))
        .collect()
    )
    whole = legs.group_by("set").len("wanted").join(
        levels.group_by("set").agg(there=pl.struct(_KEY).n_unique()), on="set"
    ).filter(pl.col("wanted") == pl.col("there")).select("set")  # fmt: skip
    levels = levels.join(whole, on="set", how="semi", maintain_order="left")
    size = _best_together(levels, key)
    filled = _filled(
        levels.lazy().join(size.lazy(), on="set", maintain_order="left"), key, pl.col("best_cc"), policy
    ).collect()
    legs_again = pl.struct("ticker", "side", price_u="average_u", fee_u="fee_u")
    made = (
        filled.group_by("set", maintain_order=True)
        .agg(
            size_cc=pl.col("order_cc").first(),
            cost_u=-(-pl.col("cost").sum() // 100),
            fee_u=pl.col("fee_u").sum(),
            legs=legs_again,
        )
        .join(numbered.select("set", "floor_u", "kind", "event_ticker", "certainty", "needs"), on="set")
        .with_columns(payoff_u=pl.col("floor_u") * pl.col("size_cc") // 100)
        .with_columns(profit_u=pl.col("payoff_u") - pl.col("cost_u") - pl.col("fee_u"))
    )
    return made.sort("profit_u", "set", descending=[True, False]).select(found.columns)


def _best_together(levels: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """`{set, best_cc}`: how many of each leg bring most. The gain changes only where a leg comes to its next level."""
    thinnest = levels.group_by(key).agg(pl.col("upto_cc").max()).group_by("set").agg(most_cc=pl.col("upto_cc").min())
    ends = levels.select("set", at_cc="upto_cc").unique().join(thinnest, on="set")
    ends = ends.filter(pl.col("at_cc") <= pl.col("most_cc"))
    each = contract_fee_u(pl.col("price_u"), pl.col("multiplier_m"), rate=pl.col("rate"))
    costs = levels.select(*key, "floor_u", at_cc="upto_cc", unit=pl.col("price_u") + each).sort("at_cc")
    legs = levels.select(key).unique()
    there = ends.select("set", "at_cc").join(legs, on="set").sort("at_cc")
    # Both are sorted, which is not checked where there are groups.
    marginal = there.join_asof(costs, on="at_cc", by=key, strategy="forward", check_sortedness=False)
    gains = marginal.group_by("set", "at_cc").agg(gain=pl.col("floor_u").first() - pl.col("unit").sum())
    best = gains.group_by("set").agg(
        best_cc=pl.col("at_cc").filter(pl.col("gain") > 0).max(), first_cc=pl.col("at_cc").min()
    )
    return best.select("set", best_cc=pl.coalesce("best_cc", "first_cc"))


def best_sizes(offered: pl.DataFrame, fair: pl.DataFrame, terms: pl.DataFrame | None = None) -> pl.DataFrame:
    """`{ticker, side, p_u, best_cc, best_ev_u, breakeven_cc}`: the size at which an order's EV is largest, that EV in
    micro-dollars, and the size at which it has fallen to nothing (null if the book ends before).

    `fair` gives `{ticker, side, p_u}`, the side's probability in micro-dollars, or several of them. Each level adds
    c·(p − P − k·M·P·(1−P)); price and fee together rise with the price, so the sum rises and then falls. The rounding
    of the order's fee, at most a cent, is left out.
    """
    price, key = pl.col("price_u"), [*_KEY, "p_u"]
    fee = contract_fee_u(price, pl.col("multiplier_m"), rate=pl.col("rate"))
    gain = (pl.col("p_u") - price - fee).alias("gain")
    levels = (
        _with_terms(offered.lazy(), terms)
        .join(fair.lazy().select(*_KEY, "p_u"), on=_KEY, how="inner", maintain_order="left")
        .with_columns(gain, before_cc=pl.col("size_cc").cum_sum().over(key) - pl.col("size_cc"))
        .with_columns(ev=pl.col("gain") * pl.col("size_cc") / 100)
        .with_columns(after=pl.col("ev").cum_sum().over(key))
    )
    turning = (pl.col("after") < 0) & (pl.col("after") - pl.col("ev") >= 0)
    # Of levels that gain exactly nothing none is the one where it turns, but all are computed.
    more_cc = ((pl.col("after") - pl.col("ev")) * 100 / -pl.col("gain")).floor().cast(pl.Int64, strict=False)
    crossing = pl.col("before_cc") + more_cc
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


def depth(opportunities: pl.DataFrame, offered: pl.DataFrame, size: int, policy: Policy = CAUTIOUS) -> pl.DataFrame:
    """For each of the EDGES rows what an order of `size` contracts would get, and which size would be best:
    `{ticker, side, model, fill_cc, average_u, worst_u, fill_fee_u, fill_ev_u, best_cc, best_ev_u, breakeven_cc}`.

    `fill_ev_u` is a contract's, of those that can be filled. Null where the book holds nothing.
    """
    terms = opportunities.select(
        "ticker", "multiplier_m", rate=coefficient(pl.col("fee_type"))
    ).unique("ticker", maintain_order=True)  # fmt: skip
    fair = opportunities.select("ticker", "side", "p_u").unique(maintain_order=True)
    wanted = offered.join(fair, on=_KEY, how="semi")
    filled = executions(wanted, [size * 100], terms, policy=policy)
    best = best_sizes(wanted, fair, terms)
    joined = (
        opportunities.select(*_KEY, "model", "p_u")
        .join(filled, on=_KEY, how="left")
        .join(best, on=[*_KEY, "p_u"], how="left")
    )
    spent = -(-(pl.col("cost") + 100 * pl.col("fee_u")) // pl.col("fill_cc"))
    return joined.select(
        *_KEY, "model", "fill_cc", "average_u", "worst_u", fill_fee_u="fee_u", fill_ev_u=pl.col("p_u") - spent,
        best_cc="best_cc", best_ev_u="best_ev_u", breakeven_cc="breakeven_cc",
    )  # fmt: skip


def _with_terms(levels: pl.LazyFrame, terms: pl.DataFrame | None) -> pl.LazyFrame:
    if terms is None:
        return levels.with_columns(rate=pl.lit(TAKER, dtype=pl.Int64), multiplier_m=pl.lit(FEE_UNIT, dtype=pl.Int64))
    return levels.join(
        terms.lazy().select("ticker", "rate", "multiplier_m"), on="ticker", how="left", maintain_order="left"
    ).with_columns(pl.col("rate").fill_null(TAKER), pl.col("multiplier_m").fill_null(FEE_UNIT))

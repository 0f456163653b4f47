"""Quotes that break a rule of the exchange, and the trade that exploits each.

| kind | rule | the trade if quotes break it | certainty |
|---|---|---|---|
| complement | YES and NO of one market pay a dollar together | both, if they cost less | locked |
| ladder, deadline, margin, duplicate | what pays whenever another pays is worth no less | YES of the wider, NO of the narrower | locked |
| combination | a leg is worth no less than the combination | YES of the leg, NO of the combination | assumed |
| partition, NO | at most one market of a mutually exclusive event pays | NO of several: all but one pay | locked |
| partition, YES | … and if one of them must | YES of all | assumed |

*Locked* trades cannot lose under the rules that were read. *Assumed* trades need what the exchange does not promise:
`mutually_exclusive` means at most one YES, not exactly one. A settlement at a "fair price", which many rules provide
for cancelled events, is outside these rules. `ladders` says which markets nest.
"""  # noqa: E501

from datetime import datetime
from typing import Literal

import polars as pl

from fairline.market.fees import CAUTIOUS, Policy, coefficient, contract_fee_u, multiplier_at, order_fee_u
from fairline.market.frame import NOTIONAL_U, payout_high_u, payout_low_u
from fairline.pricing.ladders import ABOVE, BELOW, BETWEEN, STRICT, all_rungs
from fairline.pricing.rules import Side

Certainty = Literal["locked", "assumed"]
LOCKED: Certainty = "locked"
ASSUMED: Certainty = "assumed"
EXHAUSTIVE = "one of these {} markets settles YES"
ALL_LEGS = "the combination pays only if every leg does, and its legs settle YES or NO"


def violations(markets: pl.DataFrame, *, asof: datetime, policy: Policy = CAUTIOUS) -> pl.DataFrame:
    """Return a row per broken rule, most profitable first; `profit_u` is zero or less if fees exceed the gain.

    `markets` is MARKETS. Columns: `kind, event_ticker, certainty, needs, size_cc, cost_u, fee_u, payoff_u, profit_u,
    legs`. Money is for `size_cc` contracts of each leg, the size of the smallest offer among their best prices;
    `payoff_u` is the least that the trade pays. `legs` are `{ticker, side, price_u, fee_u}`.
    """
    quoted = _tradable(markets, asof)
    legs = pl.concat([
        _complements(quoted),
        _nested_pairs(all_rungs(quoted)),
        _no_baskets(quoted),
        _yes_baskets(quoted, markets.lazy()),
    ]).with_columns(size_cc=pl.col("offer_cc").min().over("set"))  # fmt: skip
    size = pl.col("size_cc")
    fee = order_fee_u(pl.col("price_u"), size, pl.col("multiplier_m"), rate=pl.col("rate"), policy=policy)
    trades = (
        legs.with_columns(fee_u=fee)
        .group_by("set", maintain_order=True)
        .agg(
            pl.col("kind", "event_ticker", "certainty", "size_cc", "floor_u").first(),
            needs=pl.when(pl.col("certainty").first() == ASSUMED)
            .then(
                pl.when(pl.col("kind").first() == "combination")
                .then(pl.lit(ALL_LEGS))
                .otherwise(pl.format(EXHAUSTIVE, pl.len()))
            )
            .otherwise(pl.lit("")),
            # Rounded up to the micro-dollar, against the trade.
            cost_u=-(-(pl.col("price_u") * size).sum() // 100),
            fee_u=pl.col("fee_u").sum(),
            legs=pl.struct("ticker", "side", "price_u", "fee_u"),
        )
        .with_columns(payoff_u=pl.col("floor_u") * pl.col("size_cc") // 100)
        .with_columns(profit_u=pl.col("payoff_u") - pl.col("cost_u") - pl.col("fee_u"))
    )
    names = ["kind", "event_ticker", "certainty", "needs", "size_cc", "cost_u", "fee_u", "payoff_u", "profit_u", "legs"]
    return trades.sort("profit_u", "set", descending=[True, False]).select(names).collect()


_FACTS = [
    "ticker",
    "event_ticker",
    "title",
    "yes_sub_title",
    "mutually_exclusive",
    "strike_type",
    "floor_strike",
    "cap_strike",
    "target",
    "strike_target",
    "decided_ts",
    "rules_named",
    "rules_deadline",
    "rules_hash",
    "rules_form",
    "yes_bid_u",
    "yes_ask_u",
    "yes_bid_size_cc",
    "yes_ask_size_cc",
]


def _tradable(markets: pl.DataFrame, asof: datetime) -> pl.LazyFrame:
    open_now = (pl.col("status") == "active") & (pl.col("market_type") == "binary") & (pl.col("close_ts") > asof)
    return (
        markets.lazy()
        .filter(open_now)
        .select(
            *_FACTS,
            payout_low_u=payout_low_u(),
            payout_high_u=payout_high_u(),
            rate=coefficient(pl.col("fee_type")),
            multiplier_m=multiplier_at(asof),
        )
    )


def _unrounded_fee(price_u: pl.Expr) -> pl.Expr:
    """Return one contract's fee rounded up only to the micro-dollar: for choosing among legs."""
    return contract_fee_u(price_u, pl.col("multiplier_m"), rate=pl.col("rate")).ceil().cast(pl.Int64)


def _leg_columns(side: Side, kind: str, certainty: Certainty, floor_u: pl.Expr, key: pl.Expr) -> list[pl.Expr | str]:
    """Return the columns of a leg; `floor_u` is the least that one contract of each leg pays, `key` names the set."""
    yes = side == "yes"
    return [
        pl.concat_str(pl.lit(kind + " "), key).alias("set"),
        pl.lit(kind.split(" ", maxsplit=1)[0]).alias("kind"),
        "event_ticker",
        pl.lit(certainty).alias("certainty"),
        "ticker",
        pl.lit(side).alias("side"),
        (pl.col("yes_ask_u") if yes else NOTIONAL_U - pl.col("yes_bid_u")).alias("price_u"),
        pl.col("yes_ask_size_cc" if yes else "yes_bid_size_cc").alias("offer_cc"),
        floor_u.cast(pl.Int64).alias("floor_u"),
        "rate",
        "multiplier_m",
    ]


def _complements(quoted: pl.LazyFrame) -> pl.LazyFrame:
    crossed = quoted.filter(pl.col("yes_ask_u") < pl.col("yes_bid_u"))
    floor = pl.lit(NOTIONAL_U)
    return pl.concat([
        crossed.select(_leg_columns("yes", "complement", LOCKED, floor, pl.col("ticker"))),
        crossed.select(_leg_columns("no", "complement", LOCKED, floor, pl.col("ticker"))),
    ])  # fmt: skip


def _axis(rungs: pl.LazyFrame, *, up: bool) -> pl.LazyFrame:
    """Return what can be bought on each ladder, widest first: `wide_u` is its price, `narrow_u` that of its opposite.

    On the axis that goes up, contracts pay from some strike on; "below 100" is there as its NO, which pays from 100
    on. On the axis that goes down, "above 100" is there as its NO. A "between" pays only beyond its own bound, so it
    is narrower than that bound, but nothing is narrower than it: it has no `wide_u`.
    """
    swapped = (BELOW if up else ABOVE) & ~BETWEEN
    strike = pl.when((ABOVE | BETWEEN) if up else ABOVE).then("floor_strike").otherwise("cap_strike")
    yes_u, no_u = pl.col("yes_ask_u"), NOTIONAL_U - pl.col("yes_bid_u")
    yes_cc, no_cc = pl.col("yes_ask_size_cc"), pl.col("yes_bid_size_cc")
    strict = STRICT.cast(pl.Int8)
    return (
        rungs.with_columns(
            group=pl.concat_str("family", "ladder").hash(),
            width=strike if up else -strike,
            # NO of "above 100" pays at 100 and below; NO of "100 or more" only below 100.
            strict=pl.when(BETWEEN).then(0).when(swapped).then(1 - strict).otherwise(strict),
            between=BETWEEN,
            wide_side=pl.when(swapped).then(pl.lit("no")).otherwise(pl.lit("yes")),
            narrow_side=pl.when(swapped).then(pl.lit("yes")).otherwise(pl.lit("no")),
            wide_u=pl.when(BETWEEN).then(None).when(swapped).then(no_u).otherwise(yes_u),
            wide_cc=pl.when(swapped).then(no_cc).otherwise(yes_cc),
            narrow_u=pl.when(swapped).then(yes_u).otherwise(no_u),
            narrow_cc=pl.when(swapped).then(yes_cc).otherwise(no_cc),
        )
        .sort("group", "width", "strict", "between", "ticker")
        .with_row_index("row")
    )


def _nested_pairs(rungs: pl.LazyFrame) -> pl.LazyFrame:
    """Return both legs for each pair of nested contracts that cost less than a dollar together."""
    same_bounds = pl.struct("payout_low_u", "payout_high_u").n_unique().over("family", "ladder") == 1
    # Ladders with one rung cannot be broken; most markets with a strike are on one of several.
    several = pl.len().over("family", "ladder") > 1
    rungs = rungs.filter(same_bounds & several).collect().lazy()
    with_ranges = rungs.filter(BETWEEN.any().over("family", "ladder"))
    up = _broken_pairs(_axis(rungs, up=True).collect(), axis="up")
    down = _broken_pairs(_axis(with_ranges, up=False).collect(), axis="down")
    return pl.concat([up.lazy(), down.lazy()])


def _broken_pairs(rungs: pl.DataFrame, *, axis: Literal["up", "down"]) -> pl.DataFrame:
    """Return both legs of the best trade with each rung that is too expensive compared with a wider one.

    On the axis that goes down only ranges are looked at: all other pairs were found on the axis that goes up.
    """
    suspects = rungs.filter(_too_expensive() & (pl.col("between") if axis == "down" else pl.lit(value=True)))
    narrow = suspects.select(
        "group",
        at="row",
        narrower="ticker",
        narrow_u="narrow_u",
        narrow_cc="narrow_cc",
        narrow_width="width",
        narrow_strict="strict",
        narrow_fee_u=_unrounded_fee(pl.col("narrow_u")),
    )
    same_width = pl.col("width") == pl.col("narrow_width")
    is_wider = (pl.col("width") < pl.col("narrow_width")) | (same_width & (pl.col("strict") <= pl.col("narrow_strict")))
    gain = NOTIONAL_U - pl.col("wide_u") - pl.col("narrow_u")
    net = gain - _unrounded_fee(pl.col("wide_u")) - pl.col("narrow_fee_u")
    size = pl.min_horizontal("wide_cc", "narrow_cc")
    other = (pl.col("row") != pl.col("at")) & (pl.col("ticker") != pl.col("narrower"))
    pairs = (
        rungs.drop("narrow_u", "narrow_cc")
        .join(narrow, on="group")
        .filter(is_wider & other & (gain > 0))
        # Of several wider rungs the most profitable: even a tiny offer can have the best price.
        .with_columns(worth=pl.when(net > 0).then(net * size).otherwise(net))
        .sort("at", "worth", "row", descending=[False, True, False])
        .unique("at", keep="first", maintain_order=True)
    )
    # A pair of rungs that are too cheap together is found from either of them.
    couple = pl.concat_list(pl.min_horizontal("row", "at"), pl.max_horizontal("row", "at"))
    pairs = pairs.unique(couple, keep="first", maintain_order=True).select("row", "at", "narrower")
    return pl.concat([_pair_legs(pairs, rungs, "wide", axis), _pair_legs(pairs, rungs, "narrow", axis)])


def _too_expensive() -> pl.Expr:
    """Return whether a rung and the cheapest wider one cost less than a dollar: a screen for all ladders at once.

    Each ladder is lowered below the one before it, so that one running minimum serves all.
    """
    wide = pl.col("wide_u").fill_null(NOTIONAL_U)
    lowered = pl.col("group").rle_id().cast(pl.Int64) * (2 * NOTIONAL_U)
    cheapest = (wide - lowered).cum_min() + lowered
    tied = pl.all_horizontal(pl.col(name) == pl.col(name).shift(-1) for name in ("width", "group", "strict"))
    return (cheapest + pl.col("narrow_u") < NOTIONAL_U) | (tied & (pl.col("narrow_u") < NOTIONAL_U))


def _pair_legs(pairs: pl.DataFrame, rungs: pl.DataFrame, which: Literal["wide", "narrow"], axis: str) -> pl.DataFrame:
    row = "row" if which == "wide" else "at"
    return pairs.join(rungs, left_on=row, right_on="row").select(
        # A range can be too expensive on both axes, and those are two trades.
        pl.concat_str("family", pl.lit(f" {axis} "), "narrower").alias("set"),
        kind=pl.col("family"),
        event_ticker="event_ticker",
        certainty=pl.when(pl.col("family") == "combination").then(pl.lit(ASSUMED)).otherwise(pl.lit(LOCKED)),
        ticker="ticker",
        side=pl.col(f"{which}_side"),
        price_u=pl.col(f"{which}_u"),
        offer_cc=pl.col(f"{which}_cc"),
        floor_u=pl.lit(NOTIONAL_U, dtype=pl.Int64),
        rate="rate",
        multiplier_m="multiplier_m",
    )


def _no_baskets(quoted: pl.LazyFrame) -> pl.LazyFrame:
    """Return NO of the most profitable legs of each mutually exclusive event whose bids exceed a dollar.

    A leg adds its bid less its fee, and the smallest offer limits all; so legs are taken by size, as many as make the
    largest product of profit and size.
    """
    gain = pl.col("yes_bid_u") - _unrounded_fee(NOTIONAL_U - pl.col("yes_bid_u"))
    legs = (
        quoted.filter("mutually_exclusive", pl.col("yes_bid_u").is_not_null())
        .filter(pl.col("yes_bid_u").sum().over("event_ticker") > NOTIONAL_U)
        .with_columns(gain=gain)
        .sort("event_ticker", "yes_bid_size_cc", "ticker", descending=[False, True, False])
        .with_columns(total=(pl.col("gain").cum_sum().over("event_ticker") - NOTIONAL_U) * pl.col("yes_bid_size_cc"))
        .with_columns(
            place=pl.int_range(pl.len()).over("event_ticker"), best=pl.col("total").arg_max().over("event_ticker")
        )
        .filter((pl.col("place") <= pl.col("best")) & (pl.col("best") > 0))
    )
    # Each NO pays at least 1 − h; all but one winner pay 1 − l.
    all_lose = (NOTIONAL_U - pl.col("payout_low_u")).sum().over("event_ticker")
    widest = (pl.col("payout_high_u") - pl.col("payout_low_u")).max().over("event_ticker")
    return legs.select(_leg_columns("no", "partition NO", LOCKED, all_lose - widest, pl.col("event_ticker")))


def _yes_baskets(quoted: pl.LazyFrame, listed: pl.LazyFrame) -> pl.LazyFrame:
    """Return YES of all markets of each mutually exclusive event that cost less than a dollar together.

    Events with a market that cannot be bought, because it is paused or has no offer, are left out.
    """
    legs = (
        quoted.filter("mutually_exclusive")
        .join(listed.group_by("event_ticker").agg(listed=pl.len()), on="event_ticker", maintain_order="left")
        .filter(pl.col("yes_ask_u").is_not_null().all().over("event_ticker"))
        .filter((pl.len().over("event_ticker") == pl.col("listed")) & (pl.col("listed") > 1))
        .filter(pl.col("yes_ask_u").sum().over("event_ticker") < NOTIONAL_U)
    )
    low_total = pl.col("payout_low_u").sum().over("event_ticker")
    narrowest = (pl.col("payout_high_u") - pl.col("payout_low_u")).min().over("event_ticker")
    return legs.select(_leg_columns("yes", "partition YES", ASSUMED, low_total + narrowest, pl.col("event_ticker")))

"""What the rules force prices to obey, what it would pay to hold them to it, and the nearest prices that do obey.

Three rules, over quotes that exist:

| kind | rule | the trade when quotes break it | certainty |
|---|---|---|---|
| complement | YES and NO of one market pay a dollar together | both, when they cost less | locked |
| ladder | what pays whenever another pays is worth no less | YES of the wider, NO of the narrower | locked |
| partition, NO | at most one market of a mutually exclusive event pays | NO of several: all but one pay | locked |
| partition, YES | … and if one of them must | YES of all | assumed |

*Locked* means that the trade cannot lose under the rules. *Assumed* needs what the exchange does not promise:
`mutually_exclusive` means at most one YES, not exactly one. Ladders are read from `strike_type` and strikes within one
event, as intervals on one axis: `greater` and `greater_or_equal` by their floor, `less` and `less_or_equal` by their
cap, `between` by both.
"""

from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from fairline.market.fees import CAUTIOUS, Policy, coefficient, contract_fee_u, multiplier_at, order_fee_u
from fairline.market.frame import NOTIONAL_U

LOCKED, ASSUMED = "locked", "assumed"
EXHAUSTIVE = "one of these {} markets settles YES"


def violations(markets: pl.DataFrame, *, asof: datetime, policy: Policy = CAUTIOUS) -> pl.DataFrame:
    """A row for each broken rule, the most profitable first; `profit_u` at or below nothing means that fees eat it.

    `markets` is MARKETS. Columns: `kind, event_ticker, certainty, needs, size_cc, cost_u, fee_u, payoff_u, profit_u,
    legs`; money is for `size_cc` contracts of each leg, which is what the thinnest leg offers at its best price, and
    `payoff_u` the least that can come back. `legs` are `{ticker, side, price_u, fee_u}`.
    """
    quoted = _quoted(markets, asof)
    legs = pl.concat(
        [_complements(quoted), _ladders(quoted), _no_baskets(quoted), _yes_baskets(quoted, markets.lazy())]
    )
    sized = legs.with_columns(size_cc=pl.col("offer_cc").min().over("set"))
    size, fee = pl.col("size_cc"), _fee(pl.col("price_u"), pl.col("size_cc"), policy)
    per_set = (
        sized.with_columns(fee_u=fee)
        .group_by("set", maintain_order=True)
        .agg(
            pl.col("kind", "event_ticker", "certainty", "size_cc", "floor").first(),
            needs=pl.when(pl.col("certainty").first() == ASSUMED)
            .then(pl.format(EXHAUSTIVE, pl.len()))
            .otherwise(pl.lit("")),
            # Rounded up: what a part of a micro-dollar is worth is not for us.
            cost_u=-(-(pl.col("price_u") * size).sum() // 100),
            fee_u=pl.col("fee_u").sum(),
            legs=pl.struct("ticker", "side", "price_u", "fee_u"),
        )
        .with_columns(payoff_u=pl.col("floor") * pl.col("size_cc") * (NOTIONAL_U // 100))
        .with_columns(profit_u=pl.col("payoff_u") - pl.col("cost_u") - pl.col("fee_u"))
    )
    return (
        per_set.sort("profit_u", "set", descending=[True, False])
        .select(
            "kind", "event_ticker", "certainty", "needs", "size_cc", "cost_u", "fee_u", "payoff_u", "profit_u", "legs"
        )
        .collect()
    )


def coherent(markets: pl.DataFrame) -> pl.DataFrame:
    """`{ticker, p, p_sd}`: probabilities near to the midpoints that obey the rules and lie inside the quotes.

    Ladders by isotonic regression, then moved into the quotes; mutually exclusive events by projection on "adds up to
    one at most". Where quotes break a rule no such probabilities lie inside them, and ones near to the midpoints are
    given. `p_sd` is that of a price that may be anywhere between bid and ask, (ask − bid) / √12. Only markets with two
    quotes.
    """
    two = markets.filter(pl.col("yes_bid_u").is_not_null() & pl.col("yes_ask_u").is_not_null())
    made = _ordered(two.lazy()).sort("group", "width", "strict", "ticker").collect()
    low, high = made["yes_bid_u"].to_numpy() / NOTIONAL_U, made["yes_ask_u"].to_numpy() / NOTIONAL_U
    p = _isotone((low + high) / 2, low, high, made["group"].rle_id().to_numpy())
    order = made.select(pl.arg_sort_by("event_ticker")).to_series().to_numpy()
    event = made["event_ticker"].gather(order).rle_id().to_numpy()
    exclusive = made["mutually_exclusive"].fill_null(value=False).to_numpy()[order]
    projected = _capped(p[order], low[order], high[order], event, exclusive)
    p[order] = projected
    width = np.abs(high - low)
    return made.select("ticker", p=pl.Series(p), p_sd=pl.Series(width / np.sqrt(12)))


def _quoted(markets: pl.DataFrame, asof: datetime) -> pl.LazyFrame:
    return markets.lazy().filter(
        (pl.col("status") == "active") & (pl.col("market_type") == "binary") & (pl.col("close_ts") > asof)
    ).select(
        "ticker", "event_ticker", "mutually_exclusive", "strike_type", "floor_strike", "cap_strike",
        "yes_bid_u", "yes_ask_u", "yes_bid_size_cc", "yes_ask_size_cc",
        rate=coefficient(pl.col("fee_type")), multiplier_m=multiplier_at(asof),
    )  # fmt: skip


def _fee(price_u: pl.Expr, count_cc: pl.Expr, policy: Policy) -> pl.Expr:
    return order_fee_u(price_u, count_cc, pl.col("multiplier_m"), rate=pl.col("rate"), policy=policy)


def _share_fee(price_u: pl.Expr) -> pl.Expr:
    """The fee of one contract before any rounding, rounded up to the micro-dollar: for choosing among legs."""
    return contract_fee_u(price_u, pl.col("multiplier_m"), rate=pl.col("rate")).ceil().cast(pl.Int64)


def _leg(side: str, kind: str, certainty: str, floor: pl.Expr | int, key: pl.Expr) -> list[pl.Expr | str]:
    """The columns of a leg. `floor` is how many dollars a contract of each leg brings back at least, `key` its set."""
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
        (pl.lit(floor, dtype=pl.Int64) if isinstance(floor, int) else floor.cast(pl.Int64)).alias("floor"),
        "rate",
        "multiplier_m",
    ]


def _complements(quoted: pl.LazyFrame) -> pl.LazyFrame:
    crossed = quoted.filter(pl.col("yes_ask_u") < pl.col("yes_bid_u"))
    key = pl.col("ticker")
    return pl.concat([crossed.select(_leg(side, "complement", LOCKED, 1, key)) for side in ("yes", "no")])


_KIND = pl.col("strike_type")
_ABOVE, _BELOW = _KIND.is_in(["greater", "greater_or_equal"]), _KIND.is_in(["less", "less_or_equal"])
_RUNG = (_ABOVE & pl.col("floor_strike").is_not_null()) | (_BELOW & pl.col("cap_strike").is_not_null())
_BETWEEN = (_KIND == "between") & pl.col("floor_strike").is_not_null() & pl.col("cap_strike").is_not_null()
_STRICT = _KIND.is_in(["greater", "less"])


def _ordered(markets: pl.LazyFrame) -> pl.LazyFrame:
    """The ladder that each market stands on (`group`) and its place, the widest first (`width`, then `strict`).

    A market on none is a group of its own.
    """
    # Numbers, because to sort by names takes several times as long: an event's is its first market's place.
    width = pl.when(_ABOVE).then(pl.col("floor_strike")).otherwise(-pl.col("cap_strike")).fill_null(0.0)
    place = pl.col("place").cast(pl.Int64)
    group = pl.when(_RUNG).then(2 * place.first().over("event_ticker") + _ABOVE.cast(pl.Int64)).otherwise(-1 - place)
    return markets.with_row_index("place").with_columns(group=group, width=width, strict=_STRICT.cast(pl.Int8))


def _axis(quoted: pl.LazyFrame, *, up: bool) -> pl.LazyFrame:
    """What can be bought that pays from some strike on, the widest first, in every event: `wide_u` is its price, and
    `narrow_u` that of its opposite.

    On the axis that goes up, "below 100" is there as its NO, which pays from 100 on; on the one that goes down "above
    100" as its NO. A "between" pays only where its lower strike has been passed, so it is narrower than that, but
    nothing is narrower than it: it has no `wide_u`.
    """
    own = _ABOVE if up else _BELOW
    lower = _ABOVE | (_BETWEEN & pl.lit(up))
    strike = pl.when(lower).then("floor_strike").otherwise("cap_strike")
    yes_u, no_u = pl.col("yes_ask_u"), NOTIONAL_U - pl.col("yes_bid_u")
    yes_cc, no_cc = pl.col("yes_ask_size_cc"), pl.col("yes_bid_size_cc")
    swapped = ~own & ~_BETWEEN
    return (
        quoted.filter(_RUNG | _BETWEEN)
        .with_row_index("place")
        .with_columns(
            group=pl.col("place").cast(pl.Int64).first().over("event_ticker"),
            width=strike if up else -strike,
            # NO of what pays above 100 pays at 100 and below, NO of what pays at 100 and above only below.
            strict=pl.when(_BETWEEN)
            .then(0)
            .when(swapped)
            .then(1 - _STRICT.cast(pl.Int8))
            .otherwise(_STRICT.cast(pl.Int8)),
            between=_BETWEEN,
            wide_side=pl.when(swapped).then(pl.lit("no")).otherwise(pl.lit("yes")),
            narrow_side=pl.when(swapped).then(pl.lit("yes")).otherwise(pl.lit("no")),
            wide_u=pl.when(_BETWEEN).then(None).when(swapped).then(no_u).otherwise(yes_u),
            wide_cc=pl.when(swapped).then(no_cc).otherwise(yes_cc),
            narrow_u=pl.when(swapped).then(yes_u).otherwise(no_u),
            narrow_cc=pl.when(swapped).then(yes_cc).otherwise(no_cc),
        )
        .sort("group", "width", "strict", "between", "ticker")
        .with_row_index("row")
    )


def _ladders(quoted: pl.LazyFrame) -> pl.LazyFrame:
    """For each contract that costs, with one that pays wherever its opposite does not, less than a dollar: both."""
    down = quoted.filter(_RUNG | _BETWEEN).filter(_BETWEEN.any().over("event_ticker"))
    found = [_broken(_axis(quoted, up=True).collect()), _broken(_axis(down, up=False).collect(), between=True)]
    return pl.concat([legs.lazy() for legs in found])


def _broken(rungs: pl.DataFrame, *, between: bool = False) -> pl.DataFrame:
    """Both legs of the best trade with each rung that is too dear beside a wider one."""
    wide = pl.col("wide_u").fill_null(NOTIONAL_U)
    # A screen for all events at once: each is lowered below the one before, so that one running minimum does for all.
    lowered = pl.col("group").rle_id().cast(pl.Int64) * (2 * NOTIONAL_U)
    cheapest = (wide - lowered).cum_min() + lowered
    tied = pl.all_horizontal(pl.col(name) == pl.col(name).shift(-1) for name in ("width", "group", "strict"))
    dear = (cheapest + pl.col("narrow_u") < NOTIONAL_U) | (tied & (pl.col("narrow_u") < NOTIONAL_U))
    suspects = rungs.filter(dear & (pl.col("between") if between else pl.lit(value=True)))
    narrow = suspects.select(
        "group", at="row", narrower="ticker", narrow_u="narrow_u", narrow_cc="narrow_cc", key_w="width", key_s="strict",
        narrow_rate="rate", narrow_m="multiplier_m",
    )  # fmt: skip
    behind = (pl.col("width") < pl.col("key_w")) | (
        (pl.col("width") == pl.col("key_w")) & (pl.col("strict") <= pl.col("key_s"))
    )
    fees = _share_fee(pl.col("wide_u")) + contract_fee_u(
        pl.col("narrow_u"), pl.col("narrow_m"), rate=pl.col("narrow_rate")
    ).ceil().cast(pl.Int64)
    pays = NOTIONAL_U - pl.col("wide_u") - pl.col("narrow_u")
    size = pl.min_horizontal("wide_cc", "narrow_cc")
    # Of the wider ones the one that brings most: a tiny offer at the best price is not it.
    worth = pl.when(pays > fees).then((pays - fees) * size).otherwise(pays - fees)
    pairs = (
        rungs.drop("narrow_u", "narrow_cc")
        .join(narrow, on="group")
        .filter(behind & (pl.col("row") != pl.col("at")) & (pl.col("ticker") != pl.col("narrower")) & (pays > 0))
        .with_columns(worth=worth)
        .sort("at", "worth", "row", descending=[False, True, False])
        .unique("at", keep="first", maintain_order=True)
    )
    # Two rungs that cost too little together are found from either of them: once is enough.
    couple = pl.concat_list(pl.min_horizontal("row", "at"), pl.max_horizontal("row", "at"))
    pairs = pairs.unique(couple, keep="first", maintain_order=True)
    chosen = pairs.select("row", "at", "narrower")
    by = {"wide": ("row", "wide_u", "wide_cc", "wide_side"), "narrow": ("at", "narrow_u", "narrow_cc", "narrow_side")}
    return pl.concat(
        [
            chosen.join(rungs, left_on=column, right_on="row").select(
                # A "between" can be too dear on both axes, and those are two trades.
                pl.concat_str(pl.lit("ladder down " if between else "ladder up "), "narrower").alias("set"),
                pl.lit("ladder").alias("kind"),
                "event_ticker",
                pl.lit(LOCKED).alias("certainty"),
                "ticker",
                pl.col(side).alias("side"),
                pl.col(price).alias("price_u"),
                pl.col(size_cc).alias("offer_cc"),
                pl.lit(1, dtype=pl.Int64).alias("floor"),
                "rate",
                "multiplier_m",
            )
            for column, price, size_cc, side in by.values()
        ]
    )


def _no_baskets(quoted: pl.LazyFrame) -> pl.LazyFrame:
    """Of each mutually exclusive event whose bids add up to more than a dollar: NO of those that bring most together.

    A leg adds its bid less its fee, and the thinnest leg limits all; so legs are taken in the order of their size, as
    many as make the largest product.
    """
    gain = pl.col("yes_bid_u") - _share_fee(NOTIONAL_U - pl.col("yes_bid_u"))
    worth = (
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
    return worth.select(_leg("no", "partition NO", LOCKED, pl.len().over("event_ticker") - 1, pl.col("event_ticker")))


def _yes_baskets(quoted: pl.LazyFrame, listed: pl.LazyFrame) -> pl.LazyFrame:
    """Each mutually exclusive event all of whose markets can be bought for less than a dollar together. One of whose
    markets some cannot be bought, because it is paused or has no offer, is none.
    """
    whole = (
        quoted.filter("mutually_exclusive")
        .join(listed.group_by("event_ticker").agg(listed=pl.len()), on="event_ticker", maintain_order="left")
        .filter(pl.col("yes_ask_u").is_not_null().all().over("event_ticker"))
        .filter((pl.len().over("event_ticker") == pl.col("listed")) & (pl.col("listed") > 1))
        .filter(pl.col("yes_ask_u").sum().over("event_ticker") < NOTIONAL_U)
    )
    return whole.select(_leg("yes", "partition YES", ASSUMED, 1, pl.col("event_ticker")))


Floats = NDArray[np.float64]


def _isotone(middle: Floats, low: Floats, high: Floats, group: NDArray[np.uint32]) -> Floats:
    """Falling within each group, as near to `middle` as can be, inside the bounds where those allow it.

    All groups at once: each is lifted above the next, far enough not to meet it, so that one regression does for all.
    """
    if not len(middle):
        return middle
    lift = 4.0 * (group.max() - group)
    p: Floats = np.asarray(isotonic_regression(middle + lift, increasing=False).x) - lift
    # What bounds a rung bounds those on one side of it too: none is worth more than a wider one's ask, or less than a
    # narrower one's bid.
    ceiling = np.minimum.accumulate(high + lift) - lift
    floor = np.maximum.accumulate((low + lift)[::-1])[::-1] - lift
    # Where one rung's quotes break the rule, no clipping of its ladder's other rungs would keep the order.
    broken = np.bincount(group, weights=floor > ceiling)[group] > 0
    return np.where(broken, p, np.clip(p, floor, ceiling))


def _capped(p: Floats, low: Floats, high: Floats, event: NDArray[np.uint32], exclusive: NDArray[np.bool_]) -> Floats:
    """The nearest numbers that add up to one at most in exclusive events, inside the bounds if those allow it.

    The projection shifts all of an event by one amount and clips them to their bounds; bisection finds the amount for
    all events at once.
    """
    if not len(p):
        return p
    count = int(event.max()) + 1
    lows = np.bincount(event, weights=low, minlength=count)
    bottom = np.where((lows <= 1)[event], low, 0.0)
    top = np.where((lows <= 1)[event], high, 1.0)

    def at(shift: Floats) -> Floats:
        return np.clip(p - shift[event], bottom, top)

    need = (np.bincount(event, weights=p, minlength=count) > 1) & np.bincount(
        event, weights=exclusive, minlength=count
    ).astype(bool)
    small, large = np.zeros(count), np.where(need, 1.0, 0.0)
    for _ in range(50):
        middle = (small + large) / 2
        above = np.bincount(event, weights=at(middle), minlength=count) > 1
        small, large = np.where(above, middle, small), np.where(above, large, middle)
    return np.where(need[event], at(large), p)

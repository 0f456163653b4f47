"""Prices, probabilities and fees become edge, expected value and rank for both sides of every market.

With a side's price `a` in dollars, its probability `p` and the fee `f` per contract at the order's size:

- edge in points: 100·(p − a)
- EV per contract: p − a − f. The article behind this project calls it "per dollar risked"; both are shown, each under
  its own name.
- EV per dollar at risk: EV / (a + f)

The NO side costs 1 − bid and pays with probability 1 − p. A resting order joins the best bid of its side, at bid or
1 − ask, and pays the maker fee; its EV holds only if it is filled.
"""

from datetime import datetime

import polars as pl

from fairline.market.fees import CAUTIOUS, Policy, coefficient, multiplier_at, order_fee_u, per_contract_u
from fairline.market.frame import NOTIONAL_U
from fairline.market.ticks import better_prices
from fairline.pricing.rules import Rules, Side
from fairline.pricing.sizing import shrinkage
from fairline.pricing.steps import KEPT_BIN, bin_expr

# The columns of MARKETS (with probabilities) that an edge needs or that a reader wants to see beside it.
_CARRIED = [
    "ticker",
    "event_ticker",
    "series_ticker",
    "category",
    "title",
    "yes_sub_title",
    "status",
    "market_type",
    "yes_bid_u",
    "yes_ask_u",
    "yes_bid_size_cc",
    "yes_ask_size_cc",
    "spread_u",
    "spread_percent",
    "close_ts",
    "decided_ts",
    "milestone_ts",
    "fee_waiver_ts",
    "fee_type",
    "fee_multiplier_m",
]
_BETTER = ["yes_better_u", "no_better_u"]
_MARKETS_PER_BATCH = 1 << 17
"""Markets that are evaluated together: more would only take memory, and so time."""


def edges(
    markets: pl.DataFrame,
    predictions: pl.DataFrame,
    *,
    asof: datetime,
    rules: Rules,
    policy: Policy = CAUTIOUS,
) -> pl.DataFrame:
    """Return EDGES: a row for each market, side and model, best first; the model is null where none priced it.

    `markets` carries the probability columns; `predictions` holds the PREDICTIONS of all models. Rows that are not
    opportunities have the step that dropped them in `bin`. Kept rows come first, by EV per dollar, with the `suspect`
    ones last. `price_u` is the best offer, `size_cc` the part of the wanted size that it fills, `fee_u` the taker fee
    per contract for an order of that size. `in_play` marks markets whose game or other milestone has begun.

    With `rules.rest`, `price_u` is the bid to join, behind the `ahead_cc` already there; `size_cc` is the whole wanted
    size, `fee_u` the maker fee, and `better_u` the next price that would be first in the queue.
    """
    if "knows_play" not in predictions.columns:
        predictions = predictions.with_columns(knows_play=False)
    if rules.rest:
        markets = markets.join(better_prices(markets), on="ticker", how="left", maintain_order="left")
    starts = range(0, max(1, markets.height), _MARKETS_PER_BATCH)
    pairs = _pairs(markets, predictions)
    opportunities: list[pl.DataFrame] = []
    dropped: list[pl.DataFrame] = []
    for first in starts:
        last = first + _MARKETS_PER_BATCH - 1
        batch = pairs.filter(pl.col("place").is_between(first, last)) if len(starts) > 1 else pairs
        rows = _value_rows(_priced_rows(markets, predictions, batch), asof, rules, policy)
        is_kept = pl.col("bin") == KEPT_BIN
        opportunities.append(rows.filter(is_kept))
        dropped.append(rows.filter(~is_kept))
    rank = pl.col("ev_per_dollar") * shrinkage(pl.col("ev_u") / NOTIONAL_U)
    best_first = pl.concat(opportunities).sort(
        "suspect", rank, "ticker", "side", descending=[False, True, False, True], nulls_last=True
    )
    return pl.concat([best_first, *dropped])


def _pairs(markets: pl.DataFrame, predictions: pl.DataFrame) -> pl.DataFrame:
    """`{ticker, place, at}`: the row of each market with the row of each of its predictions, null without one."""
    predicted = predictions.select("ticker").with_row_index("at")
    places = markets.select("ticker").with_row_index("place")
    return places.join(predicted, on="ticker", how="left", maintain_order="left")


def _priced_rows(markets: pl.DataFrame, predictions: pl.DataFrame, pairs: pl.DataFrame) -> pl.LazyFrame:
    """Return the columns of these pairs.

    Only tickers were joined: a join that carries all columns takes three times as long.
    """
    carried = markets.select(_CARRIED + [name for name in _BETTER if name in markets.columns])
    if pairs.height:
        one_each = pairs.height == pairs["place"].n_unique()
        carried = carried.slice(pairs["place"][0], pairs.height) if one_each else carried[pairs["place"]]
    predicted = predictions.select(pl.exclude("ticker").gather(pairs["at"]))
    return pl.concat([pairs.select("place"), carried.head(pairs.height), predicted], how="horizontal").lazy()


def _value_rows(priced: pl.LazyFrame, asof: datetime, rules: Rules, policy: Policy) -> pl.DataFrame:
    """Both sides with size, fee, edge, EV, Kelly and bin, in one lazy plan: the steps share their work."""
    both = pl.concat([_side_rows(priced, "yes", rest=rules.rest), _side_rows(priced, "no", rest=rules.rest)])
    wanted = pl.lit(rules.size * 100, dtype=pl.Int64)
    rate = coefficient(pl.col("fee_type"), maker=rules.rest)
    fee = order_fee_u(pl.col("price_u"), pl.col("size_cc"), pl.col("multiplier_m"), rate=rate, policy=policy)
    return (
        both.with_columns(
            size_cc=wanted if rules.rest else pl.min_horizontal("offer_cc", wanted),
            multiplier_m=multiplier_at(asof),
            in_play=(pl.col("milestone_ts") <= asof).fill_null(value=False),
        )
        .with_columns(order_fee_u=fee)
        .with_columns(
            fee_u=per_contract_u(pl.col("order_fee_u"), pl.col("size_cc")),
            p_u=(pl.col("p") * NOTIONAL_U).round().cast(pl.Int64),
        )
        .with_columns(
            edge_points=((pl.col("p_u") - pl.col("price_u")) / 10_000).round(4),
            ev_u=pl.col("p_u") - pl.col("price_u") - pl.col("fee_u"),
        )
        .with_columns(
            ev_per_dollar=pl.col("ev_u") / (pl.col("price_u") + pl.col("fee_u")), kelly=_kelly(rules.kelly_fraction)
        )
        .with_columns(bin=bin_expr(rules, asof), suspect=pl.col("edge_points") > rules.suspect_points)
        .collect()
    )


def _side_rows(priced: pl.LazyFrame, side: Side, *, rest: bool) -> pl.LazyFrame:
    """Return the rows of one side: its price, the size on offer or ahead in the queue, and its probability."""
    yes = side == "yes"
    # Buying NO takes the best YES bid: it costs 1 − bid, and as much is on offer as is bid for. Resting is the reverse.
    from_bid = yes == rest
    price, size = ("yes_bid_u", "yes_bid_size_cc") if from_bid else ("yes_ask_u", "yes_ask_size_cc")
    rows = priced.with_columns(
        side=pl.lit(side),
        price_u=pl.col(price) if yes else NOTIONAL_U - pl.col(price),
        offer_cc=pl.lit(None, dtype=pl.Int64) if rest else pl.col(size),
        p=pl.col("p") if yes else 1 - pl.col("p"),
    )
    if not rest:
        return rows
    other = "no_better_u" if yes else "yes_better_u"
    return rows.with_columns(ahead_cc=pl.col(size), better_u=pl.col(f"{side}_better_u")).drop(f"{side}_better_u", other)


def _kelly(fraction: float) -> pl.Expr:
    """Share of the bankroll: (p − a′) / (1 − a′), a′ = price + fee, shrunk for the model's uncertainty.

    Without a p_sd nothing is shrunk.
    """
    cost = (pl.col("price_u") + pl.col("fee_u")) / NOTIONAL_U
    edge = pl.col("p") - cost
    return (
        pl.when((edge > 0) & (cost < 1))
        .then(edge / (1 - cost) * shrinkage(edge) * fraction)
        .when(edge.is_not_null())
        .then(0.0)
    )

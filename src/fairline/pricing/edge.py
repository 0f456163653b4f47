"""Prices, probabilities and fees become edge, expected value and rank for both sides of every market.

With a side's price `a` in dollars, its probability `p`, its payouts `l` and `h` (0 and 1 unless the rules say
otherwise) and the fee `f` per contract at the order's size:

- edge in points: 100·(p − (a − l)/(h − l)), for payouts of 0 and 1 simply 100·(p − a)
- EV per contract: l + p·(h − l) − a − f. The article behind this project calls it "per dollar risked"; both are shown,
  each under its own name.
- EV per dollar at risk: EV / (a + f)
- believed EV: the same with the probability that the model's record supports (`belief`)
- yearly return: believed EV per dollar over the time until the outcome is decided

The NO side costs 1 − bid, wins with probability 1 − p and pays between 1 − h and 1 − l. A resting order joins the best
bid of its side, at bid or 1 − ask, and pays the maker fee; its EV holds only if it is filled.
"""

from datetime import datetime
from itertools import product

import polars as pl

from fairline.market.fees import CAUTIOUS, Policy, coefficient, multiplier_at, order_fee_u, per_contract_u
from fairline.market.frame import NOTIONAL_U, payout_high_u, payout_low_u
from fairline.market.ticks import better_prices
from fairline.pricing.belief import Beliefs, believed_probability
from fairline.pricing.rules import Rules, Side
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
    "p_mid",
    "spread_u",
    "spread_percent",
    "close_ts",
    "decided_ts",
    "milestone_ts",
    "payout_low_u",
    "payout_high_u",
    "fee_waiver_ts",
    "fee_type",
    "fee_multiplier_m",
]
_BETTER = ["yes_better_u", "no_better_u"]
_VALUED = {"ticker", "spread_percent", "payout_low_u", "payout_high_u"}
"""Carried columns that the rows of `value_markets` have too: to name a row, to rank near misses, or by side."""
_YEAR_S = 365.25 * 86_400
_MIN_TIME_S = 3_600
"""Yearly returns assume that capital is bound for at least an hour."""
_MARKETS_PER_BATCH = 1 << 15
"""Markets that are evaluated together: more take memory but no less time."""


def edges(
    markets: pl.DataFrame,
    predictions: pl.DataFrame,
    *,
    asof: datetime,
    rules: Rules,
    policy: Policy = CAUTIOUS,
    beliefs: Beliefs | None = None,
) -> pl.DataFrame:
    """Return `value_markets` with the columns of `attach_markets`: EDGES with everything that a reader wants to see."""
    rows = value_markets(markets, predictions, asof=asof, rules=rules, policy=policy, beliefs=beliefs)
    return attach_markets(rows, markets)


def attach_markets(rows: pl.DataFrame, markets: pl.DataFrame) -> pl.DataFrame:
    """Add the columns of the markets to EDGES that refer to them by `place`."""
    names = [name for name in _CARRIED if name not in rows.columns]
    return rows.hstack(markets.select(names)[rows["place"]])


def value_markets(
    markets: pl.DataFrame,
    predictions: pl.DataFrame,
    *,
    asof: datetime,
    rules: Rules,
    policy: Policy = CAUTIOUS,
    beliefs: Beliefs | None = None,
) -> pl.DataFrame:
    """Return EDGES: a row for each market, side and model, best first; the model is null where none priced it.

    `markets` carries the probability columns; `predictions` holds the PREDICTIONS of all models. Without `beliefs`, no
    model has a record. Rows that are not opportunities have the step that dropped them in `bin`. Kept rows come first,
    by `rules.sort`, with the `suspect` ones last. `p` and `expected_u` (the expected payout) are the model's,
    `p_believed` and `believed_u` what its record supports; `ev_u` and `believed_ev_u` follow from them. `kelly` is the
    believed share of a bankroll; `yearly_return` is null where it is unknown when the outcome is decided. `price_u` is
    the best offer, `size_cc` the part of the wanted size that it fills, `fee_u` the taker fee per contract for an order
    of that size. `in_play` marks markets whose game or other milestone has begun.

    With `rules.rest`, `price_u` is the bid to join, behind the `ahead_cc` already there; `size_cc` is the whole wanted
    size, `fee_u` the maker fee, and `better_u` the next price that would be first in the queue.

    Of the markets the rows carry only the ticker and `place`, the market's row: two rows for each of 100,000 markets
    would otherwise copy them twice.
    """
    if "knows_play" not in predictions.columns:
        predictions = predictions.with_columns(knows_play=False)
    if rules.rest:
        markets = markets.join(better_prices(markets), on="ticker", how="left", maintain_order="left")
    starts = range(0, max(1, markets.height), _MARKETS_PER_BATCH)
    pairs = _pairs(markets, predictions)
    believed = _beliefs_of(markets, predictions, beliefs or Beliefs())
    opportunities: list[pl.DataFrame] = []
    dropped: list[pl.DataFrame] = []
    for first in starts:
        last = first + _MARKETS_PER_BATCH - 1
        batch = pairs.filter(pl.col("place").is_between(first, last)) if len(starts) > 1 else pairs
        rows = _value_rows(_priced_rows(markets, predictions, batch), believed, asof, rules, policy)
        is_kept = pl.col("bin") == KEPT_BIN
        opportunities.append(rows.filter(is_kept))
        dropped.append(rows.filter(~is_kept))
    best_first = sort_opportunities(attach_markets(pl.concat(opportunities), markets), rules)
    return pl.concat([best_first.select(dropped[0].columns), *dropped])


def sort_opportunities(rows: pl.DataFrame, rules: Rules, *, raw: bool = False) -> pl.DataFrame:
    """Sort EDGES by `rules.sort`, the suspect rows last; with `raw`, by the model's own EV instead of the believed."""
    ev = pl.col("ev_u") if raw else pl.col("believed_ev_u")
    keys = {
        "total": ev * pl.col("size_cc"),
        "believed": ev,
        "ev": pl.col("ev_u"),
        "ev-per-dollar": pl.col("ev_per_dollar") if raw else pl.col("believed_ev_per_dollar"),
        "edge": pl.col("edge_points"),
        "yearly": pl.col("yearly_return"),
        "decided": -pl.col("decided_ts").to_physical(),
    }
    return rows.sort(
        "suspect", keys[rules.sort], "ticker", "side", descending=[False, True, False, True], nulls_last=True
    )


def _beliefs_of(markets: pl.DataFrame, predictions: pl.DataFrame, beliefs: Beliefs) -> pl.DataFrame:
    """Return the beliefs of each model that predicted in each category (`Beliefs.table`)."""
    models = predictions["model"].unique().to_list()
    return beliefs.table(product(models, markets["category"].unique().to_list()))


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


def _value_rows(
    priced: pl.LazyFrame, believed: pl.DataFrame, asof: datetime, rules: Rules, policy: Policy
) -> pl.DataFrame:
    """Both sides with size, fee, edge, EV, Kelly and bin, in one lazy plan: the steps share their work."""
    priced = _with_beliefs(priced, believed).with_columns(
        p_believed=believed_probability(pl.col("p"), pl.col("p_mid")),
        payout_low_u=payout_low_u(),
        payout_high_u=payout_high_u(),
    )
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
            expected_u=_expected_payout_u(pl.col("p")),
            believed_u=_expected_payout_u(pl.col("p_believed")),
        )
        .with_columns(
            edge_points=(
                100 * (pl.col("expected_u") - pl.col("price_u")) / (pl.col("payout_high_u") - pl.col("payout_low_u"))
            ).round(4),
            cost_u=pl.col("price_u") + pl.col("fee_u"),
        )
        .with_columns(
            ev_u=pl.col("expected_u") - pl.col("cost_u"), believed_ev_u=pl.col("believed_u") - pl.col("cost_u")
        )
        .with_columns(
            ev_per_dollar=pl.col("ev_u") / pl.col("cost_u"),
            believed_ev_per_dollar=pl.col("believed_ev_u") / pl.col("cost_u"),
            kelly=_kelly(rules.kelly_fraction),
        )
        .with_columns(yearly_return=pl.col("believed_ev_per_dollar") / _years_until_decided(asof))
        .drop("cost_u")
        .with_columns(bin=bin_expr(rules, asof), suspect=pl.col("edge_points") > rules.suspect_points)
        .drop(name for name in _CARRIED if name not in _VALUED)
        .collect()
    )


def _with_beliefs(priced: pl.LazyFrame, believed: pl.DataFrame) -> pl.LazyFrame:
    """Add the columns of the belief in each row's model and category."""
    columns = [name for name in believed.columns if name.startswith("belief_")]
    distinct = believed.select(columns).unique()
    if distinct.height == 1:
        has_model = pl.col("model").is_not_null()
        row = distinct.row(0, named=True)
        literals = {name: pl.lit(row[name], dtype=believed.schema[name]) for name in columns}
        return priced.with_columns(pl.when(has_model).then(value).alias(name) for name, value in literals.items())
    return priced.join(believed.lazy(), on=["model", "category"], how="left", nulls_equal=True, maintain_order="left")


def _expected_payout_u(p: pl.Expr) -> pl.Expr:
    low = pl.col("payout_low_u")
    return low + (p * (pl.col("payout_high_u") - low)).round().cast(pl.Int64)


def _years_until_decided(asof: datetime) -> pl.Expr:
    seconds = (pl.col("decided_ts") - pl.lit(asof)).dt.total_seconds()
    return pl.max_horizontal(seconds, pl.when(seconds.is_not_null()).then(_MIN_TIME_S)) / _YEAR_S


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
        p_believed=pl.col("p_believed") if yes else 1 - pl.col("p_believed"),
        spread_percent=pl.col("spread_percent") if yes else _no_spread_percent(),
        payout_low_u=pl.col("payout_low_u") if yes else NOTIONAL_U - pl.col("payout_high_u"),
        payout_high_u=pl.col("payout_high_u") if yes else NOTIONAL_U - pl.col("payout_low_u"),
    )
    if not rest:
        return rows
    other = "no_better_u" if yes else "yes_better_u"
    return rows.with_columns(ahead_cc=pl.col(size), better_u=pl.col(f"{side}_better_u")).drop(f"{side}_better_u", other)


def _no_spread_percent() -> pl.Expr:
    """Return the spread as a share of the midpoint of NO: a limit in percent then means the same for both sides."""
    both_u = 2 * NOTIONAL_U - pl.col("yes_bid_u") - pl.col("yes_ask_u")
    return 200 * pl.col("spread_u") / both_u


def _kelly(fraction: float) -> pl.Expr:
    """Return the believed share of the bankroll: for payouts of 0 and 1, (q − a′)/(1 − a′) with a′ = price + fee.

    In general a′·(E − a′)/((h − a′)·(a′ − l)) with the believed expected payout E; all of it where nothing can be lost.
    """
    cost, gain = pl.col("cost_u"), pl.col("believed_ev_u")
    win, loss = pl.col("payout_high_u") - cost, cost - pl.col("payout_low_u")
    share = pl.when(loss > 0).then(cost * gain / (win * loss)).otherwise(1.0)
    return pl.when((gain > 0) & (win > 0)).then(share.clip(0.0, 1.0) * fraction).when(gain.is_not_null()).then(0.0)

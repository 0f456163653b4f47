"""Prices + probabilities + fees → both sides' edge, expected value and rank, and why the rest fell away.

With a side's cost `a` in dollars, its probability `p` and the fee `f` a contract at the order's size:

- edge in points: 100·(p − a)
- EV a contract: p − a − f. The article this grew from calls this "per dollar risked"; both are shown, named rightly.
- EV per dollar at risk: EV / (a + f)

The NO side costs 1 − bid and pays with probability 1 − p. Whoever rests instead of taking joins the best bid of his
side, at bid or 1 − ask, for the maker's fee, and has what is promised here only if he is filled.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from fairline.errors import UsageError
from fairline.market.fees import CAUTIOUS, Policy, coefficient, multiplier_at, order_fee_u, per_contract_u
from fairline.market.frame import NOTIONAL_U
from fairline.market.ticks import improved
from fairline.pricing.sizing import shrinkage

# Every (market, side, model) row ends in exactly one bin: the first of these steps that dropped it, or `KEPT`.
STEPS = {
    "open": "open for trading",
    "binary": "binary: pays nothing or a dollar",
    "side": "on the wanted side",
    "offered": "has an offer to take",
    "two-sided": "has a bid and an ask",
    "crossed": "bid below the ask",
    "spread": "spread below {max_spread_percent:g} % of the midpoint",
    "thin": "a size of at least {min_contracts:g} on offer",
    "model": "priced by a model",
    "edge": "edge above {min_edge_points:g} points",
    "ev": "EV after fees above ${min_ev:g} a contract",
}
FAILED = {
    "open": "not open for trading",
    "binary": "not a binary market",
    "side": "not the wanted side",
    "offered": "nothing on offer",
    "two-sided": "only one side is quoted",
    "crossed": "bid and ask have crossed",
    "spread": "the spread is too wide",
    "thin": "too little is on offer",
    "model": "no model prices it",
    "edge": "the edge is too small",
    "ev": "EV after fees is too small",
}
"""Why a row ended in a bin, in words."""
KEPT = "kept"
_STEPS = (*STEPS, KEPT)
_ORDER = pl.Enum(_STEPS)

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
    "fee_waiver_ts",
    "fee_type",
    "fee_multiplier_m",
]
_BETTER = ["yes_better_u", "no_better_u"]
_AT_ONCE = 1 << 17
"""Markets that are evaluated together: more would only take memory, and so time."""
_RESTING = {"offered": "has a bid to join"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as an opportunity. The defaults are the article's: edge > 2.0 points, EV > $0.01, spread < 5 %.

    With `rest` an order joins the best bid and pays the maker's fee; without, it takes the best offer. An edge above
    `suspect_points` is more likely a bug than a bargain: of 362 recorded pairs of a bookmakers' consensus and the
    exchange's price (August 2025) none lay 20 points apart, 99 % within 13.
    """

    min_edge_points: float = 2.0
    min_ev: float = 0.01
    max_spread_percent: float = 5.0
    side: str = "both"
    size: int = 100
    kelly_fraction: float = 1.0
    min_contracts: float = 1.0
    rest: bool = False
    suspect_points: float = 20.0

    def __post_init__(self) -> None:
        checks = {
            "--min-edge": (-100 <= self.min_edge_points < 100, "points between -100 and 100"),
            "--min-ev": (-1 <= self.min_ev < 1, "dollars a contract between -1 and 1"),
            "--max-spread": (0 < self.max_spread_percent <= 200, "percent of the midpoint above 0 and at most 200"),
            "--side": (self.side in ("both", "yes", "no"), "both, yes or no"),
            "--size": (1 <= self.size <= 1_000_000, "whole contracts from 1 to 1,000,000"),
            "--min-contracts": (0 <= self.min_contracts <= 1_000_000, "contracts from 0 to 1,000,000"),
            "--suspect": (0 < self.suspect_points <= 100, "points above 0 and at most 100"),
            "kelly_fraction": (0 <= self.kelly_fraction <= 1, "a share from 0 to 1"),
        }
        for flag, (holds, expected) in checks.items():
            if not holds:
                raise UsageError(f"the value of {flag} is impossible", remedy=f"It takes {expected}")

    def steps(self) -> dict[str, str]:
        """The funnel's steps in order, each in words with its threshold."""
        thresholds = ("max_spread_percent", "min_contracts", "min_edge_points", "min_ev")
        values = {name: getattr(self, name) for name in thresholds}
        # Who rests waits for somebody to come: how much is on offer is no matter.
        steps = {n: t for n, t in STEPS.items() if n != "thin"} | _RESTING if self.rest else STEPS
        return {name: text.format(**values) for name, text in steps.items()}


def edges(
    markets: pl.DataFrame,
    predictions: pl.DataFrame,
    *,
    asof: datetime,
    rules: Rules,
    policy: Policy = CAUTIOUS,
) -> pl.DataFrame:
    """EDGES: a row for each market, side and model (one with a null model where none priced it), best first.

    `markets` carries the probability columns; `predictions` the PREDICTIONS of all models. Rows that are no
    opportunity have the step that dropped them in `bin`; kept rows come first, by EV per dollar, the `suspect` last.
    `price_u` is the best offer, `size_cc` what of the wanted size it fills, `fee_u` the taker fee a contract for an
    order of that size.

    If the rules say to rest, `price_u` is the bid that is joined, behind the `ahead_cc` that stand there, `size_cc` all
    that is wanted, `fee_u` the maker's fee, and `better_u` the next price at which one would be first.
    """
    if rules.rest:
        markets = markets.join(improved(markets), on="ticker", how="left", maintain_order="left")
    at_once = range(0, max(1, markets.height), _AT_ONCE)
    pairs = _pairs(markets, predictions)
    parts = []
    for first in at_once:
        some = pairs.filter(pl.col("place").is_between(first, first + _AT_ONCE - 1)) if len(at_once) > 1 else pairs
        made = _valued(_priced(markets, predictions, some), asof, rules, policy)
        good = pl.col("bin") == KEPT
        parts.append((made.filter(good), made.filter(~good)))
    believed = pl.col("ev_per_dollar") * shrinkage(pl.col("ev_u") / NOTIONAL_U)
    kept = pl.concat([good for good, _ in parts]).sort(
        "suspect", believed, "ticker", "side", descending=[False, True, False, True], nulls_last=True
    )
    return pl.concat([kept, *(rest for _, rest in parts)])


def _pairs(markets: pl.DataFrame, predictions: pl.DataFrame) -> pl.DataFrame:
    """`{ticker, place, at}`: each market's place with that of each prediction of it, null where there is none."""
    predicted = predictions.select("ticker").with_row_index("at")
    places = markets.select("ticker").with_row_index("place")
    return places.join(predicted, on="ticker", how="left", maintain_order="left")


def _priced(markets: pl.DataFrame, predictions: pl.DataFrame, pairs: pl.DataFrame) -> pl.LazyFrame:
    """The columns of these pairs. Names were joined alone: a join that carries all takes three times as long."""
    carried = markets.select(_CARRIED + [name for name in _BETTER if name in markets.columns])
    if pairs.height:
        whole = pairs.height == pairs["place"].n_unique()
        carried = carried.slice(pairs["place"][0], pairs.height) if whole else carried[pairs["place"]]
    found = predictions.select(pl.exclude("ticker").gather(pairs["at"]))
    return pl.concat([pairs.select("place"), carried.head(pairs.height), found], how="horizontal").lazy()


def _valued(priced: pl.LazyFrame, asof: datetime, rules: Rules, policy: Policy) -> pl.DataFrame:
    """Both sides with size, fee, edge, EV, Kelly and bin, in one lazy plan: the steps share their work."""
    both = pl.concat([_side(priced, side, rest=rules.rest) for side in ("yes", "no")])
    wanted = pl.lit(rules.size * 100, dtype=pl.Int64)
    rate = coefficient(pl.col("fee_type"), maker=rules.rest)
    fee = order_fee_u(pl.col("price_u"), pl.col("size_cc"), pl.col("multiplier_m"), rate=rate, policy=policy)
    costed = (
        both.with_columns(
            size_cc=wanted if rules.rest else pl.min_horizontal("offer_cc", wanted), multiplier_m=multiplier_at(asof)
        )
        .with_columns(order_fee_u=fee)
        .with_columns(
            fee_u=per_contract_u(pl.col("order_fee_u"), pl.col("size_cc")),
            p_u=(pl.col("p") * NOTIONAL_U).round().cast(pl.Int64),
        )
    )
    return (
        costed.with_columns(
            edge_points=((pl.col("p_u") - pl.col("price_u")) / 10_000).round(4),
            ev_u=pl.col("p_u") - pl.col("price_u") - pl.col("fee_u"),
        )
        .with_columns(
            ev_per_dollar=pl.col("ev_u") / (pl.col("price_u") + pl.col("fee_u")), kelly=_kelly(rules.kelly_fraction)
        )
        .with_columns(bin=_bin(rules, asof), suspect=pl.col("edge_points") > rules.suspect_points)
        .collect()
    )


def funnel(edged: pl.DataFrame, rules: Rules) -> list[dict[str, object]]:
    """`{step, kept, dropped, share}` per step over markets: a market stays as long as one of its rows does. `share` is
    that of all markets which end there.
    """
    place, step_of = edged["place"].to_numpy(), edged["bin"].to_physical().to_numpy()
    furthest = np.zeros(int(place.max()) + 1 if len(place) else 0, dtype=np.int64)
    # Written in the order of the steps, so that for each market the furthest stays.
    order = np.argsort(step_of, kind="stable")
    furthest[place[order]] = step_of[order]
    lost = dict(zip(_STEPS, np.bincount(furthest, minlength=len(_STEPS)).tolist(), strict=True))
    kept, rows = len(furthest), []
    for step, words in rules.steps().items():
        dropped = lost[step]
        kept -= dropped
        rows.append({"step": words, "kept": kept, "dropped": dropped, "share": dropped / max(1, len(furthest))})
    return rows


def walk(row: dict[str, Any], rules: Rules) -> list[dict[str, str]]:
    """One side of a market through the steps: `{step, result, numbers}`, result pass, stop, or – for not reached."""
    numbers = {
        "open": f"status {row['status']}, closes {row['close_ts']:%Y-%m-%d %H:%M} UTC",
        "binary": str(row["market_type"]),
        "side": row["side"].upper(),
        "offered": f"{_money(row['price_u'])}, {_queue(row) if rules.rest else _contracts(row['offer_cc'])}",
        "two-sided": f"YES bid {_money(row['yes_bid_u'])}, ask {_money(row['yes_ask_u'])}",
        "crossed": f"spread {_money(row['spread_u'])}",
        "spread": _number(row["spread_percent"], "{:.2f} % of the midpoint"),
        "thin": _contracts(row.get("offer_cc")),
        "model": f"{_number(row['p'], 'p = {:.4f}')} by {row['model'] or 'no model'}",
        "edge": _number(row["edge_points"], "{:.2f} points"),
        "ev": f"EV {_money(row['ev_u'])} a contract after a fee of {_money(row['fee_u'])}"
        + (", if filled" if rules.rest else ""),
    }
    made, reached = [], True
    for step, words in rules.steps().items():
        stops = row["bin"] == step
        result = "stop" if stops else "pass" if reached else "–"
        made.append({"step": words, "result": result, "numbers": numbers[step]})
        reached = reached and not stops
    return made


def _queue(row: dict[str, Any]) -> str:
    ahead = f"behind {_contracts(row['ahead_cc'])}"
    return ahead if row["better_u"] is None else f"{ahead}, first at {_money(row['better_u'])}"


def _number(value: float | None, form: str) -> str:
    return "none" if value is None else form.format(value)


def _money(value_u: int | None) -> str:
    return _number(value_u if value_u is None else value_u / NOTIONAL_U, "${:.4f}")


def _contracts(count_cc: int | None) -> str:
    return "none" if not count_cc else f"{count_cc / 100:,.2f} contracts"


def nearest_misses(edged: pl.DataFrame, rules: Rules, top: int) -> pl.DataFrame:
    """Of each bin with a threshold, the `top` rows that a model priced and that came nearest to being kept.

    `shortfall` adds up by how much of each threshold they miss it, and `missed_by` says so in words.
    """
    spread, edge, offer = pl.col("spread_percent"), pl.col("edge_points"), pl.col("offer_cc") / 100
    ev = pl.col("ev_u") / NOTIONAL_U
    # What is wanted less what is there, over a scale of the threshold; the words for it.
    misses = {
        "spread": (spread - rules.max_spread_percent, rules.max_spread_percent,
                   pl.format("spread {} % (below {} wanted)", spread.round(2), rules.max_spread_percent)),
        "thin": (rules.min_contracts - offer, max(rules.min_contracts, 1.0),
                 pl.format("{} contracts on offer ({} wanted)", offer, rules.min_contracts)),
        "edge": (rules.min_edge_points - edge, max(abs(rules.min_edge_points), 1.0),
                 pl.format("edge {} points (above {} wanted)", edge.round(2), rules.min_edge_points)),
        "ev": (rules.min_ev - ev, max(abs(rules.min_ev), 0.01),
               pl.format("EV ${} (above {} wanted)", ev.round(4), rules.min_ev)),
    }  # fmt: skip
    if rules.rest:
        del misses["thin"]
    shortfall = pl.sum_horizontal((gap / scale).clip(lower_bound=0.0) for gap, scale, _ in misses.values())
    considered = pl.col("bin").is_in(list(misses)) & pl.col("p").is_not_null()
    # Ranked by what it takes to rank, and only the few that win are then looked up whole.
    ranked = (
        edged.lazy()
        .with_row_index("at")
        .filter(considered)
        .select("at", "bin", "ticker", "side", shortfall=shortfall)
        .collect()
    )
    nearest = pl.concat(
        [ranked.filter(pl.col("bin") == step).bottom_k(top, by=["shortfall", "ticker", "side"]) for step in misses]
    ).sort("shortfall", "ticker", "side")
    said = [pl.when(gap > 0 if name == "thin" else gap >= 0).then(words) for name, (gap, _, words) in misses.items()]
    return edged[nearest["at"]].with_columns(
        nearest["shortfall"], missed_by=pl.concat_str(said, separator="; ", ignore_nulls=True)
    )


def _side(priced: pl.LazyFrame, side: str, *, rest: bool) -> pl.LazyFrame:
    """The rows as one side sees them: its price, what is offered there or stands ahead, and its probability."""
    yes = side == "yes"
    # Buying NO takes the best YES bid: it costs 1 − bid, and as much is on offer as is bid for. Resting is the reverse.
    from_bid = yes == rest
    price, size = ("yes_bid_u", "yes_bid_size_cc") if from_bid else ("yes_ask_u", "yes_ask_size_cc")
    made = priced.with_columns(
        side=pl.lit(side),
        price_u=pl.col(price) if yes else NOTIONAL_U - pl.col(price),
        offer_cc=pl.lit(None, dtype=pl.Int64) if rest else pl.col(size),
        p=pl.col("p") if yes else 1 - pl.col("p"),
    )
    if not rest:
        return made
    other = "no_better_u" if yes else "yes_better_u"
    return made.with_columns(ahead_cc=pl.col(size), better_u=pl.col(f"{side}_better_u")).drop(f"{side}_better_u", other)


def _kelly(fraction: float) -> pl.Expr:
    """Share of the bankroll: (p − a′) / (1 − a′), a′ = price + fee, shrunk for the model's uncertainty.

    A model that states no p_sd is taken at its word.
    """
    cost = (pl.col("price_u") + pl.col("fee_u")) / NOTIONAL_U
    edge = pl.col("p") - cost
    return (
        pl.when((edge > 0) & (cost < 1))
        .then(edge / (1 - cost) * shrinkage(edge) * fraction)
        .when(edge.is_not_null())
        .then(0.0)
    )


def _bin(rules: Rules, asof: datetime) -> pl.Expr:
    fails = {
        "open": (pl.col("status") != "active") | (pl.col("close_ts") <= asof),
        "binary": pl.col("market_type") != "binary",
        "side": pl.lit(rules.side != "both") & (pl.col("side") != rules.side),
        "offered": pl.col("price_u").is_null(),
        "two-sided": pl.col("spread_u").is_null(),
        "crossed": pl.col("spread_u") <= 0,
        "spread": pl.col("spread_percent") >= rules.max_spread_percent,
        "thin": pl.col("offer_cc") < round(100 * rules.min_contracts),
        "model": pl.col("p").is_null(),
        "edge": pl.col("edge_points") <= rules.min_edge_points,
        "ev": pl.col("ev_u") <= round(rules.min_ev * NOTIONAL_U),
    }
    steps = [pl.when(test).then(pl.lit(step, dtype=_ORDER)) for step, test in fails.items()]
    return pl.coalesce(*steps, pl.lit(KEPT, dtype=_ORDER))

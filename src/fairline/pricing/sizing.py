"""How much to risk: Kelly's share of a bankroll, several outcomes of one event together, under caps.

A bet costs c = price + fee and pays a dollar with probability q. Alone, Kelly's share is (q − c) / (1 − c). Several
bets on one event hang together, so their shares are found together: those that maximise the expected logarithm of
wealth over the event's outcomes. Which outcomes there are is read from the rules: in a mutually exclusive event one
market or none pays; on a ladder of strikes whatever pays brings everything wider with it; anywhere else the bets are
taken to win and lose together as far as their probabilities allow, which is the dearest way to be wrong.

Uncertainty comes first: q is the model's probability drawn towards the cost by e² / (e² + sd²), e = p − c (Baker and
McHale, "Optimal betting under parameter uncertainty", Decision Analysis 2013). This advises; it places nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import minimize

from fairline.errors import UsageError
from fairline.market.fees import CAUTIOUS, Policy, coefficient, order_fee_u
from fairline.market.frame import NOTIONAL_U

Floats = NDArray[np.float64]
_MOST_BETS = 12
"""On one event that are sized together; more are not worth their fees."""


@dataclass(frozen=True, slots=True)
class Bankroll:
    """What there is to risk, in micro-dollars, the share of Kelly's to use, and the most of it to risk at once on a
    market, an event, a series, and what closes on one day (UTC).
    """

    total_u: int
    fraction: float = 0.25
    per_market: float = 0.05
    per_event: float = 0.10
    per_series: float = 0.25
    per_day: float = 0.50

    def __post_init__(self) -> None:
        shares = (self.fraction, self.per_market, self.per_event, self.per_series, self.per_day)
        if self.total_u <= 0 or not all(0 < share <= 1 for share in shares):
            raise UsageError(
                "that bankroll is impossible", remedy="It takes dollars above 0 and shares above 0, at most 1"
            )


def sized(edges: pl.DataFrame, markets: pl.DataFrame, bankroll: Bankroll, policy: Policy = CAUTIOUS) -> pl.DataFrame:
    """`{ticker, side, model, share, contracts, risk_u}` for the opportunities among EDGES, in their order.

    `share` is of the bankroll, after fraction and caps. `contracts` are whole ones, at most what is offered, or if one
    rests what was wanted; `risk_u` is what they cost with the fee of an order of just so many, which is what can be
    lost. Where that fee takes all of the gain there are none. Of several models on a market the first in rank counts.
    """
    bets = _bets(edges, markets)
    if bets.is_empty():
        nothing = pl.lit(0, dtype=pl.Int64)
        return bets.select("ticker", "side", "model", share=pl.lit(0.0), contracts=nothing, risk_u=nothing)
    shares = np.concatenate([_event_shares(group) for group in bets.partition_by("event_ticker", maintain_order=True)])
    ordered = pl.concat(bets.partition_by("event_ticker", maintain_order=True)).with_columns(
        share=pl.Series(shares) * bankroll.fraction
    )
    budget = pl.col("share") * bankroll.total_u
    rate = coefficient(pl.col("fee_type"), maker="ahead_cc" in edges.columns)

    def cost(contracts: pl.Expr) -> pl.Expr:
        count_cc = contracts * 100
        fee = order_fee_u(pl.col("price_u"), count_cc, pl.col("multiplier_m"), rate=rate, policy=policy)
        return contracts * pl.col("price_u") + fee

    most = pl.coalesce("offer_cc", "size_cc") // 100
    count = pl.col("contracts")
    made = _capped(ordered, bankroll).with_columns(
        contracts=pl.min_horizontal((budget / pl.col("cost_u")).floor().cast(pl.Int64), most)
    )
    # The fee of so many is another than that of the order that was looked at, by a cent's rounding at most.
    made = made.with_columns(contracts=pl.when(cost(count) > budget).then(count - 1).otherwise(count).clip(0))
    gains = count * pl.col("p_u") > cost(count)
    made = made.with_columns(contracts=pl.when(gains).then(count).otherwise(0))
    risk = pl.when(count > 0).then(cost(count)).otherwise(0)
    return made.sort("rank").select("ticker", "side", "model", "share", "contracts", risk_u=risk)


def shrinkage(edge: pl.Expr) -> pl.Expr:
    """How much of an edge to believe, e² / (e² + p_sd²); all of it where the model states no p_sd."""
    return edge.pow(2) / (edge.pow(2) + pl.col("p_sd").fill_null(0.0).pow(2))


def joint_kelly(win: Floats, chance: Floats, cost: Floats) -> Floats:
    """Shares of the bankroll that maximise Σ chance · log(wealth), wealth in state s being 1 − Σf + Σ f·win[s]/cost.

    `win[s, i]` says whether bet i pays in state s, `chance[s]` how likely that state is.
    """
    gains = win / cost - 1.0

    def loss(share: Floats) -> tuple[float, Floats]:
        wealth = np.maximum(1 + gains @ share, 1e-9)
        return -float(chance @ np.log(wealth)), -(gains.T @ (chance / wealth))

    bets = len(cost)
    start = np.full(bets, 0.5 / (bets + 1) * 0.1)
    limits = {"type": "ineq", "fun": lambda f: 0.999 - f.sum(), "jac": lambda f: -np.ones_like(f)}
    found = minimize(
        loss, start, jac=True, bounds=[(0, 0.999)] * bets, constraints=[limits], method="SLSQP",
        options={"maxiter": 300, "ftol": 1e-12},
    )  # fmt: skip
    share: Floats = np.clip(found.x, 0, 1)
    return np.where(share < 1e-7, 0.0, share)


def states(kind: str, yes: Floats, order: Sequence[int]) -> tuple[Floats, Floats]:
    """`(pays, chance)`: which of the markets pay YES in each outcome of an event, and how likely that is.

    `yes` are the markets' probabilities; `kind` is exclusive, ladder (`order` from the widest to the narrowest), other.
    """
    n = len(yes)
    if kind == "exclusive":
        total = max(1.0, float(yes.sum()))
        nobody = max(0.0, 1 - float(yes.sum()) / total)
        return np.vstack([np.eye(n), np.zeros(n)]), np.append(yes / total, nobody)
    widest_first = np.array(order if kind == "ladder" else np.argsort(-yes, kind="stable"))
    falling = np.minimum.accumulate(yes[widest_first])
    pays = np.zeros((n + 1, n))
    for k, market in enumerate(widest_first):
        pays[k + 1 :, market] = 1
    return pays, -np.diff(np.concatenate([[1.0], falling, [0.0]]))


def _bets(edges: pl.DataFrame, markets: pl.DataFrame) -> pl.DataFrame:
    context = markets.select("ticker", "mutually_exclusive", "strike_type", "floor_strike", "cap_strike")
    cost = pl.col("price_u") + pl.col("fee_u")
    edge = pl.col("p") - cost / NOTIONAL_U
    return (
        edges.filter((pl.col("bin") == "kept") & (edge > 0))
        .unique("ticker", keep="first", maintain_order=True)
        .with_row_index("rank")
        .with_columns(cost_u=cost, q=cost / NOTIONAL_U + edge * shrinkage(edge))
        .join(context, on="ticker", how="left", maintain_order="left")
    )


def _event_shares(bets: pl.DataFrame) -> Floats:
    """Kelly's shares of the bets on one event."""
    cost, q = bets["cost_u"].to_numpy() / NOTIONAL_U, bets["q"].to_numpy()
    alone: Floats = np.maximum(0.0, (q - cost) / (1 - cost))
    if len(q) == 1:
        return alone
    chosen = np.argsort(-alone, kind="stable")[:_MOST_BETS]
    yes_side = (bets["side"] == "yes").to_numpy()[chosen]
    yes = np.where(yes_side, q[chosen], 1 - q[chosen])
    pays, chance = states(*_kind(bets, yes, chosen))
    share = np.zeros_like(alone)
    share[chosen] = joint_kelly(np.where(yes_side, pays, 1 - pays), chance, cost[chosen])
    return share


def _kind(bets: pl.DataFrame, yes: Floats, chosen: NDArray[np.int64]) -> tuple[str, Floats, Sequence[int]]:
    rows = bets[chosen.tolist()]
    if rows["mutually_exclusive"].fill_null(value=False).all():
        return "exclusive", yes, ()
    kinds = set(rows["strike_type"])
    if kinds <= {"greater", "greater_or_equal"} and rows["floor_strike"].null_count() == 0:
        return "ladder", yes, rows["floor_strike"].arg_sort().to_list()
    if kinds <= {"less", "less_or_equal"} and rows["cap_strike"].null_count() == 0:
        return "ladder", yes, rows["cap_strike"].arg_sort(descending=True).to_list()
    return "other", yes, ()


def _capped(bets: pl.DataFrame, bankroll: Bankroll) -> pl.DataFrame:
    """Shares under the caps: each market's by itself, then every event, series and day as a whole, then all."""
    made = bets.with_columns(pl.col("share").clip(0, bankroll.per_market), day=pl.col("decided_ts").dt.date())
    for column, cap in (
        ("event_ticker", bankroll.per_event),
        ("series_ticker", bankroll.per_series),
        ("day", bankroll.per_day),
    ):
        total = pl.col("share").sum().over(column)
        made = made.with_columns(share=pl.col("share") * pl.when(total > cap).then(cap / total).otherwise(1.0))
    # And never more than all of it.
    return made.with_columns(share=pl.col("share") / pl.max_horizontal(pl.col("share").sum(), pl.lit(1.0)))

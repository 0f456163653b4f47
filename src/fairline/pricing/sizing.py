"""How much to risk: the Kelly share of a bankroll, all bets of one event together, under caps.

A bet costs c = price + fee and pays a dollar with the believed probability q. Alone, its Kelly share is
(q − c)/(1 − c). Bets on one event depend on each other, so their shares are chosen together: those that maximise the
expected logarithm of wealth over the event's outcomes. The rules say which outcomes there are: in a mutually exclusive
event one market pays or none; on a ladder of one subject each market that pays brings all wider ones with it; in any
other event the bets are assumed to win and lose together as far as their probabilities allow, which is the most
expensive way to be wrong. Belief is the only caution: q is not shrunk again by the model's `p_sd`.

This is advice; nothing is traded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fairline.errors import UsageError
from fairline.market.fees import CAUTIOUS, Policy, coefficient, order_fee_u
from fairline.market.frame import NOTIONAL_U
from fairline.pricing.ladders import strike_ladders
from fairline.pricing.steps import KEPT_BIN

Floats = NDArray[np.float64]
Structure = Literal["exclusive", "ladder", "other"]
"""How the markets of an event exclude or imply each other."""
MAX_BETS_PER_EVENT = 12
"""Bets on one event that are sized together; more are not worth their fees."""


@dataclass(frozen=True, slots=True)
class Bankroll:
    """What can be risked, in micro-dollars.

    `fraction` is the share of full Kelly; `per_market`, `per_event`, `per_series` and `per_day` (UTC, when the market
    is decided) are the largest shares of the bankroll at risk at once. Raises `UsageError` for the first field that is
    out of range.
    """

    total_u: int
    fraction: float = 0.25
    per_market: float = 0.05
    per_event: float = 0.10
    per_series: float = 0.25
    per_day: float = 0.50

    def __post_init__(self) -> None:
        if self.total_u <= 0:
            raise UsageError("expected an amount above 0", field="total_u")
        for field in ("fraction", "per_market", "per_event", "per_series", "per_day"):
            if not 0 < getattr(self, field) <= 1:
                raise UsageError("expected a share above 0, up to 1", field=field)


def size_bets(
    edges: pl.DataFrame,
    markets: pl.DataFrame,
    bankroll: Bankroll,
    policy: Policy = CAUTIOUS,
    held: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Return `{ticker, side, model, share, contracts, risk_u}` for the opportunities among EDGES, in their order.

    `share` is the share of the bankroll after fraction and caps. `contracts` is a whole number, at most the size on
    offer or, for a resting order, the wanted size. `risk_u` is the cost of that order with its fee: what can be lost.
    It is 0 contracts if that fee exceeds the believed gain. If several models flag a market, the first in rank counts.
    `held` (`holdings.exposure`) counts towards the caps: what is at risk already leaves less for more.
    """
    bets = _select_bets(edges, markets)
    if bets.is_empty():
        zero = pl.lit(0, dtype=pl.Int64)
        return bets.select("ticker", "side", "model", share=pl.lit(0.0), contracts=zero, risk_u=zero)
    events = bets.partition_by("event_ticker", maintain_order=True)
    shares = np.concatenate([_event_shares(group) for group in events])
    capped = _cap_shares(pl.concat(events).with_columns(share=pl.Series(shares) * bankroll.fraction), bankroll, held)
    budget = pl.col("share") * bankroll.total_u
    rate = coefficient(pl.col("fee_type"), maker="ahead_cc" in edges.columns)

    def cost(contracts: pl.Expr) -> pl.Expr:
        count_cc = contracts * 100
        fee = order_fee_u(pl.col("price_u"), count_cc, pl.col("multiplier_m"), rate=rate, policy=policy)
        return contracts * pl.col("price_u") + fee

    available = pl.coalesce("offer_cc", "size_cc") // 100
    count = pl.col("contracts")
    return (
        capped.with_columns(contracts=pl.min_horizontal((budget / pl.col("cost_u")).floor().cast(pl.Int64), available))
        # The fee of this size can be a cent's rounding above that of the size that was evaluated.
        .with_columns(contracts=pl.when(cost(count) > budget).then(count - 1).otherwise(count).clip(0))
        .with_columns(contracts=pl.when(count * pl.col("believed_u") > cost(count)).then(count).otherwise(0))
        .with_columns(risk_u=pl.when(count > 0).then(cost(count)).otherwise(0))
        .sort("rank")
        .select("ticker", "side", "model", "share", "contracts", "risk_u")
    )


def joint_kelly(payouts: Floats, chance: Floats, cost: Floats) -> Floats:
    """Return the shares of the bankroll that maximise Σ chance · log(wealth).

    Wealth in state s is 1 − Σf + Σ f·payouts[s]/cost; `payouts[s, i]` is what bet i pays in state s in dollars, and
    `chance[s]` how likely that state is.
    """
    from scipy.optimize import minimize

    gains = payouts / cost - 1.0

    def loss(share: Floats) -> tuple[float, Floats]:
        wealth = np.maximum(1 + gains @ share, 1e-9)
        return -float(chance @ np.log(wealth)), -(gains.T @ (chance / wealth))

    bets = len(cost)
    start = np.full(bets, 0.5 / (bets + 1) * 0.1)
    limit = {"type": "ineq", "fun": lambda f: 0.999 - f.sum(), "jac": lambda f: -np.ones_like(f)}
    # A quarter of a watch's memory otherwise, also without a bankroll.

    solution = minimize(
        loss,
        start,
        jac=True,
        bounds=[(0, 0.999)] * bets,
        constraints=[limit],
        method="SLSQP",
        options={"maxiter": 300, "ftol": 1e-12},
    )
    share: Floats = np.clip(solution.x, 0, 1)
    return np.where(share < 1e-7, 0.0, share)


def states(structure: Structure, yes: Floats, widest_first: Sequence[int]) -> tuple[Floats, Floats]:
    """Return `(pays, chance)`: which markets pay YES in each outcome of an event, and how likely that outcome is.

    `yes` are the markets' probabilities; `widest_first` orders the markets of a ladder.
    """
    n = len(yes)
    if structure == "exclusive":
        total = max(1.0, float(yes.sum()))
        nobody = max(0.0, 1 - float(yes.sum()) / total)
        return np.vstack([np.eye(n), np.zeros(n)]), np.append(yes / total, nobody)
    order = np.array(widest_first if structure == "ladder" else np.argsort(-yes, kind="stable"))
    falling = np.minimum.accumulate(yes[order])
    pays = np.zeros((n + 1, n))
    for k, market in enumerate(order):
        pays[k + 1 :, market] = 1
    return pays, -np.diff(np.concatenate([[1.0], falling, [0.0]]))


def _select_bets(edges: pl.DataFrame, markets: pl.DataFrame) -> pl.DataFrame:
    """Return the opportunities with a believed gain, their rank, and how their markets hang together."""
    ladders = strike_ladders(markets.lazy()).select("ticker", ladder=pl.col("ladder").hash()).collect()
    context = markets.select("ticker", "mutually_exclusive", "strike_type", "floor_strike", "cap_strike")
    return (
        edges.filter((pl.col("bin") == KEPT_BIN) & (pl.col("believed_ev_u") > 0))
        .unique("ticker", keep="first", maintain_order=True)
        .with_row_index("rank")
        .with_columns(cost_u=pl.col("price_u") + pl.col("fee_u"))
        .join(context, on="ticker", how="left", maintain_order="left")
        .join(ladders, on="ticker", how="left", maintain_order="left")
    )


def _event_shares(bets: pl.DataFrame) -> Floats:
    """Return the Kelly shares of the bets on one event."""
    cost = bets["cost_u"].to_numpy() / NOTIONAL_U
    low = bets["payout_low_u"].to_numpy() / NOTIONAL_U
    high = bets["payout_high_u"].to_numpy() / NOTIONAL_U
    q = bets["p_believed"].to_numpy()
    expected = low + q * (high - low)
    at_risk = np.maximum(cost - low, 1e-9)
    alone: Floats = np.clip(cost * (expected - cost) / (np.maximum(high - cost, 1e-9) * at_risk), 0.0, 1.0)
    if len(q) == 1:
        return alone
    chosen = np.argsort(-alone, kind="stable")[:MAX_BETS_PER_EVENT]
    wins, chance = _joint_outcomes(bets[chosen.tolist()], q[chosen])
    share = np.zeros_like(alone)
    share[chosen] = joint_kelly(low[chosen] + wins * (high - low)[chosen], chance, cost[chosen])
    return share


def _joint_outcomes(bets: pl.DataFrame, q: Floats) -> tuple[Floats, Floats]:
    """Return which bets win in each outcome of their event, and how likely that outcome is."""
    structure, widest_first = _structure(bets)
    if structure == "other":
        # The bets themselves win together, not the markets: YES of one and NO of another must not hedge each other.
        return states(structure, q, widest_first)
    buys_yes = (bets["side"] == "yes").to_numpy()
    pays, chance = states(structure, np.where(buys_yes, q, 1 - q), widest_first)
    return np.where(buys_yes, pays, 1 - pays), chance


def _structure(bets: pl.DataFrame) -> tuple[Structure, Sequence[int]]:
    if bets["mutually_exclusive"].fill_null(value=False).all():
        return "exclusive", ()
    if bets["ladder"].null_count() or bets["ladder"].n_unique() > 1:
        return "other", ()
    kinds = set(bets["strike_type"])
    if kinds <= {"greater", "greater_or_equal"}:
        return "ladder", bets["floor_strike"].arg_sort().to_list()
    if kinds <= {"less", "less_or_equal"}:
        return "ladder", bets["cap_strike"].arg_sort(descending=True).to_list()
    return "other", ()


def _cap_shares(bets: pl.DataFrame, bankroll: Bankroll, held: pl.DataFrame | None) -> pl.DataFrame:
    """Apply the caps: each market alone, then every event, series and day as a whole, then the bankroll.

    What is held already is taken off each cap.
    """
    capped = bets.with_columns(day=pl.col("decided_ts").dt.date())
    caps = {
        "ticker": bankroll.per_market,
        "event_ticker": bankroll.per_event,
        "series_ticker": bankroll.per_series,
        "day": bankroll.per_day,
    }
    for column, cap in caps.items():
        left = _cap_left(capped, column, cap, bankroll.total_u, held)
        total = pl.col("share").sum().over(column)
        capped = capped.with_columns(share=pl.col("share") * pl.when(total > left).then(left / total).otherwise(1.0))
    held_share = 0.0 if held is None else int(held["cost_u"].sum()) / bankroll.total_u
    limit = max(0.0, 1.0 - held_share)
    total = pl.col("share").sum()
    return capped.with_columns(share=pl.when(total > limit).then(pl.col("share") * limit / total).otherwise("share"))


def _cap_left(
    bets: pl.DataFrame, column: str, cap: float, total_u: int, held: pl.DataFrame | None
) -> pl.Series | pl.Expr:
    """Return what a cap leaves for each bet, after what is held in the same group."""
    if held is None:
        return pl.lit(cap)
    sums = held.drop_nulls(column).group_by(column).agg(pl.col("cost_u").sum())
    joined = bets.select(column).join(sums, on=column, how="left", maintain_order="left")
    return (cap - joined["cost_u"].fill_null(0) / total_u).clip(0.0, cap)

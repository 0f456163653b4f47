"""The steps of the scan funnel, each defined once.

Every (market, side, model) row of EDGES ends in exactly one bin: the name of the first step that drops it, or
`KEPT_BIN`. The funnel, the bins, `explain`, the nearest misses and all texts are derived from `STEPS`; to add a
threshold, add a field to `Rules` and a `Step` here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import polars as pl

from fairline.market.frame import NOTIONAL_U
from fairline.pricing.rules import Rules

KEPT_BIN = "kept"
"""The bin of a row that no step drops."""
UNPROVEN_BIN = "unproven"
"""The bin of a row that passes the thresholds on the raw numbers, but that the model's record does not support."""

Row = Mapping[str, Any]
"""One row of EDGES."""


@dataclass(frozen=True, slots=True)
class Gap:
    """How far rows miss a threshold: `missing` in units of `scale`, and a text with the value and the threshold."""

    missing: pl.Expr
    scale: float
    text: pl.Expr


@dataclass(frozen=True, slots=True)
class Step:
    """One threshold.

    `label` describes rows that pass, `failure` a row that is dropped, `test` is true where a row is dropped, and
    `detail` shows a row's own numbers. `gap` says how close a dropped row came; steps without one have no near misses.
    A step that does not apply to some rules is left out of the funnel.
    """

    name: str
    label: Callable[[Rules], str]
    failure: str
    test: Callable[[Rules, datetime], pl.Expr]
    detail: Callable[[Row, Rules], str]
    gap: Callable[[Rules], Gap] | None = None
    applies: Callable[[Rules], bool] = lambda _: True


StepResult = Literal["pass", "stop", "–"]
"""– means that the row never got to the step."""


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What a step did with one row, and the row's numbers."""

    step: str
    result: StepResult
    detail: str


def active_steps(rules: Rules) -> list[Step]:
    """Return the steps that apply, in order."""
    return [step for step in STEPS if step.applies(rules)]


def bins() -> tuple[str, ...]:
    """Return the names of all bins in the order of the steps, `KEPT_BIN` last."""
    return (*(step.name for step in STEPS), KEPT_BIN)


def bins_before(name: str) -> list[str]:
    """Return the names of the steps before `name`."""
    names = [step.name for step in STEPS]
    return names[: names.index(name)]


def failure_text(name: str) -> str:
    """Return why a row ended in a bin; an unknown name is returned as it is."""
    return next((step.failure for step in STEPS if step.name == name), name)


def bin_expr(rules: Rules, asof: datetime) -> pl.Expr:
    """Return the bin of each row, as an enum in the order of the steps."""
    kind = pl.Enum(bins())
    tests = [pl.when(step.test(rules, asof)).then(pl.lit(step.name, dtype=kind)) for step in active_steps(rules)]
    return pl.coalesce(*tests, pl.lit(KEPT_BIN, dtype=kind))


def explain_row(row: Row, rules: Rules) -> list[StepOutcome]:
    """Return what each step did with a row of EDGES."""
    outcomes = []
    reached = True
    for step in active_steps(rules):
        stopped = row["bin"] == step.name
        result: StepResult = "stop" if stopped else "pass" if reached else "–"
        outcomes.append(StepOutcome(step.label(rules), result, step.detail(row, rules)))
        reached = reached and not stopped
    return outcomes


def _number(value: float | None, form: str) -> str:
    return "none" if value is None else form.format(value)


def _dollars(value_u: int | None) -> str:
    return "none" if value_u is None else f"${value_u / NOTIONAL_U:.4f}"


def _contracts(count_cc: int | None) -> str:
    """Return a size for people; one that was not recorded is unknown, which is not the same as none."""
    if count_cc is None:
        return "size unknown"
    return f"{count_cc / 100:,.2f} contracts" if count_cc else "none"


def _same_for_all(label: str) -> Callable[[Rules], str]:
    return lambda _: label


def _offer_detail(row: Row, rules: Rules) -> str:
    if row["price_u"] is None:
        return "none"
    if not rules.rest:
        return f"{_dollars(row['price_u'])}, {_contracts(row['offer_cc'])}"
    queue = f"{_dollars(row['price_u'])}, behind {_contracts(row['ahead_cc'])}"
    return queue if row["better_u"] is None else f"{queue}, first at {_dollars(row['better_u'])}"


def _ev_detail(row: Row, rules: Rules) -> str:
    detail = f"EV {_dollars(row['ev_u'])} a contract after a fee of {_dollars(row['fee_u'])}"
    return f"{detail}, if filled" if rules.rest else detail


def _belief_detail(row: Row, _: Rules) -> str:
    if row["belief_k"] is None:
        return "none"
    record = {
        "none": "no record",
        "trust": "your trust, no record",
        "store": f"{row['belief_events']:,} settled events in your store",
        "shipped": f"{row['belief_events']:,} settled events, shipped record",
    }[row["belief_source"]]
    believed = f"{_number(row['p_believed'], '{:.4f}')}, believed EV {_dollars(row['believed_ev_u'])}"
    return f"{row['belief_k']:.0%} of the disagreement is believed ({record}): p = {believed}"


def _yearly_detail(row: Row, _: Rules) -> str:
    yearly = row["yearly_return"]
    if yearly is None:
        return "unknown when the outcome is decided"
    return f"{yearly:.1%} a year until {row['decided_ts']:%Y-%m-%d %H:%M} UTC"


def _min_yearly(rules: Rules) -> float:
    return (rules.min_yearly or 0.0) / 100


def _spread_gap(rules: Rules) -> Gap:
    spread, limit = pl.col("spread_percent"), rules.max_spread_percent
    return Gap(spread - limit, limit, pl.format("spread {} % (needs below {})", spread.round(2), limit))


def _size_gap(rules: Rules) -> Gap:
    offer, least = pl.col("offer_cc") / 100, rules.min_contracts
    return Gap(least - offer, max(least, 1.0), pl.format("{} contracts on offer (needs {})", offer, least))


def _edge_gap(rules: Rules) -> Gap:
    edge, least = pl.col("edge_points"), rules.min_edge_points
    text = pl.format("edge {} points (needs above {})", edge.round(2), least)
    return Gap(least - edge, max(abs(least), 1.0), text)


def _ev_gap(rules: Rules) -> Gap:
    ev, least = pl.col("ev_u") / NOTIONAL_U, rules.min_ev
    return Gap(least - ev, max(abs(least), 0.01), pl.format("EV ${} (needs above {})", ev.round(4), least))


def _open_detail(row: Row) -> str:
    decided = row["decided_ts"]
    expected = "decision time unknown" if decided is None else f"decided {decided:%Y-%m-%d %H:%M}"
    return f"status {row['status']}, {expected}, closes {row['close_ts']:%Y-%m-%d %H:%M} UTC"


def _start_detail(row: Row) -> str:
    start = row["milestone_ts"]
    return "no known start" if start is None else f"starts {start:%Y-%m-%d %H:%M} UTC"


STEPS: tuple[Step, ...] = (
    Step(
        "open",
        label=_same_for_all("open for trading"),
        failure="not open for trading",
        test=lambda _, asof: (pl.col("status") != "active") | (pl.col("close_ts") <= asof),
        detail=lambda row, _: _open_detail(row),
    ),
    Step(
        "binary",
        label=_same_for_all("binary, with known payouts"),
        failure="not a binary market",
        test=lambda *_: pl.col("market_type") != "binary",
        detail=lambda row, _: str(row["market_type"]),
    ),
    Step(
        "side",
        label=_same_for_all("on the wanted side"),
        failure="not the wanted side",
        test=lambda rules, _: pl.lit(rules.side != "both") & (pl.col("side") != rules.side),
        detail=lambda row, _: str(row["side"]).upper(),
    ),
    Step(
        "offered",
        label=lambda rules: "has a bid to join" if rules.rest else "has an offer to take",
        failure="nothing on offer",
        test=lambda *_: pl.col("price_u").is_null(),
        detail=_offer_detail,
    ),
    Step(
        "two-sided",
        label=_same_for_all("has a bid and an ask"),
        failure="only one side is quoted",
        test=lambda *_: pl.col("spread_u").is_null(),
        detail=lambda row, _: f"YES bid {_dollars(row['yes_bid_u'])}, ask {_dollars(row['yes_ask_u'])}",
    ),
    Step(
        "crossed",
        label=_same_for_all("bid below the ask"),
        failure="bid and ask are crossed",
        test=lambda *_: pl.col("spread_u") <= 0,
        detail=lambda row, _: f"spread {_dollars(row['spread_u'])}",
    ),
    Step(
        "spread",
        label=lambda rules: f"spread below {rules.max_spread_percent:g} % of the midpoint",
        failure="the spread is too wide",
        test=lambda rules, _: pl.col("spread_percent") >= rules.max_spread_percent,
        detail=lambda row, _: _number(row["spread_percent"], "{:.2f} % of the midpoint"),
        gap=_spread_gap,
    ),
    Step(
        "thin",
        label=lambda rules: f"offer of at least {rules.min_contracts:g}",
        failure="too little is on offer",
        test=lambda rules, _: pl.col("offer_cc") < round(100 * rules.min_contracts),
        detail=lambda row, _: _contracts(row.get("offer_cc")),
        gap=_size_gap,
        # A resting order waits for somebody to take it: what is on offer does not matter.
        applies=lambda rules: not rules.rest,
    ),
    Step(
        "model",
        label=_same_for_all("priced by a model"),
        failure="no model prices it",
        test=lambda *_: pl.col("p").is_null(),
        detail=lambda row, _: f"{_number(row['p'], 'p = {:.4f}')} by {row['model'] or 'no model'}",
    ),
    Step(
        "in play",
        label=_same_for_all("not begun, or priced by a model that knows about play"),
        failure="the game has begun, and the model knows nothing about play",
        test=lambda *_: pl.col("in_play") & ~pl.col("knows_play"),
        detail=lambda row, _: _start_detail(row),
        applies=lambda rules: not rules.in_play,
    ),
    Step(
        "edge",
        label=lambda rules: f"edge above {rules.min_edge_points:g} points",
        failure="the edge is too small",
        test=lambda rules, _: pl.col("edge_points") <= rules.min_edge_points,
        detail=lambda row, _: _number(row["edge_points"], "{:.2f} points"),
        gap=_edge_gap,
    ),
    Step(
        "ev",
        label=lambda rules: f"EV after fees above ${rules.min_ev:g} a contract",
        failure="EV after fees is too small",
        test=lambda rules, _: pl.col("ev_u") <= round(rules.min_ev * NOTIONAL_U),
        detail=_ev_detail,
        gap=_ev_gap,
    ),
    Step(
        UNPROVEN_BIN,
        label=lambda rules: f"believed EV above ${rules.min_believed_ev:g} a contract",
        failure="the model's record does not support it",
        test=lambda rules, _: (pl.col("believed_ev_u") <= round(rules.min_believed_ev * NOTIONAL_U)).fill_null(
            value=True
        ),
        detail=_belief_detail,
    ),
    Step(
        "yearly",
        label=lambda rules: f"at least {rules.min_yearly:g} % a year until it is decided",
        failure="the yearly return is too small",
        test=lambda rules, _: (pl.col("yearly_return") < _min_yearly(rules)).fill_null(value=True),
        detail=_yearly_detail,
        applies=lambda rules: rules.min_yearly is not None,
    ),
)

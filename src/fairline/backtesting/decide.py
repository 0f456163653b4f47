"""What a scan would have flagged at each instant of the past: the parallel half of a backtest.

A block is a run of consecutive instants. It is evaluated from the store alone, through the same `predict` and `price`
as a scan, so that blocks may run in any order and in any process and give the same bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import polars as pl

from fairline.errors import FairlineError, UsageError
from fairline.kalshi.wire import Series
from fairline.market.fees import Policy, multiplier_at
from fairline.market.filters import Filters
from fairline.market.frame import NOTIONAL_U
from fairline.market.funnel import FunnelStep
from fairline.market.selection import apply_filters
from fairline.models import Model
from fairline.models.prediction import predict
from fairline.pricing.belief import Beliefs
from fairline.pricing.rules import Rules
from fairline.pricing.sizing import Bankroll, size_bets
from fairline.pricing.steps import KEPT_BIN
from fairline.scanner import Evaluation, price
from fairline.sources import Payload, Request
from fairline.store.timeline import Timeline

MAX_INSTANTS = 1_000_000
"""More instants than this are more likely a slip than a plan: a minute's grid over two years has that many."""

_TIME = pl.Datetime("us", "UTC")
_BET = ["ticker", "side", "model"]


class Inputs(Protocol):
    """Recorded inputs of models."""

    def known_at(self, requests: Sequence[Request], at: datetime) -> Mapping[Request, Payload | FairlineError]:
        """Return exactly what had been received for these requests by an instant, or why there is nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Grid:
    """The instants of a backtest: `since`, then every `every`, up to and including `until`.

    Raises `UsageError` for an empty grid, or one with more than `MAX_INSTANTS` instants.
    """

    since: datetime
    until: datetime
    every: timedelta

    def __post_init__(self) -> None:
        if self.every <= timedelta(0):
            raise UsageError("expected a duration above zero", field="every")
        if self.until < self.since:
            raise UsageError(
                f"{self.until:%Y-%m-%d %H:%M} UTC is before the first instant, {self.since:%Y-%m-%d %H:%M} UTC",
                field="until",
            )
        if len(self) > MAX_INSTANTS:
            raise UsageError(f"{len(self):,} instants are too many", remedy="Use a longer interval", field="every")

    def __len__(self) -> int:
        return (self.until - self.since) // self.every + 1

    def instant(self, number: int) -> datetime:
        """Return the instant with a number, which may lie beyond the end."""
        return self.since + number * self.every

    def instants(self, first: int = 0, last: int | None = None) -> list[datetime]:
        """Return the instants with these numbers, `last` included."""
        end = len(self) - 1 if last is None else min(last, len(self) - 1)
        return [self.since + number * self.every for number in range(first, end + 1)]


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive instants of a grid, from number `first` to number `last`."""

    number: int
    grid: Grid
    first: int
    last: int

    def instants(self) -> list[datetime]:
        return self.grid.instants(self.first, self.last)


_DECISIONS: dict[str, pl.DataType | type[pl.DataType]] = {
    "asof": _TIME,
    "place": pl.Int64,
    "book": pl.String,
    "model": pl.String,
    "ticker": pl.String,
    "event_ticker": pl.String,
    "series_ticker": pl.String,
    "category": pl.String,
    "side": pl.String,
    "p": pl.Float64,
    "q": pl.Float64,
    "mid": pl.Float64,
    "price_u": pl.Int64,
    "fee_u": pl.Int64,
    "promised_u": pl.Int64,
    "raw_promised_u": pl.Int64,
    "share": pl.Float64,
    "fee_type": pl.String,
    "multiplier_m": pl.Int64,
}
DECISIONS = pl.Schema(_DECISIONS)
"""An opportunity at an instant, best first (`place` counts from 0). Prices are those shown at that instant, per
contract of `side`; `p`, `q` and `mid` are probabilities of that side; `share` is the Kelly share of the bankroll, null
without one.
"""

_OPINIONS: dict[str, pl.DataType | type[pl.DataType]] = {
    "asof": _TIME,
    "ticker": pl.String,
    "event_ticker": pl.String,
    "category": pl.String,
    "model": pl.String,
    "p": pl.Float64,
    "p_bid": pl.Float64,
    "p_ask": pl.Float64,
}
OPINIONS = pl.Schema(_OPINIONS)
"""A model's first probability of a two-sided market, with the market's own quotes at that instant."""


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What a block found: DECISIONS, the first OPINIONS of each model and market, funnel steps added up, problems."""

    decisions: pl.DataFrame
    opinions: pl.DataFrame
    funnel: list[FunnelStep]
    problems: dict[str, int]


@dataclass(frozen=True, slots=True)
class InstantResult:
    """One instant: the selected MARKETS, their PREDICTIONS, the evaluation, and the filters' funnel steps."""

    markets: pl.DataFrame
    predictions: pl.DataFrame
    evaluation: Evaluation
    steps: list[FunnelStep]


@dataclass(frozen=True, slots=True)
class Terms:
    """How opportunities are chosen: the same values as for a scan."""

    filters: Filters
    rules: Rules
    fees: Policy
    beliefs: Beliefs = field(default_factory=Beliefs)
    bankroll: Bankroll | None = None


def evaluate_block(
    timeline: Timeline, models: Sequence[Model], inputs: Inputs, block: Block, terms: Terms
) -> BlockResult:
    """Evaluate every instant of a block. Raises `StoreError` if the store cannot be read."""
    decisions = [DECISIONS.to_frame()]
    opinions = [OPINIONS.to_frame()]
    funnel: dict[str, FunnelStep] = {}
    problems: dict[str, int] = {}
    for asof in block.instants():
        result = evaluate_instant(timeline.at(asof), models, inputs, asof, terms)
        decisions.append(_decisions(result, asof, terms))
        opinions.append(_opinions(result.predictions, result.markets, asof))
        add_steps(funnel, [*result.steps, *result.evaluation.funnel])
        for problem in result.evaluation.problems:
            problems[str(problem)] = problems.get(str(problem), 0) + 1
    first = pl.concat(opinions).unique(["model", "ticker"], keep="first", maintain_order=True)
    return BlockResult(pl.concat(decisions), first, list(funnel.values()), problems)


def _select(markets: pl.DataFrame, filters: Filters, asof: datetime) -> tuple[pl.DataFrame, list[FunnelStep]]:
    pairs = markets.select("series_ticker", "category").unique().drop_nulls()
    series = [Series(ticker=ticker, category=category) for ticker, category in pairs.iter_rows()]
    return apply_filters(filters, markets, series, asof)


def evaluate_instant(
    markets: pl.DataFrame, models: Sequence[Model], inputs: Inputs, asof: datetime, terms: Terms
) -> InstantResult:
    """Evaluate MARKETS at one instant with what had been received by then."""
    markets, steps = _select(markets, terms.filters, asof)
    payloads = inputs.known_at(wanted_inputs(markets, models, asof), asof)
    predictions, problems = predict(markets, models, payloads, asof=asof)
    evaluation = price(
        markets,
        predictions,
        problems,
        asof=asof,
        fees=terms.fees,
        rules=terms.rules,
        beliefs=terms.beliefs,
        misses=0,
    )
    return InstantResult(markets, predictions, evaluation, steps)


def wanted_inputs(markets: pl.DataFrame, models: Sequence[Model], asof: datetime) -> list[Request]:
    """Return the distinct requests of all models for the markets that they cover."""
    wanted: list[Request] = []
    for model in models:
        covered = markets.filter(model.covers(markets))
        if covered.height:
            wanted += model.requests(covered, asof)
    return list(dict.fromkeys(wanted))


def _decisions(result: InstantResult, asof: datetime, terms: Terms) -> pl.DataFrame:
    evaluation = result.evaluation
    rows = pl.concat([evaluation.opportunities, evaluation.unproven])
    rows = rows.filter(~pl.col("suspect").fill_null(value=False))
    rows = rows.join(_kelly_shares(result, terms), on=_BET, how="left", maintain_order="left")
    believed = pl.col("bin") == KEPT_BIN
    yes_mid = (pl.col("yes_bid_u") + pl.col("yes_ask_u")) / (2 * NOTIONAL_U)
    columns = {
        "asof": pl.lit(asof),
        "place": pl.int_range(pl.len()),
        "book": pl.when(believed).then(pl.lit("believed")).otherwise(pl.lit("unproven")),
        "q": pl.when(believed).then("p_believed").otherwise("p"),
        "mid": pl.when(pl.col("side") == "yes").then(yes_mid).otherwise(1 - yes_mid),
        "promised_u": pl.when(believed).then("believed_ev_u").otherwise("ev_u"),
        "raw_promised_u": pl.col("ev_u"),
        "multiplier_m": multiplier_at(asof),
    }
    return rows.select(columns.get(name, pl.col(name)).cast(dtype).alias(name) for name, dtype in DECISIONS.items())


def _kelly_shares(result: InstantResult, terms: Terms) -> pl.DataFrame:
    """Return `{ticker, side, model, share}` of what is believed; without a bankroll there are no rows."""
    if terms.bankroll is None:
        return DECISIONS.to_frame().select(*_BET, "share")
    trusted = result.evaluation.select(~pl.col("suspect").fill_null(value=False))
    return size_bets(trusted, result.markets, terms.bankroll, terms.fees).select(*_BET, "share")


def _opinions(predictions: pl.DataFrame, markets: pl.DataFrame, asof: datetime) -> pl.DataFrame:
    quoted = markets.drop_nulls(["p_bid", "p_ask"]).select("ticker", "event_ticker", "category", "p_bid", "p_ask")
    rows = predictions.select("ticker", "model", "p").join(quoted, on="ticker", how="inner", maintain_order="left")
    return rows.select(
        (pl.lit(asof).cast(_TIME).alias(name) if name == "asof" else pl.col(name)).cast(dtype)
        for name, dtype in OPINIONS.items()
    )


def add_steps(total: dict[str, FunnelStep], steps: Sequence[FunnelStep]) -> None:
    """Add the counts of funnel steps to those of the same text."""
    for step in steps:
        before = total.get(step.step, FunnelStep(step.step, 0, 0))
        total[step.step] = FunnelStep(step.step, before.kept + step.kept, before.dropped + step.dropped)

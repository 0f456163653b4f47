"""What a backtest found, with every doubt stated."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from fairline.backtesting.decide import BlockResult
from fairline.backtesting.ledger import Drawdown, Equity, measure_drawdown
from fairline.backtesting.simulate import FillRule, Simulation
from fairline.backtesting.trades import Line, summarize
from fairline.backtesting.trials import Run, correct_for_trials, list_runs, read_trades
from fairline.inference import BestOfMany
from fairline.market.frame import NOTIONAL_U
from fairline.market.funnel import FunnelStep, with_shares
from fairline.scoring.metrics import Interval
from fairline.scoring.scorecard import ModelScore, compute_scorecard
from fairline.store.datasets import EDGES
from fairline.store.store import Store


@dataclass(frozen=True, slots=True)
class Account:
    """One book under one fill rule: its trades, its account, its equity and its maximum drawdown."""

    book: str
    fills: FillRule
    trades: pl.DataFrame
    lines: list[Line]
    curve: list[Equity]
    drawdown: Drawdown

    @property
    def quality(self) -> str:
        """How well the worst of its fills is known."""
        filled = self.trades.filter(pl.col("count_cc") > 0)
        if filled.is_empty():
            return "no fills"
        if filled["size_assumed"].any():
            return "sizes assumed: the recording has prices without sizes"
        if self.fills == "rest, first in the queue":
            return "optimistic: every trade at the price fills the order first"
        if self.fills == "rest, last in the queue":
            return "pessimistic: filled only by trades through the price"
        return "offers seen after the order, each used once"


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """A finished run.

    `models` compares each model with the midpoint at the same instant; `reliability` has a row per model and tenth of
    probability; `best_of_runs` tests the best of all runs over this store against chance, None with fewer than two
    events. `warnings` names what could not be read.
    """

    run: Run
    accounts: list[Account]
    models: list[ModelScore]
    reliability: pl.DataFrame
    funnel: list[FunnelStep]
    problems: dict[str, int]
    runs: int
    best_run: str
    best_of_runs: BestOfMany | None
    warnings: list[str]

    @property
    def trades(self) -> pl.DataFrame:
        """TRADES of all accounts with the column `fills`."""
        parts = [account.trades.with_columns(fills=pl.lit(account.fills)) for account in self.accounts]
        return pl.concat(parts)


def assemble(
    store: Store, run: Run, decided: BlockResult, simulations: Mapping[tuple[str, FillRule], Simulation]
) -> BacktestResult:
    """Judge the decisions and trades of a run, and the run among all runs of its store. Raises `StoreError`."""
    accounts = [
        Account(
            book,
            rule,
            simulation.trades,
            summarize(simulation.trades),
            simulation.curve,
            measure_drawdown(simulation.curve),
        )
        for (book, rule), simulation in simulations.items()
    ]
    predictions = decided.opinions.rename({"asof": "seen_ts"})
    card = compute_scorecard(EDGES.to_frame(), predictions, store.read("settlements").unique("ticker", keep="last"))
    finished_runs = list_runs(store)
    trials = [(finished.id, read_trades(store, finished)) for finished in finished_runs]
    best = correct_for_trials(trials)
    entered = decided.funnel[0].kept + decided.funnel[0].dropped if decided.funnel else 0
    return BacktestResult(
        run,
        accounts,
        card.models,
        card.reliability,
        with_shares(decided.funnel, entered),
        decided.problems,
        len(trials),
        trials[best.index][0] if best else "",
        best,
        list(store.warnings),
    )


def result_document(result: BacktestResult) -> dict[str, Any]:
    """Return a result as a JSON document: dollars per contract, probabilities, and every figure with its n."""
    best = result.best_of_runs
    return {
        "run": {
            "id": result.run.id,
            "models": result.run.models,
            "since": result.run.since.isoformat(),
            "until": result.run.until.isoformat(),
            "options": result.run.options,
            "data_hash": result.run.data_hash,
        },
        "accounts": [_account_document(account) for account in result.accounts],
        "models": [
            {
                name: score.model if name == "model" else _interval_document(getattr(score, name))
                for name in ModelScore.__slots__
            }
            for score in result.models
        ],
        "reliability": result.reliability.to_dicts(),
        "funnel": [
            {"step": step.step, "kept": step.kept, "dropped": step.dropped, "share": step.share}
            for step in result.funnel
        ],
        "problems": result.problems,
        "runs": {
            "count": result.runs,
            "best": result.best_run,
            "p_alone": best.p_alone if best else None,
            "p_corrected": best.p_corrected if best else None,
        },
        "warnings": result.warnings,
    }


def _account_document(account: Account) -> dict[str, Any]:
    return {
        "book": account.book,
        "fills": account.fills,
        "quality": account.quality,
        "lines": [_line_document(line) for line in account.lines],
        "drawdown_dollars": account.drawdown.deepest_u / NOTIONAL_U,
        "days_under_water": account.drawdown.longest_s / 86_400,
        "equity": [
            {"at": point.at.isoformat(), "total_dollars": point.total_u / NOTIONAL_U} for point in account.curve
        ],
    }


def _line_document(line: Line) -> dict[str, Any]:
    counts = ("group", "name", "orders", "filled", "settled", "events", "assumed_sizes")
    means = ("promised", "raw_promised", "realised", "shortfall", "closing_value")
    document: dict[str, Any] = {name: getattr(line, name) for name in counts}
    document |= {name: _interval_document(getattr(line, name)) for name in means}
    document["baselines"] = {name: _interval_document(mean) for name, mean in line.baselines.items()}
    return document


def _interval_document(interval: Interval | None) -> dict[str, float | int | None] | None:
    return None if interval is None else interval.as_document()

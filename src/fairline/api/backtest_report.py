"""What `backtest` returns."""

from functools import cached_property
from typing import Any

import polars as pl

from fairline.backtesting.prove import Proof
from fairline.backtesting.result import BacktestResult, result_document
from fairline.backtesting.trades import Line
from fairline.errors import UsageError
from fairline.market.frame import NOTIONAL_U
from fairline.output.backtest_page import backtest_page
from fairline.output.backtest_text import backtest_text
from fairline.scoring.metrics import Interval

_DOLLARS = ("price", "fee", "other_price", "other_fee", "promised", "raw_promised", "payout", "profit")


class BacktestReport:
    """A backtest: its trades, what they promised and earned, and every doubt about them.

    In a notebook it shows itself as a page. `proof` is None unless a proof was requested; after a leak there is no
    result, and everything but `proof` and `document` raises `UsageError`.
    """

    def __init__(self, result: BacktestResult | None, proof: Proof | None) -> None:
        self._result = result
        self.proof = proof

    @property
    def result(self) -> BacktestResult:
        """The result as the library computes with it."""
        if self._result is None:
            raise UsageError("the backtest stopped at a leak", remedy="See `proof`")
        return self._result

    @property
    def proof_passed(self) -> bool:
        """Whether no leak was found; true without a proof."""
        return self.proof is None or self.proof.leak is None

    @property
    def complete(self) -> bool:
        """Whether the backtest ran and nothing in the store was unreadable."""
        return self._result is not None and not self._result.warnings

    @cached_property
    def trades(self) -> pl.DataFrame:
        """One row per order: prices and profit in dollars, sizes in contracts, probabilities of the side bought."""
        trades = self.result.trades
        dollars = [(pl.col(f"{name}_u") / NOTIONAL_U).alias(name) for name in _DOLLARS]
        return trades.with_columns(*dollars, contracts=pl.col("count_cc") / 100).drop(
            "count_cc", *(f"{name}_u" for name in _DOLLARS)
        )

    @cached_property
    def summary(self) -> pl.DataFrame:
        """One row per account and group: counts, and dollars per contract with 95 % intervals clustered by event."""
        rows = [
            {"fills": account.fills, **_summary_row(line)} for account in self.result.accounts for line in account.lines
        ]
        return pl.DataFrame(rows, infer_schema_length=None)

    def document(self) -> dict[str, Any]:
        """Return everything as a JSON document."""
        proof = self.proof
        document = {
            "proof": None
            if proof is None
            else {"instants": proof.instants, "leak": str(proof.leak) if proof.leak else None}
        }
        return document if self._result is None else document | result_document(self._result)

    def html(self) -> str:
        """Return one self-contained page."""
        return backtest_page(self.document(), self.trades)

    def __str__(self) -> str:
        return backtest_text(self.document())

    def __repr__(self) -> str:
        if self._result is None:
            return "<BacktestReport: stopped at a leak>"
        filled = self.result.trades.filter(pl.col("count_cc") > 0).height
        return f"<BacktestReport: {filled:,} trades, run {self.result.run.id}>"

    def _repr_html_(self) -> str:
        return self.html()


def _summary_row(line: Line) -> dict[str, Any]:
    counts = ("group", "name", "orders", "filled", "settled", "events", "assumed_sizes")
    row: dict[str, Any] = {name: getattr(line, name) for name in counts}
    for name in ("promised", "raw_promised", "realised", "shortfall", "closing_value"):
        row |= _interval_columns(name, getattr(line, name))
    for name, mean in line.baselines.items():
        row |= _interval_columns(name, mean)
    return row


def _interval_columns(name: str, interval: Interval | None) -> dict[str, float | None]:
    if interval is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}

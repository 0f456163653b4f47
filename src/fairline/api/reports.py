"""What the functions return: frames in dollars and probabilities, and everything that could not be seen."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import polars as pl
from rich.console import RenderableType

from fairline.errors import UsageError
from fairline.market.funnel import FunnelStep
from fairline.market.listing import Listing
from fairline.market.problem import Problem
from fairline.market.tickers import parse_market_ticker
from fairline.output import notebook, tables, terminal
from fairline.output.documents import problem_objects, scan_document
from fairline.pricing.funnel import SideExplanation, explain_rows
from fairline.pricing.rules import Rules
from fairline.scanner import UNPROVEN_BOOKS, Evaluation, ScanResult


class ScanReport:
    """A scan: opportunities, where the other markets went, and what could not be seen.

    In a notebook it shows itself as a table.
    """

    def __init__(self, result: ScanResult, rules: Rules, models: tuple[str, ...]) -> None:
        self.result = result
        self.rules = rules
        self.models = models

    @cached_property
    def opportunities(self) -> pl.DataFrame:
        """The believed opportunities, best first: prices in dollars, probabilities from 0 to 1, sizes in contracts."""
        return tables.opportunity_table(self.result.opportunities, self.listing.exchange, self.evaluation.advice)

    @cached_property
    def unproven(self) -> pl.DataFrame:
        """The leading rows that pass the thresholds on the model's own numbers, but that no record supports."""
        leading = self.evaluation.unproven.head(UNPROVEN_BOOKS)
        return tables.opportunity_table(leading, self.listing.exchange, self.evaluation.advice)

    @property
    def edges(self) -> pl.DataFrame:
        """Every market, side and model as the library computes with them: EDGES of `docs/pricing.md`."""
        return self.evaluation.edges

    @cached_property
    def funnel(self) -> pl.DataFrame:
        """How many markets each filter and threshold kept and dropped: `step, kept, dropped, share`."""
        return pl.DataFrame([asdict(step) for step in self.steps])

    @property
    def steps(self) -> list[FunnelStep]:
        """The funnel as objects."""
        return self.result.funnel

    @cached_property
    def nearest_misses(self) -> pl.DataFrame:
        """The rows that came closest to each threshold, with `missed_by`."""
        misses = self.evaluation.nearest_misses
        return tables.opportunity_table(misses, self.listing.exchange).with_columns(missed_by=misses["missed_by"])

    def document(self, opportunities: pl.DataFrame) -> dict[str, Any]:
        """Return the scan as a JSON object with these of the opportunities; frames in it stand for arrays."""
        return scan_document(self.result, opportunities, self.unproven, self.nearest_misses)

    def text(self, shown: pl.DataFrame, view: terminal.View) -> RenderableType:
        """Return the scan as a terminal report with these of the opportunities."""
        believed = terminal.Section(shown, self.opportunities.height - shown.height)
        unproven = terminal.Section(self.unproven, self.evaluation.unproven.height - self.unproven.height)
        rank = self.evaluation.nearest_misses.select(pl.int_range(pl.len()).over("bin")).to_series()
        misses = self.nearest_misses.filter(rank < terminal.MISSES_PER_STEP)
        return terminal.scan_report(self.result, believed, unproven, misses, view)

    @property
    def problems(self) -> list[Problem]:
        """What failed and was worked around."""
        return self.result.problems

    @property
    def complete(self) -> bool:
        """Whether everything requested was read."""
        return self.result.complete

    @property
    def incomplete_reasons(self) -> list[str]:
        """What is missing if the scan is not complete."""
        return self.listing.incomplete_reasons

    @property
    def listing(self) -> Listing:
        """What was read from the exchange."""
        return self.result.listing

    @property
    def evaluation(self) -> Evaluation:
        """What it is worth."""
        return self.result.evaluation

    def explain(self, ticker: str) -> "ExplainReport":
        """Show how a market of this scan fared in each step. Raises `UsageError` if it was not scanned."""
        return ExplainReport.from_evaluation(parse_market_ticker(ticker), self.evaluation)

    def __repr__(self) -> str:
        state = "complete" if self.complete else "INCOMPLETE"
        return f"<ScanReport: {self.opportunities.height} opportunities in {self.listing.listed:,} markets, {state}>"

    def _repr_html_(self) -> str:
        return notebook.scan_html(self.opportunities, self.unproven, self.result)


class MarketsReport:
    """A listing: every market with the probabilities its prices imply, and what could not be read."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing

    @cached_property
    def markets(self) -> pl.DataFrame:
        """The markets: prices in dollars, probabilities from 0 to 1, sizes in contracts."""
        return tables.market_table(self.listing.markets)

    @property
    def problems(self) -> list[Problem]:
        """What failed and was worked around."""
        return self.listing.problems

    @property
    def complete(self) -> bool:
        """Whether everything requested was read."""
        return self.listing.complete

    @property
    def incomplete_reasons(self) -> list[str]:
        """What is missing if the listing is not complete."""
        return self.listing.incomplete_reasons

    def __repr__(self) -> str:
        state = "complete" if self.complete else "INCOMPLETE"
        return f"<MarketsReport: {self.listing.markets.height:,} of {self.listing.listed:,} markets, {state}>"

    def _repr_html_(self) -> str:
        return notebook.markets_html(self.markets, self.listing)


class CoherenceReport:
    """Quotes that contradict each other, and what could not be read."""

    def __init__(self, listing: Listing, violations: pl.DataFrame) -> None:
        self.listing = listing
        self.raw = violations

    @cached_property
    def violations(self) -> pl.DataFrame:
        """The violations, most profitable first: amounts in dollars, sizes in contracts, one struct per leg."""
        return tables.violation_table(self.raw)

    @property
    def problems(self) -> list[Problem]:
        """What failed and was worked around."""
        return self.listing.problems

    @property
    def complete(self) -> bool:
        """Whether everything requested was read."""
        return self.listing.complete

    @property
    def incomplete_reasons(self) -> list[str]:
        """What is missing if the listing is not complete."""
        return self.listing.incomplete_reasons

    def __repr__(self) -> str:
        state = "complete" if self.complete else "INCOMPLETE"
        return f"<CoherenceReport: {self.raw.height} violations in {self.listing.listed:,} markets, {state}>"

    def _repr_html_(self) -> str:
        return notebook.coherence_html(self.violations, self.listing)


@dataclass(frozen=True, slots=True)
class ExplainReport:
    """One market in each step of a scan, for each side and model."""

    ticker: str
    title: str
    sides: list[SideExplanation]
    problems: list[Problem]

    @classmethod
    def from_evaluation(cls, ticker: str, evaluation: Evaluation) -> "ExplainReport":
        """Explain a market of an evaluation. Raises `UsageError` if it is not in it."""
        rows = evaluation.select(pl.col("ticker") == ticker)
        if rows.is_empty():
            raise UsageError(f"{ticker} is not among the scanned markets", remedy="Check the ticker and the filters")
        # Problems with other markets say nothing about this one.
        problems = [problem for problem in evaluation.problems if problem.ticker in ("", ticker)]
        return cls(ticker, rows["title"][0] or "", explain_rows(rows, evaluation.rules), problems)

    def document(self) -> dict[str, Any]:
        """Return the explanation as JSON."""
        return {
            "ticker": self.ticker,
            "sides": [asdict(side) for side in self.sides],
            "problems": problem_objects(self.problems),
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return the explanation as one row for each side, model and step."""
        return [
            {"ticker": self.ticker, "side": side.side, "model": side.model, **asdict(step)}
            for side in self.sides
            for step in side.steps
        ]

    def __str__(self) -> str:
        several = len({side.model for side in self.sides}) > 1
        lines = [f"{self.ticker}  {self.title}"]
        for side in self.sides:
            model = f" by {side.model}" if side.model and several else ""
            lines += ["", f"{side.side.upper()}{model}: {side.outcome}"]
            width = max(len(step.step) for step in side.steps) + 2
            lines += [f"  {step.result:5}{step.step:{width}}{step.detail}" for step in side.steps]
        return "\n".join([*lines, *(f"problem: {problem}" for problem in self.problems)])

    def _repr_html_(self) -> str:
        return notebook.explain_html(self.ticker, self.title, self.sides, self.problems)

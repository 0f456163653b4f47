"""Results as HTML for notebooks. Text of the exchange is escaped."""

import html
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl

from fairline.market.funnel import FunnelStep
from fairline.market.listing import Listing
from fairline.market.problem import Problem
from fairline.pricing.funnel import SideExplanation
from fairline.scanner import ScanResult
from fairline.text import sanitize

_ROWS = 20
"""Rows of a table shown; the frame has all of them."""
_LINES = 8
"""Problems shown; `problems` has all of them."""
_OPPORTUNITY = [
    "ticker",
    "outcome",
    "title",
    "side",
    "price",
    "p",
    "p_believed",
    "model",
    "edge_points",
    "ev_per_contract",
    "believed_ev_per_contract",
    "yearly_return",
    "spread_percent",
    "size",
    "decided_at",
    "closes_at",
    "in_play",
]
_MARKET = [
    "ticker",
    "category",
    "outcome",
    "title",
    "p_bid",
    "p_mid",
    "p_ask",
    "spread_percent",
    "volume",
    "decided_at",
    "closes_at",
]
_POSITION = [
    "ticker",
    "title",
    "side",
    "contracts",
    "average_price",
    "exit_price",
    "cost",
    "value",
    "unrealized",
    "decided_at",
]
_VIOLATION = ["kind", "event_ticker", "certainty", "needs", "size", "cost", "fee", "payoff", "profit"]


def scan_html(opportunities: pl.DataFrame, unproven: pl.DataFrame, result: ScanResult) -> str:
    """Return the believed and the unproven opportunities, the funnel and everything the scan could not see."""
    steps = [[step.step, f"{step.kept:,}", f"{step.dropped:,}", f"{step.share:.1%}"] for step in result.funnel]
    return "".join(
        [
            _summary(result.listing),
            _frame(opportunities, _OPPORTUNITY, "No believed opportunity."),
            _details("Unproven", _frame(unproven, _OPPORTUNITY, "")) if unproven.height else "",
            _details("Funnel", _table(["Step", "Kept", "Dropped", "Share"], steps)),
            _problems(result.listing, result.problems),
        ]
    )


def markets_html(markets: pl.DataFrame, listing: Listing) -> str:
    """Return the markets and everything that could not be read."""
    steps: list[FunnelStep] = listing.funnel
    rows = [[step.step, f"{step.kept:,}", f"{step.dropped:,}"] for step in steps]
    return "".join(
        [
            _summary(listing),
            _frame(markets, _MARKET, "No market passed the filters."),
            _details("Filters", _table(["Step", "Kept", "Dropped"], rows)) if rows else "",
            _problems(listing, listing.problems),
        ]
    )


def coherence_html(violations: pl.DataFrame, listing: Listing) -> str:
    """Return the violations and everything that could not be read."""
    table = _frame(violations, _VIOLATION, "No quotes contradict each other.")
    return _summary(listing) + table + _problems(listing, listing.problems)


def account_html(positions: pl.DataFrame, summary: Sequence[str], problems: Sequence[Problem]) -> str:
    """Return an account's totals and holdings, and what could not be read or does not add up."""
    lines = "".join(f"<p>{_safe(line)}</p>" for line in summary)
    table = _frame(positions, _POSITION, "Nothing is held.")
    items = "".join(f"<li>{_safe(str(problem))}</li>" for problem in problems[:_LINES])
    return lines + table + (_details(f"{len(problems):,} problems", f"<ul>{items}</ul>", is_open=True) if items else "")


def explain_html(ticker: str, title: str, sides: Sequence[SideExplanation], problems: Sequence[Problem]) -> str:
    """Return every step of every side, with its numbers."""
    parts = [f"<p><b>{_safe(ticker)}</b> {_safe(title)}</p>"]
    for side in sides:
        head = f"{side.side.upper()}{f' by {side.model}' if side.model else ''}"
        rows = [[step.result, step.step, step.detail] for step in side.steps]
        parts.append(f"<p>{_safe(head)}: {side.outcome}</p>{_table(['', 'Step', 'Numbers'], rows)}")
    lines = "".join(f"<li>{_safe(problem)}</li>" for problem in problems)
    return "".join([*parts, f"<ul>{lines}</ul>" if lines else ""])


def _summary(listing: Listing) -> str:
    text = f"{listing.listed:,} markets from {listing.exchange} in {listing.duration_s:.1f} s"
    if listing.complete:
        return f"<p>{_safe(text)}</p>"
    missing = _safe("; ".join(listing.incomplete_reasons))
    return f'<p>{_safe(text)}</p><p style="color:#c4432b"><b>Incomplete:</b> {missing}</p>'


def _problems(listing: Listing, problems: Sequence[Problem]) -> str:
    lines = [str(problem) for problem in problems] + [f"unreadable row: {row}" for row in listing.quarantined]
    if not lines:
        return ""
    more = [f"… and {len(lines) - _LINES:,} more"] if len(lines) > _LINES else []
    items = "".join(f"<li>{_safe(line)}</li>" for line in [*lines[:_LINES], *more])
    return _details(f"{len(lines):,} problems", f"<ul>{items}</ul>", is_open=True)


def _frame(frame: pl.DataFrame, columns: Sequence[str], empty: str) -> str:
    if frame.is_empty():
        return f"<p>{_safe(empty)}</p>"
    shown = frame.select(columns).head(_ROWS)
    more = f"<p>… and {frame.height - _ROWS:,} more</p>" if frame.height > _ROWS else ""
    return _table(columns, [[_cell(value) for value in row] for row in shown.iter_rows()]) + more


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f"<th>{_safe(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{_safe(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _details(title: str, content: str, *, is_open: bool = False) -> str:
    return f"<details{' open' if is_open else ''}><summary>{_safe(title)}</summary>{content}</details>"


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value)


def _safe(text: object) -> str:
    return html.escape(sanitize(text))

"""Terminal reports of scans, listings and violations."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePath

import polars as pl
from rich.console import Group, RenderableType
from rich.text import Text

from fairline.market.funnel import FunnelStep
from fairline.market.listing import Listing
from fairline.market.plan import PlannedRequests
from fairline.market.problem import Problem
from fairline.output.cells import Formatter, column, frame_columns, moment, number, text, upper
from fairline.output.grid import Column, Grid
from fairline.scanner import ScanResult
from fairline.sources import Payload
from fairline.sources.inputs import ScanInputs
from fairline.text import sanitize

MISSES_PER_STEP = 2
"""Nearest misses of each step that are shown."""
MAX_PROBLEMS = 8
"""Problems and quarantined rows that are shown; the JSON has all of them."""
_MAX_LEGS = 3
_SUSPECT = "? An edge this large is more likely a bug in the model or its data than a bargain. Such rows come last."
_BELIEVED = "Believed: passes every threshold, by what the models' records support"
_UNPROVEN = "Unproven: passes the thresholds on the model's own numbers only"
_UNPROVEN_NOTE = "No record supports these yet, so nothing is promised and nothing staked. See docs/pricing.md."
_RESTING = "Prices are bids to join: the EV holds only if the order is filled, and bad orders are filled most often."


@dataclass(frozen=True, slots=True)
class View:
    """How a table is shown: only these columns (all that fit if empty), and in which time zone."""

    columns: tuple[str, ...] = ()
    local_time: bool = False

    @property
    def when(self) -> Formatter:
        return moment(local=self.local_time)

    @property
    def zone(self) -> str:
        return "local" if self.local_time else "UTC"


@dataclass(frozen=True, slots=True)
class Value:
    """Which EV a table shows: its column and heading, further probabilities, and rates of return."""

    name: str
    heading: str
    more: tuple[tuple[str, str], ...] = ()
    rates: tuple[tuple[str, str], ...] = ()


BELIEVED_EV = Value(
    "believed_ev_per_contract",
    "EV $",
    (("p_believed", "Believed p"), ("believed_ev", "EV order $")),
    (("yearly_return", "Yearly"),),
)
"""What is promised; the EV of the whole order ranks."""
CLAIMED_EV = Value("ev_per_contract", "Claimed $", (), (("ev_per_dollar", "EV/$"),))
"""What the model claims."""


@dataclass(frozen=True, slots=True)
class Section:
    """Rows to show, and how many were left out after them."""

    rows: pl.DataFrame
    more: int = 0


def scan_report(
    result: ScanResult, believed: Section, unproven: Section, misses: pl.DataFrame, view: View
) -> RenderableType:
    """Return the report of a scan: what records support, what they do not, and where the other markets went."""
    parts: list[RenderableType] = [listing_summary(result.listing), *_table_ages(result.evaluation.inputs)]
    if not believed.rows.is_empty():
        parts += [Text(_BELIEVED, style="bold"), opportunity_grid(believed.rows, view, BELIEVED_EV)]
        parts += _remarks(believed)
    elif unproven.rows.is_empty():
        parts.append(Text("No market passed every step; the funnel shows where they went.", style="yellow"))
    else:
        parts.append(Text("Believed: nothing. No record supports what the models flag.", style="yellow"))
    if not unproven.rows.is_empty():
        parts += [Text(), Text(_UNPROVEN, style="bold"), opportunity_grid(unproven.rows, view, CLAIMED_EV)]
        parts.append(Text(_UNPROVEN_NOTE))
        parts += [Text(f"… and {unproven.more:,} more unproven.")] if unproven.more else []
    parts.append(funnel_grid(result.funnel))
    if not misses.is_empty():
        parts.append(_misses_grid(misses))
    return Group(*parts, *_problem_parts(result.listing, result.problems))


def _table_ages(inputs: ScanInputs | None) -> list[RenderableType]:
    """Return one line per file that the user named: how long ago it was last changed."""
    if inputs is None:
        return []
    return [
        Text(f"{PurePath(request.key).name} was last changed {age_text(inputs.asof - payload.fetched_ts)} ago.")
        for request, payload in inputs.payloads.items()
        if request.source == "file" and isinstance(payload, Payload)
    ]


def age_text(age: timedelta) -> str:
    """Return an age in its largest unit: 40 s, 12 min, 3.2 h or 9.1 days."""
    seconds = max(0.0, age.total_seconds())
    for limit, unit, form in ((120, 1, "{:.0f} s"), (7_200, 60, "{:.0f} min"), (172_800, 3_600, "{:.1f} h")):
        if seconds < limit:
            return form.format(seconds / unit)
    return f"{seconds / 86_400:.1f} days"


def markets_report(listing: Listing, shown: pl.DataFrame, view: View, order: str) -> RenderableType:
    """Return the report of a listing. `shown` are markets in readers' units, `order` says how they are sorted."""
    parts: list[RenderableType] = [listing_summary(listing)]
    if shown.is_empty():
        parts += [Text("No market passed every filter:", style="yellow"), funnel_grid(listing.funnel)]
    else:
        parts.append(market_grid(shown, view))
    parts.append(Text(f"{shown.height:,} of {listing.markets.height:,} markets, {order}"))
    return Group(*parts, *_problem_parts(listing, listing.problems))


def coherence_report(listing: Listing, violations: pl.DataFrame, shown: pl.DataFrame) -> RenderableType:
    """Return the report of violations; `shown` are the ones to list, in readers' units."""
    profitable = violations.filter(pl.col("profit_u") > 0).height
    parts: list[RenderableType] = [listing_summary(listing)]
    if not listing.markets.height:
        parts += [Text("No market passed every filter:", style="yellow"), funnel_grid(listing.funnel)]
    parts.append(Text(f"{violations.height:,} violations; {profitable:,} are profitable after fees."))
    parts += [line for row in shown.iter_rows(named=True) for line in _violation_lines(row)]
    return Group(*parts, *_problem_parts(listing, listing.problems))


def plan_report(steps: Sequence[PlannedRequests]) -> RenderableType:
    """Return the requests that would be sent."""
    counts = ["?" if step.requests is None else f"{step.requests:,}" for step in steps]
    return Grid(
        [
            Column("Requests", counts, right=True),
            Column("Path", [step.path for step in steps]),
            Column("Why", [step.why for step in steps], shortest=20, rank=1),
        ]
    )


def opportunity_grid(rows: pl.DataFrame, view: View, value: Value) -> Grid:
    """Return opportunities as a table: what is essential at 60 columns, everything in a wide terminal."""
    if view.columns:
        return Grid(frame_columns(rows.select(view.columns), local=view.local_time))
    dollars, percent = number("{:.3f}"), number("{:.0%}")
    columns = [
        _ticker_column(rows),
        *_texts(rows),
        column(rows, "side", "Side", upper),
        column(rows, "price", "Price $", dollars),
        column(rows, "p", "Model p", dollars, rank=5),
        *(column(rows, name, heading, dollars, rank=4) for name, heading in value.more if name in rows),
        column(rows, "edge_points", "Edge pts", number("{:.1f}"), rank=7),
        column(rows, value.name, value.heading, dollars),
        *(column(rows, name, heading, percent, rank=1) for name, heading in value.rates if name in rows),
        *_advice_columns(rows),
        column(rows, "spread_percent", "Spread %", number("{:.1f}"), rank=9),
        column(rows, "size", "Size", number("{:,.0f}"), rank=6),
        *_times(rows, view),
    ]
    if rows["model"].n_unique() > 1:
        columns.append(column(rows, "model", "Model", rank=8))
    return Grid([*columns, *_question(rows)])


def _ticker_column(rows: pl.DataFrame) -> Column:
    """Return the tickers, linked to their markets, with a mark where an edge is suspect."""
    suspect = rows["suspect"] if "suspect" in rows else [False] * rows.height
    cells = [f"{ticker}{'?' * bool(flag)}" for ticker, flag in zip(rows["ticker"], suspect, strict=True)]
    return Column("Ticker", cells, links=rows["url"].to_list() if "url" in rows else None)


def market_grid(rows: pl.DataFrame, view: View) -> Grid:
    """Return markets as a table."""
    if view.columns:
        return Grid(frame_columns(rows.select(view.columns), local=view.local_time))
    return Grid(
        [
            column(rows, "ticker", "Ticker"),
            *_texts(rows),
            column(rows, "p_bid", "Bid", number("{:.3f}")),
            column(rows, "p_mid", "Mid", number("{:.3f}"), rank=3),
            column(rows, "p_ask", "Ask", number("{:.3f}")),
            column(rows, "spread_percent", "Spread %", number("{:.1f}"), rank=5),
            column(rows, "volume", "Volume", number("{:,.0f}"), rank=4),
            column(rows, "category", "Category", rank=8),
            *_times(rows, view),
            *_question(rows),
        ]
    )


def funnel_grid(steps: Sequence[FunnelStep]) -> Grid:
    """Return how many markets each step kept and dropped."""
    return Grid(
        [
            Column("Step", [step.step for step in steps], shortest=24),
            Column("Kept", [f"{step.kept:,}" for step in steps], right=True),
            Column("Dropped", [f"{step.dropped:,}" for step in steps], right=True),
            Column("Of all", [f"{step.share:.1%}" for step in steps], rank=1, right=True),
        ],
        title="Funnel (markets)",
    )


def listing_summary(listing: Listing) -> Text:
    """Return how many markets were read, how, and what is missing."""
    summary = Text(
        f"{listing.listed:,} markets from {listing.exchange} in {listing.duration_s:.1f} s "
        f"({listing.requests} requests, {listing.retries} retries, {listing.bytes / 1e6:.1f} MB)"
    )
    if listing.books:
        summary.append(
            f"\nOrder books of {listing.books} candidates read; {listing.moved} had moved since the listing."
        )
    for remark in listing.report.notes:
        summary.append(f"\nNote: {sanitize(remark)}.")
    if not listing.complete:
        summary.append(f"\nINCOMPLETE: {sanitize('; '.join(listing.incomplete_reasons))}", style="bold red")
    return summary


def problem_lines(listing: Listing, problems: Sequence[Problem]) -> list[str]:
    """Return a line for each problem, for formats that have no place for them."""
    lines = [sanitize(problem) for problem in problems]
    lines += [f"quarantined {sanitize(row)}" for row in listing.quarantined]
    more = (
        [f"… and {len(lines) - MAX_PROBLEMS:,} more; --format json has them all"] if len(lines) > MAX_PROBLEMS else []
    )
    return lines[:MAX_PROBLEMS] + more


def _texts(rows: pl.DataFrame) -> list[Column]:
    """Return the outcome before the question, because it distinguishes the markets of one event."""
    return [column(rows, "outcome", "Outcome", rank=2, shortest=12)] if "outcome" in rows else []


def _question(rows: pl.DataFrame) -> list[Column]:
    return [column(rows, "title", "Question", rank=10, shortest=16)]


def _times(rows: pl.DataFrame, view: View) -> list[Column]:
    columns = []
    if "decided_at" in rows:
        playing = rows["in_play"] if "in_play" in rows else [False] * rows.height
        cells = [
            view.when(moment) + " (in play)" * bool(plays)
            for moment, plays in zip(rows["decided_at"], playing, strict=True)
        ]
        columns.append(Column(f"Decided {view.zone}", cells, rank=7))
    columns.append(column(rows, "closes_at", f"Closes {view.zone}", view.when, rank=9))
    return columns


def _advice_columns(rows: pl.DataFrame) -> list[Column]:
    known = (
        ("ahead", "Ahead", "{:,.0f}", 6),
        ("best_size", "Best size", "{:,.0f}", 9),
        ("contracts", "Buy", "{:,}", 1),
        ("risk", "Risk $", "{:,.2f}", 3),
        ("held", "Held", "{:,.2f}", 2),
        ("resting", "Resting", "{:,.2f}", 5),
    )
    return [column(rows, name, heading, number(form), rank=rank) for name, heading, form, rank in known if name in rows]


def _remarks(section: Section) -> list[RenderableType]:
    remarks: list[RenderableType] = []
    if "suspect" in section.rows and section.rows["suspect"].any():
        remarks.append(Text(_SUSPECT))
    if "ahead" in section.rows:
        remarks.append(Text(_RESTING))
    if section.more:
        remarks.append(Text(f"… and {section.more:,} more; --top shows more, --output FILE writes all."))
    return remarks


def _misses_grid(misses: pl.DataFrame) -> Grid:
    return Grid(
        [
            column(misses, "ticker", "Ticker"),
            column(misses, "side", "Side", upper),
            column(misses, "missed_by", "Missed by", shortest=20),
        ],
        title="Nearest misses",
    )


def _violation_lines(row: dict[str, object]) -> list[Text]:
    """Return one violation: a line with its numbers, then a line for each leg, so that no ticker is cut."""
    profit, cost, size = (f"{row[name]:,.2f}" for name in ("profit", "cost", "size"))
    head = f"profit ${profit}  cost ${cost}  size {size}  {row['certainty']}  {row['kind']}  {row['event_ticker']}"
    legs = list(row["legs"])  # type: ignore[call-overload]
    lines = [Text(sanitize(head), style="bold")]
    lines += [
        Text(f"  {upper(leg['side']):4}{sanitize(leg['ticker'])}  ${leg['price']:.3f}") for leg in legs[:_MAX_LEGS]
    ]
    if len(legs) > _MAX_LEGS:
        lines.append(Text(f"  and {len(legs) - _MAX_LEGS} more legs; --json has them all"))
    if row["needs"]:
        lines.append(Text(f"  needs: {sanitize(text(row['needs']))}"))
    return lines


def _problem_parts(listing: Listing, problems: Sequence[Problem]) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for name, items in (("problems", problems), ("rows quarantined", listing.quarantined)):
        lines = [sanitize(item) for item in items]
        if lines:
            more = (
                [f"… and {len(lines) - MAX_PROBLEMS:,} more; the JSON has them all"]
                if len(lines) > MAX_PROBLEMS
                else []
            )
            parts.append(Text("\n  ".join([f"{len(lines):,} {name}:", *lines[:MAX_PROBLEMS], *more]), style="yellow"))
    return parts

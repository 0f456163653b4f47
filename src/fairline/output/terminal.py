"""What a person at a terminal sees: tables of a scan, a listing, a plan and broken rules."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import polars as pl
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fairline.market.frame import NOTIONAL_U
from fairline.market.funnel import FunnelStep
from fairline.market.listing import Listing
from fairline.market.plan import PlannedRequests
from fairline.market.problem import Problem
from fairline.models.curve import Curves
from fairline.models.pool import Pool
from fairline.output.tables import market_table, opportunity_table, unproven_table
from fairline.scanner import Evaluation, full_funnel
from fairline.scoring.metrics import Interval
from fairline.scoring.scorecard import Scorecard
from fairline.text import sanitize

_NEAREST = 2
"""How many of each bin's nearest misses are shown."""
_SUSPECT = "? An edge as large as this is more likely a bug in the model or its data than a bargain; such come last."
_Column = tuple[str, str, Callable[[Any], str]]
"""A column of opportunities: its heading, its name in the table, and how a value is shown."""


def _fixed(decimals: int) -> Callable[[Any], str]:
    return lambda value: f"{value:,.{decimals}f}"


def _percent(value: float) -> str:
    return f"{value:,.0%}" if abs(value) < 100 else ">9,999%"


_FIRST: tuple[_Column, ...] = (("Side", "side", str.upper), ("Price", "price", _fixed(3)), ("Model", "p", _fixed(3)))
_LAST: tuple[_Column, ...] = (
    ("Spread %", "spread_percent", _fixed(1)),
    ("Size", "size", _fixed(0)),
    ("Decided", "decided_at", lambda value: f"{value:%Y-%m-%d %H:%M}"),
)
_BELIEVED_COLUMNS: tuple[_Column, ...] = (
    *_FIRST,
    ("Believed", "p_believed", _fixed(3)),
    ("EV $", "believed_ev_per_contract", _fixed(3)),
    ("Yearly", "yearly_return", _percent),
    *_LAST,
)
_UNPROVEN_COLUMNS: tuple[_Column, ...] = (
    *_FIRST,
    ("Edge pts", "edge_points", _fixed(1)),
    ("Claimed $", "ev_per_contract", _fixed(3)),
    *_LAST,
)
_ADVICE: tuple[_Column, ...] = (
    ("Ahead", "ahead", _fixed(0)),
    ("Best size", "best_size", _fixed(0)),
    ("Buy", "contracts", _fixed(0)),
    ("Risk $", "risk", _fixed(2)),
)
_BELIEVED = "Believed: passes every threshold, by what the models' records support"
_UNPROVEN = "Unproven: passes the thresholds on the model's own numbers only"
_UNPROVEN_NOTE = "No record supports these yet, so nothing is promised and nothing staked. See docs/pricing.md."
_SHOWN = 8
"""How many problems and quarantined rows are shown; the JSON has all of them."""


def scan_report(listing: Listing, evaluation: Evaluation, top: int = 20) -> RenderableType:
    """What a person at a terminal sees of a scan."""
    believed, unproven = evaluation.opportunities, evaluation.unproven
    parts: list[RenderableType] = [_summary(listing)]
    if believed.is_empty() and unproven.is_empty():
        parts.append(Text("No market passed every step; the funnel shows where they went.", style="yellow"))
    elif believed.is_empty():
        parts.append(Text("Believed: nothing. No record supports what the models flag.", style="yellow"))
    else:
        rows = opportunity_table(believed.head(top), listing.exchange, evaluation.advice)
        parts += [_opportunities(rows, _BELIEVED, _BELIEVED_COLUMNS), *_opportunity_notes(believed)]
        if believed.height > top:
            parts.append(Text(f"… and {believed.height - top:,} more; --top shows more, --output FILE writes all."))
    if not unproven.is_empty():
        shown = unproven_table(listing, evaluation)
        parts += [Text(), _opportunities(shown, _UNPROVEN, _UNPROVEN_COLUMNS), Text(_UNPROVEN_NOTE)]
        if unproven.height > shown.height:
            parts.append(Text(f"… and {unproven.height - shown.height:,} more unproven."))
    parts.append(_funnel(full_funnel(listing, evaluation)))
    if not evaluation.nearest_misses.is_empty():
        nearest = evaluation.nearest_misses.with_columns(pl.int_range(pl.len()).over("bin").alias("rank"))
        parts.append(_misses(nearest.filter(pl.col("rank") < _NEAREST)))
    parts += _troubles(listing, (*listing.problems, *evaluation.problems))
    return Group(*parts)


def markets_report(listing: Listing, top: int = 40) -> RenderableType:
    """What a person at a terminal sees of a listing."""
    table = Table(box=None, pad_edge=False)
    for name in ("Ticker", "Category", "Outcome"):
        table.add_column(name, overflow="ellipsis", no_wrap=True, max_width=36)
    for name in ("Bid", "Mid", "Ask", "Spread %", "Volume", "Decided", "Closes"):
        table.add_column(name, justify="right", no_wrap=True)
    rows = market_table(listing.markets.sort("volume_24h_cc", descending=True, nulls_last=True).head(top))
    for row in rows.iter_rows(named=True):
        table.add_row(
            row["ticker"],
            row["category"] or "–",
            sanitize(row["title"] or "–"),
            _share(row["p_bid"]),
            _share(row["p_mid"]),
            _share(row["p_ask"]),
            "–" if row["spread_percent"] is None else f"{row['spread_percent']:.1f}",
            "–" if row["volume"] is None else f"{row['volume']:,.0f}",
            _when(row["decided_at"]),
            _when(row["closes_at"]),
        )
    shown = f"{min(top, listing.markets.height):,} of {listing.markets.height:,} markets, most traded today first"
    return Group(_summary(listing), table, Text(shown), *_troubles(listing, listing.problems))


def history_report(quotes: pl.DataFrame, edges: pl.DataFrame) -> RenderableType:
    """A market's last quotes, and when it was an opportunity."""
    last = quotes.tail(1).to_dicts()[0]
    bid, ask = (None if last[name] is None else last[name] / NOTIONAL_U for name in ("yes_bid_u", "yes_ask_u"))
    words = f"{quotes.height:,} changes; at {last['seen_ts']:%Y-%m-%d %H:%M} UTC bid {_share(bid)}, ask {_share(ask)}"
    shown = edges.select(
        seen="seen_ts", change="change", side="side", model="model", price=pl.col("price_u") / NOTIONAL_U,
        p=pl.col("p").round(4), edge_points="edge_points", reason="reason",
    )  # fmt: skip
    return Group(Text(words), plain_table(shown.tail(20)) if shown.height else Text("Never an opportunity."))


def scorecard_report(card: Scorecard) -> RenderableType:
    """What was claimed against what came of it, for a terminal."""
    head = f"Of what was flagged or priced, {card.decided:,} ended YES or NO, {card.scalar:,} in between, "
    head += f"{card.undecided:,} without a value"
    money = Table(box=None, pad_edge=False, title="Flagged, one contract each", title_justify="left")
    for name in ("", "", "Flagged", "Decided", "Events", "Claimed $", "Promised $", "Realised $", "95 % interval"):
        money.add_column(name, justify="left" if not name else "right")
    for row in card.opportunities:
        made = row.realised
        money.add_row(
            row.what, row.name, f"{row.flagged:,}", f"{row.decided:,}", "–" if made is None else f"{made.clusters:,}",
            "–" if row.claimed is None else f"{row.claimed.mean:+.4f}",
            "–" if row.promised is None else f"{row.promised.mean:+.4f}", *_told(made),
        )  # fmt: skip
    losses = Table(box=None, pad_edge=False, title="Models beside the market's price", title_justify="left")
    for name in ("Model", "n", "Brier", "Market", "Difference", "95 % interval", "Log loss", "Market "):
        losses.add_column(name, justify="left" if name == "Model" else "right")
    for each in card.models:
        if each.brier is not None and each.market_brier is not None and each.log_loss and each.market_log_loss:
            losses.add_row(
                each.model, f"{each.brier.n:,}", f"{each.brier.mean:.4f}", f"{each.market_brier.mean:.4f}",
                *_told(each.brier_difference), f"{each.log_loss.mean:.4f}", f"{each.market_log_loss.mean:.4f}",
            )  # fmt: skip
    shown = card.reliability.select(
        "model", said=pl.col("p").round(3), happened=pl.col("frequency").round(3), low=pl.col("low").round(3),
        high=pl.col("high").round(3), n="n",
    )  # fmt: skip
    parts: list[RenderableType] = [Text(head), money]
    parts += [losses, plain_table(shown)] if card.models else [Text("No model has priced a market that is decided.")]
    return Group(*parts)


def curves_report(curves: Curves) -> RenderableType:
    """What was fitted, and whether it is worth more than the price."""
    if not curves.curves:
        return Text(
            "There are too few settled markets yet: a curve takes 200 events that were quoted before they closed."
        )
    table = Table(box=None, pad_edge=False)
    for name in (
        "Category, hours before the close",
        "n",
        "Events",
        "Gain in log loss",
        "95 % interval",
        "Beats the price",
    ):
        table.add_column(name, justify="right" if name in ("n", "Events", "Gain in log loss") else "left")
    for name, curve in curves.curves.items():
        told = "yes" if curve.beats_price else "no: such markets stay unpriced"
        table.add_row(
            name,
            f"{curve.n:,}",
            f"{curve.events:,}",
            f"{curve.gain:+.4f}",
            f"{curve.low:+.4f} to {curve.high:+.4f}",
            told,
        )
    return table


def pool_report(pool: Pool) -> RenderableType:
    """What each voice was worth beside the price, and whether the whole was worth anything."""
    if not any(voice.weight for voice in pool.opinions):
        return Text(f"No model was worth anything beside the price, or too few are settled yet ({pool.events} events).")
    table = Table(box=None, pad_edge=False)
    for name in ("Voice", "Weight", "Standard error"):
        table.add_column(name, justify="left" if name == "Voice" else "right")
    for voice in pool.opinions:
        table.add_row(" + ".join(voice.models), f"{voice.weight:.2f}", f"{voice.error:.2f}")
    told = "beats the price" if pool.beats_price else "does not beat the price, and prices nothing"
    gain = f"{pool.gain:+.4f} ({pool.low:+.4f} to {pool.high:+.4f})"
    return Group(table, Text(f"\nGain in log loss on {pool.events:,} events left out of the fit: {gain}: {told}."))


def plain_table(rows: pl.DataFrame) -> Table:
    """Any frame as it is."""
    table = Table(box=None, pad_edge=False)
    for name, dtype in rows.schema.items():
        table.add_column(name, justify="right" if dtype.is_numeric() else "left")
    for row in rows.iter_rows():
        table.add_row(*(_cell(value) for value in row))
    return table


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "–" if value is None else f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else sanitize(value)


def _told(made: Interval | None) -> tuple[str, str]:
    if made is None:
        return "–", "–"
    return f"{made.mean:+.4f}", "one event" if made.clusters < 2 else f"{made.low:+.4f} to {made.high:+.4f}"


def plan_report(steps: Sequence[PlannedRequests]) -> RenderableType:
    """What would be asked, for a terminal."""
    table = Table(box=None, pad_edge=False)
    table.add_column("Requests", justify="right")
    table.add_column("Path")
    table.add_column("Why")
    for step in steps:
        table.add_row("?" if step.requests is None else f"{step.requests:,}", step.path, step.why)
    return table


def coherence_report(listing: Listing, found: pl.DataFrame, shown: pl.DataFrame) -> RenderableType:
    """Broken rules for a terminal."""
    profitable = found.filter(pl.col("profit_u") > 0).height
    words = f"{found.height:,} quotes break a rule; {profitable:,} of them after fees."
    table = Table(box=None, pad_edge=False, expand=True)
    for name in ("Profit $", "Cost $", "Size"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("Certainty", "Rule"):
        table.add_column(name, no_wrap=True)
    table.add_column("Legs", no_wrap=True, overflow="ellipsis", ratio=1)
    for row in shown.iter_rows(named=True):
        legs = ", ".join(f"{leg['side'].upper()} {leg['ticker']}" for leg in row["legs"][:3])
        more = f" and {len(row['legs']) - 3} more" if len(row["legs"]) > 3 else ""
        size, cost = row["size_cc"] / 100, (row["cost_u"] + row["fee_u"]) / NOTIONAL_U
        needs = f" (needs: {row['needs']})" if row["needs"] else ""
        numbers = [f"{number:,.2f}" for number in (row["profit_u"] / NOTIONAL_U, cost, size)]
        table.add_row(*numbers, row["certainty"], row["kind"], legs + more + needs)
    return Group(_summary(listing), Text(words), table, *_troubles(listing, listing.problems))


def trouble_lines(listing: Listing, problems: Sequence[Problem]) -> list[str]:
    """A line for each thing that did not work, for where the format itself has no place for them."""
    lines = [sanitize(problem) for problem in problems]
    lines += [f"quarantined {row}" for row in listing.quarantined]
    more = [f"… and {len(lines) - _SHOWN:,} more; --format json has them all"] if len(lines) > _SHOWN else []
    return lines[:_SHOWN] + more


def _summary(listing: Listing) -> Text:
    text = Text(
        f"{listing.listed:,} markets from {listing.exchange} in {listing.duration_s:.1f} s "
        f"({listing.requests} requests, {listing.retries} retries, {listing.bytes / 1e6:.1f} MB)"
    )
    if listing.books:
        text.append(f"\nOrder books of {listing.books} candidates read; {listing.moved} had moved since the listing.")
    for remark in listing.report.notes:
        text.append(f"\nNote: {remark}.")
    if not listing.complete:
        text.append(f"\nINCOMPLETE: {'; '.join(listing.incomplete_reasons)}", style="bold red")
    return text


def _opportunity_notes(rows: pl.DataFrame) -> list[RenderableType]:
    notes: list[RenderableType] = []
    if rows["suspect"].any():
        notes.append(Text(_SUSPECT))
    if "ahead_cc" in rows.columns:
        notes.append(Text("Prices are bids to join. EV holds only if filled, and bad news fills bids most readily."))
    return notes


def _opportunities(rows: pl.DataFrame, title: str, columns: Sequence[_Column]) -> Table:
    # The question gives way, not the numbers.
    table = Table(box=None, pad_edge=False, expand=True, title=title, title_justify="left")
    table.add_column("Ticker", no_wrap=True, overflow="ellipsis", max_width=34)
    shown = [*columns, *(column for column in _ADVICE if column[1] in rows.columns)]
    for heading, _, _ in shown:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Question", no_wrap=True, overflow="ellipsis", ratio=1)
    for row in rows.iter_rows(named=True):
        cells = ["–" if row[name] is None else form(row[name]) for _, name, form in shown]
        mark = "?" * bool(row["suspect"]) + " (in play)" * bool(row["in_play"])
        table.add_row(row["ticker"] + mark, *cells, sanitize(row["title"]))
    return table


def _funnel(steps: Sequence[FunnelStep]) -> Table:
    table = Table(box=None, pad_edge=False, title="Funnel (markets)", title_justify="left")
    table.add_column("Step")
    table.add_column("Kept", justify="right")
    table.add_column("Dropped", justify="right")
    table.add_column("Of all", justify="right")
    for step in steps:
        table.add_row(step.step, f"{step.kept:,}", f"{step.dropped:,}", f"{step.share:.1%}")
    return table


def _misses(misses: pl.DataFrame) -> Table:
    table = Table(box=None, pad_edge=False, title="Nearest misses", title_justify="left")
    table.add_column("Ticker", no_wrap=True)
    table.add_column("Side")
    table.add_column("Missed by")
    for ticker, side, by in misses.select("ticker", "side", "missed_by").iter_rows():
        table.add_row(ticker, side.upper(), by)
    return table


def _troubles(listing: Listing, problems: Sequence[Problem]) -> list[RenderableType]:
    lines = [str(problem) for problem in problems]
    found: list[RenderableType] = []
    for words, items in (("problems", lines), ("rows quarantined", [sanitize(row) for row in listing.quarantined])):
        if items:
            more = [f"… and {len(items) - _SHOWN:,} more; the JSON has them all"] if len(items) > _SHOWN else []
            found.append(Text("\n  ".join([f"{len(items):,} {words}:", *items[:_SHOWN], *more]), style="yellow"))
    return found


def _share(p: float | None) -> str:
    return "–" if p is None else f"{p:.3f}"


def _when(moment: datetime | None) -> str:
    return "–" if moment is None else f"{moment:%Y-%m-%d %H:%M}"

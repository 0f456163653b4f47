"""A self-contained web page about a period of watching: current offers, changes, results, funnel, health, charts."""

import html
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from fairline.market.frame import NOTIONAL_U
from fairline.market.labels import page_address
from fairline.output import charts
from fairline.output.current import read_current
from fairline.pricing.steps import failure_text
from fairline.scoring.metrics import Interval
from fairline.scoring.scorecard import Scorecard, read_scorecard
from fairline.store.store import Store

_MAX_ROWS = 60
_OFFER = (
    "Ticker", "Outcome and question", "Side", "Model", "#Price $", "#Model p", "#Edge pts", "#EV $", "#Believed EV $",
)  # fmt: skip
_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2430; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.85rem; }
th, td { text-align: left; padding: 0.25rem 0.6rem 0.25rem 0; border-bottom: 1px solid #e3e7ee; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.bad { color: #c4432b; } .quiet { color: #6b7586; } svg { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
"""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def report_page(store: Store, since: datetime, until: datetime, exchange: str) -> str:
    """Return HTML without scripts or requests, with all text of the exchange escaped. Raises `StoreError`."""
    scans, edges = store.read("scans", since=since, until=until), store.read("edges", since=since, until=until)
    card = read_scorecard(store, since)
    parts = [
        f"<h1>Fairline, {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC</h1>",
        f'<p class="quiet">{_safe(exchange)} · {store.size_bytes() / 1e6:,.1f} MB stored</p>',
        f"<h2>On offer now</h2>{_current_offers(store, exchange)}",
        _health(scans),
        f"<h2>Opportunities that appeared</h2>{_changes(edges, 'appeared', exchange)}",
        f"<h2>Opportunities that ended, and why</h2>{_departures(edges)}",
        f"<h2>Results</h2>{_card(card)}",
        f"<h2>Funnel</h2>{_funnel(scans)}",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width, initial-scale=1"><title>Fairline</title>'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def history_page(ticker: str, title: str, quotes: pl.DataFrame, predictions: pl.DataFrame, edges: pl.DataFrame) -> str:
    """Return a market's history as a page."""
    drawn = charts.as_svg(charts.history_figure(ticker, quotes, predictions, edges))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_safe(ticker)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{_safe(ticker)}</h1><p>{_safe(title)}</p>{drawn}"
        f"<h2>Opportunities</h2>{_changes(edges, None, '')}</body></html>\n"
    )


def _current_offers(store: Store, exchange: str) -> str:
    current = read_current(store, exchange)
    if current.scanned_ts is None:
        return '<p class="quiet">No scan was recorded yet.</p>'
    summary = f"As of the last scan, {current.scanned_ts:%Y-%m-%d %H:%M:%S} UTC ({_safe(current.outcome)})."
    rows = [
        [_link(row), row["title"], row["side"].upper(), row["model"], _figure(row["price"], 1, 3),
         _figure(row["p"], 1, 3), _figure(row["edge_points"], 1, 1), _figure(row["ev_per_contract"], 1, 3),
         _figure(row["believed_ev_per_contract"], 1, 3)]
        for row in current.opportunities.head(_MAX_ROWS).to_dicts()
    ]  # fmt: skip
    table = _table(_OFFER, rows) + _more(current.opportunities.height) if rows else '<p class="quiet">Nothing.</p>'
    return f"<p>{summary}</p>{table}"


def _health(scans: pl.DataFrame) -> str:
    if scans.is_empty():
        return '<p class="bad">No scan was recorded in this time.</p>'
    counts = dict(scans.group_by("outcome").len().sort("outcome").iter_rows())
    outcomes = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    unusual = scans.filter(pl.col("outcome").is_in(["failed", "incomplete", "paused"])).tail(10)
    rows = [[f"{row['seen_ts']:%m-%d %H:%M:%S}", row["outcome"], row["detail"]] for row in unusual.to_dicts()]
    troubles = _table(["When (UTC)", "Outcome", "Why"], rows) if rows else "<p>Every scan was complete.</p>"
    drawn = charts.as_svg(charts.scans_figure(scans)), charts.as_svg(charts.opportunities_figure(scans))
    return f"<h2>Health</h2><p>{scans.height:,} scans: {_safe(outcomes)}.</p>{troubles}" + "".join(drawn)


def _changes(edges: pl.DataFrame, change: str | None, exchange: str) -> str:
    """Return a table of what appeared, once each with how often; without `change`, of every change."""
    linked = edges.with_columns(url=page_address(exchange))
    wanted = linked if change is None else linked.filter(pl.col("change") == change)
    if wanted.is_empty():
        return '<p class="quiet">Nothing.</p>'
    key = ["ticker", "side", "model"]
    times = wanted.group_by(key).len("times")
    shown = wanted if change is None else wanted.unique(key, keep="last", maintain_order=True).join(times, on=key)
    shown = shown if change is None else shown.sort("ev_per_dollar", descending=True, nulls_last=True)
    rows = [
        [f"{row['seen_ts']:%m-%d %H:%M}", row["change"] if change is None else f"{row['times']:,} ×", _link(row),
         row["title"], row["side"].upper(), row["model"], _figure(row["price_u"], NOTIONAL_U, 3),
         _figure(row["p"], 1, 3),
         _figure(row["edge_points"], 1, 1), _figure(row["ev_u"], NOTIONAL_U, 3),
         _figure(row["believed_ev_u"], NOTIONAL_U, 3)]
        for row in shown.head(_MAX_ROWS).to_dicts()
    ]  # fmt: skip
    return _table(["When (UTC)", "", *_OFFER], rows) + _more(shown.height)


def _more(count: int) -> str:
    return f'<p class="quiet">… and {count - _MAX_ROWS:,} more.</p>' if count > _MAX_ROWS else ""


def _departures(edges: pl.DataFrame) -> str:
    gone = edges.filter(pl.col("change") == "gone")
    if gone.is_empty():
        return '<p class="quiet">Nothing.</p>'
    counts = gone.group_by("reason").len().sort("len", descending=True)
    return _table(["Reason", "#Count"], [[failure_text(reason), f"{count:,}"] for reason, count in counts.iter_rows()])


def _card(card: Scorecard) -> str:
    rows = [
        [
            f.what,
            f.name,
            f"{f.flagged:,}",
            f"{f.decided:,}",
            _range(f.claimed, bare=True),
            _range(f.promised, bare=True),
            _range(f.realised),
        ]
        for f in card.opportunities
    ]
    tables = _table(["", "", "#Flagged", "#Decided", "#Claimed $", "#Promised $", "#Realised $ (95 %)"], rows)
    judged = [
        [j.model, f"{j.brier.n:,}", _range(j.brier, bare=True), _range(j.market_brier, bare=True),
         _range(j.brier_difference)]
        for j in card.models if j.brier is not None
    ]  # fmt: skip
    if judged:
        tables += _table(["Model", "#n", "#Brier", "#Market's Brier", "#Difference (95 %)"], judged)
        tables += charts.as_svg(charts.reliability_figure(card.reliability))
    return tables


def _funnel(scans: pl.DataFrame) -> str:
    last = scans.filter(pl.col("funnel").is_not_null()).tail(1)
    if last.is_empty():
        return '<p class="quiet">No scan finished.</p>'
    return charts.as_svg(charts.funnel_figure(json.loads(last["funnel"][0])))


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table; columns whose head begins with # are numbers."""
    kinds = [' class="n"' if head.startswith("#") else "" for head in heads]
    head = "".join(f"<th{kind}>{_safe(text.lstrip('#'))}</th>" for text, kind in zip(heads, kinds, strict=True))
    body = "".join(f"<tr>{''.join(map(_cell, row, kinds))}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(content: object, kind: str) -> str:
    return f"<td{kind}>{content if isinstance(content, Markup) else _safe(content)}</td>"


def _range(interval: Interval | None, *, bare: bool = False) -> str:
    if interval is None:
        return "–"
    if bare or interval.clusters < 2:
        return f"{interval.mean:+.4f}"
    return f"{interval.mean:+.4f} ({interval.low:+.4f} to {interval.high:+.4f})"


def _figure(value: float | None, scale: float, digits: int) -> str:
    return "–" if value is None else f"{value / scale:.{digits}f}"


def _link(row: dict[str, Any]) -> Markup | str:
    ticker, address = row["ticker"], row["url"]
    return Markup(f'<a href="{_safe(address)}">{_safe(ticker)}</a>') if address else ticker


def _safe(text: object) -> str:
    return html.escape("" if text is None else str(text))

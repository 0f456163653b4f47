"""A backtest as one self-contained page: no script, no request, at most a megabyte."""

import html
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from fairline.output import charts
from fairline.output.backtest_text import backtest_text
from fairline.output.equity import equity_figure

Document = Mapping[str, Any]

MAX_TRADES = 500
"""Trades on the page; all of them are in the Parquet output."""
MAX_POINTS = 400
"""Points of an equity curve."""

_STYLE = """
:root { color-scheme: light dark; --line: #d7dce5; --quiet: #5b6576; }
@media (prefers-color-scheme: dark) { :root { --line: #394150; --quiet: #9aa5b8; } .chart { background: #fff; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-size: 0.85rem; width: 100%; }
th, td { text-align: left; padding: 0.25rem 0.7rem 0.25rem 0; border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.wide { overflow-x: auto; } .quiet { color: var(--quiet); } pre { overflow-x: auto; font-size: 0.8rem; }
.leak { border: 2px solid #c4432b; padding: 0.6rem 1rem; } svg { max-width: 100%; height: auto; }
"""


def backtest_page(document: Document, trades: pl.DataFrame) -> str:
    """Return a backtest's document and its trades (`BacktestReport.trades`) as a page. Everything is escaped."""
    run = document["run"]
    models = ", ".join(f"{name} {version}" for name, version in run["models"].items())
    parts = [
        f"<h1>Backtest of {_safe(models)}</h1>",
        f'<p class="quiet">{_safe(run["since"][:16])} to {_safe(run["until"][:16])} UTC, every '
        f"{_safe(run['options']['every'])}, run {_safe(run['id'])}</p>",
        _proof(document["proof"]),
    ]
    for account in document["accounts"]:
        parts += _account(account, trades)
    parts += ["<h2>Models against the price</h2>", _models(document["models"]), _reliability(document["reliability"])]
    parts += ["<h2>Everything in words</h2>", f"<pre>{_safe(backtest_text(document))}</pre>"]
    parts += [
        "<h2>Options</h2>",
        _table(["Option", "Value"], [[name, value] for name, value in run["options"].items()]),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width, initial-scale=1"><title>Backtest of {_safe(models)}</title>'
        f"<style>{_STYLE}</style></head><body><main>\n" + "\n".join(parts) + "\n</main></body></html>\n"
    )


def _proof(proof: Document | None) -> str:
    if proof is None:
        return '<p class="quiet">Look-ahead was not tested.</p>'
    if proof["leak"]:
        return f'<p class="leak">Leak: {_safe(proof["leak"])}</p>'
    return f"<p>No look-ahead: {proof['instants']} instants are the same without their future.</p>"


def _account(account: Document, trades: pl.DataFrame) -> list[str]:
    title = f"<h2>{_safe(account['book'].capitalize())} ({_safe(account['fills'])})</h2>"
    everything = next((line for line in account["lines"] if line["name"] == "all"), None)
    if everything is None:
        return [title, "<p>No order was placed.</p>"]
    own_trades = trades.filter((pl.col("book") == account["book"]) & (pl.col("fills") == account["fills"]))
    return [
        title,
        f"<p>{everything['orders']:,} orders, {everything['filled']:,} filled, {everything['settled']:,} settled in "
        f"{everything['events']:,} events. Fills: {_safe(account['quality'])}.</p>",
        _equity(own_trades),
        _lines(account["lines"]),
        _trades(own_trades),
    ]


def _equity(trades: pl.DataFrame) -> str:
    """Draw the profit of the settled trades in order of settlement, beside what each baseline would have earned."""
    settled = trades.drop_nulls(["profit", "settled_ts"]).sort("settled_ts")
    if settled.is_empty():
        return ""
    return f'<div class="chart">{charts.as_svg(equity_figure(settled, MAX_POINTS))}</div>'


def _lines(lines: Sequence[Document]) -> str:
    heads = ["Group", "#Settled", "#Events", "#Promised $", "#Realised $", "#95 % by event", "#Raw promise $"]
    rows = [
        [
            f"{line['group']}: {line['name']}",
            f"{line['settled']:,}",
            f"{line['events']:,}",
            _mean(line["promised"]),
            _mean(line["realised"]),
            _ends(line["realised"]),
            _mean(line["raw_promised"]),
        ]
        for line in lines
    ]
    return _table(heads, rows)


def _models(models: Sequence[Document]) -> str:
    heads = ["Model", "#n", "#Events", "#Brier", "#Market's Brier", "#Difference (95 % by event)"]
    rows = [
        [
            model["model"],
            f"{model['brier']['n']:,}",
            f"{model['brier']['events']:,}",
            f"{model['brier']['mean']:.4f}",
            f"{model['market_brier']['mean']:.4f}",
            _ends(model["brier_difference"]),
        ]
        for model in models
        if model["brier"] is not None
    ]
    return _table(heads, rows) if rows else "<p>No priced market with both quotes has settled.</p>"


def _reliability(bins: Sequence[Document]) -> str:
    if not bins:
        return ""
    return f'<div class="chart">{charts.as_svg(charts.reliability_figure(pl.DataFrame(bins)))}</div>'


def _trades(trades: pl.DataFrame) -> str:
    heads = [
        "Decided (UTC)",
        "Ticker",
        "Side",
        "Model",
        "#Contracts",
        "#Price $",
        "#Fee $",
        "#p",
        "Outcome",
        "#Profit $",
    ]
    rows = [
        [
            _moment(row["decided_ts"]),
            row["ticker"],
            row["side"].upper(),
            row["model"],
            _number(row["contracts"], 0),
            _number(row["price"], 3),
            _number(row["fee"], 4),
            _number(row["p"], 3),
            row["outcome"],
            _number(row["profit"], 2),
        ]
        for row in trades.head(MAX_TRADES).iter_rows(named=True)
    ]
    more = trades.height - MAX_TRADES
    rest = f'<p class="quiet">… and {more:,} more; --output run.parquet writes all.</p>' if more > 0 else ""
    return f"<details><summary>Trades</summary>{_table(heads, rows)}{rest}</details>"


def _mean(interval: Document | None) -> str:
    return "–" if interval is None else f"{interval['mean']:+.4f}"


def _ends(interval: Document | None) -> str:
    if interval is None or interval["low"] is None or interval["high"] is None:
        return "–"
    return f"{interval['low']:+.4f} to {interval['high']:+.4f}"


def _number(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:,.{decimals}f}"


def _moment(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; a head that begins with # is a column of numbers."""
    numeric = [head.startswith("#") for head in heads]
    head_cells = "".join(
        f'<th scope="col"{_CLASS[is_number]}>{_safe(head.lstrip("#"))}</th>'
        for head, is_number in zip(heads, numeric, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{_CLASS[is_number]}>{_safe(cell)}</td>" for cell, is_number in zip(row, numeric, strict=True))
        + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head_cells}</tr></thead><tbody>{body}</tbody></table></div>'


_CLASS = {True: ' class="n"', False: ""}


def _safe(text: object) -> str:
    return html.escape(str(text))

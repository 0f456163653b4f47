"""Charts of recorded data: prices over time, reliability, scans. They need the extra `charts`."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from fairline.errors import UsageError
from fairline.extras import need

_INK, _MARKET, _MODEL, _GOOD, _BAD = "#1c2430", "#8a94a6", "#2364d2", "#1a7f5a", "#c4432b"
_SIZE = (9.0, 3.2)


def history_figure(ticker: str, quotes: pl.DataFrame, predictions: pl.DataFrame, edges: pl.DataFrame) -> Any:
    """Draw bid and ask as a band, each model's probability as steps, and a mark for each opportunity."""
    figure, axes = create_axes(ticker, "price of YES ($), probability")
    axes.set_xlabel("time (UTC)", fontsize=8)
    times = quotes["seen_ts"].to_list()
    bid, ask = ((quotes[name] / 1e6).to_list() for name in ("yes_bid_u", "yes_ask_u"))
    axes.fill_between(times, _numbers(bid), _numbers(ask), step="post", color=_MARKET, alpha=0.35, label="bid to ask")
    for (model,), rows in predictions.group_by("model", maintain_order=True):
        # The last probability holds until the end, also if it is the only one.
        until = max(times[-1], rows["seen_ts"][-1])
        moments, values = [*rows["seen_ts"], until], [*rows["p"], rows["p"][-1]]
        axes.step(moments, values, where="post", label=f" {model}")
    flagged = edges.filter(pl.col("change") != "gone")
    for side, mark in (("yes", "^"), ("no", "v")):
        marked = flagged.filter(pl.col("side") == side)
        price = marked["price_u"] / 1e6
        at = price if side == "yes" else 1 - price
        if marked.height:
            axes.plot(marked["seen_ts"].to_list(), at.to_list(), mark, color=_GOOD, label=f"{side.upper()} flagged")
    axes.set_ylim(0, 1)
    _legend(axes)
    return figure


def reliability_figure(reliability: pl.DataFrame) -> Any:
    """Draw predicted probabilities and how often the outcome happened, with its interval."""
    figure, axes = create_axes(
        "Predicted probability and observed frequency", "frequency", size=(4.6, 4.2), dates=False
    )
    axes.plot([0, 1], [0, 1], color=_MARKET, linewidth=1)
    for (model,), rows in reliability.group_by("model", maintain_order=True):
        p, seen = rows["p"].to_numpy(), rows["frequency"].to_numpy()
        reach = [seen - rows["low"].to_numpy(), rows["high"].to_numpy() - seen]
        axes.errorbar(p, seen, yerr=reach, fmt="o", markersize=4, capsize=2, label=f" {model}")
    axes.set_xlabel("predicted probability")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    if reliability.height:
        _legend(axes)
    return figure


def scans_figure(scans: pl.DataFrame) -> Any:
    """Draw how long each scan took, colored by outcome."""
    figure, axes = create_axes("Scans", "seconds")
    for outcome, colour in (("done", _MODEL), ("incomplete", "#d98e04"), ("failed", _BAD), ("paused", _MARKET)):
        rows = scans.filter(pl.col("outcome") == outcome)
        if rows.height:
            axes.plot(rows["seen_ts"].to_list(), _numbers(rows["duration_s"].fill_null(0.0).to_list()), ".",
                      color=colour, label=f"{outcome} ({rows.height:,})")  # fmt: skip
    axes.set_ylim(bottom=0)
    _legend(axes)
    return figure


def opportunities_figure(scans: pl.DataFrame) -> Any:
    """Draw the number of opportunities of each scan."""
    figure, axes = create_axes("Opportunities", "count")
    rows = scans.filter(pl.col("kept").is_not_null())
    axes.step(rows["seen_ts"].to_list(), rows["kept"].to_list(), where="post", color=_GOOD)
    axes.fill_between(rows["seen_ts"].to_list(), rows["kept"].to_list(), step="post", color=_GOOD, alpha=0.15)
    axes.set_ylim(bottom=0)
    return figure


def funnel_figure(funnel: Sequence[dict[str, Any]]) -> Any:
    """Draw how many markets remained after each step."""
    figure, axes = create_axes("Funnel of the last scan", "", size=(9.0, 0.3 * max(6, len(funnel)) + 0.6), dates=False)
    steps = [str(row["step"]) for row in funnel][::-1]
    counts = [int(row["kept"]) for row in funnel][::-1]
    bars = axes.barh(steps, counts, color=_MODEL)
    axes.bar_label(bars, labels=[f" {count:,}" for count in counts], fontsize=8, color=_INK)
    axes.margins(x=0.12)
    return figure


def as_svg(figure: Any) -> str:
    """Return the figure as SVG for a page, with text as text."""
    buffer = io.StringIO()
    with need("matplotlib", "charts").rc_context({"svg.fonttype": "none", "svg.hashsalt": "fairline"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def as_png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def write_figure(figure: Any, path: Path) -> bytes:
    """Return the content of a PNG or SVG file, by the name's suffix. Raises `UsageError` for another suffix."""
    suffix = path.suffix.lower()
    if suffix == ".png":
        return as_png(figure)
    if suffix == ".svg":
        return as_svg(figure).encode()
    raise UsageError(f"{path} is neither .png, .svg nor .html", remedy="Name it so")


def _legend(axes: Any) -> None:
    """Add a legend with names as they are: a dollar sign must not become a formula."""
    legend = axes.legend(loc="lower right", bbox_to_anchor=(1, 1), fontsize=8, frameon=False, ncols=4)
    for text in legend.get_texts():
        text.set_parse_math(False)


def create_axes(title: str, unit: str, size: tuple[float, float] = _SIZE, *, dates: bool = True) -> tuple[Any, Any]:
    """Return a figure with one plot and its axes."""
    figure = need("matplotlib.figure", "charts").Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    # A title comes from the exchange: a dollar sign in it must not become a formula.
    axes.set_title(title, loc="left", fontsize=10, color=_INK, parse_math=False)
    axes.set_ylabel(unit, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    if dates:
        ticks = need("matplotlib.dates", "charts")
        locator = ticks.AutoDateLocator()
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ticks.ConciseDateFormatter(locator))
    return figure, axes


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]

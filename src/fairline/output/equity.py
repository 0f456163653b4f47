"""Profit over time, with its uncertainty, beside what other ways to trade the same markets would have earned."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from fairline.output.charts import create_axes

_REACH = 1.959964
"""Half-width of a 95 % interval in standard errors of a normal distribution."""


@dataclass(frozen=True, slots=True)
class Equity:
    """Cumulative dollars after each settled event: realised with a 95 % band, promised, and two baselines."""

    times: list[datetime]
    realised: list[float]
    low: list[float]
    high: list[float]
    promised: list[float]
    either_side: list[float]
    fair_market: list[float]


def cumulate(trades: pl.DataFrame, max_points: int) -> Equity:
    """Return the equity of settled trades (`BacktestReport.trades`), thinned to `max_points`.

    Trades of one event win and lose together, so the band grows with the squared profit of each event.
    """
    size = pl.col("contracts")
    other = 1 - pl.col("payout") - pl.col("other_price") - pl.col("other_fee")
    own = pl.col("payout") - pl.col("price") - pl.col("fee")
    events = (
        trades.with_columns(
            promised_dollars=pl.col("promised") * size,
            either=(own + pl.coalesce(other, own)) / 2 * size,
            fair=(pl.col("mid") - pl.col("price") - pl.col("fee")) * size,
        )
        .group_by("event_ticker")
        .agg(
            pl.col("settled_ts").max(),
            pl.col("profit").sum(),
            pl.col("promised_dollars").sum(),
            pl.col("either").sum(),
            pl.col("fair").sum(),
        )
        .sort("settled_ts", "event_ticker")
    )
    mean = events["profit"].mean()
    spread = ((events["profit"] - (mean if isinstance(mean, float) else 0.0)) ** 2).cum_sum()
    realised = events["profit"].cum_sum()
    reach = [_REACH * math.sqrt(value) for value in spread]
    step = max(1, math.ceil(events.height / max_points))
    points = sorted({*range(0, events.height, step), events.height - 1})
    totals = {name: events[name].cum_sum() for name in ("promised_dollars", "either", "fair")}
    return Equity(
        [events["settled_ts"][row] for row in points],
        [realised[row] for row in points],
        [realised[row] - reach[row] for row in points],
        [realised[row] + reach[row] for row in points],
        *([total[row] for row in points] for total in totals.values()),
    )


def equity_figure(trades: pl.DataFrame, max_points: int) -> Any:
    """Draw the equity of settled trades."""
    equity = cumulate(trades, max_points)
    figure, axes = create_axes("Profit of the settled trades", "dollars")
    axes.axhline(0, color="#8a94a6", linewidth=0.8)
    axes.fill_between(equity.times, equity.low, equity.high, step="post", color="#2364d2", alpha=0.15)
    lines = (
        ("realised", equity.realised, "#2364d2", "-"),
        ("promised", equity.promised, "#1a7f5a", "--"),
        ("a random side", equity.either_side, "#c4432b", ":"),
        ("if the midpoint were right", equity.fair_market, "#1c2430", ":"),
    )
    for label, values, color, style in lines:
        axes.step(equity.times, values, where="post", color=color, linestyle=style, label=label)
    axes.legend(loc="upper left", fontsize=8, frameon=False)
    return figure

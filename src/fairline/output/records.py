"""Terminal reports of what a watch recorded: history, scorecard, fits, and any frame."""

from collections.abc import Sequence

import polars as pl
from rich.console import Group, RenderableType
from rich.text import Text

from fairline.market.frame import NOTIONAL_U
from fairline.models.curve import Curves
from fairline.models.pool import Pool
from fairline.output.cells import MISSING, frame_columns, number
from fairline.output.grid import Column, Grid
from fairline.pricing.belief import Record
from fairline.scoring.metrics import Interval
from fairline.scoring.scorecard import Scorecard

_MAX_CHANGES = 20


def history_report(quotes: pl.DataFrame, edges: pl.DataFrame, *, local: bool = False) -> RenderableType:
    """Return a market's last quotes, and when it was an opportunity."""
    last = quotes.tail(1).to_dicts()[0]
    price = number("{:.3f}")
    bid, ask = (price(None if last[name] is None else last[name] / NOTIONAL_U) for name in ("yes_bid_u", "yes_ask_u"))
    seen = last["seen_ts"].astimezone() if local else last["seen_ts"]
    zone = "local time" if local else "UTC"
    summary = Text(f"{quotes.height:,} changes; at {seen:%Y-%m-%d %H:%M} {zone} bid {bid}, ask {ask}")
    changes = edges.select(
        seen="seen_ts",
        change="change",
        side="side",
        model="model",
        price=pl.col("price_u") / NOTIONAL_U,
        p=pl.col("p").round(4),
        edge_points="edge_points",
        reason="reason",
    )
    if changes.is_empty():
        return Group(summary, Text("It was never an opportunity."))
    return Group(summary, frame_grid(changes.tail(_MAX_CHANGES), local=local))


def scorecard_report(card: Scorecard) -> RenderableType:
    """Return promised and realised EV, and each model compared with the market price."""
    settled = f"Settled: {card.decided:,} binary, {card.scalar:,} scalar, {card.undecided:,} without a payout."
    parts: list[RenderableType] = [Text(settled), _opportunities(card)]
    if not card.models:
        return Group(*parts, Text("No model has priced a market that is settled."))
    reliability = card.reliability.select(
        "model",
        predicted=pl.col("p").round(3),
        happened=pl.col("frequency").round(3),
        low=pl.col("low").round(3),
        high=pl.col("high").round(3),
        n="n",
    )
    return Group(*parts, _models(card), frame_grid(reliability))


def scorecard_rows(card: Scorecard) -> list[dict[str, object]]:
    """Return promised and realised EV as one row for each group of opportunities."""
    return [
        {
            "group": row.what,
            "name": row.name,
            "flagged": row.flagged,
            "decided": row.decided,
            "claimed": row.claimed.mean if row.claimed else None,
            "promised": row.promised.mean if row.promised else None,
            "realised": row.realised.mean if row.realised else None,
            "low": row.realised.low if row.realised else None,
            "high": row.realised.high if row.realised else None,
        }
        for row in card.opportunities
    ]


def curves_report(curves: Curves) -> RenderableType:
    """Return the fitted calibration, and whether it beats the price."""
    if not curves.curves:
        return Text("There are too few settled markets yet: a curve takes 200 events quoted before they closed.")
    fits = list(curves.curves.values())
    beats = ["yes" if curve.beats_price else "no: such markets stay unpriced" for curve in fits]
    return Grid(
        [
            Column("Category, hours before the close", list(curves.curves)),
            Column("n", [f"{curve.n:,}" for curve in fits], rank=2, right=True),
            Column("Events", [f"{curve.events:,}" for curve in fits], rank=1, right=True),
            Column("Gain in log loss", [f"{curve.gain:+.4f}" for curve in fits], right=True),
            Column("95 % interval", [f"{curve.low:+.4f} to {curve.high:+.4f}" for curve in fits]),
            Column("Beats the price", beats, shortest=8),
        ]
    )


def pool_report(pool: Pool) -> RenderableType:
    """Return the weight of each group of models, and whether the pool beats the price."""
    if not any(opinion.weight for opinion in pool.opinions):
        return Text(f"No model improved on the price, or too few markets are settled ({pool.events} events).")
    grid = Grid(
        [
            Column("Models", [" + ".join(opinion.models) for opinion in pool.opinions]),
            Column("Weight", [f"{opinion.weight:.2f}" for opinion in pool.opinions], right=True),
            Column("Standard error", [f"{opinion.error:.2f}" for opinion in pool.opinions], right=True),
        ]
    )
    verdict = "beats the price" if pool.beats_price else "does not beat the price, so it prices nothing"
    gain = f"{pool.gain:+.4f} ({pool.low:+.4f} to {pool.high:+.4f})"
    return Group(grid, Text(f"\nGain in log loss on {pool.events:,} events left out of the fit: {gain}: {verdict}."))


def belief_report(records: Sequence[Record]) -> RenderableType:
    """Return how much of each model's disagreement with the price came true, and how much of it is believed."""
    if not records:
        return Text("No model has a record yet: no predicted market is settled.")
    percent = "{:.0%}".format
    grid = Grid(
        [
            Column("Model", [record.model for record in records]),
            Column("Category", [record.category for record in records]),
            Column("Came true", [percent(record.estimate) for record in records], right=True),
            Column("Std. error", [percent(min(record.standard_error, 99.0)) for record in records], right=True),
            Column("Events", [f"{record.events:,}" for record in records], right=True),
            Column("Believed", [percent(record.k) for record in records], right=True),
            Column("Up to pts", [f"{100 * record.cap:.1f}" for record in records], right=True),
        ]
    )
    return Group(Text("\nDisagreement with the price that came true, by model"), grid)


def frame_grid(rows: pl.DataFrame, *, local: bool = False) -> Grid:
    """Return any frame as a table."""
    return Grid(frame_columns(rows, local=local))


def _opportunities(card: Scorecard) -> Grid:
    rows = card.opportunities
    return Grid(
        [
            Column("Group", [row.what for row in rows]),
            Column("Name", [row.name for row in rows], shortest=8),
            Column("Flagged", [f"{row.flagged:,}" for row in rows], rank=2, right=True),
            Column("Decided", [f"{row.decided:,}" for row in rows], right=True),
            Column(
                "Events", [f"{row.realised.clusters:,}" if row.realised else MISSING for row in rows], 1, right=True
            ),
            Column("Claimed $", [_mean(row.claimed) for row in rows], rank=1, right=True),
            Column("Promised $", [_mean(row.promised) for row in rows], right=True),
            Column("Realised $", [_mean(row.realised) for row in rows], right=True),
            Column("95 % interval", [_interval(row.realised) for row in rows]),
        ],
        title="Opportunities, one contract each",
    )


def _models(card: Scorecard) -> Grid:
    rows = [row for row in card.models if row.brier is not None]
    return Grid(
        [
            Column("Model", [row.model for row in rows]),
            Column("n", [f"{row.brier.n:,}" if row.brier else MISSING for row in rows], right=True),
            Column("Brier", [_mean(row.brier, "{:.4f}") for row in rows], right=True),
            Column("Market Brier", [_mean(row.market_brier, "{:.4f}") for row in rows], right=True),
            Column("Difference", [_mean(row.brier_difference) for row in rows], right=True),
            Column("95 % interval", [_interval(row.brier_difference) for row in rows], rank=1),
            Column("Log loss", [_mean(row.log_loss, "{:.4f}") for row in rows], rank=2, right=True),
            Column("Market log loss", [_mean(row.market_log_loss, "{:.4f}") for row in rows], rank=2, right=True),
        ],
        title="Models compared with the market price",
    )


def _clusters(interval: Interval | None) -> str:
    return MISSING if interval is None else f"{interval.clusters:,}"


def _mean(interval: Interval | None, form: str = "{:+.4f}") -> str:
    return MISSING if interval is None else form.format(interval.mean)


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return MISSING
    return "one event" if interval.clusters < 2 else f"{interval.low:+.4f} to {interval.high:+.4f}"

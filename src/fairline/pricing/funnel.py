"""What the steps did with the rows of EDGES: counts, near misses, and the walk of one market."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from fairline.market.funnel import FunnelStep, with_shares
from fairline.pricing.edge import attach_markets
from fairline.pricing.rules import Rules, Side
from fairline.pricing.steps import KEPT_BIN, UNPROVEN_BIN, StepOutcome, active_steps, bins, explain_row


@dataclass(frozen=True, slots=True)
class SideExplanation:
    """One side of a market as one model sees it: where it ended, and every step with its numbers."""

    side: Side
    model: str | None
    bin: str
    steps: tuple[StepOutcome, ...]

    @property
    def is_opportunity(self) -> bool:
        return self.bin == KEPT_BIN

    @property
    def outcome(self) -> str:
        """Where the side ended, in words."""
        if self.bin == UNPROVEN_BIN:
            return "unproven: the thresholds are met, but no record supports it"
        return "an opportunity" if self.is_opportunity else "no opportunity"


def funnel(edges: pl.DataFrame, rules: Rules) -> list[FunnelStep]:
    """Count the markets at each step. A market stays as long as one of its rows does."""
    market = edges["place"].to_numpy()
    ended = edges["bin"].to_physical().to_numpy()
    furthest = np.zeros(int(market.max()) + 1 if len(market) else 0, dtype=np.int64)
    # Written in the order of the steps, so that for each market the furthest remains.
    order = np.argsort(ended, kind="stable")
    furthest[market[order]] = ended[order]
    names = bins()
    lost = dict(zip(names, np.bincount(furthest, minlength=len(names)).tolist(), strict=True))
    remaining = len(furthest)
    steps = []
    for step in active_steps(rules):
        remaining -= lost[step.name]
        steps.append(FunnelStep(step.label(rules), remaining, lost[step.name]))
    return with_shares(steps, len(furthest))


def explain_rows(edges: pl.DataFrame, rules: Rules) -> list[SideExplanation]:
    """Explain rows of EDGES, YES first."""
    return [
        SideExplanation(row["side"], row["model"], row["bin"], tuple(explain_row(row, rules)))
        for row in edges.sort("side", "model", descending=[True, False]).to_dicts()
    ]


def nearest_misses(
    edges: pl.DataFrame, rules: Rules, top: int, *, asof: datetime, markets: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Return, for each step with a gap, the `top` priced rows of its bin that came closest to being kept.

    `shortfall` adds up how much of each threshold is missing; `missed_by` says so in words. Rows of `value_markets`
    need the `markets` that they refer to.
    """
    if top == 0:
        edges = edges.clear()
    steps = [step for step in active_steps(rules) if step.gap]
    gaps = {step.name: step.gap(rules) for step in steps if step.gap}
    shortfall = pl.sum_horizontal((gap.missing / gap.scale).clip(lower_bound=0.0) for gap in gaps.values())
    # Only the columns needed for ranking are read for all rows; the few winners are then looked up whole.
    ranked = (
        edges.lazy()
        .with_row_index("at")
        .filter(pl.col("bin").is_in(list(gaps)) & pl.col("p").is_not_null())
        .select("at", "bin", "ticker", "side", shortfall=shortfall)
        .collect()
    )
    nearest = pl.concat(
        [ranked.filter(pl.col("bin") == name).bottom_k(top, by=["shortfall", "ticker", "side"]) for name in gaps]
    ).sort("shortfall", "ticker", "side")
    missed = [pl.when(step.test(rules, asof)).then(gaps[step.name].text) for step in steps]
    misses = edges[nearest["at"]]
    return (misses if markets is None else attach_markets(misses, markets)).with_columns(
        nearest["shortfall"], missed_by=pl.concat_str(missed, separator="; ", ignore_nulls=True)
    )

"""Compare promised with realised profit on recorded sets, with raw and believed probabilities.

Belief is fitted on the other half of the events, both ways, so no row is judged by a belief that saw it. Rows are
flagged by the default thresholds on the raw numbers; the believed ones must also keep $0.01 of believed expected value.
A promise is broken if realised profit is significantly below it (one-sided, 95 % by event, Holm's correction over the
sets); with fewer than 30 flagged events it is not judged.
"""

from dataclasses import dataclass

import polars as pl
from scipy.stats import t as student

from benchmarks.evidence import Evidence, all_evidence, markets_of
from fairline.market.frame import NOTIONAL_U, PREDICTIONS
from fairline.pricing.belief import Belief
from fairline.pricing.rules import Rules
from fairline.scanner import price
from fairline.scoring.metrics import clustered_mean
from fairline.scoring.records import fit_belief

MIN_BELIEVED_EV = 0.01
MIN_JUDGED_EVENTS = 30
SIGNIFICANCE = 0.05


@dataclass(frozen=True, slots=True)
class Promise:
    """Flagged rows of one set: `event_ticker, promised, believed, realised`, and the two fitted beliefs."""

    name: str
    model: str
    rows: pl.DataFrame
    beliefs: tuple[Belief, Belief]

    @property
    def believed_rows(self) -> pl.DataFrame:
        return self.rows.filter(pl.col("believed") >= MIN_BELIEVED_EV)


def judge(evidence: Evidence) -> Promise:
    """Return what was promised and realised on a set, each half judged by the belief of the other."""
    rows = evidence.tight.sort("ts")
    first, second = _halves(rows)
    beliefs = _fit(first), _fit(second)
    flagged = pl.concat([_flag(second, beliefs[0]), _flag(first, beliefs[1])])
    return Promise(evidence.name, rows["model"][0], flagged, beliefs)


def _halves(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows of the earlier and of the later half of the events."""
    events = rows["event_ticker"].unique(maintain_order=True)
    early = events.head(len(events) // 2).implode()
    is_early = pl.col("event_ticker").is_in(early)
    return rows.filter(is_early), rows.filter(~is_early)


def _fit(rows: pl.DataFrame) -> Belief:
    mid = rows["p_mid"].to_numpy()
    return fit_belief(rows["p"].to_numpy() - mid, rows["outcome"].to_numpy() - mid, rows["event_ticker"])


def _flag(rows: pl.DataFrame, belief: Belief) -> pl.DataFrame:
    """Return the rows that pass the default thresholds, with raw and believed expected value and realised profit."""
    asof = rows["ts"].to_list()[0]
    predictions = rows.select("ticker", "p", "model", p_sd=pl.lit(None), asof="ts", note=pl.lit(None))
    typed = predictions.select(pl.col(name).cast(kind) for name, kind in PREDICTIONS.items() if name != "note")
    flagged = price(markets_of(rows), typed, [], asof=asof, rules=Rules()).opportunities
    moves = rows.select(
        "ticker", "outcome", believed_p=pl.Series([
            mid + belief.move(p - mid) for p, mid in rows.select("p", "p_mid").iter_rows()
        ])
    )  # fmt: skip
    joined = flagged.join(moves, on="ticker")
    is_yes = pl.col("side") == "yes"
    cost = (pl.col("price_u") + pl.col("fee_u")) / NOTIONAL_U
    return joined.select(
        "event_ticker",
        promised=pl.col("ev_u") / NOTIONAL_U,
        believed=pl.when(is_yes).then("believed_p").otherwise(1 - pl.col("believed_p")) - cost,
        realised=pl.when(is_yes).then("outcome").otherwise(1 - pl.col("outcome")) - cost,
    )


def shortfall_p(rows: pl.DataFrame, promised: str) -> float | None:
    """Return the one-sided p-value that realised profit is below the promise; None for fewer than 30 events."""
    if rows["event_ticker"].n_unique() < MIN_JUDGED_EVENTS:
        return None
    interval = clustered_mean(rows.with_columns(excess=pl.col("realised") - pl.col(promised)), "excess")
    assert interval is not None
    degrees = interval.clusters - 1
    error = (interval.high - interval.mean) / float(student.ppf(0.975, degrees))
    return float(student.cdf(interval.mean / error, degrees))


def holm(p_values: list[float | None]) -> list[str]:
    """Return a verdict for each p-value, corrected for the number of sets that are judged."""
    judged = sorted((p, n) for n, p in enumerate(p_values) if p is not None)
    verdicts = ["not judged" if p is None else "kept" for p in p_values]
    for rank, (p, n) in enumerate(judged):
        if p > SIGNIFICANCE / (len(judged) - rank):
            break
        verdicts[n] = "broken"
    return verdicts


def _show_realised(rows: pl.DataFrame) -> str:
    interval = clustered_mean(rows, "realised")
    return "" if interval is None else f"{interval.mean:+.3f} ({interval.low:+.3f} … {interval.high:+.3f})"


def _cells(rows: pl.DataFrame, promised: str, verdict: str) -> list[str]:
    """Return the cells of one kind of promise: rows and events, the promise, what was realised, and the verdict."""
    if rows.is_empty():
        return ["0", "", "", verdict]
    counts = f"{rows.height:,} of {rows['event_ticker'].n_unique():,}"
    return [counts, f"{rows[promised].mean():+.3f}", _show_realised(rows), verdict]


HEADINGS = (
    "set, model",
    "k (cap) fitted on each half",
    "passed the raw thresholds, of events",
    "promised raw",
    "realised, 95 % by event",
    "raw promise",
    "believed EV of the same rows",
    "that promise",
    "flagged as believed, of events",
    "promised",
    "realised",
    "believed promise",
)


def run() -> str:
    promises = [judge(evidence) for evidence in all_evidence()]
    raw = holm([shortfall_p(promise.rows, "promised") for promise in promises])
    same = holm([shortfall_p(promise.rows, "believed") for promise in promises])
    believed = holm([shortfall_p(promise.believed_rows, "believed") for promise in promises])
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    for promise, *verdicts in zip(promises, raw, same, believed, strict=True):
        beliefs = ", ".join(f"{belief.k:.2f} ({belief.cap:.3f})" for belief in promise.beliefs)
        shown = promise.rows["believed"].mean()
        cells = [
            f"{promise.name}, `{promise.model}`",
            beliefs,
            *_cells(promise.rows, "promised", verdicts[0]),
            "" if shown is None else f"{shown:+.3f}",
            verdicts[1],
            *_cells(promise.believed_rows, "believed", verdicts[2]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)

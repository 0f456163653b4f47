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
from fairline.pricing.belief import Beliefs, Record
from fairline.pricing.rules import Rules
from fairline.scanner import price
from fairline.scoring.metrics import clustered_mean
from fairline.scoring.records import fit_record

MIN_JUDGED_EVENTS = 30
SIGNIFICANCE = 0.05


@dataclass(frozen=True, slots=True)
class Promise:
    """Flagged rows of one set (`event_ticker, is_believed, promised, believed, realised`), and the two records."""

    name: str
    model: str
    rows: pl.DataFrame
    records: tuple[Record, Record]

    @property
    def believed_rows(self) -> pl.DataFrame:
        return self.rows.filter("is_believed")


def judge(evidence: Evidence) -> Promise:
    """Return what was promised and realised on a set, each half judged by the record of the other."""
    rows = evidence.tight.sort("ts")
    first, second = _halves(rows)
    records = _fit(first), _fit(second)
    flagged = pl.concat([_flag(second, records[0]), _flag(first, records[1])])
    return Promise(evidence.name, rows["model"][0], flagged, records)


def _halves(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows of the earlier and of the later half of the events."""
    events = rows["event_ticker"].unique(maintain_order=True)
    early = events.head(len(events) // 2).implode()
    is_early = pl.col("event_ticker").is_in(early)
    return rows.filter(is_early), rows.filter(~is_early)


def _fit(rows: pl.DataFrame) -> Record:
    mid = rows["p_mid"].to_numpy()
    disagreement, outcome = rows["p"].to_numpy() - mid, rows["outcome"].to_numpy() - mid
    return fit_record(rows["model"][0], rows["category"][0], disagreement, outcome, rows["event_ticker"])


def _flag(rows: pl.DataFrame, record: Record) -> pl.DataFrame:
    """Return the rows that a scan with this record shows, believed and unproven, with their realised profit."""
    asof = rows["ts"].to_list()[0]
    predictions = rows.select("ticker", "p", "model", p_sd=pl.lit(None), asof="ts")
    typed = predictions.select(pl.col(name).cast(kind) for name, kind in PREDICTIONS.items() if name != "note")
    evaluation = price(markets_of(rows), typed, [], asof=asof, rules=Rules(), beliefs=Beliefs((record,)))
    shown = pl.concat([
        evaluation.opportunities.with_columns(is_believed=pl.lit(value=True)),
        evaluation.unproven.with_columns(is_believed=pl.lit(value=False)),
    ])  # fmt: skip
    pays = pl.when(pl.col("side") == "yes").then("outcome").otherwise(1 - pl.col("outcome"))
    return shown.join(rows.select("ticker", "outcome"), on="ticker").select(
        "event_ticker",
        "is_believed",
        promised=pl.col("ev_u") / NOTIONAL_U,
        believed=pl.col("believed_ev_u") / NOTIONAL_U,
        realised=pays - (pl.col("price_u") + pl.col("fee_u")) / NOTIONAL_U,
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
        records = ", ".join(f"{record.k:.2f} ({record.cap:.3f})" for record in promise.records)
        shown = promise.rows["believed"].mean()
        cells = [
            f"{promise.name}, `{promise.model}`",
            records,
            *_cells(promise.rows, "promised", verdicts[0]),
            "" if shown is None else f"{shown:+.3f}",
            verdicts[1],
            *_cells(promise.believed_rows, "believed", verdicts[2]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)

"""What of a scan is kept: only what changed, and everything once an hour."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from fairline.datasets import EDGES, FACTS, QUOTES, SCANS
from fairline.edge import KEPT
from fairline.listing import Listing
from fairline.report import full_funnel
from fairline.scan import Evaluation
from fairline.store import Store

SNAPSHOT = timedelta(hours=1)
_EDGE = ["ticker", "side", "model"]
_MOVED = ["p", "price_u", "fee_u", "size_c"]
_UNLISTED = "not listed any more"


@dataclass(slots=True)
class Delta:
    """What is new or different about rows since they were last seen, by a digest of each."""

    key: list[str]
    seen: pl.DataFrame | None = None

    def changed(self, rows: pl.DataFrame, look_at: list[str]) -> pl.DataFrame:
        """The rows that are new or differ in `look_at`; from now on these are what was seen last."""
        digests = rows.select(*self.key, digest=rows.select(look_at).hash_rows(seed=1))
        if self.seen is None:
            self.seen = digests
            return rows
        same = digests.join(self.seen, on=[*self.key, "digest"], how="semi", maintain_order="left")
        different = rows.join(same, on=self.key, how="anti", maintain_order="left")
        kept = self.seen.join(digests, on=self.key, how="anti")
        self.seen = pl.concat([kept, digests])
        return different

    def missing(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The keys seen before that are not among the rows; they are forgotten."""
        if self.seen is None:
            return rows.select(self.key).clear()
        gone = self.seen.join(rows, on=self.key, how="anti").select(self.key)
        self.seen = self.seen.join(gone, on=self.key, how="anti")
        return gone


@dataclass(slots=True)
class Recorder:
    """Writes each scan into a store. After a restart it goes on from what the store says was last."""

    store: Store
    quotes: Delta = field(default_factory=lambda: Delta(["ticker"]))
    facts: Delta = field(default_factory=lambda: Delta(["ticker"]))
    predictions: Delta = field(default_factory=lambda: Delta(["ticker", "model"]))
    open: pl.DataFrame = field(default_factory=EDGES.to_frame)
    snapshot_ts: datetime | None = None

    def resume(self, now: datetime) -> None:
        """Take up what was recorded last."""
        quotes = self.store.latest("quotes", now).filter("listed")
        if quotes.height:
            self.quotes.changed(quotes, _looked_at(QUOTES))
            self.facts.changed(self.store.latest("facts", now), _looked_at(FACTS))
        edges = self.store.read("edges", since=now - timedelta(days=90), until=now)
        last = edges.unique(_EDGE, keep="last", maintain_order=True)
        self.open = last.filter(pl.col("change") != "gone")

    def record(
        self, listing: Listing, evaluation: Evaluation, now: datetime, silent: Collection[str] = ()
    ) -> pl.DataFrame:
        """Keep a scan; what changed among the opportunities, as EDGES. `silent` models did not answer this time: of
        what they said before nothing is known. Raises `StoreError`.
        """
        now = self.store.tick(now)
        full = self.snapshot_ts is None or now - self.snapshot_ts >= SNAPSHOT
        self._record_markets(listing, now, full=full)
        self._record_predictions(evaluation, now, full=full)
        edges = self._edges(listing, evaluation, silent)
        self.store.append("edges", edges, now)
        self.record_scan(scan_row(listing, evaluation), now)
        if full:
            self.snapshot_ts = now
        return edges.with_columns(seen_ts=pl.lit(now, dtype=EDGES["seen_ts"]))

    def record_scan(self, row: dict[str, object], now: datetime) -> None:
        """Keep the account of a scan, be it that there was none."""
        self.store.append("scans", pl.DataFrame([row], schema=SCANS), self.store.tick(now))

    def _record_markets(self, listing: Listing, now: datetime, *, full: bool) -> None:
        markets = listing.markets.with_columns(listed=True)
        quotes = markets.select(name for name in QUOTES.names() if name != "seen_ts")
        changed = self.quotes.changed(quotes, _looked_at(QUOTES))
        if listing.complete:
            gone = self.quotes.missing(quotes).with_columns(listed=False)
            changed = pl.concat([changed, gone], how="diagonal_relaxed")
        facts = markets.select(pl.col(name).cast(FACTS[name]) for name in FACTS.names() if name != "seen_ts")
        self.store.append("facts", self.facts.changed(facts, _looked_at(FACTS)), now)
        self.store.append("quotes", changed, now)
        if full and listing.complete:
            self.store.append("facts", facts, now, full=True)
            self.store.append("quotes", quotes, now, full=True)

    def _record_predictions(self, evaluation: Evaluation, now: datetime, *, full: bool) -> None:
        said = evaluation.edges.filter((pl.col("side") == "yes") & pl.col("p").is_not_null())
        rows = said.select(
            "ticker", "event_ticker", "category", "model", "p", "p_sd",
            p_bid=pl.col("yes_bid_u") / 1e6, p_ask=pl.col("yes_ask_u") / 1e6, asof="asof",
        )  # fmt: skip
        changed = self.predictions.changed(rows, ["p", "p_sd"])
        self.store.append("predictions", rows if full else changed, now)

    def _edges(self, listing: Listing, evaluation: Evaluation, silent: Collection[str]) -> pl.DataFrame:
        """What appeared, changed or went since the last scan."""
        kept = evaluation.opportunities.with_columns(reason=pl.lit(None, dtype=pl.String))
        before = self.open
        same = kept.join(before, on=[*_EDGE, *_MOVED], how="semi", nulls_equal=True)
        appeared = kept.join(before, on=_EDGE, how="anti").with_columns(change=pl.lit("appeared"))
        changed = kept.join(before, on=_EDGE, how="semi").join(same, on=_EDGE, how="anti")
        left = departures(before, listing, evaluation, silent)
        gone = (
            before.drop("reason", "change")
            .join(left, on=_EDGE, maintain_order="left")
            .with_columns(change=pl.lit("gone"))
        )
        made = pl.concat(
            [_as_edges(appeared), _as_edges(changed.with_columns(change=pl.lit("changed"))), _as_edges(gone)],
            how="vertical",
        )
        still = before.join(made, on=_EDGE, how="anti")
        self.open = pl.concat([still, made.filter(pl.col("change") != "gone")])
        return made


def departures(keys: pl.DataFrame, listing: Listing, evaluation: Evaluation, silent: Collection[str]) -> pl.DataFrame:
    """Of these `{ticker, side, model}` the ones that are no opportunity any more, with the step that drops them as
    `reason`. One of which the scan says nothing is not among them: its market was not read, its model was silent.
    """
    left = keys.select(_EDGE).join(evaluation.opportunities, on=_EDGE, how="anti", maintain_order="left")
    left = left.filter(~pl.col("model").is_in(list(silent)))
    now = evaluation.edges.select(*_EDGE, reason=pl.col("bin").cast(pl.String))
    # A market that no model prices any more has one row, without a model.
    unpriced = now.filter(pl.col("model").is_null()).select("ticker", "side", without="reason")
    known = left.join(now, on=_EDGE, how="left", maintain_order="left")
    known = known.join(unpriced, on=["ticker", "side"], how="left", maintain_order="left")
    reason = pl.coalesce("reason", "without")
    # Of a market that is there, a side or a model that is not was not asked for.
    reason = reason.fill_null(_UNLISTED) if listing.complete else reason
    return known.select(*_EDGE, reason=reason).drop_nulls("reason")


def _as_edges(rows: pl.DataFrame) -> pl.DataFrame:
    rows = rows if "seen_ts" in rows.columns else rows.with_columns(seen_ts=None)
    return rows.select(pl.col(name).cast(dtype) for name, dtype in EDGES.items())


def _looked_at(schema: pl.Schema) -> list[str]:
    """The columns whose change counts: what only adds up over a day is seen with the next of the others."""
    return [name for name in schema.names() if name not in ("seen_ts", "ticker", "volume_24h_c", "open_interest_c")]


def scan_row(listing: Listing, evaluation: Evaluation) -> dict[str, object]:
    """The account of a scan that got through, as a row of SCANS."""
    priced = evaluation.edges.filter(pl.col("p").is_not_null())["ticker"].n_unique()
    return dict.fromkeys(SCANS) | {
        "outcome": "done" if listing.complete else "incomplete",
        "detail": "; ".join(listing.incomplete_reasons)[:2_000],
        "started_ts": listing.started_ts,
        "duration_s": listing.duration_s,
        "complete": listing.complete,
        "listed": listing.listed,
        "priced": priced,
        "kept": evaluation.edges.filter(pl.col("bin") == KEPT).height,
        "requests": listing.requests,
        "retries": listing.retries,
        "bytes": listing.bytes,
        "quarantined": len(listing.quarantined),
        "problems": len(listing.problems) + len(evaluation.problems),
        "funnel": json.dumps(full_funnel(listing, evaluation)),
    }

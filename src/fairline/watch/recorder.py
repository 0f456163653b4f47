"""What of a scan is kept: only what changed, and everything once an hour."""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

import polars as pl

from fairline.market.listing import Listing
from fairline.pricing.steps import KEPT_BIN, bins_before
from fairline.scanner import Evaluation, full_funnel
from fairline.store.datasets import EDGES, FACTS, QUOTES, SCANS
from fairline.store.store import Store

_SNAPSHOT = {"quotes": timedelta(hours=1), "facts": timedelta(days=1), "predictions": timedelta(hours=1)}
"""How often everything is written, not only what changed."""
_EDGE = ["ticker", "side", "model"]
_MOVED = ["p", "price_u", "fee_u", "size_cc"]
_UNLISTED = "not listed any more"


@dataclass(slots=True)
class Delta:
    """What is new or different about rows since they were last kept, by a digest of each.

    What was found counts as kept only with `keep()`: a change that could not be written is found again.
    """

    key: list[str]
    look_at: list[str]
    kept: pl.DataFrame | None = None
    digests: pl.DataFrame | None = None
    rest: pl.DataFrame | None = None

    def changed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that are new or differ."""
        now = rows.select(*self.key, digest=rows.select(self.look_at).hash_rows(seed=1))
        self.digests, self.rest = now, now.clear()
        if self.kept is None:
            return rows
        self.rest = self.kept.join(now, on=self.key, how="anti")
        before = now.join(self.kept, on=self.key, how="left", suffix="_before", maintain_order="left")
        return rows.filter(before.select(pl.col("digest").ne_missing(pl.col("digest_before"))).to_series())

    def missing(self, listed: pl.DataFrame) -> pl.DataFrame:
        """The keys kept before whose ticker is not listed any more; they are forgotten."""
        if self.rest is None or self.rest.is_empty():
            return listed.select("ticker").clear()
        gone = self.rest.join(listed, on="ticker", how="anti")
        self.rest = self.rest.join(gone, on=self.key, how="anti")
        return gone.select(self.key)

    def keep(self) -> None:
        if self.digests is not None and self.rest is not None:
            self.kept = pl.concat([self.rest, self.digests])


@dataclass(slots=True)
class Recorder:
    """Writes each scan into a store. After a restart it goes on from what the store says was last."""

    store: Store
    quotes: Delta = field(default_factory=lambda: Delta(["ticker"], looked_at(QUOTES)))
    facts: Delta = field(default_factory=lambda: Delta(["ticker"], looked_at(FACTS)))
    predictions: Delta = field(default_factory=lambda: Delta(["ticker", "model"], ["p", "p_sd"]))
    open: pl.DataFrame = field(default_factory=EDGES.to_frame)
    snapshots: dict[str, datetime] = field(default_factory=dict)

    def resume(self, now: datetime) -> None:
        """Take up what was recorded last, be it that the clock says it was later than now. Raises `StoreError`."""
        quotes = self.store.latest("quotes").filter("listed")
        if quotes.height:
            facts = self.store.latest("facts").join(quotes, on="ticker", how="semi")
            for delta, rows in ((self.quotes, quotes), (self.facts, facts)):
                delta.changed(rows)
                delta.keep()
        edges = self.store.read("edges", since=now - timedelta(days=90))
        last = edges.unique(_EDGE, keep="last", maintain_order=True)
        self.open = last.filter(pl.col("change") != "gone")

    def record(
        self, listing: Listing, evaluation: Evaluation, now: datetime, silent: Collection[str] = ()
    ) -> pl.DataFrame:
        """Keep a scan; what changed among the opportunities, as EDGES. `silent` models did not answer this time: of
        what they said before nothing is known. Raises `StoreError`: what was not written is found again next time.
        """
        now = self.store.tick(now)
        self._record_markets(listing, now)
        self._record_predictions(listing, evaluation, now)
        edges, still = self._edges(listing, evaluation, silent)
        self.store.append("edges", edges, now)
        self.open = still
        self.record_scan(scan_row(listing, evaluation), now)
        return edges.with_columns(seen_ts=pl.lit(now, dtype=EDGES["seen_ts"]))

    def record_scan(self, row: dict[str, object], now: datetime) -> None:
        """Keep the account of a scan, be it that there was none."""
        self.store.append("scans", pl.DataFrame([row], schema=SCANS), self.store.tick(now))

    def _record_markets(self, listing: Listing, now: datetime) -> None:
        markets = listing.markets.with_columns(listed=True)
        quotes = markets.select(name for name in QUOTES.names() if name != "seen_ts")
        facts = markets.select(pl.col(name).cast(FACTS[name]) for name in FACTS.names() if name != "seen_ts")
        if not listing.complete and self.facts.kept is not None:
            # Series or events may not have been read: what is known of a market is better than what that leaves.
            facts = facts.join(self.facts.kept, on="ticker", how="anti", maintain_order="left")
        self._append("facts", self.facts, facts, now, listing)
        self._append("quotes", self.quotes, quotes, now, listing)

    def _append(self, dataset: str, delta: Delta, rows: pl.DataFrame, now: datetime, listing: Listing) -> None:
        """What changed, what is not listed any more, and a snapshot if it is time."""
        changed = delta.changed(rows)
        if listing.complete:
            gone = delta.missing(pl.concat([listing.markets.select("ticker"), _unread(listing)]))
            if dataset == "quotes":
                changed = pl.concat([changed, gone.with_columns(listed=False)], how="diagonal_relaxed")
        self.store.append(dataset, changed, now)
        delta.keep()
        last = self.snapshots.get(dataset)
        if listing.complete and (last is None or now - last >= _SNAPSHOT[dataset]):
            self.store.append(dataset, rows, now, full=True)
            self.snapshots[dataset] = now

    def _record_predictions(self, listing: Listing, evaluation: Evaluation, now: datetime) -> None:
        said = evaluation.edges.filter((pl.col("side") == "yes") & pl.col("p").is_not_null())
        rows = said.select(
            "ticker", "event_ticker", "category", "model", "p", "p_sd",
            p_bid=pl.col("yes_bid_u") / 1e6, p_ask=pl.col("yes_ask_u") / 1e6, asof="asof",
        )  # fmt: skip
        changed = self.predictions.changed(rows)
        if listing.complete:
            self.predictions.missing(listing.markets)
        last = self.snapshots.get("predictions")
        whole = last is None or now - last >= _SNAPSHOT["predictions"]
        self.store.append("predictions", rows if whole else changed, now)
        self.predictions.keep()
        if whole:
            self.snapshots["predictions"] = now

    def _edges(
        self, listing: Listing, evaluation: Evaluation, silent: Collection[str]
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """What appeared, changed or went since the last scan, and what is there now."""
        kept = evaluation.opportunities.with_columns(reason=pl.lit(None, dtype=pl.String))
        before = self.open
        same = kept.join(before, on=[*_EDGE, *_MOVED], how="semi", nulls_equal=True)
        appeared = kept.join(before, on=_EDGE, how="anti").with_columns(change=pl.lit("appeared"))
        changed = kept.join(before, on=_EDGE, how="semi").join(same, on=_EDGE, how="anti")
        left = departures(before, listing, evaluation, silent)
        gone = before.drop("reason", "change").join(left, on=_EDGE, maintain_order="left")
        made = pl.concat(
            [
                _as_edges(appeared),
                _as_edges(changed.with_columns(change=pl.lit("changed"))),
                _as_edges(gone.with_columns(change=pl.lit("gone"))),
            ]
        )
        still = pl.concat([before.join(made, on=_EDGE, how="anti"), made.filter(pl.col("change") != "gone")])
        return made, still


def departures(keys: pl.DataFrame, listing: Listing, evaluation: Evaluation, silent: Collection[str]) -> pl.DataFrame:
    """Of these `{ticker, side, model}` the ones that are no opportunity any more, with the step that drops them as
    `reason`. One of which the scan says nothing is not among them: its market was not read, its model was silent.
    """
    left = keys.select(_EDGE).join(evaluation.opportunities, on=_EDGE, how="anti", maintain_order="left")
    left = left.filter(~pl.col("model").is_in(list(silent))).join(_unread(listing), on="ticker", how="anti")
    mine = evaluation.edges.select(*_EDGE, "bin").join(left.select("ticker").unique(), on="ticker", how="semi")
    bins = mine.select(*_EDGE, reason=pl.col("bin").cast(pl.String))
    # Of a market that this model does not price any more others may tell where it ends; at the latest for want of it.
    early = bins.filter(pl.col("reason").is_in(bins_before("model"))).unique(["ticker", "side"])
    there = bins.select("ticker", unpriced=pl.lit("model")).unique("ticker")
    known = (
        left.join(bins, on=_EDGE, how="left", maintain_order="left")
        .join(early.select("ticker", "side", early="reason"), on=["ticker", "side"], how="left", maintain_order="left")
        .join(there, on="ticker", how="left", maintain_order="left")
    )
    reason = pl.coalesce("reason", "early", "unpriced")
    reason = reason.fill_null(_UNLISTED) if listing.complete else reason
    return known.select(*_EDGE, reason=reason).drop_nulls("reason")


def _unread(listing: Listing) -> pl.DataFrame:
    """The markets that are listed and could not be read: of them nothing is known."""
    return pl.DataFrame({"ticker": [row.ticker for row in listing.quarantined]}, schema={"ticker": pl.String})


def _as_edges(rows: pl.DataFrame) -> pl.DataFrame:
    rows = rows if "seen_ts" in rows.columns else rows.with_columns(seen_ts=None)
    return rows.select(pl.col(name).cast(dtype) for name, dtype in EDGES.items())


def looked_at(schema: pl.Schema) -> list[str]:
    """The columns whose change counts: what only adds up over a day is seen with the next of the others."""
    return [name for name in schema.names() if name not in ("seen_ts", "ticker", "volume_24h_cc", "open_interest_cc")]


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
        "kept": evaluation.edges.filter(pl.col("bin") == KEPT_BIN).height,
        "requests": listing.requests,
        "retries": listing.retries,
        "bytes": listing.bytes,
        "quarantined": len(listing.quarantined),
        "problems": len(listing.problems) + len(evaluation.problems),
        "funnel": json.dumps([asdict(step) for step in full_funnel(listing, evaluation)]),
    }

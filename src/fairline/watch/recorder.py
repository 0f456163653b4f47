"""Write scans into a store: what changed each time, and everything at longer intervals."""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

import polars as pl

from fairline.market.labels import label
from fairline.market.listing import Listing
from fairline.pricing.steps import KEPT_BIN, bins_before
from fairline.scanner import Evaluation, ScanResult, full_funnel
from fairline.store.datasets import EDGES, FACTS, QUOTES, SCANS
from fairline.store.inputs import InputRecorder
from fairline.store.store import Store

_SNAPSHOT_EVERY = {"quotes": timedelta(hours=1), "facts": timedelta(days=1), "predictions": timedelta(hours=1)}
_EDGE_KEY = ["ticker", "side", "model"]
_EDGE_VALUES = ["p", "price_u", "fee_u", "size_cc"]
"""An opportunity changed if one of these did."""
_RESUME_DAYS = 90
_NOT_LISTED = "no longer listed"
_ADDED = ("seen_ts", "source")
"""Columns that the store adds."""
_CUMULATIVE = ("volume_24h_cc", "open_interest_cc")


@dataclass(slots=True)
class ChangeTracker:
    """Finds rows that are new or differ from what was last written, by a hash of `columns`.

    Call `commit()` after writing: rows whose writing failed are found again.
    """

    key: list[str]
    columns: list[str]
    written: pl.DataFrame | None = None
    current: pl.DataFrame | None = None
    absent: pl.DataFrame | None = None

    def find_changed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that are new or differ."""
        current = rows.select(*self.key, digest=rows.select(self.columns).hash_rows(seed=1))
        self.current = current
        self.absent = current.clear()
        if self.written is None:
            return rows
        self.absent = self.written.join(current, on=self.key, how="anti")
        both = current.join(self.written, on=self.key, how="left", suffix="_written", maintain_order="left")
        return rows.filter(both.select(pl.col("digest").ne_missing(pl.col("digest_written"))).to_series())

    def remove_delisted(self, listed: pl.DataFrame) -> pl.DataFrame:
        """Forget rows whose ticker is not in `listed`, and return their keys."""
        if self.absent is None or self.absent.is_empty():
            return listed.select("ticker").clear()
        delisted = self.absent.join(listed, on="ticker", how="anti")
        self.absent = self.absent.join(delisted, on=self.key, how="anti")
        return delisted.select(self.key)

    def replace(self, rows: pl.DataFrame) -> None:
        """Take rows that were written elsewhere as written."""
        if self.written is None or rows.is_empty():
            return
        current = rows.select(*self.key, digest=rows.select(self.columns).hash_rows(seed=1))
        self.written = pl.concat([self.written.join(current, on=self.key, how="anti"), current])

    def commit(self) -> None:
        if self.current is not None and self.absent is not None:
            self.written = pl.concat([self.absent, self.current])


def compared_columns(schema: pl.Schema) -> list[str]:
    """Return the columns whose change is recorded. Cumulative counts are written with the next other change."""
    return [name for name in schema.names() if name not in (*_ADDED, "ticker", *_CUMULATIVE)]


@dataclass(slots=True)
class Recorder:
    """Writes each scan into a store. After a restart it continues from what the store has."""

    store: Store
    quotes: ChangeTracker = field(default_factory=lambda: ChangeTracker(["ticker"], compared_columns(QUOTES)))
    facts: ChangeTracker = field(default_factory=lambda: ChangeTracker(["ticker"], compared_columns(FACTS)))
    predictions: ChangeTracker = field(default_factory=lambda: ChangeTracker(["ticker", "model"], ["p", "p_sd"]))
    open: pl.DataFrame = field(default_factory=EDGES.to_frame)
    snapshots: dict[str, datetime] = field(default_factory=dict)
    inputs: InputRecorder = field(init=False)

    def __post_init__(self) -> None:
        self.inputs = InputRecorder(self.store)

    def resume(self, now: datetime) -> None:
        """Resume from the last recorded state, even if its timestamp is in the future. Raises `StoreError`."""
        quotes = self.store.latest("quotes").filter("listed")
        if quotes.height:
            facts = self.store.latest("facts").join(quotes, on="ticker", how="semi")
            for tracker, rows in ((self.quotes, quotes), (self.facts, facts)):
                tracker.find_changed(rows)
                tracker.commit()
        edges = self.store.read("edges", since=now - timedelta(days=_RESUME_DAYS))
        last = edges.unique(_EDGE_KEY, keep="last", maintain_order=True)
        self.open = last.filter(pl.col("change") != "gone")

    def record(self, result: ScanResult, now: datetime, silent: Collection[str] = ()) -> pl.DataFrame:
        """Write a scan, and return what changed among the opportunities as EDGES.

        `silent` models gave no answer this time: their earlier opportunities stay. Raises `StoreError`; what was not
        written is written with the next scan.
        """
        listing, evaluation = result.listing, result.evaluation
        now = self.store.next_ts(now)
        self._record_markets(listing, now)
        self.store.append("depth", result.depth, now)
        if evaluation.inputs is not None:
            self.inputs.record(evaluation.inputs, now)
        self._record_predictions(listing, evaluation, now)
        edges, still_open = self._compare_edges(listing, evaluation, silent)
        self.store.append("edges", edges, now)
        self.open = still_open
        self.record_scan(summarize_scan(listing, evaluation), now)
        return edges.with_columns(seen_ts=pl.lit(now, dtype=EDGES["seen_ts"]))

    def take_changes(self, listing: Listing, evaluation: Evaluation) -> pl.DataFrame:
        """Return what changed among the opportunities of some markets, as EDGES for the caller to write.

        `listing` is incomplete, so that markets which are not in the evaluation stay as they were.
        """
        edges, self.open = self._compare_edges(listing, evaluation, ())
        return edges

    def record_scan(self, row: dict[str, object], now: datetime) -> None:
        """Write a row of SCANS, also for a scan that failed."""
        self.store.append("scans", pl.DataFrame([row], schema=SCANS), self.store.next_ts(now))

    def _record_markets(self, listing: Listing, now: datetime) -> None:
        markets = listing.markets.with_columns(listed=True)
        quotes = markets.select(name for name in QUOTES.names() if name not in _ADDED)
        facts = markets.select(pl.col(name).cast(FACTS[name]) for name in FACTS.names() if name not in _ADDED)
        if not listing.complete and self.facts.written is not None:
            # Series or events may not have been read: the recorded facts are better.
            facts = facts.join(self.facts.written, on="ticker", how="anti", maintain_order="left")
        self._append("facts", self.facts, facts, now, listing)
        self._append("quotes", self.quotes, quotes, now, listing)

    def _append(
        self, dataset: str, tracker: ChangeTracker, rows: pl.DataFrame, now: datetime, listing: Listing
    ) -> None:
        """Write what changed and what was delisted, and a snapshot if one is due."""
        changed = tracker.find_changed(rows)
        if listing.complete:
            delisted = tracker.remove_delisted(pl.concat([listing.markets.select("ticker"), _unreadable(listing)]))
            if dataset == "quotes":
                changed = pl.concat([changed, delisted.with_columns(listed=False)], how="diagonal_relaxed")
        self.store.append(dataset, changed, now)
        tracker.commit()
        if listing.complete and self._is_snapshot_due(dataset, now):
            self.store.append(dataset, rows, now, full=True)
            self.snapshots[dataset] = now

    def _is_snapshot_due(self, dataset: str, now: datetime) -> bool:
        last = self.snapshots.get(dataset)
        return last is None or now - last >= _SNAPSHOT_EVERY[dataset]

    def _record_predictions(self, listing: Listing, evaluation: Evaluation, now: datetime) -> None:
        priced = evaluation.select((pl.col("side") == "yes") & pl.col("p").is_not_null())
        rows = priced.select(
            "ticker",
            "event_ticker",
            "category",
            "model",
            "p",
            "p_sd",
            p_bid=_implied_probability(pl.col("yes_bid_u")),
            p_ask=_implied_probability(pl.col("yes_ask_u")),
            asof="asof",
        )
        changed = self.predictions.find_changed(rows)
        if listing.complete:
            self.predictions.remove_delisted(listing.markets)
        snapshot = self._is_snapshot_due("predictions", now)
        self.store.append("predictions", rows if snapshot else changed, now)
        self.predictions.commit()
        if snapshot:
            self.snapshots["predictions"] = now

    def _compare_edges(
        self, listing: Listing, evaluation: Evaluation, silent: Collection[str]
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return what appeared, changed or is gone since the last scan, and the opportunities that are open now."""
        now = evaluation.opportunities.with_columns(reason=pl.lit(None, dtype=pl.String), title=label())
        before = self.open
        unchanged = now.join(before, on=[*_EDGE_KEY, *_EDGE_VALUES], how="semi", nulls_equal=True)
        appeared = now.join(before, on=_EDGE_KEY, how="anti")
        changed = now.join(before, on=_EDGE_KEY, how="semi").join(unchanged, on=_EDGE_KEY, how="anti")
        departed = find_departures(before, listing, evaluation, silent)
        gone = before.drop("reason", "change").join(departed, on=_EDGE_KEY, maintain_order="left")
        edges = pl.concat([_as_edges(appeared, "appeared"), _as_edges(changed, "changed"), _as_edges(gone, "gone")])
        remaining = before.join(edges, on=_EDGE_KEY, how="anti")
        return edges, pl.concat([remaining, edges.filter(pl.col("change") != "gone")])


def _implied_probability(price_u: pl.Expr) -> pl.Expr:
    """Return the probability of YES that a price implies, within the market's payouts."""
    low_u = pl.col("payout_low_u")
    return (price_u - low_u) / (pl.col("payout_high_u") - low_u)


def find_departures(
    keys: pl.DataFrame, listing: Listing, evaluation: Evaluation, silent: Collection[str]
) -> pl.DataFrame:
    """Return which `{ticker, side, model}` are no longer opportunities, with the funnel step they fail as `reason`.

    Leaves out what the scan says nothing about: unreadable markets and `silent` models.
    """
    left = keys.select(_EDGE_KEY).join(evaluation.opportunities, on=_EDGE_KEY, how="anti", maintain_order="left")
    left = left.filter(~pl.col("model").is_in(list(silent))).join(_unreadable(listing), on="ticker", how="anti")
    evaluated = evaluation.rows.select(*_EDGE_KEY, "bin").join(left.select("ticker").unique(), on="ticker", how="semi")
    bins = evaluated.select(*_EDGE_KEY, reason=pl.col("bin").cast(pl.String))
    # If this model no longer prices a market, other models' rows may say which earlier step it fails.
    early = bins.filter(pl.col("reason").is_in(bins_before("model"))).unique(["ticker", "side"])
    without_price = bins.select("ticker", without_price=pl.lit("model")).unique("ticker")
    known = (
        left.join(bins, on=_EDGE_KEY, how="left", maintain_order="left")
        .join(early.select("ticker", "side", early="reason"), on=["ticker", "side"], how="left", maintain_order="left")
        .join(without_price, on="ticker", how="left", maintain_order="left")
    )
    reason = pl.coalesce("reason", "early", "without_price")
    reason = reason.fill_null(_NOT_LISTED) if listing.complete else reason
    return known.select(*_EDGE_KEY, reason=reason).drop_nulls("reason")


def _unreadable(listing: Listing) -> pl.DataFrame:
    """Return the markets that are listed and whose rows could not be read."""
    return pl.DataFrame({"ticker": [row.ticker for row in listing.quarantined]}, schema={"ticker": pl.String})


def _as_edges(rows: pl.DataFrame, change: str) -> pl.DataFrame:
    rows = rows.with_columns(change=pl.lit(change))
    rows = rows if "seen_ts" in rows.columns else rows.with_columns(seen_ts=None)
    return rows.select(pl.col(name).cast(dtype) for name, dtype in EDGES.items())


def summarize_scan(listing: Listing, evaluation: Evaluation) -> dict[str, object]:
    """Return a finished scan as a row of SCANS."""
    priced = evaluation.rows.filter(pl.col("p").is_not_null())["ticker"].n_unique()
    return dict.fromkeys(SCANS) | {
        "outcome": "done" if listing.complete else "incomplete",
        "detail": "; ".join(listing.incomplete_reasons)[:2_000],
        "started_ts": listing.started_ts,
        "duration_s": listing.duration_s,
        "complete": listing.complete,
        "listed": listing.listed,
        "priced": priced,
        "kept": evaluation.rows.filter(pl.col("bin") == KEPT_BIN).height,
        "requests": listing.requests,
        "retries": listing.retries,
        "bytes": listing.bytes,
        "quarantined": len(listing.quarantined),
        "problems": len(listing.problems) + len(evaluation.problems),
        "funnel": json.dumps([asdict(step) for step in full_funnel(listing, evaluation)]),
    }

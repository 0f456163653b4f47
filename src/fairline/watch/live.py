"""Keep the edges of the whole exchange current between two scans.

An audit (a full scan) gives markets, predictions and opportunities. From then on the feed's messages change quotes, and
each tick prices the markets that changed, by the same `price` as a scan and with the predictions that are held. A
market without current data has no opportunities and its time without data is recorded as an outage.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fairline.kalshi.feed import Feed
from fairline.kalshi.feed_messages import FeedMessage, Gap, Lifecycle, Lost, Opened, Trade
from fairline.kalshi.feed_subscriptions import MAX_BOOKS
from fairline.market.closings import Closings
from fairline.market.fees import CAUTIOUS, Policy
from fairline.market.listing import Listing
from fairline.market.live import LiveState, Quote, apply, close, invalidate
from fairline.market.live_frame import column_of, live_markets, load_quotes
from fairline.market.outages import Outage, OutageLog
from fairline.pricing.belief import Beliefs
from fairline.pricing.edge import sort_opportunities
from fairline.pricing.rules import Rules
from fairline.scanner import Evaluation, price

_SMALL = 5_000
_CACHED_MS = 20_000
"""The exchange caches quotes of its listing for up to 15 s: only older differences are mistakes of the feed."""
_FACT_EVENTS = ("created", "activated", "close_date_updated", "price_level_structure_updated", "metadata_updated")
_KEY = ["ticker", "side", "model"]


@dataclass(slots=True)
class LiveTick:
    """What happened since the last tick. `evaluation` has the changed markets only, None if none was priced."""

    now: datetime
    markets: pl.DataFrame
    evaluation: Evaluation | None = None
    trades: list[Trade] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)
    messages: int = 0


class LiveSession:
    """The state between two audits. `load` takes an audit, `tick` the messages since the last tick."""

    def __init__(self, feed: Feed, rules: Rules | None = None, fees: Policy = CAUTIOUS) -> None:
        self.feed = feed
        self.state = LiveState([])
        self.outages = OutageLog()
        self.listing: Listing | None = None
        self.opportunities: pl.DataFrame | None = None
        self.changed_facts: dict[str, None] = {}
        self.audit_reason = ""
        self.mismatches = 0
        self._rules, self._fees = rules or Rules(), fees
        self._beliefs: Beliefs | None = None
        self._predictions = pl.DataFrame()
        self._prediction_rows: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._closings = Closings()
        self._pending: set[int] = set()

    @property
    def markets(self) -> pl.DataFrame:
        """The listing of the last audit, with a row for each row of the state. Raises `RuntimeError` before it."""
        if self.listing is None:
            raise RuntimeError("no audit was loaded yet")
        return self.listing.markets

    @property
    def partial_listing(self) -> Listing:
        """The listing of the last audit as one that says nothing about markets which an evaluation leaves out."""
        if self.listing is None:
            raise RuntimeError("no audit was loaded yet")
        return replace(self.listing, incomplete_reasons=["only some markets were priced"], quarantined=[])

    @property
    def stale(self) -> list[str]:
        """The listed markets without current data."""
        return [ticker for ticker in self.outages.tickers if ticker in self.state.rows]

    def load(self, listing: Listing, evaluation: Evaluation, now: datetime) -> None:
        """Take the result of a full scan; quotes that the feed changed since then stay the feed's."""
        before, self.listing = self.state, listing
        started_ms = int(listing.started_ts.timestamp() * 1000)
        state = LiveState(listing.markets["ticker"].to_list())
        state.books = {ticker: book for ticker, book in before.books.items() if ticker in state.rows}
        self._carry_over(before, state, started_ms)
        load_quotes(state, listing.markets, started_ms)
        self.state, self.audit_reason = state, ""
        for ticker in self.outages.tickers:
            row = state.rows.get(ticker)
            if row is None or state.current[row]:
                self.outages.end(ticker, now)
        self._closings = Closings(listing.markets["close_ts"], now)
        self._pending = set()
        self.hold(predictions_of(evaluation), price_again=False)
        self.opportunities = _detach(evaluation.opportunities)
        self._beliefs = evaluation.beliefs
        self.choose_books(evaluation)
        self.feed.follow_tickers(state.tickers)
        # What changed while the audit ran is priced again at the next tick.
        self._pending = set(np.flatnonzero(column_of(state, "ts_ms") > started_ms).tolist())

    def _carry_over(self, before: LiveState, state: LiveState, started_ms: int) -> None:
        """Keep the feed's quotes, except where the audit shows that the feed missed a change."""
        self.mismatches = 0
        if not any(before.current):
            return
        quoted = self.markets.select("yes_bid_u", "yes_ask_u").fill_null(0).iter_rows()
        for row, (ticker, read) in enumerate(zip(state.tickers, quoted, strict=True)):
            old = before.rows.get(ticker)
            if old is None or not before.current[old]:
                continue
            differs = (before.bid_u[old], before.ask_u[old]) != read
            if differs and before.ts_ms[old] < started_ms - _CACHED_MS:
                self.mismatches += 1
                continue
            state.copy_row(row, before, old)

    def hold(self, predictions: pl.DataFrame, *, price_again: bool = True) -> None:
        """Hold predictions (PREDICTIONS without notes) until the next ones, and price their markets again."""
        known = self.state.rows
        rows = np.fromiter((known.get(ticker, -1) for ticker in predictions["ticker"]), np.int64, predictions.height)
        order = np.argsort(rows, kind="stable")
        order = order[rows[order] >= 0]
        self._prediction_rows = rows[order]
        self._predictions = self._own_texts(predictions[order], self._prediction_rows)
        if price_again:
            self._pending |= set(self._prediction_rows.tolist())

    def _own_texts(self, predictions: pl.DataFrame, rows: NDArray[np.int64]) -> pl.DataFrame:
        """Return predictions whose texts are the listing's: a filtered column keeps all texts of its origin alive."""
        names = predictions["model"].unique().to_list()
        place = {name: number for number, name in enumerate(names)}
        models = pl.Series("model", names, dtype=pl.String).gather([place[name] for name in predictions["model"]])
        return predictions.with_columns(self.markets["ticker"].gather(rows), models)

    def choose_books(self, evaluation: Evaluation) -> None:
        """Follow the books of the opportunities, then of the markets that come nearest to being one."""
        ranked = (
            evaluation.rows.lazy()
            .filter(pl.col("edge_points").is_not_null() & (pl.col("bin") > "open"))
            .select("ticker", "bin", "edge_points")
            .top_k(2 * MAX_BOOKS, by=["bin", "edge_points"])
            .sort("bin", "edge_points", descending=True)
            .collect()["ticker"]
            .unique(maintain_order=True)
            .head(MAX_BOOKS)
            .to_list()
        )
        self.state.follow(ranked)
        self.feed.follow_books(ranked)

    def add_markets(self, markets: pl.DataFrame, now: datetime) -> None:
        """Take fresh rows of some markets: new facts of listed ones, and markets that are new."""
        listing = self.listing
        if listing is None or markets.is_empty():
            return
        known = [ticker for ticker in markets["ticker"] if ticker in self.state.rows]
        added = [ticker for ticker in markets["ticker"] if ticker not in self.state.rows]
        for ticker in added:
            self.state.add(ticker)
        merged = pl.concat([listing.markets, markets]).unique("ticker", keep="last", maintain_order=False)
        order = pl.DataFrame({"ticker": self.state.tickers})
        self.listing = replace(listing, markets=order.join(merged, on="ticker", how="left", maintain_order="left"))
        for ticker, at in markets.select("ticker", "close_ts").iter_rows():
            if at is not None and at > now:
                self._closings.add(at, self.state.rows[ticker])
        self.outages.begin(added, now, "not heard of yet")
        self.feed.follow_tickers(added)
        self._pending |= {self.state.rows[ticker] for ticker in known}

    def correct(self, quotes: Mapping[str, Quote]) -> None:
        """Take quotes from the exchange where the feed's are wrong, and ask for the books of these markets again."""
        now_ms = int(self.feed.lag.exchange_now * 1000)
        for ticker, quote in quotes.items():
            row = self.state.rows.get(ticker)
            if row is not None:
                invalidate(self.state, ticker)
                self.state.set_quote(row, quote, max(self.state.ts_ms[row], now_ms))
                self._pending.add(row)
        self.feed.subscriptions.ask_books(quotes)

    def distrust(self, reason: str, now: datetime) -> None:
        """Take no market for current until it is heard of again, and ask for an audit."""
        lost = Lost(reason)
        rows = apply(self.state, lost)
        self._track_outages(rows, lost, now)
        self._pending.update(rows)
        self.audit_reason = reason

    def tick(self, now: datetime) -> LiveTick:
        """Apply what has arrived, and price the markets that changed."""
        messages = self.feed.take()
        tick = LiveTick(now, pl.DataFrame(), messages=len(messages))
        changed: set[int] = set()
        for message in messages:
            rows = apply(self.state, message)
            if rows:
                changed.update(rows)
                self._track_outages(rows, message, now)
            handler = _NOTES.get(type(message))
            if handler is not None:
                handler(self, message, tick)
        changed.update(self._close_due(now))
        changed |= self._pending
        self._pending = set()
        tick.outages = self.outages.take()
        if changed and self.listing is not None:
            self._price(sorted(changed), tick)
        return tick

    def _price(self, rows: Sequence[int], tick: LiveTick) -> None:
        """Price changed markets that are current, and forget the opportunities of all changed ones."""
        current = [row for row in rows if self.state.current[row]]
        tick.markets = live_markets(self.markets, self.state, current)
        predictions = self._predictions_of(current)
        priced = tick.markets.join(predictions.select("ticker"), on="ticker", how="semi", maintain_order="left")
        if priced.height:
            tick.evaluation = price(
                priced,
                predictions,
                [],
                asof=tick.now,
                fees=self._fees,
                rules=self._rules,
                beliefs=self._beliefs,
                misses=0,
            )
        self._replace_opportunities([self.state.tickers[row] for row in rows], tick.evaluation)

    def _replace_opportunities(self, tickers: Collection[str], evaluation: Evaluation | None) -> None:
        if self.opportunities is None:
            return
        others = self.opportunities.filter(~pl.col("ticker").is_in(list(tickers)))
        if evaluation is None:
            self.opportunities = others
            return
        fresh = evaluation.opportunities.select(pl.col(n).cast(t) for n, t in self.opportunities.schema.items())
        self.opportunities = sort_opportunities(pl.concat([others, fresh]), self._rules)

    def _predictions_of(self, rows: Sequence[int]) -> pl.DataFrame:
        place = np.asarray(rows, dtype=np.int64)
        first = np.searchsorted(self._prediction_rows, place, side="left")
        last = np.searchsorted(self._prediction_rows, place, side="right")
        return self._predictions[_ranges(first, last)]

    def _close_due(self, now: datetime) -> list[int]:
        """Close the markets whose time is over: no message says so."""
        closed: list[int] = []
        for row in self._closings.take(now):
            closed += close(self.state, row)
        return closed

    def _track_outages(self, rows: Iterable[int], message: FeedMessage, now: datetime) -> None:
        state = self.state
        lost = [state.tickers[row] for row in rows if not state.current[row]]
        if lost:
            cause, silent_s = _cause(message)
            self.outages.begin(lost, now, cause, silent_s)
        if len(self.outages):
            for row in rows:
                if state.current[row]:
                    self.outages.end(state.tickers[row], now)

    def _note_trade(self, message: Trade, tick: LiveTick) -> None:
        tick.trades.append(message)

    def _note_lifecycle(self, message: Lifecycle, tick: LiveTick) -> None:
        body = message.msg
        if body.event_type in _FACT_EVENTS:
            self.changed_facts[body.market_ticker] = None
        elif body.event_type == "settled":
            tick.settled.append(body.market_ticker)

    def _note_gap(self, message: Gap, tick: LiveTick) -> None:
        """Ask for an audit where nothing else tells what was missed."""
        if message.channel in ("ticker", "market_lifecycle_v2"):
            self.audit_reason = self.audit_reason or message.reason

    def quote_ages(self, now_ms: int) -> NDArray[np.int64]:
        """Return the milliseconds since each row's quotes last changed, by the exchange's time."""
        return now_ms - column_of(self.state, "ts_ms")


_NOTES: dict[type, Callable[..., None]] = {
    Trade: LiveSession._note_trade,  # noqa: SLF001
    Lifecycle: LiveSession._note_lifecycle,  # noqa: SLF001
    Gap: LiveSession._note_gap,  # noqa: SLF001
}


def _cause(message: FeedMessage) -> tuple[str, float]:
    """Return why a message began an outage, and for how long they had not been heard of."""
    if isinstance(message, Lost | Gap):
        return message.reason, message.silent_s
    return ("the feed was opened" if isinstance(message, Opened) else "an amount could not be read"), 0.0


def predictions_of(evaluation: Evaluation) -> pl.DataFrame:
    """Return the predictions that an evaluation was made with, as PREDICTIONS without notes."""
    is_prediction = (pl.col("side") == "yes") & pl.col("p").is_not_null()
    return evaluation.rows.filter(is_prediction).select("ticker", "p", "p_sd", "model", "asof")


def _detach(rows: pl.DataFrame) -> pl.DataFrame:
    """Copy a small frame, texts included, so that it keeps nothing of its origin alive."""
    return pl.DataFrame(rows.rows(), schema=rows.schema, orient="row") if rows.height <= _SMALL else rows


def _ranges(first: NDArray[np.intp], last: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return the numbers of all half-open ranges, one range after the other."""
    counts = last - first
    starts = np.repeat(first - np.concatenate(([0], np.cumsum(counts)[:-1])), counts) if len(counts) else first
    return np.asarray(starts + np.arange(int(counts.sum())), dtype=np.int64)

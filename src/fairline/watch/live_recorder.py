"""Write what a live watch sees: every change of quotes, opportunities, trades, depth and outages.

Changes carry the time of their tick and are written together every few seconds: a file for each would be too many.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import polars as pl

from fairline.kalshi.feed_messages import Trade
from fairline.market.live import LiveState, UnreadableAmountError, price_units, size_units
from fairline.store.datasets import DEPTH, EDGES, OUTAGES, QUOTES, TRADES
from fairline.store.store import Store
from fairline.watch.live import LiveSession, LiveTick
from fairline.watch.recorder import Recorder

FLUSH_EVERY = timedelta(seconds=5)
DEPTH_LEVELS = 10


@dataclass(slots=True)
class LiveRecorder:
    """Collects the rows of each tick for its datasets. `changes` counts what happened to opportunities."""

    store: Store
    recorder: Recorder
    _rows: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    _flushed: datetime | None = None
    _depth_ts_ms: dict[str, int] = field(default_factory=dict)

    def add(self, session: LiveSession, tick: LiveTick) -> pl.DataFrame:
        """Collect a tick's rows; return what changed among the opportunities, as EDGES."""
        now = self.store.next_ts(tick.now)
        edges = EDGES.to_frame()
        if tick.evaluation is not None and session.listing is not None:
            edges = self.recorder.take_changes(session.partial_listing, tick.evaluation)
        self._collect("edges", edges, now)
        if tick.markets.height:
            self._collect("quotes", tick.markets.with_columns(listed=True), now)
        self._collect("trades", trade_rows(tick.trades), now)
        outages = [(each.ticker, each.cause, each.from_ts, each.until_ts) for each in tick.outages]
        self._collect("outages", _frame(outages, OUTAGES), now)
        if self._flushed is None or not timedelta() <= tick.now - self._flushed < FLUSH_EVERY:
            self._collect("depth", self._changed_depth(session.state), now)
            self.flush(tick.now)
        return edges.with_columns(seen_ts=pl.lit(now, dtype=EDGES["seen_ts"]))

    def flush(self, now: datetime) -> None:
        """Write everything that was collected. Raises `StoreError`; what was not written is tried again."""
        self._flushed = now
        for dataset in list(self._rows):
            rows = pl.concat(self._rows[dataset])
            self.store.append_stamped(dataset, rows)
            del self._rows[dataset]
            if dataset == "quotes":
                self.recorder.quotes.replace(rows.sort("seen_ts").unique("ticker", keep="last"))

    def _collect(self, dataset: str, rows: pl.DataFrame, now: datetime) -> None:
        if rows.is_empty():
            return
        schema = _SCHEMAS[dataset]
        stamped = rows.with_columns(seen_ts=pl.lit(now, dtype=schema["seen_ts"]))
        columns = [pl.col(name) if name in stamped.columns else pl.lit(None).alias(name) for name in schema]
        self._rows.setdefault(dataset, []).append(stamped.select(columns).cast(dict(schema)))  # type: ignore[arg-type]

    def _changed_depth(self, state: LiveState) -> pl.DataFrame:
        """Return the best levels of the valid books that changed since they were last recorded."""
        rows: list[tuple[object, ...]] = []
        for ticker, book in state.books.items():
            if not book.valid or self._depth_ts_ms.get(ticker) == book.ts_ms:
                continue
            self._depth_ts_ms[ticker] = book.ts_ms
            if not book.yes and not book.no:
                rows.append((ticker, None, None, None))
            for side, levels in (("yes", book.yes), ("no", book.no)):
                best = sorted(levels.items(), reverse=True)[:DEPTH_LEVELS]
                rows += [(ticker, side, price_u, size_cc) for price_u, size_cc in best]
        return _frame(rows, DEPTH)


def trade_rows(trades: list[Trade]) -> pl.DataFrame:
    """Return trades in TRADES columns without `seen_ts`; one that cannot be read is left out."""
    rows: list[tuple[object, ...]] = []
    for trade in trades:
        body = trade.msg
        try:
            price_u, count_cc = price_units(body.yes_price_dollars), size_units(body.count_fp or body.count)
        except UnreadableAmountError:
            continue
        at = datetime.fromtimestamp((body.ts_ms or body.ts * 1000) / 1000, tz=UTC)
        side = body.taker_outcome_side or body.taker_side
        rows.append((body.market_ticker, body.trade_id, at, price_u, count_cc, side, body.is_block_trade, None))
    return _frame(rows, TRADES)


def _frame(rows: Sequence[tuple[object, ...]], schema: pl.Schema) -> pl.DataFrame:
    own = {name: dtype for name, dtype in schema.items() if name != "seen_ts"}
    return pl.DataFrame(rows, schema=own, orient="row")


_SCHEMAS = {"edges": EDGES, "quotes": QUOTES, "trades": TRADES, "depth": DEPTH, "outages": OUTAGES}

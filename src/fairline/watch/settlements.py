"""Collect settlements into the store: those since the last time, and missed ones by ticker."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl

from fairline.kalshi import Kalshi
from fairline.kalshi.decoding import Rejected
from fairline.kalshi.settlements import read_settlements, read_settlements_since
from fairline.kalshi.wire import Settlement
from fairline.market.completeness import MAX_UNREADABLE_SHARE
from fairline.market.history import settlements_frame
from fairline.store.store import Store
from fairline.watch.state import State

_SINCE_NOTE = "settled_since"
_RECHECKED_NOTE = "settlements_rechecked"
_OVERLAP = timedelta(minutes=10)
_RECHECK_EVERY = timedelta(days=1)
_WINDOW = timedelta(days=2)
"""Settlements recorded within it are compared with new ones."""
_IDENTITY = ["ticker", "result", "payout_u"]


class SettlementCollector:
    """Continues after a restart. It goes by the exchange's times, because this machine's clock may be wrong."""

    def __init__(self, kalshi: Kalshi, store: Store, state: State) -> None:
        self._kalshi, self._store, self._state = kalshi, store, state
        self._recent: pl.DataFrame | None = None
        self.rejected: list[Rejected] = []
        """Settlements of the last collection that could not be read."""

    async def collect(self, now: datetime, on_new: Callable[[pl.DataFrame], None]) -> int:
        """Record new settlements, pass them to `on_new`, and return their number.

        Raises `KalshiError` and `StoreError`; the next call requests the same again.
        """
        note = self._state.get_note(_SINCE_NOTE)
        since = datetime.fromisoformat(note) if note else now - timedelta(hours=1)
        answer = await read_settlements_since(self._kalshi, int((since - _OVERLAP).timestamp()))
        self.rejected = answer.rejected
        rows = settlements_frame(answer.rows)
        count = await self._record(rows, now, on_new)
        latest = rows["settled_ts"].max()
        drifted = len(answer.rejected) > MAX_UNREADABLE_SHARE * (len(answer.rows) + len(answer.rejected))
        if isinstance(latest, datetime) and not drifted:
            # A time in the future would skip everything that settles before it.
            until = min(max(latest, since), max(now, since))
            self._state.set_note(_SINCE_NOTE, until.astimezone(UTC).isoformat())
        rechecked = self._state.get_note(_RECHECKED_NOTE)
        if not rechecked or abs(now - datetime.fromisoformat(rechecked)) >= _RECHECK_EVERY:
            count += await self._record(settlements_frame(await self._fetch_missing(now)), now, on_new)
            self._state.set_note(_RECHECKED_NOTE, now.isoformat())
        return count

    async def _record(self, rows: pl.DataFrame, now: datetime, on_new: Callable[[pl.DataFrame], None]) -> int:
        """Record settlements that are new or amended."""
        if self._recent is None:
            self._recent = await asyncio.to_thread(self._store.read, "settlements", since=now - _WINDOW)
        # An amendment adds a row; the last one counts.
        last = self._recent.unique("ticker", keep="last", maintain_order=True)
        rows = rows.unique("ticker", keep="last", maintain_order=True)
        new = rows.join(last, on=_IDENTITY, how="anti", nulls_equal=True)
        at = self._store.next_ts(now)
        self._store.append("settlements", new, at)
        on_new(new)
        added = new.with_columns(
            seen_ts=pl.lit(at, dtype=self._recent.schema["seen_ts"]), source=pl.lit(None, dtype=pl.String)
        ).select(self._recent.columns)
        recent = self._recent.filter(pl.col("seen_ts") >= now - _WINDOW)
        self._recent = pl.concat([recent, added], rechunk=True)
        return new.height

    async def _fetch_missing(self, now: datetime) -> list[Settlement]:
        """Request the settlements of markets that were flagged, have closed, and have no recorded settlement."""
        answer = await read_settlements(self._kalshi, await asyncio.to_thread(self._missing_tickers, now))
        self.rejected = [*self.rejected, *answer.rejected]
        return answer.rows

    def _missing_tickers(self, now: datetime) -> list[str]:
        closed = self._store.read("edges", where=pl.col("close_ts") < now, columns=["ticker"]).unique()
        settled = self._store.read("settlements", where=pl.col("payout_u").is_not_null(), columns=["ticker"]).unique()
        return closed.join(settled, on="ticker", how="anti")["ticker"].sort().to_list()

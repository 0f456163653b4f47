"""Collects how markets ended, into the store: what was settled since the last time, and what was missed by name."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl

from fairline.kalshi import Kalshi
from fairline.kalshi.settlements import read_settlements, read_settlements_since
from fairline.kalshi.wire import Settlement
from fairline.scoring.metrics import settlements_frame
from fairline.store.store import Store
from fairline.watch.state import State

_NOTE, _SOUGHT = "read_settlements_since", "settlements_sought"
_OVERLAP = timedelta(minutes=10)
_SEEK_EVERY = timedelta(days=1)
_REMEMBERED = timedelta(days=2)
_SAME = ["ticker", "result", "payout_u"]


class Settling:
    """Goes on from where it was after a restart. The exchange's own times say how far: ours may be off."""

    def __init__(self, kalshi: Kalshi, store: Store, state: State) -> None:
        self._kalshi, self._store, self._state = kalshi, store, state
        self._kept: pl.DataFrame | None = None

    async def collect(self, now: datetime, learn: Callable[[pl.DataFrame], None]) -> int:
        """How many settlements are new. They are in the store then, and whoever wants to `learn` of them was told.

        Raises `KalshiError`, `StoreError`: then the same are asked for again.
        """
        noted = self._state.note(_NOTE)
        since = datetime.fromisoformat(noted) if noted else now - timedelta(hours=1)
        found = settlements_frame(await read_settlements_since(self._kalshi, int((since - _OVERLAP).timestamp())))
        fresh = await self._keep(found, now, learn)
        latest = found["settled_ts"].max()
        if isinstance(latest, datetime):
            # A time that is still to come would leave out all that ends before it.
            self._state.remember(_NOTE, min(max(latest, since), max(now, since)).astimezone(UTC).isoformat())
        sought = self._state.note(_SOUGHT)
        if not sought or abs(now - datetime.fromisoformat(sought)) >= _SEEK_EVERY:
            fresh += await self._keep(settlements_frame(await self._seek(now)), now, learn)
            self._state.remember(_SOUGHT, now.isoformat())
        return fresh

    async def _keep(self, found: pl.DataFrame, now: datetime, learn: Callable[[pl.DataFrame], None]) -> int:
        """Record what is new or was amended."""
        if self._kept is None:
            self._kept = await asyncio.to_thread(self._store.read, "settlements", since=now - _REMEMBERED)
        # A settlement that was amended is another row, and the last one counts.
        last = self._kept.unique("ticker", keep="last", maintain_order=True)
        found = found.unique("ticker", keep="last", maintain_order=True)
        fresh = found.join(last, on=_SAME, how="anti", nulls_equal=True)
        at = self._store.tick(now)
        self._store.append("settlements", fresh, at)
        learn(fresh)
        added = fresh.with_columns(seen_ts=pl.lit(at, dtype=self._kept.schema["seen_ts"])).select(self._kept.columns)
        self._kept = pl.concat([self._kept.filter(pl.col("seen_ts") >= now - _REMEMBERED), added])
        return fresh.height

    async def _seek(self, now: datetime) -> list[Settlement]:
        """How markets ended that were flagged, have closed, and are not known to have ended."""
        return await read_settlements(self._kalshi, await asyncio.to_thread(self._wanted, now))

    def _wanted(self, now: datetime) -> list[str]:
        closed = self._store.read("edges", where=pl.col("close_ts") < now, columns=["ticker"]).unique()
        ended = self._store.read("settlements", where=pl.col("payout_u").is_not_null(), columns=["ticker"]).unique()
        return closed.join(ended, on="ticker", how="anti")["ticker"].sort().to_list()

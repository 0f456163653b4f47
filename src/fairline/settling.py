"""Collects how markets ended, into the store: what was settled since the last time, and what was missed by name."""

from datetime import UTC, datetime, timedelta

import polars as pl

from fairline.datasets import SETTLEMENTS
from fairline.kalshi import Kalshi
from fairline.kalshi.settled import settled_of, settled_since
from fairline.scoring import settlements_frame
from fairline.state import State
from fairline.store import Store

_NOTE, _SOUGHT = "settled_since", "settlements_sought"
_OVERLAP = timedelta(minutes=10)
_SEEK_EVERY = timedelta(days=1)


class Settling:
    """Goes on from where it was after a restart. The exchange's own times say how far: ours may be off."""

    def __init__(self, kalshi: Kalshi, store: Store, state: State) -> None:
        self._kalshi, self._store, self._state = kalshi, store, state
        self._seen: pl.DataFrame | None = None

    async def collect(self, now: datetime) -> pl.DataFrame:
        """The settlements that are new, which are in the store then. Raises `KalshiError`, `StoreError`."""
        noted = self._state.note(_NOTE)
        since = datetime.fromisoformat(noted) if noted else now - timedelta(hours=1)
        rows = await settled_since(self._kalshi, int((since - _OVERLAP).timestamp()))
        sought = self._state.note(_SOUGHT)
        seek = not sought or now - datetime.fromisoformat(sought) >= _SEEK_EVERY
        if seek:
            rows += await settled_of(self._kalshi, self._wanted(now))
        found = settlements_frame(rows).unique("ticker", keep="last", maintain_order=True)
        fresh = found.join(self._known(now), on=["ticker", "result", "payout_u"], how="anti", nulls_equal=True)
        at = self._store.tick(now)
        self._store.append("settlements", fresh, at)
        self._seen = pl.concat([self._known(now), fresh.select("ticker", "result", "payout_u")])
        latest = found["settled_ts"].max()
        if isinstance(latest, datetime):
            self._state.remember(_NOTE, max(latest, since).astimezone(UTC).isoformat())
        if seek:
            self._state.remember(_SOUGHT, now.isoformat())
        return fresh.with_columns(seen_ts=pl.lit(at)).select(
            pl.col(name).cast(dtype) for name, dtype in SETTLEMENTS.items()
        )

    def _known(self, now: datetime) -> pl.DataFrame:
        if self._seen is None:
            # A settlement that was amended is another row, and the later one counts.
            kept = self._store.read("settlements", since=now - timedelta(days=2))
            self._seen = kept.select("ticker", "result", "payout_u")
        return self._seen

    def _wanted(self, now: datetime) -> list[str]:
        """The markets that were flagged, have closed, and of which it is not known how they ended."""
        flagged = self._store.read("edges").filter(pl.col("close_ts") < now)
        ended = self._store.read("settlements").select("ticker")
        return (
            flagged.select("ticker")
            .unique(maintain_order=True)
            .join(ended, on="ticker", how="anti")["ticker"]
            .to_list()
        )

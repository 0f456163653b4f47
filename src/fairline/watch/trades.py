"""Collect the trades of candidates and followed markets into the store, each once."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import polars as pl

from fairline.kalshi import Kalshi
from fairline.kalshi.cursor import paginate
from fairline.kalshi.decoding import Page
from fairline.kalshi.history import MAX_TRADES, Trade
from fairline.market.history import trades_frame
from fairline.store.store import Store

MAX_TICKERS = 5
"""Markets of one round. Each takes a request, and scans must not wait for them: with a round every five seconds this is
a tenth of the rate without a key. The ones not requested for the longest come first."""
REPEAT_AFTER = timedelta(minutes=5)
"""The trades of a market are requested this often at most."""
_FIRST_PERIOD = timedelta(hours=1)
"""How far back the trades of a new candidate are read."""
_RECENT = timedelta(days=2)


class TradeCollector:
    """Continues after a restart from the trades in the store."""

    def __init__(self, kalshi: Kalshi, store: Store) -> None:
        self._kalshi, self._store = kalshi, store
        self._last: dict[str, datetime] | None = None
        self._asked: dict[str, datetime] = {}

    async def collect(self, tickers: Iterable[str], now: datetime) -> int:
        """Record new trades, and return their number. Raises `KalshiError` and `StoreError`."""
        if self._last is None:
            self._last = await asyncio.to_thread(self._read_last, now)
        waiting = {each: self._asked.get(each, _NEVER) for each in set(tickers)}
        ready = [each for each, asked in waiting.items() if abs(now - asked) >= REPEAT_AFTER]
        count = 0
        for ticker in sorted(ready, key=lambda each: (waiting[each], each))[:MAX_TICKERS]:
            self._asked[ticker] = now
            count += await self._collect_one(ticker, now)
        return count

    async def _collect_one(self, ticker: str, now: datetime) -> int:
        last = (self._last or {}).get(ticker, now - _FIRST_PERIOD)

        async def fetch(cursor: str | None) -> Page[Trade]:
            return await self._kalshi.history.trades(ticker, min_ts=int(last.timestamp()), cursor=cursor)

        rows = {row.trade_id: row async for page in paginate(fetch, MAX_TRADES) for row in page.rows}
        trades = trades_frame(list(rows.values()))
        known = self._store.read("trades", since=last - _RECENT, where=pl.col("ticker") == ticker, columns=["trade_id"])
        new = trades.join(known, on="trade_id", how="anti").sort("created_ts")
        self._store.append("trades", new, self._store.next_ts(now))
        latest = new["created_ts"].max()
        if self._last is not None:
            self._last[ticker] = max(last, latest) if isinstance(latest, datetime) else last
        return new.height

    def _read_last(self, now: datetime) -> dict[str, datetime]:
        recent = self._store.read("trades", since=now - _RECENT, columns=["ticker", "created_ts"])
        return dict(recent.group_by("ticker").agg(pl.col("created_ts").max()).iter_rows())


_NEVER = datetime.min.replace(tzinfo=UTC)

"""Ingest the past of a series from the exchange: markets, candles and trades, live and archived.

Candles are requested in chunks on a fixed grid, so that each request has an identity and is made once. A settled market
is on either side of the archive's moving cut-off: what one side does not have is requested from the other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import polars as pl

from fairline.kalshi import Kalshi
from fairline.kalshi.client import MAX_EVENTS
from fairline.kalshi.cursor import paginate
from fairline.kalshi.decoding import Page
from fairline.kalshi.errors import NotFoundError
from fairline.kalshi.history import MAX_TRADES, Candle, Trade
from fairline.kalshi.wire import Event, Series
from fairline.market.history import candles_frame, trades_frame
from fairline.store.ingest.batch import Batch, Entry, IngestStore, State
from fairline.store.ingest.markets import PastMarket, create_past_market, market_tables, parse_ts
from fairline.store.ingest.plan import CandleJob, ExchangeOptions, Plan, candle_jobs, create_plan

WORKERS = 8
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Report:
    """What was ingested. `mismatches` are markets whose one-minute candles do not add up to their volume."""

    candles: int = 0
    trades: int = 0
    mismatches: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Series:
    """What the exchange has of one series."""

    markets: list[PastMarket]
    series: Series | None
    events: list[Event]


class ExchangeIngest:
    """Call `prepare`, then `run`. Both raise `KalshiError` and `StoreError`, and can be repeated."""

    def __init__(
        self, kalshi: Kalshi, target: IngestStore, options: ExchangeOptions, now: datetime | None = None
    ) -> None:
        self._kalshi, self._target, self._options = kalshi, target, options
        self._now = now or datetime.now(UTC)
        self._series: dict[str, _Series] = {}
        self._trades_cutoff_s = 0
        self._report = Report()

    async def prepare(self, tokens_per_s: float = 200.0) -> Plan:
        """List the markets, and return what remains to be requested at a rate of `tokens_per_s`."""
        cutoff = parse_ts((await self._kalshi.history.cutoff()).trades_created_ts)
        self._trades_cutoff_s = int(cutoff.timestamp()) if cutoff else 0
        for series in self._options.series:
            markets = await self._list_markets(series)
            self._series[series] = _Series(markets, await self._read_series(series), await self._list_events(series))
        return create_plan(self._markets(), self._jobs(), self._trade_markets(), self._options, tokens_per_s)

    async def run(self, progress: Progress = lambda done, total: None) -> Report:
        """Request what is missing, and return what was ingested by this call."""
        for name, past in self._series.items():
            entry = self._entry("exchange", f"{name} markets", self._options.since, "partial", len(past.markets))
            self._target.add(Batch([entry], market_tables(past.markets, past.series, past.events)))
        work: list[Callable[[], Awaitable[None]]] = [_call(self._fetch_candles, job) for job in self._jobs()]
        if self._options.trades:
            work += [_call(self._fetch_trades, market) for market in self._trade_markets()]
        await _run_all(work, progress)
        return self._report

    # listing

    def _markets(self) -> list[PastMarket]:
        return [market for past in self._series.values() for market in past.markets]

    def _jobs(self) -> list[CandleJob]:
        return candle_jobs(self._markets(), self._options, self._target.finished_ids())

    def _trade_markets(self) -> list[PastMarket]:
        if not self._options.trades:
            return []
        finished = self._target.finished_ids()
        return [m for m in self._markets() if self._trades_entry(m, "done", 0).id not in finished]

    async def _list_markets(self, series: str) -> list[PastMarket]:
        """Return the markets that traded after `since`; one that both sides list counts as live."""
        live = await self._walk_markets(series, archived=False)
        archived = await self._walk_markets(series, archived=True)
        markets = {market.ticker: market for market in [*archived, *live]}
        since = int(self._options.since.timestamp())
        return sorted((m for m in markets.values() if m.end > since and m.start < self._now.timestamp()), key=_ticker)

    async def _walk_markets(self, series: str, *, archived: bool) -> list[PastMarket]:
        markets: list[PastMarket] = []
        cursor = None
        while True:
            past, full = await self._kalshi.history.markets(series, cursor=cursor, archived=archived)
            known = {market.ticker: market for market in full.rows}
            page = [
                create_past_market(row, known.get(row.ticker), archived=archived, now=self._now) for row in past.rows
            ]
            markets += page
            cursor = past.cursor
            # The archive lists the latest settlement first, without a filter by time.
            too_old = archived and page and max(market.end for market in page) <= self._options.since.timestamp()
            if not cursor or too_old:
                return markets

    async def _read_series(self, series: str) -> Series | None:
        try:
            return await self._kalshi.series.get(series)
        except NotFoundError:
            return None

    async def _list_events(self, series: str) -> list[Event]:
        async def fetch(cursor: str | None) -> Page[Event]:
            return await self._kalshi.events.list(series_ticker=series, cursor=cursor)

        return [event async for page in paginate(fetch, MAX_EVENTS) for event in page.rows]

    # candles

    async def _fetch_candles(self, job: CandleJob) -> None:
        candles = await self._request_candles(job)
        rows = _quotes(job, candles, self._now)
        counts = dict(rows.group_by("ticker").len().iter_rows())
        begin = datetime.fromtimestamp(job.chunk, UTC)
        entries = []
        for market in job.markets:
            self._check_volume(market, job, candles[market.ticker])
            state = job.state_of(market, self._now)
            entry = self._entry(self._options.source, market.ticker, begin, state, counts.get(market.ticker, 0))
            entries.append(replace(entry, to_ts=self._covered_until(job)))
        self._target.add(Batch(entries, {"quotes": rows}))
        self._report.candles += sum(map(len, candles.values()))

    def _covered_until(self, job: CandleJob) -> datetime:
        """Return the end of the last whole candle of a job."""
        last = min(job.high, int(self._now.timestamp()))
        return datetime.fromtimestamp(last // self._options.seconds * self._options.seconds, UTC)

    async def _request_candles(self, job: CandleJob) -> Mapping[str, Sequence[Candle]]:
        """Return the candles of a job's markets. One that moved into the archive is requested there."""
        live = [market for market in job.markets if not market.archived]
        candles: dict[str, Sequence[Candle]] = {}
        if live:
            names = [market.ticker for market in live]
            candles |= await self._kalshi.history.batch_candles(names, job.low, job.high, self._options.every)
        for market in job.markets:
            if market.ticker not in candles:
                candles[market.ticker] = await self._archived_candles(market, job)
        return candles

    async def _archived_candles(self, market: PastMarket, job: CandleJob) -> Sequence[Candle]:
        try:
            return await self._kalshi.history.archived_candles(market.ticker, job.low, job.high, self._options.every)
        except NotFoundError:
            # A market without candles is missing from the batch, and not in the archive either.
            return []

    def _check_volume(self, market: PastMarket, job: CandleJob, candles: Sequence[Candle]) -> None:
        whole = job.low <= market.start + 1 and job.high >= market.end and market.settled
        if self._options.every != 1 or not whole or market.row.volume_fp is None:
            return
        traded = sum(float(candle.volume_fp or candle.volume or 0) for candle in candles)
        if abs(traded - float(market.row.volume_fp)) > 0.005:
            self._report.mismatches.append(
                f"{market.ticker}: candles add up to {traded:,.2f} contracts, the market says {market.row.volume_fp}"
            )

    # trades

    async def _fetch_trades(self, market: PastMarket) -> None:
        """Request a market's trades, the latest first; each page is kept at once, and a restart continues below it."""
        since = max(market.start, int(self._options.since.timestamp()))
        until = self._resume_trades(market, market.end + 1)
        count = 0
        if not market.archived:
            count = await self._fetch_trade_pages(market, since, until, archived=False)
        # An empty page of the live side does not mean that there are none.
        if market.archived or since < self._trades_cutoff_s or (market.settled and not count):
            await self._fetch_trade_pages(market, since, until, archived=True)
        self._target.add(Batch([self._trades_entry(market, "done" if market.settled else "partial", 0)]))

    async def _fetch_trade_pages(self, market: PastMarket, since: int, until: int, *, archived: bool) -> int:
        """Keep each page of one side, and return the number of its trades."""
        count = 0

        async def fetch(cursor: str | None) -> Page[Trade]:
            return await self._kalshi.history.trades(
                market.ticker, min_ts=since, max_ts=until, cursor=cursor, archived=archived
            )

        async for page in paginate(fetch, MAX_TRADES):
            trades = trades_frame(page.rows)
            oldest = trades["created_ts"].min()
            if not isinstance(oldest, datetime):
                continue
            entry = self._entry("trades", f"{market.ticker} page", oldest, "partial", trades.height)
            self._target.add(Batch([entry], {"trades": trades.with_columns(seen_ts="created_ts")}))
            self._report.trades += trades.height
            count += trades.height
        return count

    def _resume_trades(self, market: PastMarket, until: int) -> int:
        """Return up to when trades are missing: an interrupted walk went from the latest to the oldest."""
        if not market.settled:
            return until
        pages = self._target.entries(f"{market.ticker} page")
        oldest = min((page.from_ts for page in pages), default=None)
        return until if oldest is None else int(oldest.timestamp()) + 1

    def _trades_entry(self, market: PastMarket, state: State, rows: int) -> Entry:
        begin = datetime.fromtimestamp(max(market.start, self._options.since.timestamp()), UTC)
        return self._entry("trades", market.ticker, begin, state, rows)

    def _entry(self, source: str, item: str, begin: datetime, state: State, rows: int) -> Entry:
        return Entry(source, item, begin, self._now, "empty" if state == "done" and not rows else state, rows)


_MARKET_FACTS = {
    "ticker": pl.String(),
    "closed": pl.Datetime("us", "UTC"),
    "settled": pl.Datetime("us", "UTC"),
    "archived": pl.Boolean(),
    "whole": pl.Boolean(),
}


def _quotes(job: CandleJob, candles: Mapping[str, Sequence[Candle]], now: datetime) -> pl.DataFrame:
    """Return QUOTES at the end of each candle that has ended.

    A candle after the close without a bid and an ask is no observation, nor is one that ends after the settlement. The
    archive states an open interest of zero where it has none. The volume of a market is known only with its first
    candle.
    """
    values = [
        (
            market.ticker,
            parse_ts(market.row.close_time) if market.settled else None,
            parse_ts(market.row.settlement_ts),
            market.archived,
            job.low <= market.start + 1,
        )
        for market in job.markets
    ]
    facts = pl.DataFrame(values, schema=_MARKET_FACTS, orient="row")
    rows = candles_frame(candles.items()).sort("ticker", "end_ts").join(facts, on="ticker", maintain_order="left")
    quoted = pl.col("yes_bid_u").is_not_null() | pl.col("yes_ask_u").is_not_null()
    interest = pl.col("open_interest_cc")
    in_time = pl.col("end_ts") <= pl.min_horizontal("settled", pl.lit(now))
    observed = quoted | pl.col("closed").is_null() | (pl.col("end_ts") <= pl.col("closed"))
    return rows.filter(in_time & observed).select(
        "ticker",
        "yes_bid_u",
        "yes_ask_u",
        pl.col("last_price_u").forward_fill().over("ticker"),
        seen_ts="end_ts",
        listed=pl.lit(value=True),
        status=pl.lit("active"),
        volume_cc=pl.when("whole").then(pl.col("volume_cc").cum_sum().over("ticker")),
        open_interest_cc=pl.when(~pl.col("archived") | (interest > 0)).then(interest),
    )


def _ticker(market: PastMarket) -> str:
    return market.ticker


def _call(function: Callable[..., Awaitable[None]], argument: object) -> Callable[[], Awaitable[None]]:
    return lambda: function(argument)


async def _run_all(work: Sequence[Callable[[], Awaitable[None]]], progress: Progress) -> None:
    """Run all of the work, a few parts at a time. The first error ends it; what was done until then is kept."""
    pending = iter(work)
    done = 0

    async def run_some() -> None:
        nonlocal done
        for part in pending:
            await part()
            done += 1
            progress(done, len(work))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(run_some())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors

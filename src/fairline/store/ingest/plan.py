"""Plan an ingest from the exchange: which requests for candles it takes, and what they cost."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from fairline.errors import UsageError
from fairline.kalshi.history import MAX_BATCH_CANDLES, MAX_BATCH_TICKERS, MAX_CANDLES, MAX_TRADES
from fairline.store.ingest.batch import State, entry_id
from fairline.store.ingest.markets import PastMarket

TOKENS_PER_REQUEST = 10
BYTES_PER_CANDLE = 4
"""Disk of a candle and a trade in a store, for the estimate of a plan; see benchmarks/RESULTS.md, section ingest."""
BYTES_PER_TRADE = 20
TRADE_CONTRACTS = 100
"""Contracts of a trade, for the estimate of a plan."""
Period = Literal[1, 60, 1440]


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """Which series, since when, candles of how many minutes, and whether trades too."""

    series: tuple[str, ...]
    since: datetime
    every: Period = 60
    trades: bool = False

    def __post_init__(self) -> None:
        if not self.series:
            raise UsageError("expected at least one series", field="series")
        if self.every not in (1, 60, 1440):
            raise UsageError("expected 1, 60 or 1440 minutes", field="every")

    @property
    def source(self) -> str:
        return f"candles:{self.every}"

    @property
    def seconds(self) -> int:
        return 60 * self.every


@dataclass(frozen=True, slots=True)
class CandleJob:
    """One request: candles of one or more markets that end from `low` to `high`, in the chunk that begins at `chunk`.

    Times are Unix seconds.
    """

    markets: tuple[PastMarket, ...]
    chunk: int
    low: int
    high: int

    def state_of(self, market: PastMarket, now: datetime) -> State:
        """Return `partial` if the market may have further candles in this chunk."""
        return "done" if market.settled or self.high < now.timestamp() else "partial"


@dataclass(frozen=True, slots=True)
class Plan:
    """What an ingest will request. Requests for trades and the disk are estimates."""

    markets: int
    candle_requests: int
    trade_requests: int
    megabytes: float
    tokens_per_s: float

    @property
    def requests(self) -> int:
        return self.candle_requests + self.trade_requests

    @property
    def tokens(self) -> int:
        return self.requests * TOKENS_PER_REQUEST

    @property
    def minutes(self) -> float:
        return self.tokens / self.tokens_per_s / 60


def candle_jobs(markets: Sequence[PastMarket], options: ExchangeOptions, finished: Collection[str]) -> list[CandleJob]:
    """Return the requests that are missing. Archived markets take one each; live ones share a request."""
    single = [job for market in markets for job in _chunks(market, options, finished)]
    archived = [job for job in single if job.markets[0].archived]
    live = sorted((job for job in single if not job.markets[0].archived), key=lambda job: (job.chunk, job.low))
    return archived + _group(live, options.seconds)


def _chunks(market: PastMarket, options: ExchangeOptions, finished: Collection[str]) -> list[CandleJob]:
    """Return a market's chunks on a grid that does not depend on when the ingest runs."""
    size = MAX_CANDLES * options.seconds
    begin = max(market.start, int(options.since.timestamp()))
    jobs = []
    for chunk in range(begin // size * size, market.end + 1, size):
        identity = entry_id(options.source, market.ticker, datetime.fromtimestamp(chunk, UTC))
        if identity not in finished:
            # The candle of a market's last minutes ends after its settlement.
            high = min(chunk + size, market.end + options.seconds)
            jobs.append(CandleJob((market,), chunk, max(chunk, begin) + 1, high))
    return jobs


def _group(jobs: Sequence[CandleJob], seconds: int) -> list[CandleJob]:
    """Join the jobs of live markets, up to the limits of a request for many markets."""
    groups: list[CandleJob] = []
    for job in jobs:
        joined = _join(groups[-1], job) if groups else None
        if joined is not None and _fits(joined, seconds):
            groups[-1] = joined
        else:
            groups.append(job)
    return groups


def _join(group: CandleJob, job: CandleJob) -> CandleJob | None:
    if group.chunk != job.chunk:
        return None
    return CandleJob((*group.markets, *job.markets), group.chunk, min(group.low, job.low), max(group.high, job.high))


def _fits(job: CandleJob, seconds: int) -> bool:
    candles = len(job.markets) * (1 + (job.high - job.low) // seconds)
    return len(job.markets) <= MAX_BATCH_TICKERS and candles <= MAX_BATCH_CANDLES


def create_plan(
    markets: Sequence[PastMarket],
    jobs: Sequence[CandleJob],
    trade_markets: Sequence[PastMarket],
    options: ExchangeOptions,
    tokens_per_s: float,
) -> Plan:
    """Return the plan of these requests."""
    candles = sum((job.high - job.low) // options.seconds * len(job.markets) for job in jobs)
    trades = [float(market.row.volume_fp or 0) / TRADE_CONTRACTS for market in trade_markets]
    pages = sum(1 + math.floor(count / MAX_TRADES) for count in trades)
    megabytes = (candles * BYTES_PER_CANDLE + sum(trades) * BYTES_PER_TRADE) / 1e6
    return Plan(len(markets), len(jobs), pages, megabytes, tokens_per_s)

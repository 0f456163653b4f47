"""A day on the simulated exchange: scan, settle, and compare promised with realised EV."""

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from fairline.kalshi import ApiKeyAuth, Kalshi, Rate, TokenBucket, Transport, read_private_key
from fairline.kalshi.routes import MAX_TICKERS, batches
from fairline.market.listing import Listing, Progress
from fairline.models import TableModel
from fairline.scanner import Evaluation, run_scan
from fairline.scoring.metrics import Interval, clustered_mean, profits, settlements_frame
from fairline.sim import Exchange, Key, throw_away_pair

NOISE = 0.05
"""Standard deviation of the forecaster's error, in log-odds."""


@dataclass(frozen=True, slots=True)
class Demo:
    """The scan of a demo, and the promised and realised EV per contract, over one contract of each opportunity."""

    listing: Listing
    evaluation: Evaluation
    promised: Interval | None
    realised: Interval | None

    def summary(self) -> str:
        """Return the promised and the realised EV as text."""
        promised, realised = self.promised, self.realised
        if promised is None or realised is None:
            return "Nothing was flagged, so there is nothing to settle."
        return (
            f"Settled: {realised.n:,} flagged sides in {realised.clusters:,} events, one contract of each.\n"
            f"  promised  ${promised.mean:+.4f} a contract after fees\n"
            f"  realised  ${realised.mean:+.4f} a contract after fees "
            f"(95 % interval {realised.low:+.4f} to {realised.high:+.4f}, by event)\n"
            "A noisy forecaster's best edges are partly its own errors, so expect less than was promised."
        )


def run_demo(
    markets: int = 15_000, seed: int = 0, *, progress: Progress | None = None, say: Callable[[str], None] = print
) -> Demo:
    """Start an exchange on a free loopback port, sign in with a throw-away key, scan, settle, and score."""
    with tempfile.TemporaryDirectory(prefix="fairline-demo-") as folder:
        key_file, forecast = Path(folder) / "key.pem", Path(folder) / "forecast.csv"
        say(f"Creating an exchange of {markets:,} markets and a throw-away key …")
        public = throw_away_pair(key_file)
        with Exchange(markets=markets, seed=seed, keys=[Key("demo", public)]) as exchange:
            write_forecast(exchange, forecast, seed)
            return asyncio.run(_run(exchange, key_file, forecast, progress, say))


def write_forecast(exchange: Exchange, path: Path, seed: int) -> None:
    """Write the forecast of a forecaster of known skill: the hidden truth with `NOISE` in log-odds, and its p_sd."""
    columns = exchange.world.columns
    truth = np.clip(exchange.world.truth, 1e-6, 1 - 1e-6)
    odds = np.log(truth / (1 - truth)) + np.random.default_rng(seed + 7).normal(0, NOISE, len(truth))
    p = 1 / (1 + np.exp(-odds))
    open_now = columns.status == 1
    table = pl.DataFrame({"ticker": columns.ticker, "p": p, "p_sd": p * (1 - p) * NOISE}).filter(open_now)
    table.write_csv(path)


async def _run(
    exchange: Exchange, key_file: Path, forecast: Path, progress: Progress | None, say: Callable[[str], None]
) -> Demo:
    bucket = TokenBucket(Rate(refill=10_000, capacity=10_000))
    auth = ApiKeyAuth("demo", read_private_key(key_file))
    async with Kalshi(Transport(exchange.url, auth=auth, bucket=bucket)) as kalshi:
        balance = await kalshi.portfolio.balance()
        say(f"Signed in at {exchange.url}; balance ${balance.balance / 100:,.2f}. Scanning …")
        result = await run_scan(kalshi, [TableModel(forecast)], progress=progress)
        say("Letting the exchange settle …")
        exchange.world.settle()
        flagged = result.opportunities
        tickers = flagged["ticker"].unique().sort().to_list()
        pages = [await kalshi.markets.settlements(batch) for batch in batches(tickers, MAX_TICKERS)]
    outcome = profits(flagged, settlements_frame([row for page in pages for row in page.rows]))
    return Demo(
        result.listing,
        result.evaluation,
        clustered_mean(outcome, "promised"),
        clustered_mean(outcome, "realised"),
    )

"""A day on the simulated exchange: earn a record, scan, settle, and compare promised with realised EV."""

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from fairline.api.reports import ScanReport
from fairline.kalshi import ApiKeyAuth, Kalshi, Rate, TokenBucket, Transport, read_private_key
from fairline.kalshi.routes import MAX_TICKERS, batches
from fairline.market.history import settlements_frame
from fairline.market.listing import Progress
from fairline.models import TableModel
from fairline.pricing.belief import ANY_CATEGORY, Beliefs, Record
from fairline.pricing.rules import Rules
from fairline.scanner import ScanOptions, ScanResult, run_scan
from fairline.scoring.metrics import Interval, clustered_mean, profits
from fairline.scoring.records import MAX_SPREAD_PERCENT, fit_records, settled_opinions
from fairline.sim import Exchange, Key, throw_away_pair

NOISE = 0.05
"""Standard deviation of the forecaster's error, in log-odds."""
PAST_MARKETS = 40_000
"""Markets of the past on which the forecaster earns its record: one in sixty is worth a bet."""
_PAST_SEED = 1_000_003
"""Added to the seed for the past, so that the past is a different world."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Promised and realised EV per contract, over one contract of each opportunity; None without opportunities."""

    promised: Interval | None
    realised: Interval | None

    def text(self, name: str, verb: str) -> str:
        """Return the comparison as text."""
        if self.promised is None or self.realised is None:
            return f"{name}: none."
        return (
            f"{name}: {self.realised.n:,} flagged sides in {self.realised.clusters:,} events, one contract of each.\n"
            f"  {verb:9} ${self.promised.mean:+.4f} a contract after fees\n"
            f"  realised  ${self.realised.mean:+.4f} a contract after fees "
            f"(95 % interval {self.realised.low:+.4f} to {self.realised.high:+.4f}, by event)"
        )


@dataclass(frozen=True, slots=True)
class Demo:
    """The scan of a demo, the record that was earned before, and the outcome of both sections."""

    report: ScanReport
    record: Record | None
    believed: Comparison
    unproven: Comparison

    def summary(self) -> str:
        """Return the record, and promised with realised EV of each section, as text."""
        earned = "The forecaster earned no record."
        if self.record is not None:
            earned = (
                f"Record from {self.record.events:,} settled events of the past: "
                f"{self.record.estimate:.0%} of its disagreement with the price came true "
                f"(standard error {self.record.standard_error:.0%}); {self.record.k:.0%} is believed."
            )
        believed = self.believed.text("Believed", "promised")
        unproven = self.unproven.text("Unproven", "claimed")
        return f"{earned}\n{believed}\n{unproven}\nOnly the believed EV is a promise."


def run_demo(
    markets: int = 15_000, seed: int = 0, *, progress: Progress | None = None, say: Callable[[str], None] = print
) -> Demo:
    """Start an exchange on a free loopback port, sign in with a throw-away key, scan, settle, and score."""
    with tempfile.TemporaryDirectory(prefix="fairline-demo-") as folder:
        key_file, forecast = Path(folder) / "key.pem", Path(folder) / "forecast.csv"
        public = throw_away_pair(key_file)
        say("Settling a past, in which the forecaster earns a record …")
        with Exchange(markets=PAST_MARKETS, seed=seed + _PAST_SEED, keys=[Key("demo", public)]) as exchange:
            write_forecast(exchange, forecast, seed + _PAST_SEED)
            records = asyncio.run(_earn_records(exchange, key_file, forecast))
        say(f"Creating an exchange of {markets:,} markets and a throw-away key …")
        with Exchange(markets=markets, seed=seed, keys=[Key("demo", public)]) as exchange:
            write_forecast(exchange, forecast, seed)
            return asyncio.run(_run(exchange, key_file, forecast, records, progress, say))


def write_forecast(exchange: Exchange, path: Path, seed: int) -> None:
    """Write the forecast of a forecaster of known skill: the hidden truth with `NOISE` in log-odds, and its p_sd."""
    columns = exchange.world.columns
    truth = np.clip(exchange.world.truth, 1e-6, 1 - 1e-6)
    odds = np.log(truth / (1 - truth)) + np.random.default_rng(seed + 7).normal(0, NOISE, len(truth))
    p = 1 / (1 + np.exp(-odds))
    open_now = columns.status == 1
    table = pl.DataFrame({"ticker": columns.ticker, "p": p, "p_sd": p * (1 - p) * NOISE}).filter(open_now)
    table.write_csv(path)


def _client(exchange: Exchange, key_file: Path) -> Kalshi:
    bucket = TokenBucket(Rate(refill=10_000, capacity=10_000))
    auth = ApiKeyAuth("demo", read_private_key(key_file))
    return Kalshi(Transport(exchange.url, auth=auth, bucket=bucket))


async def _earn_records(exchange: Exchange, key_file: Path, forecast: Path) -> tuple[Record, ...]:
    """Scan and settle a world, and fit the forecaster's record on all of its predictions, flagged or not."""
    async with _client(exchange, key_file) as kalshi:
        result = await run_scan(kalshi, [TableModel(forecast)], ScanOptions(books=False))
        exchange.world.settle()
        opinions = _opinions(result).filter(pl.col("spread_percent") < MAX_SPREAD_PERCENT)
        settlements = await _settlements(kalshi, opinions["ticker"].to_list())
    binary = settlements.filter(pl.col("result").is_in(["yes", "no"]))
    return fit_records(settled_opinions(opinions, binary))


def _opinions(result: ScanResult) -> pl.DataFrame:
    """Return the forecaster's probability of each market with quotes, as the store would record it."""
    quotes = result.listing.markets.drop_nulls(["p_bid", "p_ask"]).select("ticker", "p_bid", "p_ask", "spread_percent")
    rows = result.evaluation.select((pl.col("side") == "yes") & pl.col("p").is_not_null())
    return rows.select("ticker", "event_ticker", "category", "model", "p", "asof").join(quotes, on="ticker")


async def _settlements(kalshi: Kalshi, tickers: list[str]) -> pl.DataFrame:
    pages = [await kalshi.markets.settlements(batch) for batch in batches(tickers, MAX_TICKERS)]
    return settlements_frame([row for page in pages for row in page.rows])


async def _run(
    exchange: Exchange,
    key_file: Path,
    forecast: Path,
    records: tuple[Record, ...],
    progress: Progress | None,
    say: Callable[[str], None],
) -> Demo:
    async with _client(exchange, key_file) as kalshi:
        balance = await kalshi.portfolio.balance()
        say(f"Signed in at {exchange.url}; balance ${balance.balance / 100:,.2f}. Scanning …")
        options = ScanOptions(beliefs=Beliefs(records, trust=0.0))
        result = await run_scan(kalshi, [TableModel(forecast)], options, progress=progress)
        say("Letting the exchange settle …")
        exchange.world.settle()
        believed, unproven = result.opportunities, result.evaluation.unproven
        tickers = pl.concat([believed["ticker"], unproven["ticker"]]).unique().sort().to_list()
        settlements = await _settlements(kalshi, tickers)
    return Demo(
        ScanReport(result, Rules(), ("forecast",)),
        next((record for record in records if record.category == ANY_CATEGORY), None),
        _compare(believed, settlements, "believed_ev_u"),
        _compare(unproven, settlements, "ev_u"),
    )


def _compare(edges: pl.DataFrame, settlements: pl.DataFrame, promise: str) -> Comparison:
    rows = profits(edges, settlements, promise=promise)
    return Comparison(clustered_mean(rows, "promised"), clustered_mean(rows, "realised"))

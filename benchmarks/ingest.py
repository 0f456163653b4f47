"""Put a million recorded candles into a store, and a day of the inputs of `weather` and `diffusion`."""

import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import polars as pl

from fairline.kalshi import Kalshi, Rate, TokenBucket, Transport
from fairline.kalshi.http import HttpRequest, Response
from fairline.sources import Payload, Request
from fairline.sources.inputs import ScanInputs
from fairline.store.ingest.batch import IngestStore
from fairline.store.ingest.exchange import ExchangeIngest
from fairline.store.ingest.plan import ExchangeOptions
from fairline.store.inputs import InputRecorder, Inputs
from fairline.store.store import Store
from fairline.store.usage import disk_usage

MARKETS, CANDLES = 200, 5_000
NOW = datetime(2026, 11, 23, tzinfo=UTC)
BEGIN = NOW - timedelta(days=4)
COINS, STATIONS, INDICES = 5, 20, 4
SCANS = 1_440


def candle(end: int, cents: int) -> dict[str, object]:
    bid, ask = f"{cents / 100:.4f}", f"{(cents + 2) / 100:.4f}"
    sides = {
        name: {f"{part}_dollars": price for part in ("open", "low", "high", "close")}
        for name, price in (("yes_bid", bid), ("yes_ask", ask))
    }
    price = {f"{part}_dollars": bid for part in ("open", "low", "high", "close", "mean", "previous")}
    return sides | {"end_period_ts": end, "price": price, "volume_fp": "12.00", "open_interest_fp": "345.00"}


class Recording:
    """The past of one series as a function: every market has the same candles, encoded once."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        begin = int(BEGIN.timestamp())
        cents = np.clip(50 + rng.integers(-1, 2, CANDLES).cumsum(), 2, 96).tolist()
        self.ends = [begin + 60 * (number + 1) for number in range(CANDLES)]
        self.candles = [json.dumps(candle(*each)) for each in zip(self.ends, cents, strict=True)]
        row = {"event_ticker": "KXA-1", "status": "active", "close_time": "2026-12-01T00:00:00Z"}
        opened = {"open_time": f"{BEGIN:%Y-%m-%dT%H:%M:%SZ}", "created_time": f"{BEGIN:%Y-%m-%dT%H:%M:%SZ}"}
        markets = [row | opened | {"ticker": f"KXA-1-T{number}"} for number in range(MARKETS)]
        self.markets = json.dumps({"markets": markets, "cursor": ""}).encode()

    async def __call__(self, request: HttpRequest) -> Response:
        parts = urlsplit(request.url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return Response(200, {"Content-Type": "application/json"}, self.answer(parts.path, query))

    def answer(self, path: str, query: dict[str, str]) -> bytes:
        if path.endswith("/historical/cutoff"):
            return b'{"market_settled_ts":"2026-09-20T00:00:00Z","trades_created_ts":"2026-09-20T00:00:00Z"}'
        if path.endswith("/markets"):
            return b'{"markets":[],"cursor":""}' if "historical" in path else self.markets
        if path.endswith("/events"):
            return b'{"events":[],"cursor":""}'
        if path.endswith("/series/KXA"):
            return b'{"series":{"ticker":"KXA"}}'
        return self.batch(query["market_tickers"].split(","), int(query["start_ts"]), int(query["end_ts"]))

    def batch(self, tickers: list[str], low: int, high: int) -> bytes:
        chosen = [text for end, text in zip(self.ends, self.candles, strict=True) if low <= end <= high]
        body = ",".join(chosen)
        series = [f'{{"market_ticker":"{ticker}","candlesticks":[{body}]}}' for ticker in tickers]
        return ('{"markets":[' + ",".join(series) + "]}").encode()


def cpu_seconds(work: Callable[[], int]) -> tuple[float, int]:
    """Return the CPU of some work in seconds, and its result."""
    clock = time.process_time()
    count = work()
    return time.process_time() - clock, count


async def ingest(recording: Recording, folder: Path) -> int:
    transport = Transport("http://x/trade-api/v2", send=recording, bucket=TokenBucket(Rate(1e9, 1e9)))
    with IngestStore(folder, "recorded") as target:
        run = ExchangeIngest(Kalshi(transport), target, ExchangeOptions(("KXA",), BEGIN, 1), NOW)
        await run.prepare()
        return (await run.run()).candles


def baseline(recording: Recording, folder: Path) -> int:
    """Store the same candles as a script does: decode, pick the values row by row, write one file per market."""
    folder.mkdir()
    count = 0
    for number in range(MARKETS):
        body = recording.batch([f"KXA-1-T{number}"], 0, 2**40)
        rows = [
            {
                "ticker": market["market_ticker"],
                "ts": datetime.fromtimestamp(row["end_period_ts"], UTC),
                "bid": round(float(row["yes_bid"]["close_dollars"]) * 1_000_000),
                "ask": round(float(row["yes_ask"]["close_dollars"]) * 1_000_000),
                "volume": round(float(row["volume_fp"]) * 100),
                "open_interest": round(float(row["open_interest_fp"]) * 100),
            }
            for market in json.loads(body)["markets"]
            for row in market["candlesticks"]
        ]
        pl.DataFrame(rows).write_parquet(folder / f"{number}.parquet")
        count += len(rows)
    return count


def coin_candles(rng: np.random.Generator, prices: np.ndarray, at: int, granularity: int) -> bytes:
    """Return 300 candles that end at a minute, the latest first, in the form of the feed."""
    ends = at - at % granularity - granularity * np.arange(300)
    rows = [
        [int(end), *(round(float(prices[(end // 60) % len(prices)] + step), 2) for step in (-3, 4, 0, 1)), volume]
        for end, volume in zip(ends.tolist(), np.round(rng.gamma(2, 3, 300), 8).tolist(), strict=True)
    ]
    return json.dumps(rows).encode()


def forecast(rng: np.random.Generator, values: np.ndarray) -> bytes:
    """Return a forecast of two days by the hour, and one of the values moved."""
    values[rng.integers(len(values))] += rng.normal(0, 0.4)
    hours = [f"2026-11-{23 + hour // 24}T{hour % 24:02}:00" for hour in range(48)]
    return json.dumps({"hourly": {"time": hours, "temperature_2m": np.round(values, 1).tolist()}}).encode()


class Feeds:
    """What the two models read in a day, minute by minute."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(1)
        self.prices = [60_000 + self.rng.normal(0, 20, 20_000).cumsum() for _ in range(COINS)]
        # The volumes of past candles do not change from one answer to the next.
        self.temperatures = [self.rng.normal(50, 10, 48) for _ in range(STATIONS)]
        self.stored: dict[Request, Payload] = {}

    def scan(self, minute: int) -> dict[Request, Payload]:
        at = NOW + timedelta(minutes=minute)
        for coin in range(COINS):
            for granularity, every in ((60, 1), (900, 8), (3_600, 30)):
                key = f"https://feed.example/coin{coin}/candles?granularity={granularity}"
                if minute % every == 0:
                    rng = np.random.default_rng(coin)
                    body = coin_candles(rng, self.prices[coin], int(at.timestamp()), granularity)
                    self._keep(key, at, body)
        for index in range(INDICES):
            price = round(5_000 + float(self.rng.normal(0, 10)), 2)
            self._keep(
                f"https://feed.example/index{index}", at, json.dumps({"data": {"current_price": price}}).encode()
            )
        if minute % 60 == 0:
            for station, values in enumerate(self.temperatures):
                self._keep(f"https://feed.example/station{station}", at, forecast(self.rng, values))
        return dict(self.stored)

    def _keep(self, key: str, at: datetime, body: bytes) -> None:
        request = Request("https", key)
        self.stored[request] = Payload(request, at, body)


def record_day(folder: Path) -> tuple[int, float, float]:
    """Return bytes received, MB on disk after a day, and seconds of CPU per scan."""
    store = Store(folder)
    store.acquire()
    recorder, feeds = InputRecorder(store), Feeds()
    received, cpu = 0, 0.0
    for minute in range(SCANS):
        payloads = feeds.scan(minute)
        at = NOW + timedelta(minutes=minute)
        received += sum(len(payload.body) for payload in payloads.values() if payload.fetched_ts == at)
        clock = time.process_time()
        recorder.record(ScanInputs(payloads, at, at), store.next_ts(at))
        cpu += time.process_time() - clock
        if minute % 60 == 59:
            store.compact(at)
    store.compact(NOW + timedelta(days=2))
    assert Inputs(store).known_at(feeds.stored, NOW + timedelta(days=1)) == feeds.stored
    megabytes = disk_usage(folder)["bytes"].sum() / 1e6
    store.release()
    return received, float(megabytes), cpu / SCANS


def run() -> str:
    recording = Recording()
    with tempfile.TemporaryDirectory(prefix="fairline-ingest-") as name:
        folder = Path(name)
        fairline_s, count = cpu_seconds(lambda: asyncio.run(ingest(recording, folder / "store")))
        script_s, same = cpu_seconds(lambda: baseline(recording, folder / "baseline"))
        assert count == same == MARKETS * CANDLES
        size = sum(path.stat().st_size for path in (folder / "store").rglob("*.parquet"))
        received, megabytes, per_scan = record_day(folder / "inputs")
    return "\n".join(
        [
            "| | measured | goal | baseline |\n|---|---|---|---|",
            f"| candles per minute of CPU into the store | {count / fairline_s * 60 / 1e6:.1f} million | 1 million | "
            f"{same / script_s * 60 / 1e6:.1f} million, by a script that writes one file per market |",
            f"| disk of a candle | {size / count:.1f} bytes | – | – |",
            f"| a day of inputs of `weather` and `diffusion` on disk | {megabytes:.1f} MB | 20 MB | "
            f"{received / 1e6:.0f} MB as received |",
            f"| recording the inputs of a scan | {per_scan * 1e3:.0f} ms of CPU | – | – |",
        ]
    )

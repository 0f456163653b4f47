"""Measure the live feed: CPU per message, throughput over a socket, message to edge, and memory.

Baselines run beside: the usual Decimal book on the same frames, and the WebSocket library alone on the same socket.
"""

import asyncio
import contextlib
import gzip
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import aiohttp
import numpy as np
import polars as pl

from benchmarks.feed_server import ticker_name
from benchmarks.server import exchange
from benchmarks.watch import MODEL
from fairline.kalshi.feed import Feed
from fairline.kalshi.feed_messages import Delta, Snapshot, decode
from fairline.market.frame import MARKETS as COLUMNS
from fairline.market.frame import with_probabilities
from fairline.market.listing import Listing
from fairline.market.live import LiveState, apply
from fairline.scanner import price
from fairline.store.store import Store
from fairline.watch.live import LiveSession

RECORDED = Path(__file__).resolve().parents[2] / "shared" / "data" / "kalshi_feed_btc15m_2026-05-14"
MARKETS, RATE, SECONDS, HOUR_RATE = 117_000, 5_000, 8, 1_000
ADDED = {"yes_bid", "yes_ask", "no_bid", "no_ask", "no_bid_dollars", "no_ask_dollars", "no_bid_size_fp",
         "no_ask_size_fp", "price_cents"}  # fmt: skip


def recorded_frames() -> list[bytes]:
    """Return the recorded session as frames in the order of receipt, without the recorder's own fields."""
    rows = []
    for kind in ("orderbook_snapshot", "orderbook_delta", "ticker"):
        rows += [
            json.loads(line) for line in gzip.decompress((RECORDED / f"{kind}.ndjson.gz").read_bytes()).splitlines()
        ]
    rows.sort(key=lambda row: row["local_recv_ns"])
    frames = []
    for row in rows:
        body = {name: value for name, value in row["payload_json"].items() if name not in ADDED}
        sequence = {"sid": 2, "seq": row["sequence_number"]} if row["sequence_number"] else {"sid": 1}
        frames.append(json.dumps({"type": row["event_type"], **sequence, "msg": body}).encode())
    return frames


class DecimalBook:
    """The usual order-book manager: Decimal levels in a dict, sorted for the best of each side after every message."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[Decimal, Decimal]] = {"yes": {}, "no": {}}
        self.best: tuple[object, ...] = ()

    def handle(self, frame: bytes) -> None:
        message = json.loads(frame)
        body = message["msg"]
        if message["type"] == "orderbook_snapshot":
            for side in self.sides:
                levels = body.get(f"{side}_dollars_fp", [])
                self.sides[side] = {Decimal(price): Decimal(size) for price, size in levels}
        elif message["type"] == "orderbook_delta":
            levels = self.sides[body["side"]]
            level = Decimal(body["price_dollars"])
            levels[level] = levels.get(level, Decimal(0)) + Decimal(body["delta_fp"])
            if levels[level] <= 0:
                del levels[level]
        yes, no = (sorted(levels.items(), reverse=True)[:1] for levels in self.sides.values())
        self.best = (*yes, *((1 - level, size) for level, size in no))


def cpu_per_message(frames: Sequence[bytes]) -> tuple[float, float]:
    """Return microseconds per message from bytes to changed row: the usual way, and ours (the best of three)."""
    books: dict[str, DecimalBook] = {}
    some = frames[: len(frames) // 10]
    names = [json.loads(frame)["msg"]["market_ticker"] for frame in some]
    clock = time.process_time()
    for name, frame in zip(names, some, strict=True):
        books.setdefault(name, DecimalBook()).handle(frame)
    usual_us = (time.process_time() - clock) / len(some)
    tickers = sorted({json.loads(frame)["msg"]["market_ticker"] for frame in frames})
    best = 1e9
    for _ in range(3):
        state = LiveState(tickers)
        state.follow(tickers)
        clock = time.process_time()
        for frame in frames:
            apply(state, decode(frame))
        best = min(best, (time.process_time() - clock) / len(frames))
    return usual_us * 1e6, best * 1e6


@contextlib.contextmanager
def frame_server(*arguments: object) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.feed_server", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"ws://127.0.0.1:{int(process.stdout.readline())}/trade-api/ws/v2"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)


class NoAuth:
    slow = False

    def renew(self, offset_s: float = 0.0) -> None:
        """Keep nothing."""

    def headers(self, method: str, path: str) -> dict[str, str]:
        return {}


async def library_alone(url: str) -> float:
    """Return messages per CPU second of the WebSocket library that only counts them."""
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        await socket.send_str(json.dumps({"id": 1, "cmd": "subscribe", "params": {"channels": ["ticker"]}}))
        count, clock = 0, time.process_time()
        async for _ in socket:
            count += 1
        return count / (time.process_time() - clock)


async def whole_client(url: str, tickers: Sequence[str], count: int) -> float:
    """Return messages per CPU second from the socket to changed rows, with sequence, watchdog, lag and books."""
    state = LiveState(tickers)
    state.follow(tickers)
    feed = Feed(url, NoAuth(), channels=("ticker",))
    feed.follow_books(tickers)
    clock = time.process_time()
    running = asyncio.create_task(feed.run())
    while feed.counts.messages < count:
        await feed.wait()
        for message in feed.take():
            apply(state, message)
        await asyncio.sleep(0.05)
    spent = time.process_time() - clock
    assert not feed.counts.gaps and not state.unreadable and all(book.valid for book in state.books.values())
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return feed.counts.messages / spent


def number_frames(frames: Sequence[bytes], times: int) -> list[str]:
    """Return the frames several times over, numbered without a gap; snapshots set the books back each time."""
    lines, seq = [], 0
    messages = [json.loads(frame) for frame in frames] * times
    for message in messages:
        if "seq" in message:
            seq += 1
        lines.append(json.dumps(message | ({"seq": seq} if "seq" in message else {}), separators=(",", ":")))
    return lines


def bench_listing(count: int) -> Listing:
    """Return a listing of the server's markets, as an audit would read it."""
    now = datetime.now(UTC)
    values = {
        "ticker": [ticker_name(number) for number in range(count)],
        "event_ticker": [f"KXBENCH-{number // 10}" for number in range(count)],
        "series_ticker": ["KXBENCH"] * count,
        "category": ["Politics"] * count,
        "title": [f"Will the number {number} be drawn this year?" for number in range(count)],
        "yes_sub_title": [f"Number {number}" for number in range(count)],
        "status": ["active"] * count,
        "market_type": ["binary"] * count,
        "yes_bid_u": [400_000] * count,
        "yes_ask_u": [410_000] * count,
        "yes_bid_size_cc": [10_000] * count,
        "yes_ask_size_cc": [10_000] * count,
        "close_ts": [now + timedelta(days=30)] * count,
        "fee_type": ["quadratic"] * count,
        "fee_multiplier_m": [10_000] * count,
    }
    columns = {
        name: pl.Series(name, values[name], dtype=dtype)
        if name in values
        else pl.Series(name, [None] * count, dtype=dtype)
        for name, dtype in COLUMNS.items()
    }
    markets = with_probabilities(pl.DataFrame(columns))
    return Listing(markets, "bench", now, 0.0, count, markets["ticker"], 0, 0, 0, [], [], 0, [])


def loaded_session(url: str, count: int) -> LiveSession:
    feed = Feed(url, NoAuth(), channels=("ticker",))
    session = LiveSession(feed)
    listing = bench_listing(count)
    now = datetime.now(UTC)
    # It disagrees on one of five hundred markets, which gives a realistic number of opportunities.
    odd = pl.col("ticker").hash(1) % 500 == 0
    predictions = listing.markets.select(
        "ticker", p=pl.when(odd).then(0.47).otherwise(0.405), p_sd=pl.lit(0.01), model=pl.lit("bench"), asof=pl.lit(now)
    )
    evaluation = price(listing.markets, predictions, [], asof=now, misses=0)
    session.load(listing, evaluation, now)
    feed.follow_books([])
    return session


async def message_to_edge(url: str, tick_s: float) -> tuple[float, float, float]:
    """Return the median and the 99th percentile of milliseconds from sending to the priced edge; messages a second."""
    session = loaded_session(url, MARKETS)
    running = asyncio.create_task(session.feed.run())
    await asyncio.sleep(2)
    session.tick(datetime.now(UTC))
    delays: list[float] = []
    began, received = time.monotonic(), session.feed.counts.messages
    while time.monotonic() - began < SECONDS:
        await asyncio.sleep(tick_s - (time.monotonic() - began) % tick_s)
        tick = session.tick(datetime.now(UTC))
        now_ms = time.time() * 1000
        if tick.evaluation is not None:
            rows = [session.state.rows[ticker] for ticker in tick.markets["ticker"]]
            delays += [now_ms - session.state.ts_ms[row] for row in rows]
    rate = (session.feed.counts.messages - received) / (time.monotonic() - began)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return float(np.percentile(delays, 50)), float(np.percentile(delays, 99)), rate


def an_hour_of_messages() -> tuple[float, float]:
    """Return megabytes of growth over an hour's messages at 1,000 a second, after the first tenth; and the seconds."""
    session = loaded_session("ws://127.0.0.1:1", MARKETS)
    rng = np.random.default_rng(0)
    queue = session.feed._queue  # noqa: SLF001  the feed itself is measured above
    memory, began = [], time.perf_counter()
    now_ms = int(time.time() * 1000)
    for second in range(360):
        rows, bids = rng.integers(0, MARKETS, 10 * HOUR_RATE), rng.integers(39, 42, 10 * HOUR_RATE)
        for row, bid in zip(rows.tolist(), bids.tolist(), strict=True):
            text = (
                f'{{"type":"ticker","sid":1,"msg":{{"market_ticker":"{ticker_name(row)}","yes_bid_dollars":"0.{bid}00",'
                f'"yes_ask_dollars":"0.{bid + 1}00","yes_bid_size_fp":"9.00","yes_ask_size_fp":"{bid}.00",'
                f'"ts_ms":{now_ms + second * 10_000}}}}}'
            )
            queue.put(decode(text.encode()))
        session.tick(datetime.now(UTC))
        memory.append(resident_mb())
    return memory[-1] - memory[36], time.perf_counter() - began


def resident_mb(pid: int | str = "self", field: str = "VmRSS") -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(field)).split()[1]) / 1024


def memory_of_a_watch() -> tuple[float, float, int]:
    """Return megabytes of `fairline watch --live` between audits and at its peak, and the requests of its audit."""
    with (
        tempfile.TemporaryDirectory(prefix="fairline-live-") as name,
        exchange("--markets", MARKETS, "--moves", 2, "--tier", "prestige") as server,
    ):
        folder = Path(name)
        (folder / "model.py").write_text(MODEL)
        command = [sys.executable, "-m", "fairline", "watch", "model.py:Above", "--live", "--exchange", server.url,
                   "--port", "0", "--store", str(folder / "store"), "--key-id", server.key_id, "--key-file",
                   str(server.key_file)]  # fmt: skip
        with (
            (folder / "log").open("w+") as log,
            subprocess.Popen(command, cwd=folder, stderr=log, stdout=log) as process,
        ):
            while "scan 1:" not in (folder / "log").read_text():
                time.sleep(0.5)
                assert process.poll() is None, (folder / "log").read_text()
            time.sleep(25)
            between, peak = resident_mb(process.pid), resident_mb(process.pid, "VmHWM")
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
        requests = Store(folder / "store").read("scans")["requests"][0]
    return between, peak, requests


def run() -> str:
    frames = recorded_frames()
    usual_us, fairline_us = cpu_per_message(frames)
    tickers = sorted({m.msg.market_ticker for f in frames if isinstance(m := decode(f), Delta | Snapshot)})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames"
        lines = number_frames(frames, 3)
        path.write_text("\n".join(lines))
        with frame_server("burst", len(lines), path) as url:
            alone = asyncio.run(library_alone(url))
        with frame_server("burst", len(lines), path) as url:
            client = asyncio.run(whole_client(url, tickers, len(lines)))
    delays = {}
    for tick_s in (0.1, 0.025):
        with frame_server("steady", RATE, MARKETS) as url:
            delays[tick_s] = asyncio.run(message_to_edge(url, tick_s))
    growth, seconds = an_hour_of_messages()
    between, peak, requests = memory_of_a_watch()
    half_an_hour, live = 30 * requests, requests + 30
    table = [
        "| the live feed | measured | goal |\n|---|---|---|",
        f"| CPU per message from bytes to changed row, {len(frames):,} recorded frames "
        f"| {fairline_us:.1f} µs | 10 µs |",
        f"| the same by the usual Decimal book | {usual_us:.1f} µs: {usual_us / fairline_us:.0f} × | |",
        f"| messages per CPU second, socket to changed rows, {len(lines):,} messages | {client:,.0f} | 80,000 |",
        f"| the WebSocket library alone, counting | {alone:,.0f} | |",
    ]
    for tick_s, (median, late, rate) in delays.items():
        goal = 150 if tick_s == 0.1 else 50
        table.append(
            f"| message to edge, {MARKETS:,} markets, {rate:,.0f} messages a second, {tick_s * 1000:.0f} ms tick | "
            f"median {median:.0f} ms, 99 % {late:.0f} ms | 99 % {goal} ms |"
        )
    table += [
        f"| growth over {3600 * HOUR_RATE:,} messages (an hour at {HOUR_RATE:,} a second, in {seconds:.0f} s) | "
        f"{growth:.0f} MB | 0 |",
        f"| memory of `watch --live` with {MARKETS:,} markets between audits | {between:.0f} MB | 250 MB |",
        f"| at the peak of its first audit | {peak:.0f} MB | 420 MB |",
        f"| requests in half an hour, a scan of {requests} each minute: {half_an_hour:,} | {live}: an audit, and a "
        f"comparison each minute: {1 - live / half_an_hour:.1%} fewer | 95 % fewer |",
    ]

    return "\n".join(table)

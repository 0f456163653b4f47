"""All models that come along over 117,000 markets, their payloads at hand: what pricing alone takes."""

import json
import time
from datetime import UTC, datetime

import msgspec
import numpy as np
import polars as pl

from benchmarks.listed import listed
from fairline.curve import AHEAD_H, ANY, Curve, Curves, name_of
from fairline.models import Model, load
from fairline.sim.world import World
from fairline.sources import Payload, Request

MARKETS, RUNGS, AN_EVENT = 117_000, 20_000, 200
NOW = datetime.now(UTC).replace(minute=20, second=0, microsecond=0)


def frame() -> pl.DataFrame:
    """The simulated listing, of which 20,000 markets become rungs of hourly ladders of BTC."""
    made = listed(World(MARKETS, seed=0)).with_row_index("at")
    hour = pl.col("at") // AN_EVENT + 1
    close = pl.lit(NOW.replace(minute=0)) + pl.duration(hours=hour % 70)
    local = close.dt.convert_time_zone("America/New_York")
    event = pl.format("KXBTC-{}", local.dt.strftime("%y%b%d%H").str.to_uppercase())
    rung = pl.col("at") < RUNGS
    step = (pl.col("at") % AN_EVENT).cast(pl.Float64)
    return made.with_columns(
        series_ticker=pl.when(rung).then(pl.lit("KXBTC")).otherwise("series_ticker"),
        event_ticker=pl.when(rung).then(event).otherwise("event_ticker"),
        close_ts=pl.when(rung).then(close.dt.cast_time_unit("us")).otherwise("close_ts"),
        strike_type=pl.when(rung).then(pl.lit("between")).otherwise("strike_type"),
        floor_strike=pl.when(rung).then(50_000 + 100 * step).otherwise("floor_strike"),
        cap_strike=pl.when(rung).then(50_099.99 + 100 * step).otherwise("cap_strike"),
    ).drop("at")  # fmt: skip


def payload(request: Request) -> Payload:
    if request.source == "file":
        curve = Curve([0.0, 0.5, 1.0], [0.0, 0.45, 1.0], [0.0, 0.02, 0.0], 9_000, 900, 0.1, 0.05, 0.15)
        curves = Curves(NOW, {name_of(ANY, hours): curve for hours in AHEAD_H})
        return Payload(request, NOW, msgspec.json.encode(curves))
    seconds = int(request.key.rpartition("=")[2])
    walk = 60_000 * np.exp(np.cumsum(np.random.default_rng(seconds).normal(0, 4e-5 * np.sqrt(seconds), 300)))
    first = NOW.timestamp() - seconds * 300
    rows = [[int(first + seconds * n), 0, 0, 0, close, 1.0] for n, close in enumerate(walk)]
    return Payload(request, NOW, json.dumps(rows).encode())


def timed(model: Model, markets: pl.DataFrame) -> tuple[float, int]:
    best, priced = 1e9, 0
    for _ in range(3):
        covered = markets.filter(model.covers(markets))
        given = {request: payload(request) for request in model.requests(covered, NOW)}
        clock = time.perf_counter()
        covered = markets.filter(model.covers(markets))
        made = model.predict(covered, given, NOW)
        best = min(best, time.perf_counter() - clock)
        priced = made["p"].drop_nulls().len()
    return best, priced


def run() -> str:
    markets, lines, total = frame(), [], 0.0
    for name in ("calibrated", "coherent", "diffusion", "weather"):
        seconds, priced = timed(load(name), markets)
        total += seconds
        lines.append(f"| `{name}` | {priced:,} | {seconds:.3f} |")
    head = f"| model, over {MARKETS:,} markets | priced | seconds |\n|---|---|---|"
    return "\n".join([head, *lines, f"| all | | {total:.3f} (goal: 1) |"])

"""A market's past as candlesticks: quotes by the minute since it opened, and the trades among them.

What lies before the world's beginning is drawn from a generator of the market's own, so that it is the same whenever it
is asked for; what lies after is what happened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from fairline.sim import quotes
from fairline.sim.life import Move, Trade
from fairline.sim.render import count, dollars
from fairline.sim.world import UNIT, World

MINUTE_US = 60_000_000
_MOST_MINUTES = 1_000_000
_HALF_A_DAY = 720
_TRADE_MINUTES = 400

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Minutes:
    """By the minute, which is named by its end in Unix seconds: best bid and ask, and what was traded (0: nothing)."""

    end_ts: Ints
    bid: Ints
    ask: Ints
    price: Ints
    volume: Ints


def minutes(world: World, row: int) -> Minutes:
    """Every minute since a market opened until now or its close."""
    columns = world.columns
    begin, stop = int(columns.open_us[row]), min(world.now_us, int(columns.close_us[row]))
    closed = stop == int(columns.close_us[row])
    first, last = begin // MINUTE_US + 1, -(-stop // MINUTE_US) if closed else stop // MINUTE_US
    ends = np.arange(max(first, last - _MOST_MINUTES), last + 1, dtype=np.int64) * 60
    bid, ask, price, volume = (np.zeros(len(ends), dtype=np.int64) for _ in range(4))
    drawn = _before(world, row, int((ends <= _start(world)).sum()))
    for whole, part in zip((bid, ask, price, volume), drawn, strict=True):
        whole[: len(part)] = part
    made = Minutes(ends, bid, ask, price, volume)
    _happened(made, world, row)
    return made


def _start(world: World) -> int:
    """The minute in which the world began."""
    return int(world.now.timestamp() * 1e6) // MINUTE_US * 60


def _before(world: World, row: int, length: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Bid, ask, price and volume of the minutes before the world began, which are always as many."""
    columns, rng = world.columns, np.random.default_rng((world.seed, row, 5))
    persistence = np.exp(-1 / _HALF_A_DAY)
    shocks = rng.normal(0, 0.1 * np.sqrt(1 - persistence**2), length)
    errors = lfilter([1.0], [1.0, -persistence], shocks) if length else shocks
    truth = float(np.clip(columns.hi[row] - columns.lo[row], 1e-4, 1 - 1e-4))
    quoted = quotes.path(truth, errors, int(rng.integers(1, 5)), int(columns.grid[row]))
    bid, ask = (side.astype(np.int64) for side in quoted)
    share = min(0.5, _TRADE_MINUTES / max(1, length)) * (world.life.volume_before[row] > 0)
    traded = rng.random(length) < share
    many = int(traded.sum())
    price, volume = np.zeros(length, dtype=np.int64), np.zeros(length, dtype=np.int64)
    price[traded] = np.clip(np.where(rng.random(many) < 0.5, bid[traded], ask[traded]), 1, UNIT - 1)
    volume[traded] = (rng.lognormal(3, 1, many) + 1).astype(np.int64) * 100
    return bid, ask, price, volume


def _happened(made: Minutes, world: World, row: int) -> None:
    """Put what the world has seen in place of what was drawn."""
    start = _start(world)
    seen = made.end_ts > start
    moved = [h for h in world.life.since(0) if isinstance(h, Move) and h.row == row]
    columns = world.columns
    before = moved[0].before[:2] if moved else (int(columns.bid[row]), int(columns.ask[row]))
    made.bid[seen], made.ask[seen] = before[0], before[1] or UNIT
    for move in moved:
        later = made.end_ts >= -(-move.at_us // MINUTE_US) * 60
        made.bid[later], made.ask[later] = move.after[0], move.after[1] or UNIT
    for trade in _trades_of(world.life.trades, row, start * 1_000_000):
        at = np.searchsorted(made.end_ts, -(-trade.at_us // MINUTE_US) * 60)
        if at < len(made.end_ts):
            made.price[at], made.volume[at] = trade.price, made.volume[at] + trade.count


def _trades_of(trades: Sequence[Trade], row: int, since_us: int) -> list[Trade]:
    return [trade for trade in trades if trade.row == row and trade.at_us >= since_us]


def candles(made: Minutes, start_ts: int, end_ts: int, minutes_each: int) -> list[dict[str, object]]:
    """Candlesticks whose end lies in a stretch of time, as the live endpoints write them."""
    period = 60 * minutes_each
    ends = -(-made.end_ts // period) * period
    chosen = (ends >= start_ts) & (ends <= end_ts)
    if not chosen.any():
        return []
    held = np.cumsum(made.volume) // 2
    before = np.flatnonzero((made.volume > 0) & (ends < start_ts))
    previous = int(made.price[before[-1]]) if len(before) else None
    places = np.flatnonzero(chosen)
    cuts = np.flatnonzero(np.diff(ends[places], prepend=-1))
    found = []
    for place in np.split(places, cuts[1:]):
        traded = place[made.volume[place] > 0]
        found.append(
            {
                "end_period_ts": int(ends[place[0]]),
                "yes_bid": _range(made.bid[place]),
                "yes_ask": _range(made.ask[place]),
                "price": _traded(made.price[traded], made.volume[traded], previous),
                "volume_fp": count(int(made.volume[place].sum())),
                "open_interest_fp": count(int(held[place[-1]])),
            }
        )
        previous = int(made.price[traded[-1]]) if len(traded) else previous
    return found


def carried_on(made: Minutes, low_ts: int, minutes_each: int) -> list[dict[str, object]]:
    """A candle before the first, if anything was before: the latest quotes, and the latest price as `previous`."""
    place = int(np.searchsorted(made.end_ts, low_ts)) - 1
    if place < 0:
        return []
    traded = np.flatnonzero(made.volume[: place + 1])
    here = np.array([place])
    candle: dict[str, object] = {
        "end_period_ts": -(-low_ts // (60 * minutes_each)) * 60 * minutes_each,
        "yes_bid": _range(made.bid[here]),
        "yes_ask": _range(made.ask[here]),
        "price": {} if not len(traded) else {"previous_dollars": dollars(int(made.price[traded[-1]]))},
        "volume_fp": "0.00",
        "open_interest_fp": count(int(made.volume[: place + 1].sum()) // 2),
    }
    return [candle]


def historical(candle: dict[str, object]) -> dict[str, object]:
    """The same as the historical endpoint writes it: other names, and nulls where there was no trade."""

    def bare(values: Any) -> dict[str, object]:
        return {name.removesuffix("_dollars"): text for name, text in values.items()}

    nothing = dict.fromkeys(("open", "low", "high", "close", "mean", "previous"))
    price = {name: text for name, text in bare(candle["price"]).items() if name in nothing}
    return {
        "end_period_ts": candle["end_period_ts"],
        "yes_bid": bare(candle["yes_bid"]),
        "yes_ask": bare(candle["yes_ask"]),
        "price": nothing | price,
        "volume": candle["volume_fp"],
        "open_interest": candle["open_interest_fp"],
    }


def _range(values: Ints) -> dict[str, str]:
    parts = {"open": values[0], "low": values.min(), "high": values.max(), "close": values[-1]}
    return {f"{name}_dollars": dollars(int(value)) for name, value in parts.items()}


def _traded(prices: Ints, volumes: Ints, previous: int | None) -> dict[str, str]:
    """Without a trade only the previous price, as on the wire."""
    last = {} if previous is None else {"previous_dollars": dollars(previous)}
    if not len(prices):
        return last
    mean = round(float((prices * volumes).sum() / volumes.sum()))
    return _range(prices) | {"mean_dollars": dollars(mean)} | last

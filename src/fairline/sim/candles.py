"""A market's history as candlesticks: its quotes by the minute since it opened, and its trades.

The time before the world began is drawn from a generator of the market's own, so that it is the same at every request.
The time since then is what really happened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairline.sim import quotes
from fairline.sim.life import Move, Trade
from fairline.sim.render import count, dollars
from fairline.sim.world import UNIT, World

MINUTE_US = 60_000_000
_MAX_MINUTES = 1_000_000
_MEMORY_MINUTES = 720
"""How long a deviation from the truth lasts: half a day."""
_TRADE_MINUTES = 400
"""Mean number of minutes with a trade in a market's history."""
_FILTER_BLOCK = 2_048

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Minutes:
    """Best bid and ask, last price and volume by the minute, named by its end in Unix seconds; 0 without a trade."""

    end_ts: Ints
    bid: Ints
    ask: Ints
    price: Ints
    volume: Ints


def minutes(world: World, row: int) -> Minutes:
    """Return every minute from a market's opening until now or the end of trading."""
    columns = world.columns
    begin = int(columns.open_us[row])
    end = int(columns.ends_us[row])
    stop = min(world.now_us, end)
    first = begin // MINUTE_US + 1
    last = -(-stop // MINUTE_US) if stop == end else stop // MINUTE_US
    ends = np.arange(max(first, last - _MAX_MINUTES), last + 1, dtype=np.int64) * 60
    bid, ask, price, volume = (np.zeros(len(ends), dtype=np.int64) for _ in range(4))
    drawn = _draw_before_start(world, row, int((ends <= _start(world)).sum()))
    for whole, part in zip((bid, ask, price, volume), drawn, strict=True):
        whole[: len(part)] = part
    history = Minutes(ends, bid, ask, price, volume)
    _apply_changes(history, world, row)
    return history


def _start(world: World) -> int:
    """Return the minute in which the world began."""
    return int(world.now.timestamp() * 1e6) // MINUTE_US * 60


def _draw_before_start(world: World, row: int, length: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Draw bid, ask, price and volume of the `length` minutes before the world began."""
    columns = world.columns
    rng = np.random.default_rng((world.seed, row, 5))
    persistence = float(np.exp(-1 / _MEMORY_MINUTES))
    shocks = rng.normal(0, 0.1 * np.sqrt(1 - persistence**2), length)
    errors = accumulate_decaying(shocks, persistence)
    truth = float(np.clip(columns.hi[row] - columns.lo[row], 1e-4, 1 - 1e-4))
    quoted = quotes.path(truth, errors, int(rng.integers(1, 5)), int(columns.grid[row]))
    bid, ask = (side.astype(np.int64) for side in quoted)
    share = min(0.5, _TRADE_MINUTES / max(1, length)) * (world.life.volume_before[row] > 0)
    traded = rng.random(length) < share
    count_traded = int(traded.sum())
    price = np.zeros(length, dtype=np.int64)
    volume = np.zeros(length, dtype=np.int64)
    price[traded] = np.clip(np.where(rng.random(count_traded) < 0.5, bid[traded], ask[traded]), 1, UNIT - 1)
    volume[traded] = (rng.lognormal(3, 1, count_traded) + 1).astype(np.int64) * 100
    return bid, ask, price, volume


def accumulate_decaying(shocks: Floats, persistence: float) -> Floats:
    """Return the first-order autoregression y[t] = persistence·y[t−1] + shocks[t], starting from 0.

    Works in blocks short enough that powers of `persistence` neither overflow nor vanish.
    """
    result = np.empty_like(shocks)
    powers = persistence ** np.arange(_FILTER_BLOCK, dtype=np.float64)
    previous = 0.0
    for start in range(0, len(shocks), _FILTER_BLOCK):
        block = shocks[start : start + _FILTER_BLOCK]
        decay = powers[: len(block)]
        values = decay * (np.cumsum(block / decay) + persistence * previous)
        result[start : start + len(block)] = values
        previous = values[-1]
    return result


def _apply_changes(history: Minutes, world: World, row: int) -> None:
    """Replace the minutes since the world began with what happened in it."""
    start = _start(world)
    seen = history.end_ts > start
    moves = [change for change in world.life.since(0) if isinstance(change, Move) and change.row == row]
    columns = world.columns
    first_bid, first_ask = moves[0].before[:2] if moves else (int(columns.bid[row]), int(columns.ask[row]))
    history.bid[seen] = first_bid
    history.ask[seen] = first_ask or UNIT
    for move in moves:
        later = history.end_ts >= -(-move.at_us // MINUTE_US) * 60
        history.bid[later] = move.after[0]
        history.ask[later] = move.after[1] or UNIT
    for trade in _trades_of(world.life.trades, row, start * 1_000_000):
        minute = np.searchsorted(history.end_ts, -(-trade.at_us // MINUTE_US) * 60)
        if minute < len(history.end_ts):
            history.price[minute] = trade.price
            history.volume[minute] += trade.count


def _trades_of(trades: Sequence[Trade], row: int, since_us: int) -> list[Trade]:
    return [trade for trade in trades if trade.row == row and trade.at_us >= since_us]


def candles(history: Minutes, start_ts: int, end_ts: int, minutes_each: int) -> list[dict[str, object]]:
    """Return the candlesticks that end within a time range, in the form of the live endpoints."""
    period = 60 * minutes_each
    ends = -(-history.end_ts // period) * period
    chosen = (ends >= start_ts) & (ends <= end_ts)
    if not chosen.any():
        return []
    held = np.cumsum(history.volume) // 2
    before = np.flatnonzero((history.volume > 0) & (ends < start_ts))
    previous = int(history.price[before[-1]]) if len(before) else None
    places = np.flatnonzero(chosen)
    cuts = np.flatnonzero(np.diff(ends[places], prepend=-1))
    result = []
    for place in np.split(places, cuts[1:]):
        traded = place[history.volume[place] > 0]
        result.append(
            {
                "end_period_ts": int(ends[place[0]]),
                "yes_bid": _range(history.bid[place]),
                "yes_ask": _range(history.ask[place]),
                "price": _prices_of(history.price[traded], history.volume[traded], previous),
                "volume_fp": count(int(history.volume[place].sum())),
                "open_interest_fp": count(int(held[place[-1]])),
            }
        )
        previous = int(history.price[traded[-1]]) if len(traded) else previous
    return result


def carried_forward(history: Minutes, low_ts: int, minutes_each: int) -> list[dict[str, object]]:
    """Return a candle with the latest quotes before a time and the latest price as `previous`, if there are any."""
    place = int(np.searchsorted(history.end_ts, low_ts)) - 1
    if place < 0:
        return []
    traded = np.flatnonzero(history.volume[: place + 1])
    here = np.array([place])
    candle: dict[str, object] = {
        "end_period_ts": -(-low_ts // (60 * minutes_each)) * 60 * minutes_each,
        "yes_bid": _range(history.bid[here]),
        "yes_ask": _range(history.ask[here]),
        "price": {} if not len(traded) else {"previous_dollars": dollars(int(history.price[traded[-1]]))},
        "volume_fp": "0.00",
        "open_interest_fp": count(int(history.volume[: place + 1].sum()) // 2),
    }
    return [candle]


def historical(candle: dict[str, object]) -> dict[str, object]:
    """Return a candle in the form of the historical endpoint: other names, and nulls where there was no trade."""

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


def _prices_of(prices: Ints, volumes: Ints, previous: int | None) -> dict[str, str]:
    """Return the prices of a period; without a trade only the previous price, as on the wire."""
    last = {} if previous is None else {"previous_dollars": dollars(previous)}
    if not len(prices):
        return last
    mean = round(float((prices * volumes).sum() / volumes.sum()))
    return _range(prices) | {"mean_dollars": dollars(mean)} | last

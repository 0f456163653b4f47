"""A market's history as candlesticks: its quotes by the minute, and its trades.

The time before the world began comes from the world's past, the time since then from what really happened in it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairline.sim.life import Move, Trade
from fairline.sim.past import MINUTE_US
from fairline.sim.render import count, dollars
from fairline.sim.world import UNIT, World

_MAX_MINUTES = 1_000_000

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Minutes:
    """Best bid and ask, last price and volume by the minute, named by its end in Unix seconds; 0 without a trade.

    A bid of 0 and an ask of a dollar mean that there is none. `volume_before` and `price_before` are the volume and the
    last price before the first minute.
    """

    end_ts: Ints
    bid: Ints
    ask: Ints
    price: Ints
    volume: Ints
    volume_before: int = 0
    price_before: int = 0


def minutes(world: World, row: int, low_ts: int = 0, high_ts: int = 2**40) -> Minutes:
    """Return the minutes of a market that end within a range, from its opening until now or the end of trading."""
    columns = world.columns
    begin, end = int(columns.open_us[row]), int(columns.ends_us[row])
    stop = min(world.now_us, end)
    first = max(begin // MINUTE_US + 1, -(-low_ts // 60))
    last = min(-(-stop // MINUTE_US) if stop == end else stop // MINUTE_US, high_ts // 60)
    ends = np.arange(max(first, last - _MAX_MINUTES), last + 1, dtype=np.int64) * 60
    past = world.life.past
    bid, ask = past.quotes(np.full(len(ends), row), ends * 1_000_000)
    ask[ask == 0] = UNIT
    history = Minutes(ends, bid, ask, np.zeros_like(ends), np.zeros_like(ends))
    _apply_moves(history, world, row)
    return _with_trades(history, world, row)


def _apply_moves(history: Minutes, world: World, row: int) -> None:
    """Replace the minutes since the world began with the quotes that it had."""
    moves = [change for change in world.life.of(row) if isinstance(change, Move)]
    columns = world.columns
    first_bid, first_ask = moves[0].before[:2] if moves else (int(columns.bid[row]), int(columns.ask[row]))
    seen = history.end_ts * 1_000_000 > world.life.past.start_us
    history.bid[seen] = first_bid
    history.ask[seen] = first_ask or UNIT
    for move in moves:
        later = history.end_ts >= -(-move.at_us // MINUTE_US) * 60
        history.bid[later] = move.after[0]
        history.ask[later] = move.after[1] or UNIT


def _with_trades(history: Minutes, world: World, row: int) -> Minutes:
    """Return the minutes with the price and volume of the market's trades."""
    earlier = world.life.past.trades
    chosen = earlier.of(row)
    later = [change for change in world.life.of(row) if isinstance(change, Trade)]
    at_us = np.concatenate([earlier.at_us[chosen], np.array([trade.at_us for trade in later], dtype=np.int64)])
    prices = np.concatenate([earlier.price[chosen], np.array([trade.price for trade in later], dtype=np.int64)])
    counts = np.concatenate([earlier.count[chosen], np.array([trade.count for trade in later], dtype=np.int64)])
    ends = -(-at_us // MINUTE_US) * 60
    if not len(history.end_ts):
        return history
    before = ends < history.end_ts[0]
    within = ~before & (ends <= history.end_ts[-1])
    places = np.searchsorted(history.end_ts, ends[within])
    np.add.at(history.volume, places, counts[within])
    history.price[places] = prices[within]
    return Minutes(
        history.end_ts,
        history.bid,
        history.ask,
        history.price,
        history.volume,
        int(counts[before].sum()),
        int(prices[before][-1]) if before.any() else 0,
    )


def candles(history: Minutes, start_ts: int, end_ts: int, minutes_each: int) -> list[dict[str, object]]:
    """Return the candlesticks that end within a time range, in the form of the live endpoints."""
    period = 60 * minutes_each
    ends = -(-history.end_ts // period) * period
    chosen = (ends >= start_ts) & (ends <= end_ts)
    if not chosen.any():
        return []
    held = (history.volume_before + np.cumsum(history.volume)) // 2
    before = np.flatnonzero((history.volume > 0) & (ends < start_ts))
    previous = int(history.price[before[-1]]) if len(before) else history.price_before or None
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
    last = int(history.price[traded[-1]]) if len(traded) else history.price_before
    here = np.array([place])
    candle: dict[str, object] = {
        "end_period_ts": -(-low_ts // (60 * minutes_each)) * 60 * minutes_each,
        "yes_bid": _range(history.bid[here]),
        "yes_ask": _range(history.ask[here]),
        "price": {"previous_dollars": dollars(last)} if last else {},
        "volume_fp": "0.00",
        "open_interest_fp": count((history.volume_before + int(history.volume[: place + 1].sum())) // 2),
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

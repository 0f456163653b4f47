"""The simulator's past: candles, trades, totals and previous prices come from one path of quotes."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from fairline.sim.candles import candles, minutes
from fairline.sim.catalog import WorldCatalog
from fairline.sim.columns import UNIT
from fairline.sim.past import DAY_US, MINUTE_US
from fairline.sim.world import World

NOW = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def world():
    return World(800, past=60, seed=8, now=NOW, clock=lambda: 0.0)


def traded_rows(world, count=60):
    return np.flatnonzero(world.columns.volume > 0)[:count].tolist()


def test_candles_add_up_to_the_volume_and_end_with_the_last_price(world):
    for row in traded_rows(world):
        history = minutes(world, row)
        assert history.volume.sum() == world.columns.volume[row]
        assert history.price[np.flatnonzero(history.volume)[-1]] == world.columns.last[row]
        last = candles(history, 0, 2**40, 60)[-1]
        assert round(float(last["open_interest_fp"]) * 100) == world.columns.open_interest[row]


def test_trades_add_up_to_the_same_volume_and_those_of_the_day_to_its_own(world):
    start = world.life.past.start_us
    for row in traded_rows(world):
        trades = [trade for trade in world.life.trades if trade.row == row]
        assert sum(trade.count for trade in trades) == world.columns.volume[row]
        day = sum(trade.count for trade in trades if trade.at_us >= start - DAY_US)
        assert day == world.columns.volume_24h[row]
        assert all(world.columns.open_us[row] <= trade.at_us < start for trade in trades)


def test_every_trade_is_at_a_quote_of_its_minute(world):
    compared = 0
    for trade in list(world.life.trades)[::7]:
        end = -(-trade.at_us // MINUTE_US) * 60
        history = minutes(world, trade.row, end, end)
        if not len(history.end_ts):
            continue
        quote = int((history.ask if trade.yes else history.bid)[0])
        if 0 < quote < UNIT:
            assert trade.price == quote
            compared += 1
    assert compared > 100


def test_the_path_ends_at_the_first_quotes_and_moves_before(world):
    columns = world.columns
    rows = np.flatnonzero((columns.bid > 0) & (columns.ask > 0))
    bid, ask = world.life.past.quotes(rows, world.life.past.start_us)
    assert (bid == columns.bid[rows]).all()
    assert (ask == columns.ask[rows]).all()
    earlier, _ = world.life.past.quotes(rows, world.life.past.start_us - DAY_US)
    assert (earlier != bid).mean() > 0.5


def test_a_range_of_candles_equals_the_same_part_of_all_of_them(world):
    row = traded_rows(world)[0]
    everything = candles(minutes(world, row), 0, 2**40, 60)
    low, high = everything[-6]["end_period_ts"], everything[-2]["end_period_ts"]
    part = candles(minutes(world, row, low - 7_200, high), low, high, 60)
    assert part == everything[-6:-1]


def test_previous_prices_are_those_of_a_day_before(world):
    catalog = WorldCatalog(world)
    past = world.life.past
    rows = np.flatnonzero((past.previous_bid > 0) & (past.previous_last > 0))[:20].tolist()
    assert rows
    for row in rows:
        market = json.loads(catalog.market(row))
        bid, _ = past.quotes(np.array([row]), past.start_us - DAY_US)
        assert float(market["previous_yes_bid_dollars"]) * UNIT == pytest.approx(int(bid[0]))
        assert float(market["previous_price_dollars"]) * UNIT == pytest.approx(int(past.previous_last[row]))

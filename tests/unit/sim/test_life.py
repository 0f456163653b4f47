"""The moving world: what happens in it, and that its history never changes."""

import json
import re

import numpy as np
import pytest

from fairline.sim.candles import candles, minutes
from fairline.sim.catalog import Index, WorldCatalog
from fairline.sim.life import Move, Step, Trade
from fairline.sim.listing import Selection
from fairline.sim.world import ACTIVE, CLOSED, DETERMINED, FINALIZED, World


class Clock:
    def __init__(self):
        self.s = 0.0

    def __call__(self):
        return self.s


def alive(markets=600, hours=0.0, **more):
    clock = Clock()
    world = World(markets, moves=20, speed=3600, clock=clock, **{"seed": 3} | more)
    clock.s = hours
    world.tick()
    return world, clock


def test_a_world_without_moves_stands_still():
    clock = Clock()
    world = World(300, speed=3600, clock=clock, seed=3)
    before = world.columns.bid.copy()
    was_open = world.columns.status == ACTIVE
    clock.s = 2.0
    world.tick()
    stayed = was_open & (world.columns.status == ACTIVE)
    assert (world.columns.bid == before)[stayed].all()
    assert not any(isinstance(h, Trade) for h in world.life.since(0))
    # Closing removes quotes and opening adds some; nothing else moves.
    assert all((0, 0, 0, 0) in (h.before, h.after) for h in world.life.since(0) if isinstance(h, Move))


def test_quotes_move_at_the_configured_rate_around_the_truth():
    world, clock = alive()
    quoted = [int((world.columns.status == ACTIVE).sum())]
    clock.s = 3.0
    world.tick()
    quoted.append(int((world.columns.status == ACTIVE).sum()))
    moves = [h for h in world.life.since(0) if isinstance(h, Move) and h.after != (0, 0, 0, 0)]
    assert 0.85 * min(quoted) < len(moves) / (3 * 20) < 1.15 * max(quoted)
    columns = world.columns
    two = (columns.bid > 0) & (columns.ask > 0) & (columns.status == ACTIVE)
    middle = (columns.bid + columns.ask)[two] / 20_000
    assert np.median(np.abs(middle - world.truth[two])) < 0.02
    assert (columns.bid < columns.ask)[two].all()


def test_a_trade_updates_last_price_volume_and_the_offer():
    world, _ = alive(hours=0.2)
    trades = [h for h in world.life.since(0) if isinstance(h, Trade)]
    assert len(trades) > 100
    assert [t.number for t in world.life.trades] == sorted(t.number for t in world.life.trades)
    last = {trade.row: trade for trade in trades}
    for row, trade in last.items():
        assert world.columns.last[row] == trade.price
        assert trade.count > 0
    times = [trade.at_us for trade in world.life.trades]
    assert times == sorted(times)


def test_a_closed_market_is_determined_and_then_settled_as_the_seed_says():
    world, clock = alive(hours=5.0)
    columns = world.columns
    closing = np.flatnonzero((columns.status == ACTIVE) & (columns.ends_us < world.now_us + 20 * 3.6e9))
    assert len(closing) > 3
    row = int(closing[np.argmin(columns.ends_us[closing])])
    for after_s, status in ((1, CLOSED), (61, DETERMINED), (361, FINALIZED)):
        clock.s += (columns.ends_us[row] / 1e6 + after_s - world.now_us / 1e6) / 3600
        world.tick()
        assert columns.status[row] == status
    steps = [h.kind for h in world.life.since(0) if isinstance(h, Step) and h.row == row]
    assert steps[-2:] == ["determined", "settled"]
    twin = World(600, seed=3, now=world.now)
    twin._decide(np.array([row]))
    assert twin.columns.result[row] == columns.result[row]
    market = json.loads(WorldCatalog(world).market(row))
    assert (market["status"], market["result"]) == ("finalized", ["no", "yes"][columns.result[row]])


def test_one_of_exclusive_markets_wins_and_ladders_settle_in_order():
    world = World(3_000, seed=9)
    world.settle()
    for event in world.events:
        results = world.columns.result[event.rows]
        if (results < 0).any():
            continue  # some of its markets have not opened yet
        if event.kind in ("game", "buckets") and len(event.rows) > 1:
            assert results.sum() == 1
        elif event.kind == "partition":
            assert results.sum() <= 1
        elif event.kind == "ladder" and len(event.rows) > 1:
            order = np.argsort(world.columns.floor[event.rows])
            assert (np.diff(results[order].astype(int)) <= 0).all()


def test_outcomes_are_as_frequent_as_the_hidden_probabilities():
    hit, expected, variance = 0.0, 0.0, 0.0
    for seed in range(40):
        world = World(400, seed=seed)
        world.settle()
        binary = [event.rows[0] for event in world.events if len(event.rows)]
        p = world.truth[binary]
        hit += (world.columns.result[binary] == 1).sum()
        expected, variance = expected + p.sum(), variance + (p * (1 - p)).sum()
    assert abs(hit - expected) < 3.5 * np.sqrt(variance)


def test_the_archive_excludes_recently_settled_markets():
    catalog = WorldCatalog(World(500, past=400, seed=2))
    index = Index(catalog)
    lately = Selection(catalog, index, {"status": "settled"}).rows()
    archived = Selection(catalog, index, {}, archived=True).rows()
    assert len(lately) > 20
    assert len(archived) > 20
    assert len(lately) + len(archived) == 400
    assert catalog.close_us[archived].max() < catalog.cutoff_us < catalog.close_us[lately].max()
    newest = int(catalog.close_us[lately].max() // 1_000_000)
    windowed = Selection(catalog, index, {"min_settled_ts": str(newest - 86_400 * 20)}).rows()
    assert set(windowed) < set(lately)


def test_history_does_not_change_as_time_passes():
    world, clock = alive(hours=0.5)
    rows = np.flatnonzero((world.columns.status == ACTIVE) & (world.columns.ends_us > world.now_us + 9e9 * 3.6))
    for row in rows[:20].tolist():
        before = minutes(world, row)
        clock.s += 0.05
        world.tick()
        after = minutes(world, row)
        assert len(after.end_ts) >= len(before.end_ts)
        n = len(before.end_ts) - 1  # the minute that was going on may still change
        for name in ("end_ts", "bid", "ask", "price", "volume"):
            assert (getattr(after, name)[:n] == getattr(before, name)[:n]).all()


@pytest.mark.parametrize("period", [1, 60, 1440])
def test_candles_tile_time_and_summarise_their_minutes(period):
    world, _ = alive(hours=2.0)
    row = int(np.argmax(world.columns.volume * (world.columns.status == ACTIVE)))
    known = minutes(world, row)
    history = candles(known, int(known.end_ts[0]), int(known.end_ts[-1]) + 86_400, period)
    ends = [candle["end_period_ts"] for candle in history]
    assert ends == sorted(set(ends))
    assert all(end % (60 * period) == 0 for end in ends)
    assert sum(float(candle["volume_fp"]) for candle in history) == pytest.approx(known.volume.sum() / 100)
    for candle in history:
        for side in ("yes_bid", "yes_ask", "price"):
            shown = {name: float(text) for name, text in candle[side].items()}
            if "open_dollars" in shown:
                inside = (shown["open_dollars"], shown["close_dollars"])
                assert shown["low_dollars"] <= min(inside) <= max(inside) <= shown["high_dollars"]
        assert "open_dollars" in candle["price"] or float(candle["volume_fp"]) == 0


def test_a_few_markets_are_scalar_and_pay_according_to_their_hidden_value():
    world = World(6_000, seed=4)
    scalar = [row for row in range(len(world.columns.ticker)) if world.is_scalar(row)]
    assert 3 < len(scalar) < 100
    catalog = WorldCatalog(world)
    market = json.loads(catalog.market(scalar[0]))
    assert market["market_type"] == "scalar"
    world.settle()
    market = json.loads(catalog.market(scalar[0]))
    assert market["result"] == "scalar"
    assert 0 < float(market["settlement_value_dollars"]) < 1
    paid = np.array([world.payout(row) for row in scalar]) / 10_000
    assert (np.abs(paid - (world.truth[scalar] + (world.columns.result[scalar] == 1)) / 2) < 1e-3).all()
    provisional = [row for row in range(2_000) if b'"is_provisional":true' in catalog.market(row)]
    assert len(provisional) == 4


def test_nothing_is_traded_before_a_market_is_listed_or_after_it_has_closed():
    world, clock = alive(arrivals=80)
    for hours in (0.3, 2.0, 30.0):
        clock.s = hours
        world.tick()
    columns = world.columns
    trades = [h for h in world.life.since(0) if isinstance(h, Trade)]
    assert len(trades) > 1_000
    for trade in trades:
        assert columns.created_us[trade.row] <= trade.at_us < columns.ends_us[trade.row]
    assert not ((columns.ends_us <= world.now_us) & (columns.status == ACTIVE)).any()
    closed = np.isin(columns.status, (CLOSED, DETERMINED, FINALIZED))
    assert not columns.bid[closed].any()
    assert not columns.ask_size[closed].any()


def test_an_unopened_market_has_neither_quotes_nor_trades():
    world = World(2_000, seed=6)
    waiting = world.columns.status == 0
    assert waiting.sum() > 10
    for name in ("bid", "ask", "bid_size", "ask_size", "volume", "open_interest", "last"):
        assert not getattr(world.columns, name)[waiting].any()


def test_settling_at_once_leaves_unlisted_markets_alone():
    world = World(400, arrivals=50, seed=3)
    world.settle()
    catalog = WorldCatalog(world)
    assert (world.columns.status[: world.first] != FINALIZED).all()
    rows = np.flatnonzero(world.columns.status == FINALIZED)
    assert (world.settled_us[rows] <= world.now_us).all()
    window = {"min_settled_ts": str(world.now_us // 1_000_000 - 60)}
    assert len(Selection(catalog, Index(catalog), window).rows()) >= 390


def test_the_legs_of_a_combo_are_listed_and_from_different_events():
    world = World(300, combos=200, arrivals=60, seed=4)
    combos = np.flatnonzero(world.columns.event < 0)
    for row in combos.tolist():
        legs = np.array(world.legs.of(row))
        assert len(set(world.columns.event[legs].tolist())) == len(legs)
        assert (world.columns.created_us[legs] <= world.now.timestamp() * 1e6).all()


def test_a_market_that_opens_gets_quotes_and_the_feed_learns_of_them():
    world, clock = alive()
    waiting = np.flatnonzero(world.columns.status == 0)
    clock.s = float((world.columns.open_us[waiting].max() - world.now_us) / 3.6e9) + 0.01
    world.tick()
    first = {h.row: h for h in reversed([h for h in world.life.since(0) if isinstance(h, Move)])}
    still = [row for row in waiting.tolist() if world.columns.ends_us[row] > world.now_us]
    assert still
    for row in still:
        assert first[row].before == (0, 0, 0, 0)
        assert any(first[row].after)


def test_the_share_of_two_sided_quotes_stays_the_same_overnight():
    world, clock = alive(4_000, seed=5)

    def share():
        open_now = world.columns.status == ACTIVE
        return ((world.columns.bid > 0) & (world.columns.ask > 0))[open_now].mean()

    before = share()
    clock.s = 12.0
    world.tick()
    assert abs(share() - before) < 0.05


def test_games_close_days_after_they_end_unless_the_outcome_is_known():
    world, clock = alive(2_000, seed=7)
    columns = world.columns
    games = np.array([row for event in world.events if event.kind in ("game", "spread", "props") for row in event.rows])
    live = games[columns.status[games] == ACTIVE]
    assert (columns.close_us[live] - columns.ends_us[live] == 14 * 86_400_000_000).all()
    row = int(live[np.argmin(columns.ends_us[live])])
    catalog = WorldCatalog(world)
    market = json.loads(catalog.market(row))
    assert market["close_time"] > market["expected_expiration_time"]
    clock.s = (columns.ends_us[row] - world.now_us) / 3.6e9 + 0.01
    world.tick()
    assert columns.status[row] == CLOSED
    shown = json.loads(catalog.market(row))
    assert shown["close_time"] < market["close_time"]
    assert columns.close_us[row] == columns.ends_us[row]


def test_a_close_window_pages_without_gap_while_games_close_early():
    world, clock = alive(1_500, seed=7)
    catalog = WorldCatalog(world)
    index = Index(catalog)
    query = {"min_close_ts": "1", "mve_filter": "exclude"}
    before = set(Selection(catalog, index, query).rows().tolist())
    seen, cursor = [], ""
    while True:
        page = Selection(catalog, index, query).page(cursor, 60)
        seen += page.rows
        clock.s += 0.5
        if not page.cursor:
            break
        cursor = page.cursor
    assert before <= set(seen)


def test_a_spread_has_both_teams_on_one_strike_type_and_only_one_can_win():
    world = World(6_000, seed=2)
    columns = world.columns
    spreads = [event for event in world.events if event.kind == "spread" and len(event.rows) > 3]
    assert len(spreads) > 5
    for event in spreads:
        rows = np.array(event.rows)
        subjects = columns.subject[rows]
        assert set(subjects.tolist()) == {0, 1}
        assert {columns.strike[row] for row in event.rows} == {"greater"}
        for subject in (0, 1):
            team = rows[subjects == subject]
            by_strike = world.truth[team[np.argsort(columns.floor[team])]]
            assert (np.diff(by_strike) <= 0).all()
        assert columns.hi[rows[subjects == 0]].max() <= columns.lo[rows[subjects == 1]].min()
    market = json.loads(WorldCatalog(world).market(spreads[0].rows[0]))
    assert re.fullmatch(r"\w+ wins by over [0-9.]+ points", market["yes_sub_title"])
    assert list(market["custom_strike"]) == ["basketball_team"]


def test_players_of_one_event_have_ladders_of_their_own_on_one_strike_type():
    world = World(6_000, seed=2)
    columns = world.columns
    events = [event for event in world.events if event.kind == "props" and len(event.rows) > 7]
    assert len(events) > 5
    catalog = WorldCatalog(world)
    for event in events:
        rows = np.array(event.rows)
        assert {columns.strike[row] for row in event.rows} == {"greater"}
        players = {}
        for row in event.rows:
            (target,) = json.loads(catalog.market(row))["custom_strike"].values()
            players.setdefault(target, []).append(row)
        assert len(players) > 1
        for player in players.values():
            by_strike = world.truth[sorted(player, key=lambda row: columns.floor[row])]
            assert (np.diff(by_strike) <= 0).all()
        assert sum(map(len, players.values())) == len(rows)

import json
import re
from fractions import Fraction

import numpy as np
import pytest

from fairline.sim import Exchange, Fault, SimError
from fairline.sim.catalog import Index, WorldCatalog
from fairline.sim.faults import FAULTS, Faults
from fairline.sim.limits import Limits
from fairline.sim.listing import BadRequest, Selection
from fairline.sim.replay import ReplayCatalog
from fairline.sim.world import ACTIVE, FINALIZED, World


@pytest.fixture(scope="module")
def world():
    return World(4_000, seed=11)


@pytest.fixture(scope="module")
def catalog(world):
    return WorldCatalog(world)


def test_the_same_seed_makes_the_same_world(world):
    again = World(4_000, seed=11, now=world.now)
    assert again.columns.ticker == world.columns.ticker
    assert (again.columns.bid == world.columns.bid).all()
    assert World(4_000, seed=12, now=world.now).columns.ticker != world.columns.ticker


def test_it_has_the_requested_number_of_open_markets_with_distinct_tickers(world):
    assert (world.columns.status == ACTIVE).sum() == 4_000
    assert len(set(world.columns.ticker)) == len(world.columns.ticker)


def test_games_and_buckets_partition_and_ladders_are_monotone(world):
    for event in world.events:
        p = world.truth[event.rows]
        if event.kind in ("game", "buckets") and len(event.rows) > 1:
            assert p.sum() == pytest.approx(1)
        if event.kind == "partition" and len(event.rows) > 1:
            assert 0.9 < p.sum() < 1
        if event.kind == "ladder" and len(event.rows) > 1:
            by_strike = p[np.argsort(world.columns.floor[event.rows])]
            assert (np.diff(by_strike) <= 0).all()
    assert ((world.truth > 0) & (world.truth < 1)).all()


def test_a_world_of_the_size_of_the_demo_resembles_the_index():
    worlds = [World(15_000, seed=seed) for seed in range(3)]
    quantiles = [10, 25, 50, 75, 90, 99]
    sizes = np.mean([np.percentile([len(event.rows) for event in w.events], quantiles) for w in worlds], axis=0)
    assert np.abs(sizes - [1, 2, 4, 9, 17, 52]).max() <= 3
    for world in worlds:
        open_now = world.columns.status != FINALIZED
        two_sided = ((world.columns.bid > 0) & (world.columns.ask > 0))[open_now].mean()
        assert 0.55 < two_sided < 0.66


def test_quotes_lie_on_the_grid_and_never_cross(world):
    columns = world.columns
    two_sided = (columns.bid > 0) & (columns.ask > 0)
    assert 0.5 < two_sided.mean() < 0.7
    assert (columns.bid[two_sided] < columns.ask[two_sided]).all()
    assert (columns.bid_size[columns.bid == 0] == 0).all()
    assert (columns.ask_size[columns.ask == 0] == 0).all()
    assert columns.ask.max() < 10_000
    assert len(np.unique(columns.grid)) > 1, "sub-cent grids occur"


def test_outcomes_follow_the_hidden_probabilities_consistently():
    hits, mass = 0.0, 0.0
    for seed in range(20):
        world = World(400, seed=seed)
        settled_now = world.columns.status == ACTIVE
        world.settle()
        results = world.columns.result
        for event in world.events:
            rows = [row for row in event.rows if results[row] >= 0]
            if event.kind == "game" and len(rows) == len(event.rows) > 1:
                assert results[rows].sum() == 1
            if event.kind == "ladder":
                by_strike = results[sorted(rows, key=lambda r: world.columns.floor[r])]
                assert (np.diff(by_strike.astype(int)) <= 0).all()
        assert (world.columns.status[settled_now] == FINALIZED).all()
        hits += results[settled_now].sum()
        mass += world.truth[settled_now].sum()
    assert hits == pytest.approx(mass, rel=0.06)


def select(catalog, query):
    return Selection(catalog, Index(catalog), query).rows()


def walk(catalog, limit, **query):
    cursor, rows, pages, index = "", [], 0, Index(catalog)
    while True:
        got = Selection(catalog, index, query).page(cursor, limit)
        rows += got.rows
        pages += 1
        if not got.cursor:
            return rows, pages
        cursor = got.cursor


@pytest.mark.parametrize("limit", [1, 7, 100, 1000])
def test_paging_visits_every_row_once_newest_first(catalog, limit):
    small = {"series_ticker": "KXHOUSERACE"} if limit == 1 else {}
    rows, pages = walk(catalog, limit, **small)
    wanted = select(catalog, small)
    assert rows == wanted.tolist()
    assert (np.diff(catalog.created_us[rows]) <= 0).all()
    assert pages == -(-len(rows) // limit)


def test_a_cursor_stays_valid_when_rows_before_it_leave_the_listing():
    catalog = WorldCatalog(World(300, seed=1))
    index = Index(catalog)
    first = Selection(catalog, index, {"status": "open"}).page("", 100)
    catalog.world.columns.status[first.rows] = FINALIZED
    second = Selection(catalog, index, {"status": "open"}).page(first.cursor, 100)
    assert not set(first.rows) & set(second.rows)
    assert len(second.rows) == 100


def test_created_windows_tile_the_listing(catalog):
    seconds = np.sort(catalog.created_us // 1_000_000)
    cut = int(seconds[len(seconds) // 2])
    early = select(catalog, {"status": "open", "max_created_ts": str(cut)})
    late = select(catalog, {"status": "open", "min_created_ts": str(cut + 1)})
    assert sorted([*early, *late]) == select(catalog, {"status": "open"}).tolist()
    assert min(len(early), len(late)) > 0


@pytest.mark.parametrize(
    "query",
    [
        {"status": "active"},
        {"status": "open,closed"},
        {"mve_filter": "maybe"},
        {"status": "open", "min_close_ts": "1"},
        {"status": "open", "min_updated_ts": "1"},
        {"min_updated_ts": "1"},
        {"min_created_ts": "1", "max_close_ts": "2"},
        {"min_created_ts": "soon"},
    ],
)
def test_incompatible_filters_are_a_400(catalog, query):
    with pytest.raises(BadRequest):
        select(catalog, query)


def test_markets_have_every_field_the_official_clients_require(catalog):
    market = json.loads(catalog.market(5))
    required = """ticker event_ticker market_type yes_sub_title no_sub_title created_time updated_time open_time
    close_time latest_expiration_time settlement_timer_seconds status yes_bid_dollars yes_bid_size_fp yes_ask_dollars
    yes_ask_size_fp no_bid_dollars no_ask_dollars last_price_dollars volume_fp volume_24h_fp result can_close_early
    open_interest_fp notional_value_dollars previous_yes_bid_dollars previous_yes_ask_dollars previous_price_dollars
    settlement_bounds_type expiration_value rules_primary rules_secondary price_level_structure price_ranges"""
    assert all(market[name] is not None for name in required.split())


def test_books_ascend_and_their_best_bid_is_the_quote(catalog):
    columns = catalog.world.columns
    for row in range(0, 400, 7):
        yes, no = catalog.book(row)
        assert [price for price, _ in yes] == sorted(price for price, _ in yes)
        assert (yes[-1] if yes else (0, 0)) == (columns.bid[row], columns.bid_size[row])
        assert ((10_000 - no[-1][0], no[-1][1]) if no else (0, 0)) == (columns.ask[row], columns.ask_size[row])


def test_an_empty_side_reads_0_or_1_and_only_its_size_shows_it(catalog):
    columns = catalog.world.columns
    markets = [json.loads(catalog.market(int(row))) for row in np.flatnonzero(columns.ask == 0)[:300]]
    assert {m["yes_ask_dollars"] for m in markets} <= {"1.0000", "0.0000"}
    assert {m["yes_ask_size_fp"] for m in markets} == {"0.00"}


def test_limits_admit_a_burst_and_then_the_rate():
    now = [0.0]
    limits = Limits("basic", clock=lambda: now[0])
    assert sum(limits.admit("a") for _ in range(100)) == 60
    now[0] += 1
    assert sum(limits.admit("a") for _ in range(100)) == 20
    assert limits.admit("another address")
    assert all(Limits(None).admit("a") for _ in range(1000))


def test_faults_strike_with_their_probability_and_a_limited_number_of_times():
    faults = Faults(Fault("429", 0.5), Fault("500", 1.0, 2), seed=1)
    assert 400 < sum(faults.strikes("429") for _ in range(1000)) < 600
    assert [faults.strikes("500") for _ in range(4)] == [True, True, False, False]
    assert not faults.strikes("reset")


@pytest.mark.parametrize("text", ["nonsense", "429:2", "429:x", "429:0.5:1:1"])
def test_an_unknown_fault_is_refused_in_one_line(text):
    with pytest.raises(SimError):
        Fault.parse(text)
    assert Fault.parse("429:0.5:3") == Fault("429", 0.5, 3)
    assert set(FAULTS) >= {"429", "reset", "repeat-cursor"}


def test_a_port_in_use_a_bad_tier_and_a_bad_replay_are_refused_in_one_line(exchange, tmp_path):
    port = int(exchange.root.rsplit(":", 1)[1])
    with pytest.raises(SimError, match="choose another port"), Exchange(markets=10, port=port):
        pass
    with pytest.raises(SimError, match="unknown tier"):
        Exchange(markets=10, tier="gold")
    (tmp_path / "bad.json").write_text("[1,")
    (tmp_path / "none.json").write_text('{"a": 1}')
    (tmp_path / "bad.jsonl").write_text('{"ticker":"A"}\n{oops\n')
    for name, sentence in (
        ("bad.json", "not JSON"),
        ("none.json", "holds no market"),
        ("bad.jsonl", "line 2"),
        ("gone", "does not exist"),
    ):
        with pytest.raises(SimError, match=sentence):
            ReplayCatalog(tmp_path / name)


def test_the_worlds_clock_lists_opens_and_closes_markets():
    now = [0.0]
    catalog = WorldCatalog(World(300, arrivals=60, speed=60, seed=5, clock=lambda: now[0]))
    columns, index = catalog.world.columns, Index(catalog)
    before = len(Selection(catalog, index, {}).rows())
    assert before < len(columns.ticker) - catalog.archived.sum()
    assert (columns.status == ACTIVE)[Selection(catalog, index, {"status": "open"}).rows()].all()
    rendered = {row: catalog.market(row) for row in range(len(columns.ticker))}
    now[0] = 60.0
    after = Selection(catalog, index, {}).rows()
    assert len(after) == len(columns.ticker) - catalog.archived.sum()
    closed = Selection(catalog, index, {"status": "closed"}).rows()
    assert (columns.close_us[closed] <= catalog.world.now_us).all()
    now[0] = 60 * 24 * 30
    closed = Selection(catalog, index, {"status": "closed"}).rows()
    assert 0 < len(closed) < len(after)
    row = int(closed[0])
    now_shown, before_shown = json.loads(catalog.market(row)), json.loads(rendered[row])
    changed = {name for name in now_shown if now_shown[name] != before_shown[name]}
    assert "status" in changed
    closing_times = {"close_time", "latest_expiration_time", "expiration_time"}
    assert {name.removesuffix("_fp").removesuffix("_dollars") for name in changed - {"status", *closing_times}} <= {
        f"{before}{side}_{what}" for before in ("", "previous_") for side in ("yes", "no")
        for what in ("bid", "ask", "bid_size", "ask_size")
    }  # fmt: skip
    assert (now_shown["yes_bid_dollars"], now_shown["yes_ask_size_fp"]) == ("0.0000", "0.00")
    assert not set(closed.tolist()) & set(Selection(catalog, index, {"status": "open"}).rows().tolist())


def test_combos_dominate_an_unfiltered_listing_and_pay_if_every_leg_wins():
    catalog = WorldCatalog(World(200, combos=1_800, seed=4))
    world, index = catalog.world, Index(catalog)
    assert (np.diff(world.columns.created_us) <= 0).all()
    assert len(Selection(catalog, index, {"status": "open", "mve_filter": "exclude"}).rows()) == 200
    newest = Selection(catalog, index, {"status": "open"}).page("", 100).rows
    assert catalog.combos[newest].mean() > 0.8
    combo = json.loads(catalog.market(next(row for row in newest if catalog.combos[row])))
    assert 2 <= len(combo["mve_selected_legs"]) <= 6
    assert {leg["market_ticker"] for leg in combo["mve_selected_legs"]} <= set(catalog.tickers)
    world.settle()
    for row in np.flatnonzero(catalog.combos)[:500].tolist():
        legs = [world.columns.result[leg] for leg in world.legs.of(row)]
        assert world.columns.result[row] == min(legs)


def test_close_windows_list_the_last_to_close_first_and_page_without_gap(catalog):
    middle = int(np.median(catalog.close_us) // 1_000_000)
    query = {"max_close_ts": str(middle), "mve_filter": "exclude"}
    rows, pages = walk(catalog, 150, **query)
    assert pages > 3
    assert (np.diff(catalog.close_us[rows]) <= 0).all()
    assert sorted(rows) == np.flatnonzero((catalog.close_us // 1_000_000 <= middle) & ~catalog.archived).tolist()


def test_a_world_larger_than_memory_is_refused_before_it_is_built():
    with pytest.raises(SimError, match=r"needs about 8,000 GB of memory, but this machine has \d+ GB; ask for fewer"):
        Exchange(markets=1_000_000_000)


def test_every_quote_and_level_is_on_the_grid_that_its_market_shows():
    catalog = WorldCatalog(World(3_000, seed=4, combos=200))

    def on_grid(dollars, ranges):
        price = Fraction(dollars)
        return any(Fraction(r["start"]) <= price <= Fraction(r["end"])
                   and (price - Fraction(r["start"])) % Fraction(r["step"]) == 0 for r in ranges)  # fmt: skip

    seen = set()
    for row in range(len(catalog.tickers)):
        market = json.loads(catalog.market(row))
        ranges = market["price_ranges"]
        seen.add(market["price_level_structure"])
        assert on_grid(market["yes_bid_dollars"], ranges), market["ticker"]
        assert on_grid(market["yes_ask_dollars"], ranges), market["ticker"]
        for levels in catalog.book(row):
            assert all(on_grid(str(Fraction(price, 10_000)), ranges) for price, _ in levels), market["ticker"]
    assert len(seen) == 4


def test_tickers_are_plain():
    world = World(5_000, combos=50, seed=6)
    assert all(re.fullmatch(r"[A-Z0-9.-]+", ticker) for ticker in world.columns.ticker)

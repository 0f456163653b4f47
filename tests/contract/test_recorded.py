"""Recorded market objects, served verbatim and scanned: each is either a row or quarantined with its reason."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest

from fairline.kalshi import Kalshi, Transport
from fairline.kalshi.wire import Market
from fairline.market.filters import Filters
from fairline.market.frame import markets_frame
from fairline.market.listing import read_listing
from fairline.market.selection import apply_filters
from fairline.sim import Exchange


async def scan_replay(path, bucket, status):
    with Exchange(replay=path) as exchange:
        async with Kalshi(Transport(exchange.url, bucket=bucket)) as kalshi:
            listing = await read_listing(kalshi, Filters(status=status, combos=True))
        return listing, exchange.backend.catalog


def count_served(catalog, *fields):
    return int(catalog.with_status(fields, np.arange(len(catalog.tickers))).sum())


async def test_every_market_of_july_2026_becomes_a_row_with_its_exact_prices(shared, unhurried):
    folder = shared / "kalshi_markets_raw_2026-07-10"
    listing, catalog = await scan_replay(folder, unhurried, "open")
    assert not listing.quarantined
    assert listing.listed == count_served(catalog, "active") > 1_000
    recorded = {}
    for file in sorted(folder.glob("*.jsonl")):
        recorded |= {m["ticker"]: m for m in map(json.loads, file.read_text().splitlines())}
    assert len(recorded) == listing.listed
    for row in listing.markets.iter_rows(named=True):
        market = recorded[row["ticker"]]
        for side in ("bid", "ask"):
            price, size = market[f"yes_{side}_dollars"], market[f"yes_{side}_size_fp"]
            micro = int(price.replace(".", "")) * 100
            offered = float(size) > 0 and 0 < micro < 1_000_000
            assert row[f"yes_{side}_u"] == (micro if offered else None)
        if row["yes_ask_u"] is not None:
            assert 1_000_000 - row["yes_ask_u"] == int(market["no_bid_dollars"].replace(".", "")) * 100


@pytest.mark.parametrize(
    "status,fields", [("open", ["active"]), ("settled", ["finalized"]), ("closed", ["closed", "determined"])]
)
async def test_the_pages_of_august_2026_are_rows_or_named(shared, unhurried, status, fields):
    listing, catalog = await scan_replay(shared / "kalshi_api_recorded_2026-08", unhurried, status)
    assert listing.complete
    assert listing.listed + len(listing.quarantined) == count_served(catalog, *fields)
    for row in listing.quarantined:
        assert row.ticker in catalog.row
        assert row.field
        assert row.reason


async def test_every_row_of_the_cents_format_is_quarantined_as_retired(shared, unhurried):
    folder = shared / "kalshi_api_cents_format"
    total = 0
    for status, fields in (("open", ["active"]), ("closed", ["closed", "determined"]), ("settled", ["finalized"])):
        listing, catalog = await scan_replay(folder, unhurried, status)
        assert listing.listed == 0
        assert len(listing.quarantined) == count_served(catalog, *fields)
        total += len(listing.quarantined)
        for row in listing.quarantined:
            assert row.ticker in catalog.row
            assert "retired" in row.reason
    assert total > 100
    old = next(m for m in catalog.tickers if m == "EUCLIMATE-2030")
    assert old


async def test_the_transition_format_of_january_2026_is_rows_or_named(shared, unhurried):
    folder = shared / "kalshi_api_recorded_2026-01_cents_and_dollars"
    listing, catalog = await scan_replay(folder, unhurried, "open")
    assert listing.listed + len(listing.quarantined) == count_served(catalog, "active") > 0


def test_decided_within_a_day_selects_the_games_of_a_day_and_closing_time_does_not(shared):
    recorded = {}
    for file in sorted((shared / "kalshi_markets_raw_2026-07-10").glob("sports_pairs_*.jsonl")):
        recorded |= {market["ticker"]: market for market in map(json.loads, file.read_text().splitlines())}
    games = [json.dumps(market) for market in recorded.values() if "GAME" in market["event_ticker"]]
    frame, rejected = markets_frame([msgspec.json.decode(game, type=Market, strict=False) for game in games])
    asof = datetime(2026, 7, 10, 18, 23, tzinfo=UTC)
    day = timedelta(days=1)
    decided, _ = apply_filters(Filters(decided_within=day), frame, [], asof)
    closed, _ = apply_filters(Filters(closes_within=day), frame, [], asof)
    assert not rejected
    assert frame.height == 777
    assert decided.height == 236
    assert closed.height == 2

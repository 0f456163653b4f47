"""Figures that others published or recorded, met by our own arithmetic."""

import json
from datetime import UTC, datetime
from fractions import Fraction

import msgspec
import numpy as np
import polars as pl
import pytest

from fairline.kalshi.wire import Market, OrderBook, Series
from fairline.market.books import levels, quotes
from fairline.market.fees import COEFFICIENTS
from fairline.market.frame import markets_frame
from fairline.market.terms import quote, terms_at
from fairline.market.ticks import grid_of, off_grid
from fairline.pricing.depth import executions, offers
from fairline.pricing.devig import devig

NOW = datetime(2026, 8, 20, tzinfo=UTC)


def test_a_published_composite_is_each_books_odds_without_margin_averaged(shared):
    """Two-way games, whose two sides were recorded at once; in soccer the draw, which has no row, takes part too."""
    odds = pl.read_ndjson(shared / "book_odds_devig_vs_kalshi_2025-08" / "odds_hourly.jsonl").with_row_index("row")
    games = odds.filter(pl.col("game_id").is_not_null(), pl.col("sport") != "EPL")
    rows = [
        (row["row"], f"{row['timestamp']} {row['game_id']} {book}", row["per_book_implied_prob"][book])
        for row in games.iter_rows(named=True)
        for book in row["composite_source_books"]
    ]
    priced = pl.DataFrame(rows, schema={"row": pl.UInt32, "set": pl.String, "price": pl.Float64}, orient="row")
    both = priced.drop_nulls().filter(pl.len().over("set") == 2).sort("set")
    p = devig(both["price"].to_numpy(), both["set"].rle_id().cast(pl.Int64).to_numpy(), "multiplicative")
    composite = both.with_columns(p=pl.Series(p)).group_by("row").agg(pl.col("p").mean()).join(games, on="row")
    assert composite.height == 92
    assert np.abs(composite["p"].to_numpy() - composite["composite_devigged_odds"].to_numpy()).max() < 1e-9


def test_recorded_fee_fields_are_terms_and_their_fee_is_the_formulas(shared):
    recorded = json.loads((shared / "kalshi_api_recorded_2026-08" / "series_fee_fields.json").read_text())
    recorded_series = [msgspec.convert(each["series"], Series, strict=False) for each in recorded["payloads"].values()]
    assert len(recorded_series) == 4
    for series in recorded_series:
        terms = terms_at(series, [], None, [], NOW)
        for maker in (False, True):
            exact = (
                Fraction(COEFFICIENTS[terms.fee_type][maker], 10_000) * Fraction(str(series.fee_multiplier))
                * 250 * Fraction("0.37") * Fraction("0.63")
            )  # fmt: skip
            assert quote(terms, 370_000, 25_000, maker=maker).trade_fee_u == -(-exact * 1_000_000 // 1)


@pytest.mark.parametrize("folder", ["kalshi_markets_raw_2026-07-10", "kalshi_api_recorded_2026-08"])
def test_every_recorded_quote_is_on_its_markets_own_grid(shared, folder):
    recorded = {}
    for path in sorted((shared / folder).glob("*.json*")):
        for text in path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]:
            recorded |= {market["ticker"]: market for market in _markets(json.loads(text))}
    rows = [msgspec.json.decode(json.dumps(market), type=Market, strict=False) for market in recorded.values()]
    frame, _ = markets_frame(rows)
    known = frame["price_ranges"].cast(pl.String)
    assert frame.height > 300
    assert all(grid_of(text) for text in known.unique().drop_nulls())
    assert known.drop_nulls().len() > 300
    assert off_grid(frame).is_empty()


def _markets(value):
    """Market objects wherever they are in a recorded answer."""
    if isinstance(value, dict):
        if "yes_bid_dollars" in value and "yes_bid_size_fp" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _markets(each)


def recorded_books(shared):
    folder = shared / "kalshi_orderbook_depth_2026-07"
    for path in sorted(folder.glob("*.jsonl")):
        yield from map(json.loads, path.read_text().splitlines())


def test_recorded_books_have_the_quotes_that_their_collector_saw(shared):
    seen = list(recorded_books(shared))
    assert len(seen) > 600
    books = [
        msgspec.convert({"ticker": str(i), "orderbook_fp": each["raw_orderbook"]}, OrderBook)
        for i, each in enumerate(seen)
    ]
    computed = {row["ticker"]: row for row in quotes(books).iter_rows(named=True)}
    for i, each in enumerate(seen):
        for side in ("bid", "ask"):
            theirs = each[f"best_yes_{side}"]
            assert computed[str(i)][f"yes_{side}_u"] == (None if theirs is None else round(theirs * 1_000_000))


@pytest.mark.parametrize("size", [10, 500, 100_000])
def test_an_order_walks_a_recorded_book_as_plain_fractions_do(shared, size):
    seen = list(recorded_books(shared))[:200]
    books = [
        msgspec.convert({"ticker": str(i), "orderbook_fp": each["raw_orderbook"]}, OrderBook)
        for i, each in enumerate(seen)
    ]
    orders = {row["ticker"]: row for row in executions(offers(levels(books)), [size * 100]).iter_rows(named=True)
            if row["side"] == "yes"}  # fmt: skip
    for i, each in enumerate(seen):
        asks = sorted((1 - Fraction(price), Fraction(count)) for price, count in each["raw_orderbook"]["no_dollars"])
        rest = Fraction(size)
        cost = Fraction(0)
        trade_fee = Fraction(0)
        for price, count in asks:
            take = min(rest, count)
            rest -= take
            cost += take * price
            trade_fee += Fraction("0.07") * take * price * (1 - price)
        filled = size - rest
        if not filled:
            assert str(i) not in orders
            continue
        row = orders[str(i)]
        assert Fraction(row["fill_cc"], 100) == filled
        assert Fraction(row["cost"], 100_000_000) == cost
        assert Fraction(row["average_u"] - 1, 1_000_000) < cost / filled <= Fraction(row["average_u"], 1_000_000)
        # Rounded up, to a cent beyond the trade fee's own micro-dollars of each level.
        assert trade_fee <= Fraction(row["fee_u"], 1_000_000) < trade_fee + Fraction(2, 100)

"""Holdings beside opportunities, and in the caps of the bankroll."""

from datetime import UTC, datetime

import polars as pl

from fairline.market.frame import MARKETS
from fairline.pricing.holdings import Holding, Holdings, exposure, mark_held

HELD = Holdings((Holding("KXA-1-X", "yes", 1_000, 4_000_000), Holding("KXB-1-Y", "no", 500, 2_000_000, 300, 0)))


def bets(*rows):
    return pl.DataFrame([(*row, "elo") for row in rows], schema=["ticker", "side", "model"], orient="row")


def test_what_is_held_or_resting_is_marked_and_the_opposite_side_is_negative():
    marked = mark_held(bets(("KXA-1-X", "yes"), ("KXA-1-X", "no"), ("KXB-1-Y", "yes"), ("KXC-1-Z", "yes")), HELD)
    assert marked["held_cc"].to_list() == [1_000, -1_000, -500, 0]
    assert marked["resting_cc"].to_list() == [0, 0, 300, 0]


def test_a_side_counts_as_held_if_contracts_are_held_or_an_order_rests():
    assert HELD.is_held("KXA-1-X", "yes")
    assert not HELD.is_held("KXA-1-X", "no")
    assert HELD.is_held("KXB-1-Y", "no")
    assert HELD.is_held("KXB-1-Y", "yes")


def test_exposure_knows_event_series_and_day_even_of_markets_that_were_not_scanned():
    decided = datetime(2026, 8, 20, 3, tzinfo=UTC)
    row = dict.fromkeys(MARKETS) | {
        "ticker": "KXA-1-X", "event_ticker": "EVENT", "series_ticker": "SERIES", "decided_ts": decided,
    }  # fmt: skip
    table = exposure(HELD, pl.DataFrame([row], schema=MARKETS, orient="row")).to_dicts()
    assert table[0] == {
        "ticker": "KXA-1-X", "event_ticker": "EVENT", "series_ticker": "SERIES", "day": decided.date(),
        "cost_u": 4_000_000,
    }  # fmt: skip
    assert (table[1]["event_ticker"], table[1]["series_ticker"], table[1]["day"]) == ("KXB-1", "KXB", None)

"""What a store recorded of a market becomes observations, trades, outcomes and a closing line."""

from datetime import timedelta

import pytest

from fairline.backtesting.fills import Level
from fairline.backtesting.past import RecordedPast
from fairline.store.datasets import DEPTH, FACTS, QUOTES, SCANS, SETTLEMENTS, TRADES
from fairline.store.store import Store
from tests.unit.backtesting.recorded import BEGIN, DOLLAR, HOUR, rows

CENT = 10_000


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "store")
    opened.acquire()
    yield opened
    opened.release()


def quote(bid, ask, *, size=500, status="active", listed=True):
    return rows(
        QUOTES, ticker=["A"], listed=[listed], status=[status], yes_bid_u=[bid and bid * CENT],
        yes_ask_u=[ask and ask * CENT], yes_bid_size_cc=[size], yes_ask_size_cc=[size],
    )  # fmt: skip


def record(store, *entries):
    """Append (hour, dataset, rows) in order of time."""
    for hour, dataset, frame in entries:
        store.append(dataset, frame, store.next_ts(BEGIN + hour * HOUR))


def scan(hour):
    return hour, "scans", rows(SCANS, outcome=["done"], complete=[True], started_ts=[BEGIN])


def past(store):
    return RecordedPast(store, ["A"], BEGIN - HOUR)


def test_the_best_quotes_are_offers_of_both_sides(store):
    record(store, (0, "quotes", quote(40, 42)))
    seen = past(store).market("A").first_from(BEGIN)
    assert seen.offers["yes"] == (Level(42 * CENT, 500),)
    assert seen.offers["no"] == (Level(60 * CENT, 500),)
    assert seen.bids["yes"] == (Level(40 * CENT, 500),)


@pytest.mark.parametrize("changes", [{"status": "closed"}, {"listed": False}])
def test_a_market_that_is_not_open_offers_nothing(store, changes):
    record(store, (0, "quotes", quote(40, 42, **changes)))
    assert past(store).market("A").first_from(BEGIN).offers == {}


def test_every_complete_scan_observes_the_market(store):
    incomplete = rows(SCANS, outcome=["incomplete"], complete=[False], started_ts=[BEGIN])
    record(store, (0, "quotes", quote(40, 42)), scan(1), (2, "scans", incomplete), scan(3))
    instants = past(store).market("A").instants(BEGIN, BEGIN + 10 * HOUR)
    assert [(instant - BEGIN) // HOUR for instant in instants] == [0, 1, 3]


def test_an_order_book_shows_every_level(store):
    book = rows(DEPTH, ticker=["A"] * 3, side=["no", "no", "yes"], price_u=[57 * CENT, 58 * CENT, 40 * CENT],
                size_cc=[900, 100, 700])  # fmt: skip
    record(store, (0, "quotes", quote(40, 42)), (1, "depth", book))
    seen = past(store).market("A").first_from(BEGIN + timedelta(minutes=30))
    assert seen.offers["yes"] == (Level(42 * CENT, 100), Level(43 * CENT, 900))
    assert seen.offers["no"] == (Level(60 * CENT, 700),)


def test_an_empty_order_book_offers_nothing(store):
    empty = rows(DEPTH, ticker=["A"], side=["yes"], price_u=[None], size_cc=[None])
    record(store, (0, "quotes", quote(40, 42)), (1, "depth", empty))
    seen = past(store).market("A").first_from(BEGIN + timedelta(minutes=30))
    assert seen.offers == {"yes": (), "no": ()}


def test_trades_come_in_order_and_block_trades_do_not_count(store):
    times = [BEGIN + minutes * timedelta(minutes=1) for minutes in (30, 10, 20)]
    tape = rows(
        TRADES, ticker=["A"] * 3, trade_id=["1", "2", "3"], created_ts=times, count_cc=[100, 200, 300],
        price_u=[CENT, 2 * CENT, 3 * CENT], is_block=[False, None, True],
    )  # fmt: skip
    record(store, (2, "trades", tape))
    assert [trade.yes_price_u for trade in past(store).trades("A")] == [2 * CENT, CENT]
    assert past(store).trades("B") == []


def test_an_outcome_is_known_from_its_publication_on(store):
    settled = rows(SETTLEMENTS, ticker=["A"], result=["yes"], payout_u=[DOLLAR], settled_ts=[BEGIN])
    record(store, (5, "settlements", settled))
    outcome = past(store).outcome("A")
    assert outcome.payout_u == DOLLAR
    assert outcome.published_at == BEGIN + 5 * HOUR
    assert past(store).outcome("B") is None


def test_the_closing_line_is_the_last_two_sided_quote_before_play(store):
    start = BEGIN + 3 * HOUR
    fact = rows(FACTS, ticker=["A"], market_type=["binary"], milestone_ts=[start])
    record(
        store,
        (0, "facts", fact),
        (1, "quotes", quote(40, 42)),
        (2, "quotes", quote(None, 50)),
        (4, "quotes", quote(80, 82)),
    )
    assert past(store).closing_mid("A") == pytest.approx(0.41)


def test_without_a_known_start_there_is_no_closing_line(store):
    record(store, (0, "quotes", quote(40, 42)))
    assert past(store).closing_mid("A") is None
    assert past(store).closing_mid("B") is None

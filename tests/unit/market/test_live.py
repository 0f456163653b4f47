"""Live quotes and books from single messages."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairline.kalshi.feed_messages import (
    Delta,
    DeltaBody,
    Gap,
    Lifecycle,
    LifecycleBody,
    Lost,
    Opened,
    Snapshot,
    SnapshotBody,
    Ticker,
    TickerBody,
)
from fairline.market.live import (
    Book,
    LiveState,
    UnreadableAmountError,
    apply,
    close,
    price_units,
    size_units,
)


def ticker(name="A", bid="0.4000", ask="0.4200", bid_size="10.00", ask_size="20.00", ts_ms=1_000):
    return Ticker(msg=TickerBody(name, bid, ask, bid_size, ask_size, ts_ms))


def snapshot(name="A", yes=(("0.4000", "10.00"),), no=(("0.5800", "20.00"),)):
    return Snapshot(sid=2, seq=1, msg=SnapshotBody(name, list(yes), list(no)))


def delta(name="A", price="0.4000", change="5.00", side="yes", ts_ms=2_000):
    return Delta(sid=2, seq=2, msg=DeltaBody(name, price, change, side, ts_ms))


def lifecycle(event, name="A"):
    return Lifecycle(sid=3, msg=LifecycleBody(event_type=event, market_ticker=name))


@pytest.fixture
def state():
    state = LiveState(["A", "B"])
    state.follow(["A"])
    return state


QUOTE = (400_000, 420_000, 1_000, 2_000)


def test_a_ticker_sets_quotes_in_exact_units(state):
    assert list(apply(state, ticker())) == [0]
    assert state.quote_of("A") == QUOTE
    assert state.current[0]


def test_the_same_quotes_again_change_nothing(state):
    apply(state, ticker())
    assert list(apply(state, ticker(ts_ms=1_500))) == []
    assert state.ts_ms[0] == 1_500


def test_an_older_ticker_is_ignored_however_late_it_arrives(state):
    apply(state, ticker(ts_ms=2_000))
    assert list(apply(state, ticker(bid="0.1000", ts_ms=1_999))) == []
    assert state.quote_of("A") == QUOTE


def test_a_side_without_size_or_at_the_ends_of_the_scale_is_missing(state):
    apply(state, ticker(bid="0.0000", bid_size="0.00", ask="1.0000", ask_size="0.00"))
    assert state.quote_of("A") == (0, 0, 0, 0)
    apply(state, ticker(name="B", bid="0.4000", bid_size="0.00"))
    assert state.quote_of("B") == (0, 420_000, 0, 2_000)


def test_a_snapshot_and_deltas_make_the_best_quotes(state):
    assert list(apply(state, snapshot())) == [0]
    assert state.quote_of("A") == QUOTE
    assert list(apply(state, delta(change="5.00"))) == [0]
    assert state.quote_of("A")[2] == 1_500
    assert list(apply(state, delta(price="0.3900"))) == []
    assert list(apply(state, delta(change="-15.00", ts_ms=3_000))) == [0]
    assert state.quote_of("A") == (390_000, 420_000, 500, 2_000)
    assert list(apply(state, delta(price="0.6000", side="no", change="1.00", ts_ms=4_000))) == [0]
    assert state.quote_of("A") == (390_000, 400_000, 500, 100)


def test_a_snapshot_without_either_side_is_an_empty_book(state):
    apply(state, snapshot())
    assert list(apply(state, snapshot(yes=(), no=()))) == [0]
    assert state.quote_of("A") == (0, 0, 0, 0)
    assert state.books["A"].valid


def test_a_level_below_zero_means_out_of_step_and_ends_the_books_validity(state):
    apply(state, snapshot())
    assert list(apply(state, delta(change="-10.01"))) == [0]
    assert not state.books["A"].valid
    assert not state.current[0]
    assert list(apply(state, delta(change="3.00"))) == []
    assert list(apply(state, snapshot())) == [0]
    assert state.current[0]


def test_after_a_gap_a_book_is_invalid_until_its_next_snapshot(state):
    apply(state, snapshot())
    assert list(apply(state, Gap("orderbook_delta", ["A"], "missing"))) == [0]
    assert not state.current[0]
    assert list(apply(state, delta())) == []
    assert list(apply(state, snapshot())) == [0]
    assert state.current[0]


def test_a_gap_does_not_touch_a_market_whose_quotes_come_from_a_later_ticker(state):
    apply(state, snapshot())
    apply(state, ticker(bid="0.4100", ts_ms=9_000))
    assert list(apply(state, Gap("orderbook_delta", ["A"], "missing"))) == []
    assert state.current[0]


def test_after_missed_tickers_only_books_stay_current(state):
    apply(state, snapshot())
    apply(state, ticker(name="B"))
    assert list(apply(state, Gap("ticker", (), "missing"))) == [1]
    assert bytes(state.current) == b"\x01\x00"


@pytest.mark.parametrize("message", [Lost("gone"), Opened()])
def test_a_lost_or_a_new_connection_makes_everything_unknown(state, message):
    apply(state, snapshot())
    apply(state, ticker(name="B"))
    assert list(apply(state, message)) == [0, 1]
    assert bytes(state.current) == b"\x00\x00"
    assert not state.books["A"].valid
    assert list(apply(state, ticker(name="B"))) == [1]


def test_a_ticker_later_than_the_book_counts_until_the_book_is_later(state):
    apply(state, snapshot())
    apply(state, ticker(bid="0.4100", ts_ms=5_000))
    # This change was before the ticker, which therefore includes it.
    assert list(apply(state, delta(price="0.4050", ts_ms=4_900))) == []
    assert state.quote_of("A")[0] == 410_000
    assert list(apply(state, delta(price="0.4150", ts_ms=5_100))) == [0]
    assert state.quote_of("A")[0] == 415_000


def test_a_closed_market_is_a_ghost_until_the_empty_snapshot(state):
    apply(state, snapshot())
    assert list(close(state, 0)) == [0]
    assert list(close(state, 0)) == []
    assert list(apply(state, delta())) == []
    assert state.closed[0]


@pytest.mark.parametrize("event", ["deactivated", "determined", "settled"])
def test_what_ends_or_pauses_trading_closes_a_market(state, event):
    apply(state, ticker())
    assert list(apply(state, lifecycle(event))) == [0]
    assert state.closed[0]


def test_an_activated_market_is_current_again_with_its_next_ticker(state):
    apply(state, ticker())
    apply(state, lifecycle("deactivated"))
    assert list(apply(state, lifecycle("activated"))) == [0]
    assert (state.closed[0], state.current[0]) == (0, 0)
    assert list(apply(state, ticker(ts_ms=2_000))) == [0]


def test_unknown_markets_and_messages_change_nothing(state):
    assert list(apply(state, ticker(name="KXNEW"))) == []
    assert list(apply(state, delta(name="KXNEW"))) == []
    assert list(apply(state, lifecycle("settled", "KXNEW"))) == []
    assert list(apply(state, lifecycle("painted"))) == []
    assert state.unlisted == 1


def test_an_unreadable_ticker_makes_its_market_unknown(state):
    apply(state, ticker())
    assert list(apply(state, ticker(bid="free", ts_ms=2_000))) == [0]
    assert not state.current[0]
    assert state.unreadable == 1


def test_a_new_market_has_a_row_without_quotes(state):
    assert state.add("C") == 2
    assert state.add("C") == 2
    assert list(apply(state, ticker(name="C"))) == [2]


def test_books_that_are_no_longer_followed_are_dropped(state):
    apply(state, snapshot())
    state.follow(["B"])
    assert list(state.books) == ["B"]
    assert list(apply(state, delta())) == []


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("0.6200", 620_000),
        ("0.0010", 1_000),
        ("1.0000", 1_000_000),
        ("0.123456", 123_456),
        (0.41, 410_000),
        (1, 1_000_000),
    ],
)
def test_prices_are_exact(text, units):
    assert price_units(text) == units


@pytest.mark.parametrize("text", ["1.0001", "-0.1", "0.1234567", "", "x", "nan", "inf", "1e400", float("nan")])
def test_what_is_no_price_is_refused(text):
    with pytest.raises(UnreadableAmountError):
        price_units(text)


@pytest.mark.parametrize(
    ("text", "units"), [("10.00", 1_000), ("-2.00", -200), ("0.32", 32), ("7", 700), (7, 700), ("1e2", 10_000)]
)
def test_sizes_are_exact(text, units):
    assert size_units(text) == units


@pytest.mark.parametrize("text", ["1.005", "", "x", "--1.00", "1e30", "²0.00", float("inf")])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UnreadableAmountError):
        size_units(text)


LEVELS = st.lists(st.tuples(st.sampled_from(["yes", "no"]), st.integers(1, 99), st.integers(-400, 400)), max_size=60)


@given(LEVELS)
def test_a_book_equals_one_kept_in_exact_decimals(changes):
    book, exact = Book(), {"yes": {}, "no": {}}
    book.replace(SnapshotBody("A"))
    for side, cents, change in changes:
        level = Decimal(cents) / 100
        after = exact[side].get(level, Decimal(0)) + Decimal(change) / 100
        if after < 0:
            continue
        exact[side].pop(level, None)
        if after > 0:
            exact[side][level] = after
        book.change(DeltaBody("A", f"{level:.4f}", f"{Decimal(change) / 100:.2f}", side))
    for side, levels in (("yes", book.yes), ("no", book.no)):
        assert levels == {int(price * 1_000_000): int(size * 100) for price, size in exact[side].items()}
    bid, no = max(exact["yes"], default=0), max(exact["no"], default=0)
    assert book.quote[:2] == (int(bid * 1_000_000), int((1 - no) * 1_000_000) if no else 0)

"""Orders meet only what was seen after them, use no offer twice, and never trade across a hole in the data."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairline.backtesting.fills import Level, Observation, Order, Taker, Trade, Watched, rest

BEGIN = datetime(2026, 11, 22, 9, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DOLLAR = 1_000_000


def seen(second, *offers, bids=()):
    """Return an observation with YES offers (price in cents, contracts or None) and YES bids."""
    return Observation(BEGIN + second * SECOND, {"yes": levels(offers)}, {"yes": levels(bids)})


def levels(pairs):
    return [Level(price * 10_000, None if size is None else size * 100) for price, size in pairs]


def order(second=0, limit=60, count=10, number=1, side="yes"):
    return Order(number, BEGIN + second * SECOND, "A", side, limit * 10_000, count * 100)


def taker(*observations, lag=60, max_gap=600):
    return Taker(Watched(observations), lag * SECOND, max_gap * SECOND)


def bought(execution):
    return [(fill.price_u // 10_000, fill.count_cc // 100) for fill in execution.fills]


def test_an_order_is_never_filled_at_the_quote_that_it_was_decided_on():
    execution = taker(seen(0, (50, 10)), seen(59, (51, 10)), seen(60, (55, 10))).execute(order())
    assert bought(execution) == [(55, 10)]
    without_lag = taker(seen(0, (50, 10)), seen(60, (55, 10)), lag=0).execute(order())
    assert bought(without_lag) == [(55, 10)]


def test_a_large_order_walks_the_offers_up_to_its_limit():
    execution = taker(seen(60, (50, 4), (58, 3), (61, 100))).execute(order())
    assert bought(execution) == [(50, 4), (58, 3)]
    assert execution.outcome == "partly filled"


def test_an_offer_above_the_limit_is_not_taken():
    assert taker(seen(60, (61, 10))).execute(order()).outcome == "price moved"


def test_an_empty_side_offers_nothing():
    assert taker(seen(60)).execute(order()).outcome == "no offer"


def test_nothing_is_filled_across_a_hole_in_the_data():
    assert taker(seen(0, (50, 10)), seen(661, (50, 10))).execute(order()).outcome == "not observed"
    assert taker(seen(0, (50, 10)), seen(660, (50, 10))).execute(order()).outcome == "filled"
    assert taker(seen(0, (50, 10))).execute(order()).outcome == "not observed"


def test_an_offer_is_used_once_while_it_is_displayed():
    market = taker(seen(60, (50, 10)), seen(120, (50, 10)))
    assert bought(market.execute(order(0, count=7))) == [(50, 7)]
    assert bought(market.execute(order(60, count=7, number=2))) == [(50, 3)]


def test_an_offer_that_was_gone_in_between_is_new():
    market = taker(seen(60, (50, 10)), seen(90, (52, 1)), seen(120, (50, 10)))
    assert bought(market.execute(order(0, count=10))) == [(50, 10)]
    assert bought(market.execute(order(60, count=7, number=2))) == [(50, 7)]


def test_an_unknown_size_is_filled_and_marked_as_an_assumption():
    (fill,) = taker(seen(60, (50, None))).execute(order()).fills
    assert fill.size_assumed
    assert fill.count_cc == 1_000


def test_a_scan_observes_what_the_last_change_left():
    market = Watched([seen(0, (50, 10))], scans=[BEGIN + second * SECOND for second in (-60, 60, 120)])
    observed = market.first_from(BEGIN + 30 * SECOND)
    assert observed.seen_at == BEGIN + 60 * SECOND
    assert observed.offers["yes"] == levels([(50, 10)])
    assert market.first_from(BEGIN - 60 * SECOND).seen_at == BEGIN
    assert market.first_from(BEGIN + 121 * SECOND) is None
    assert market.last_until(BEGIN - SECOND) is None
    assert market.instants(BEGIN - 100 * SECOND, BEGIN + 60 * SECOND) == [BEGIN, BEGIN + 60 * SECOND]


def tape(*trades):
    return [Trade(BEGIN + second * SECOND, price * 10_000, count * 100) for second, price, count in trades]


def resting(trades, *, until=600, observations=None, side="yes", limit=40):
    watched = observations or [seen(second) for second in range(0, 601, 60)]
    return rest(
        order(limit=limit, side=side), Watched(watched), tape(*trades),
        lag=60 * SECOND, until=BEGIN + until * SECOND, max_gap=120 * SECOND, notional_u=DOLLAR,
    )  # fmt: skip


def test_a_touch_fills_the_optimist_and_not_the_pessimist():
    both = resting([(100, 40, 4)])
    assert both.pessimistic.outcome == "not reached"
    assert bought(both.optimistic) == [(40, 4)]


def test_a_trade_through_the_price_fills_both():
    both = resting([(100, 39, 1), (110, 40, 50)])
    assert bought(both.pessimistic) == [(40, 10)]
    assert both.optimistic.outcome == "filled"


def test_trades_before_the_order_stands_and_after_it_ends_do_not_count():
    assert resting([(59, 10, 100)]).optimistic.outcome == "not reached"
    assert resting([(301, 10, 100)], until=300).optimistic.outcome == "not reached"


def test_a_no_order_is_filled_by_its_own_price():
    assert resting([(100, 61, 10)], side="no").pessimistic.outcome == "filled"
    assert resting([(100, 60, 10)], side="no").pessimistic.outcome == "not reached"
    assert resting([(100, 59, 10)], side="no").optimistic.outcome == "not reached"


def test_a_hole_in_the_observations_ends_a_resting_order():
    with_hole = [seen(60), seen(120), seen(400)]
    assert resting([(350, 30, 10)], observations=with_hole).pessimistic.outcome == "not reached"
    assert resting([(100, 30, 10)], observations=[seen(0)]).pessimistic.outcome == "not observed"


counts = st.integers(1, 30)


@given(
    sizes=st.lists(st.lists(st.tuples(st.integers(30, 70), counts), max_size=4), min_size=1, max_size=6),
    wanted=st.lists(counts, min_size=1, max_size=6),
)
def test_all_orders_together_never_buy_more_than_was_ever_on_offer(sizes, wanted):
    observations = [seen(60 * (n + 1), *sorted(dict(offers).items())) for n, offers in enumerate(sizes)]
    market = taker(*observations, lag=0)
    spent = {}
    for number, count in enumerate(wanted):
        for fill in market.execute(order(60 * number, limit=99, count=count, number=number)).fills:
            spent[fill.price_u] = spent.get(fill.price_u, 0) + fill.count_cc
    offered = {}
    for observation in observations:
        for level in observation.offers["yes"]:
            offered[level.price_u] = offered.get(level.price_u, 0) + level.size_cc
    assert all(spent[price] <= offered[price] for price in spent)


@pytest.mark.parametrize("lag", [0, 30, 3600])
def test_no_fill_is_earlier_than_the_lag(lag):
    observations = [seen(second, (50, 5)) for second in range(0, 4000, 45)]
    execution = taker(*observations, lag=lag).execute(order())
    assert all(fill.filled_at >= BEGIN + lag * SECOND for fill in execution.fills)

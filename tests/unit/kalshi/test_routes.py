from itertools import pairwise

import pytest

from fairline.kalshi.routes import Query, choose
from fairline.kalshi.windows import CLOSE, CREATED, Density, Profile, Window, tile
from fairline.kalshi.wire import EndpointCost, EndpointCosts

NOW = 1_795_000_000
PROFILE = Profile(117_000, 25, [NOW - 60 * i for i in range(117_000 // 25)], NOW)


def test_everything_is_cut_into_windows_of_just_under_whole_pages():
    route = choose(Query(), PROFILE, None, 8)
    assert route.axis is CREATED
    assert (route.windows[0].high, route.windows[-1].low) == (None, None)
    assert 118 <= route.requests <= 120
    for window in route.windows[1:-1]:
        rows = PROFILE.between(window.low, window.high)
        assert 7_500 < rows <= 8_000, "eight pages of a thousand"


def test_without_a_profile_one_walk_begins_and_is_divided_later():
    route = choose(Query(), None, None, 8)
    assert route.windows == [Window()]
    assert route.requests is None


@pytest.mark.parametrize("status,axis", [("open", CREATED), ("unopened", CREATED), (None, CREATED), ("closed", CLOSE)])
def test_windows_are_on_the_axis_that_goes_with_the_status(status, axis):
    assert choose(Query(status=status), None, None, 8).axis is axis


@pytest.mark.parametrize("status", ["paused", "settled"])
def test_a_status_that_takes_no_windows_is_one_cursor(status):
    route = choose(Query(status=status), PROFILE, None, 8)
    assert route.axis is None
    assert f"status={status}" in route.why


def test_closing_time_uses_windows_unless_everything_is_as_cheap():
    closes = Profile(117_000, 25, [NOW + 60 * i for i in range(117_000 // 25)][::-1], NOW)
    near, far = (NOW, NOW + 3_600), (NOW, NOW + 10**7)
    route = choose(Query(closes=near), PROFILE, closes, 8)
    assert route.axis is CLOSE
    assert "status" not in route.walks[0]
    assert route.requests == 2
    assert choose(Query(closes=far), PROFILE, closes, 8).axis is CREATED
    assert choose(Query(status="paused", closes=near), PROFILE, closes, 8).axis is None


def test_names_take_precedence():
    assert choose(Query(tickers=("A",), series=("S",)), PROFILE, None, 8).requests == 1
    assert choose(Query(events=("E", "F"), series=("S",)), PROFILE, None, 8).requests == 2


def test_neighbours_share_a_second_and_the_earlier_is_asked_for_one_more():
    newer, older = tile([100])
    assert newer.filters(CREATED) == {"min_created_ts": 100}
    assert older.filters(CREATED) == {"max_created_ts": 101}
    assert newer.holds(99)
    assert not newer.holds(98)
    assert older.holds(102)
    assert not older.holds(103)


def test_old_markets_are_expected_to_be_few_and_cuts_lie_accordingly():
    density = Density(NOW, None)
    cuts = density.cuts(None, NOW - 3_600, 4)
    ages = [NOW - cut for cut in cuts]
    assert ages == sorted(ages)
    ratios = [b / a for a, b in pairwise(ages)]
    assert ratios[0] == pytest.approx(ratios[1], rel=0.01)
    assert density.extrapolate(2_000, None, NOW - 3_600, NOW - 60) > density.extrapolate(
        1_000, None, NOW - 3_600, NOW - 60
    )


def test_in_a_batch_whose_end_is_unknown_cuts_lie_by_the_logarithm_of_its_possible_length():
    density = Density(NOW, None)
    cuts = density.cuts(NOW - 10_000, NOW, 2, 100)
    assert cuts == [NOW - 1_000]
    assert density.pages_in_batch(NOW - 10_000, NOW, 100) == pytest.approx(10)
    assert density.pages_in_batch(NOW, NOW, 100) == 0
    assert density.cuts(NOW - 50, NOW, 2, 100) == [NOW - 100], "beyond the window: dropped by the caller"


def test_a_cost_is_that_of_the_path_template_else_the_default():
    costs = EndpointCosts(10, [
        EndpointCost("GET", "/trade-api/v2/portfolio/orders/{order_id}", 2), EndpointCost("DELETE", "/markets", 99),
        EndpointCost("get", "/markets/:ticker/orderbook", 3),
    ])  # fmt: skip
    assert costs.of("/portfolio/orders/abc", "/trade-api/v2") == 2
    assert costs.of("/markets/KX-1/orderbook", "/trade-api/v2") == 3
    assert costs.of("/markets", "/trade-api/v2") == 10
    assert costs.of("/markets/KX-1", "/trade-api/v2") == 10

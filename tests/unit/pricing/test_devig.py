import numpy as np
import pytest
import shin
from hypothesis import given
from hypothesis import strategies as st

from fairline.pricing.devig import METHODS, devig

EXACT = [name for name in METHODS if name != "worst"]


def price_outcomes(shares, margin):
    """Prices in the proportion of the shares that add up to 1 + margin, none of them near one."""
    prices = [min(share / sum(shares) * (1 + margin), 0.97) for share in shares]
    return prices if sum(prices) > 1.001 else [0.6, 0.5]


one_event = st.builds(price_outcomes, st.lists(st.floats(0.05, 1), min_size=2, max_size=9), st.floats(0.01, 0.4))
overround = st.lists(one_event, min_size=1, max_size=6)


def stack(events):
    prices = np.array([price for prices in events for price in prices])
    event = np.repeat(np.arange(len(events)), [len(prices) for prices in events])
    return prices, event


@given(overround, st.sampled_from(EXACT))
def test_probabilities_add_up_to_one_in_every_event_and_keep_the_order_of_prices(events, method):
    prices, event = stack(events)
    p = devig(prices, event, method)
    for number in range(len(events)):
        result = p[event == number]
        if np.isnan(result).any():
            assert np.isnan(result).all()
            assert method == "additive", "only the additive method has no answer here"
            continue
        assert result.sum() == pytest.approx(1, abs=1e-9)
        order = np.argsort(prices[event == number], kind="stable")
        assert (np.diff(result[order]) >= -1e-12).all()


@given(overround)
def test_shin_equals_the_published_library(events):
    prices, event = stack(events)
    p = devig(prices, event, "shin")
    for number, result in enumerate(events):
        theirs = shin.calculate_implied_probabilities([1 / price for price in result], convergence_threshold=1e-15)
        assert p[event == number] == pytest.approx(theirs, abs=1e-9)


# What penaltyblog 1.13.1 (`penaltyblog.implied.calculate_implied`) answers, to twelve decimals.
PUBLISHED = {
    (0.62, 0.43): {
        "multiplicative": [0.590476190476, 0.409523809524],
        "additive": [0.595, 0.405],
        "power": [0.597347729595, 0.402652270405],
        "shin": [0.595, 0.405],
        "odds-ratio": [0.595247059699, 0.404752940301],
    },
    (0.45, 0.30, 0.20, 0.12): {
        "multiplicative": [0.420560747664, 0.280373831776, 0.18691588785, 0.11214953271],
        "additive": [0.4325, 0.2825, 0.1825, 0.1025],
        "power": [0.430295454191, 0.280415077099, 0.182740985755, 0.106548482955],
        "shin": [0.428357596815, 0.281692622742, 0.183984480743, 0.105965299701],
        "odds-ratio": [0.425697993165, 0.279679407042, 0.18466602228, 0.109956577513],
    },
    (0.02, 0.90, 0.11): {
        "multiplicative": [0.019417475728, 0.873786407767, 0.106796116505],
        "additive": [0.01, 0.89, 0.1],
        "power": [0.014744219285, 0.892640169833, 0.092615610882],
        "shin": [0.013079436938, 0.885836048296, 0.101084514767],
        "odds-ratio": [0.017338470509, 0.886120078803, 0.096541450688],
    },
}


@pytest.mark.parametrize("prices", PUBLISHED)
def test_every_method_agrees_with_another_library(prices):
    event = np.zeros(len(prices), dtype=np.int64)
    for method, theirs in PUBLISHED[prices].items():
        assert devig(np.array(prices), event, method) == pytest.approx(theirs, abs=1e-11)


@given(overround)
def test_events_are_independent_of_each_other(events):
    prices, event = stack(events)
    for method in METHODS:
        together = devig(prices, event, method)
        alone = np.concatenate([devig(np.array(e), np.zeros(len(e), dtype=int), method) for e in events])
        assert together == pytest.approx(alone, abs=1e-12, nan_ok=True)


def test_two_outcomes_by_hand():
    prices, event = np.array([0.60, 0.50]), np.zeros(2, dtype=int)
    assert devig(prices, event, "multiplicative") == pytest.approx([6 / 11, 5 / 11])
    assert devig(prices, event, "additive") == pytest.approx([0.55, 0.45])
    # With two outcomes Shin's answer is the additive one (Jullien and Salanié 1994).
    assert devig(prices, event, "shin") == pytest.approx([0.55, 0.45])
    c = np.sqrt(0.60 * 0.50 / (0.40 * 0.50))
    assert devig(prices, event, "odds-ratio") == pytest.approx([0.6 / (c + 0.6 - 0.6 * c), 0.5 / (c + 0.5 - 0.5 * c)])
    k = devig(prices, event, "power")
    assert np.log(k[0]) / np.log(0.6) == pytest.approx(np.log(k[1]) / np.log(0.5))


def test_without_a_margin_nothing_changes():
    prices, event = np.array([0.2, 0.3, 0.5]), np.zeros(3, dtype=int)
    for method in METHODS:
        assert devig(prices, event, method) == pytest.approx(prices, abs=1e-9)


def test_prices_below_a_sum_of_one_have_a_power_but_no_shin_solution():
    prices, event = np.array([0.2, 0.3, 0.4]), np.zeros(3, dtype=int)
    assert np.isnan(devig(prices, event, "shin")).all()
    assert devig(prices, event, "power").sum() == pytest.approx(1)
    assert np.isfinite(devig(prices, event, "worst")).all()


def test_worst_is_the_least_of_the_others():
    prices, event = np.array([0.7, 0.2, 0.2]), np.zeros(3, dtype=int)
    each = np.array([devig(prices, event, method) for method in EXACT])
    assert devig(prices, event, "worst") == pytest.approx(each.min(axis=0))
    assert devig(prices, event, "worst").sum() < 1


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, 1.2, np.nan])
def test_an_impossible_price_affects_its_own_event_only(bad):
    prices, event = np.array([bad, 0.5, 0.6, 0.5]), np.array([0, 0, 1, 1])
    for method in METHODS:
        p = devig(prices, event, method)
        assert np.isnan(p[:2]).all()
        assert np.isfinite(p[2:]).all()


def test_no_prices_give_no_probabilities_and_an_unknown_method_is_refused():
    assert len(devig(np.array([]), np.array([], dtype=int))) == 0
    with pytest.raises(KeyError):
        devig(np.array([0.5]), np.array([0]), "magic")

"""Coherent probabilities: they obey the rules and lie inside the quotes where any do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairline.pricing.projection import coherent
from tests.unit.pricing.test_coherence import markets, prices, quote, relaxed


def test_coherent_probabilities_of_a_ladder_are_ordered_even_if_its_quotes_are_not():
    rungs = [quote(*q, strike_type="greater", floor_strike=float(i)) for i, q in enumerate([(1, 9), (10, 11), (9, 10)])]
    result = coherent(markets(*rungs)).sort("ticker")["p"].to_list()
    assert result == sorted(result, reverse=True)


@given(st.lists(prices, min_size=1, max_size=12), st.booleans())
@relaxed
def test_coherent_probabilities_obey_the_rules_and_lie_inside_the_quotes_if_possible(rows, ladder):
    kind = [
        {"strike_type": "greater", "floor_strike": float(i)} if ladder else {"mutually_exclusive": True}
        for i in range(len(rows))
    ]
    result = coherent(markets(*(quote(*two, **more) for two, more in zip(rows, kind, strict=True)))).sort("ticker")
    order = [int(ticker[1:]) for ticker in result["ticker"]]
    p = dict(zip(order, result["p"].to_list(), strict=True))
    inside = all(rows[i][0] / 100 - 1e-9 <= p[i] <= rows[i][1] / 100 + 1e-9 for i in p)
    if ladder:
        assert all(p[i] >= p[i + 1] - 1e-9 for i in range(len(rows) - 1))
        possible = all(min(ask for _, ask in rows[: i + 1]) >= rows[i][0] for i in range(len(rows)))
    else:
        assert sum(p.values()) <= 1 + 1e-6
        possible = sum(bid for bid, _ in rows) <= 100
    assert inside or not possible


def test_coherent_keeps_coherent_midpoints_and_reports_their_uncertainty():
    result = coherent(markets(quote(20, 24), quote(50, 60, event_ticker="F"))).sort("ticker")
    assert result["p"].to_list() == pytest.approx([0.22, 0.55])
    assert result["p_sd"].to_list() == pytest.approx([0.04 / 12**0.5, 0.1 / 12**0.5])
    assert coherent(markets(quote(20, None))).is_empty()


def test_many_events_do_not_influence_each_other():
    rng = np.random.default_rng(3)
    rows = []
    for event in range(300):
        for rung in range(20):
            bid = int(rng.integers(1, 90))
            rows.append(quote(bid, bid + 5, event_ticker=f"E{event}", strike_type="greater", floor_strike=float(rung)))
    result = coherent(markets(*rows))
    alone = coherent(markets(*rows[:20]))
    joined = alone.join(result, on="ticker", suffix="_all")
    assert np.abs(joined["p"] - joined["p_all"]).max() < 1e-9

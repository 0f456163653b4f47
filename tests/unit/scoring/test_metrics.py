import math

import numpy as np
import polars as pl
import pytest

from fairline.kalshi.wire import Settlement
from fairline.market.history import settlements_frame
from fairline.scoring.metrics import clustered_mean, profits


def test_payouts_use_the_stated_value_and_profits_skip_undecided_markets():
    rows = [
        Settlement("A", "E", "finalized", "yes", "1.0000"),
        Settlement("B", "E", "finalized", "no"),
        Settlement("C", "E", "finalized", "scalar", "0.2400"),
        Settlement("D", "E", "finalized", ""),
        Settlement("F", "E", "finalized", "scalar"),
    ]
    settlements = settlements_frame(rows)
    assert settlements.select("ticker", "payout_u").rows() == [
        ("A", 1_000_000), ("B", 0), ("C", 240_000), ("D", None), ("F", None),
    ]  # fmt: skip
    flagged = pl.DataFrame({"ticker": list("ABCDF"), "event_ticker": ["E"] * 5, "side": ["yes"] * 5, "ev_u": [1] * 5,
                            "price_u": [1] * 5, "fee_u": [1] * 5})  # fmt: skip
    assert profits(flagged, settlements)["ticker"].to_list() == ["A", "B", "C"]


def test_profit_is_payout_minus_price_and_fee_of_the_side():
    edges = pl.DataFrame(
        {
            "ticker": ["A", "A", "B"],
            "event_ticker": ["E"] * 3,
            "side": ["yes", "no", "yes"],
            "ev_u": [10_000] * 3,
            "price_u": [600_000, 420_000, 100_000],
            "fee_u": [20_000] * 3,
        }
    )
    settled = settlements_frame([Settlement("A", "E", "finalized", "yes", "1.0000")])
    assert profits(edges, settled)["realised"].to_list() == [0.38, -0.44]


def test_one_cluster_has_an_unbounded_interval_and_no_rows_have_none():
    frame = pl.DataFrame({"event_ticker": ["E", "E"], "x": [1.0, 2.0]})
    interval = clustered_mean(frame, "x")
    assert (interval.mean, interval.n, interval.clusters) == (1.5, 2, 1)
    assert math.isinf(interval.high)
    assert clustered_mean(frame.head(0), "x") is None


def test_clusters_of_one_row_give_the_ordinary_standard_error():
    values = [1.0, 2.0, 4.0, 8.0]
    interval = clustered_mean(pl.DataFrame({"event_ticker": list("abcd"), "x": values}), "x")
    # 3.182446 is the 97.5 % point of Student's t with three degrees of freedom, from published tables.
    assert (interval.high - interval.mean) / 3.182446 == pytest.approx(np.std(values, ddof=1) / 2)


def test_the_interval_covers_the_truth_at_its_stated_rate_with_dependent_rows():
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(400):
        shared = rng.normal(0, 1, 60)
        values = np.repeat(shared, 5) + rng.normal(0, 1, 300)
        frame = pl.DataFrame({"event_ticker": np.repeat(np.arange(60), 5), "x": values})
        interval = clustered_mean(frame, "x")
        covered += interval.low <= 0 <= interval.high
    assert 0.91 <= covered / 400 <= 0.975


def test_the_believed_ev_is_the_promise_and_the_raw_ev_the_claim():
    edges = pl.DataFrame(
        {"ticker": ["A", "B"], "event_ticker": ["E", "F"], "side": ["yes"] * 2, "ev_u": [50_000, 40_000],
         "believed_ev_u": [20_000, None], "price_u": [600_000] * 2, "fee_u": [20_000] * 2}
    )  # fmt: skip
    settled = settlements_frame([Settlement(name, "E", "finalized", "yes", "1.0000") for name in "AB"])
    rows = profits(edges, settled)
    assert rows["promised"].to_list() == pytest.approx([0.02, 0.04]), (
        "what was stored before there was belief promised its raw EV"
    )
    assert rows["claimed"].to_list() == pytest.approx([0.05, 0.04])
    assert profits(edges, settled, promise="ev_u")["promised"].to_list() == pytest.approx([0.05, 0.04])

import math

import numpy as np
import polars as pl
import pytest

from fairline.kalshi.wire import Settlement
from fairline.scoring.metrics import clustered_mean, profits, settlements_frame


def test_settlements_take_the_stated_value_and_profits_leave_out_the_undecided():
    rows = [
        Settlement("A", "E", "finalized", "yes", "1.0000"),
        Settlement("B", "E", "finalized", "no"),
        Settlement("C", "E", "finalized", "scalar", "0.2400"),
        Settlement("D", "E", "finalized", ""),
        Settlement("F", "E", "finalized", "scalar"),
    ]
    made = settlements_frame(rows)
    assert made.select("ticker", "payout_u").rows() == [
        ("A", 1_000_000), ("B", 0), ("C", 240_000), ("D", None), ("F", None),
    ]  # fmt: skip
    flagged = pl.DataFrame({"ticker": list("ABCDF"), "event_ticker": ["E"] * 5, "side": ["yes"] * 5, "ev_u": [1] * 5,
                            "price_u": [1] * 5, "fee_u": [1] * 5})  # fmt: skip
    assert profits(flagged, made)["ticker"].to_list() == ["A", "B", "C"]


def test_profit_is_payout_less_price_and_fee_on_the_side_held():
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


def test_one_cluster_has_no_finite_interval_and_no_rows_none():
    frame = pl.DataFrame({"event_ticker": ["E", "E"], "x": [1.0, 2.0]})
    got = clustered_mean(frame, "x")
    assert (got.mean, got.n, got.clusters) == (1.5, 2, 1)
    assert math.isinf(got.high)
    assert clustered_mean(frame.head(0), "x") is None


def test_with_a_row_a_cluster_it_is_the_ordinary_standard_error():
    values = [1.0, 2.0, 4.0, 8.0]
    got = clustered_mean(pl.DataFrame({"event_ticker": list("abcd"), "x": values}), "x")
    # 3.182446 is Student's 97.5 % point with three degrees of freedom, by any table.
    assert (got.high - got.mean) / 3.182446 == pytest.approx(np.std(values, ddof=1) / 2)


def test_the_interval_covers_the_truth_at_its_rate_when_clusters_hang_together():
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(400):
        shared = rng.normal(0, 1, 60)
        values = np.repeat(shared, 5) + rng.normal(0, 1, 300)
        frame = pl.DataFrame({"event_ticker": np.repeat(np.arange(60), 5), "x": values})
        got = clustered_mean(frame, "x")
        covered += got.low <= 0 <= got.high
    assert 0.91 <= covered / 400 <= 0.975

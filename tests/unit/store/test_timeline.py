"""A timeline gives at every instant exactly what the store gives from scratch."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from fairline.errors import UsageError
from fairline.store.datasets import FACTS, QUOTES
from fairline.store.store import Store
from fairline.store.timeline import Timeline

BEGIN = datetime(2026, 11, 22, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TICKERS = ("A", "B", "C")


def rows(schema, **columns):
    """Return rows of a dataset with these columns; the others are null."""
    height = len(next(iter(columns.values())))
    nulls = {name: [None] * height for name in schema if name not in columns}
    return pl.DataFrame(columns | nulls).select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def quote(ticker, bid, *, listed=True):
    return rows(QUOTES, ticker=[ticker], listed=[listed], yes_bid_u=[bid], yes_ask_u=[bid + 10_000], status=["active"])


def fact(ticker, title):
    return rows(FACTS, ticker=[ticker], title=[title], market_type=["binary"], event_ticker=["E"])


def record(folder, steps):
    """Record one change per minute and return the store; a step is (dataset, ticker, value)."""
    store = Store(folder)
    store.acquire()
    for number, (kind, ticker, value) in enumerate(steps):
        row = fact(ticker, str(value)) if kind == "fact" else quote(ticker, value * 1000, listed=kind == "quote")
        store.append("facts" if kind == "fact" else "quotes", row, store.next_ts(BEGIN + number * MINUTE))
    store.release()
    return store


step = st.tuples(st.sampled_from(["quote", "quote", "gone", "fact"]), st.sampled_from(TICKERS), st.integers(1, 900))


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(step, min_size=1, max_size=25), every=st.integers(1, 7), window=st.integers(1, 30))
def test_each_step_equals_a_reading_from_scratch(tmp_path_factory, steps, every, window):
    store = record(tmp_path_factory.mktemp("store"), steps)
    timeline = Timeline(store, window * MINUTE)
    for number in range(0, len(steps) + 2, every):
        at = BEGIN + number * MINUTE
        assert_frame_equal(timeline.at(at).sort("ticker"), store.asof(at).sort("ticker"))


def test_nothing_recorded_later_is_visible(tmp_path):
    store = record(tmp_path / "store", [("fact", "A", 1), ("quote", "A", 400), ("quote", "A", 600)])
    timeline = Timeline(store)
    assert timeline.at(BEGIN)["ticker"].to_list() == []
    assert timeline.at(BEGIN + MINUTE)["yes_bid_u"].to_list() == [400_000]
    assert timeline.at(BEGIN + 2 * MINUTE)["yes_bid_u"].to_list() == [600_000]


def test_time_does_not_run_backwards(tmp_path):
    timeline = Timeline(record(tmp_path / "store", [("quote", "A", 400)]))
    timeline.at(BEGIN + MINUTE)
    with pytest.raises(UsageError, match="only runs forward"):
        timeline.at(BEGIN)

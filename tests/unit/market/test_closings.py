"""Markets in the order of their close."""

from datetime import UTC, datetime, timedelta

import polars as pl

from fairline.market.closings import Closings

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def after(seconds):
    return NOW + timedelta(seconds=seconds)


def test_each_row_is_taken_once_when_its_time_is_over():
    times = pl.Series([after(5), None, after(1), after(-3)], dtype=pl.Datetime("us", "UTC"))
    closings = Closings(times, NOW)
    assert list(closings.take(NOW)) == []
    assert list(closings.take(after(1))) == [2]
    assert list(closings.take(after(60))) == [0]
    assert list(closings.take(after(61))) == []


def test_added_rows_come_in_their_order_too():
    closings = Closings()
    closings.add(after(3), 7)
    closings.add(after(2), 8)
    assert list(closings.take(after(10))) == [8, 7]

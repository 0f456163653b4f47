"""A plot in plain characters."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from fairline.output.plot import plot_history

START = datetime(2026, 11, 23, tzinfo=UTC)
QUOTES = pl.DataFrame(
    {
        "seen_ts": [START + timedelta(hours=hour) for hour in (0, 5, 20)],
        "yes_bid_u": [400_000, None, 450_000],
        "yes_ask_u": [430_000, 450_000, 480_000],
    }
)
CONSTANT = pl.DataFrame({"seen_ts": [START], "model": ["elo"], "p": [0.62]})


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_probability_that_never_changes_is_a_line(width):
    lines = plot_history(QUOTES, CONSTANT, width).splitlines()
    assert max(line.count("1") for line in lines if "|" in line) > width // 2
    assert max(map(len, lines[:-1])) <= width


def test_every_series_has_its_own_mark_and_the_axes_have_names():
    two = pl.concat([CONSTANT, CONSTANT.with_columns(model=pl.lit("polls"), p=pl.lit(0.3))])
    text = plot_history(QUOTES, two, 80)
    for part in ("b bid", "a ask", "1 p by elo", "2 p by polls", "dollars and probability over time (UTC)"):
        assert part in text
    assert "11-23 00:00" in text
    assert "11-23 20:00" in text


def test_the_plot_is_ascii():
    assert plot_history(QUOTES, CONSTANT, 80).isascii()


def test_a_single_moment_is_drawn():
    assert "|" in plot_history(QUOTES.head(1), CONSTANT.clear(), 60)

"""Tables as spreadsheets save them."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from fairline.errors import InputError
from fairline.models import TableModel
from fairline.sources import Payload
from tests.unit.pricing.test_edge import NOW, markets


def predictions(body):
    frame = markets({}, {})
    model = TableModel(Path("mine.csv"))
    (request,) = model.requests(frame, NOW)
    rows = model.predict(frame, {request: Payload(request, datetime(2026, 11, 22, tzinfo=UTC), body)}, NOW)
    return dict(rows.filter(pl.col("p").is_not_null()).select("ticker", "p").iter_rows())


@pytest.mark.parametrize(
    "body",
    [
        b"ticker,p\nT0,0.55\nT1,0.6\n",
        "ticker,p\nT0,0.55\nT1,0.6\n".encode("utf-16"),
        "ticker;p\nT0;0,55\nT1;0,6\n".encode("utf-8-sig"),
        b"ticker\tp\nt0\t0.55\nt1\t0.6\n",
        b"ticker,p\nT0,55 %\nT1,60%\n",
        b"ticker,p\nT0,55\nT1,60\n",
        b"P,Ticker\n0.55,https://kalshi.com/markets/x/y/t0\n0.6,kalshi.com/markets/x/y/t1\n",
    ],
    ids=["plain", "utf-16", "semicolons", "tabs", "percent signs", "percentages", "addresses"],
)
def test_the_same_table_is_read_from_every_spelling(body):
    assert predictions(body) == pytest.approx({"T0": 0.55, "T1": 0.6})


def test_one_number_above_one_among_probabilities_is_a_fault_and_not_a_percentage():
    assert predictions(b"ticker,p\nT0,0.55\nT1,0.4\nT1,55\n") == {"T0": 0.55, "T1": 0.4}


def test_a_wrong_table_names_the_columns_it_has():
    with pytest.raises(InputError, match="has no column p; its columns are ticker, probability"):
        TableModel(Path("mine.csv")).check(b"ticker,probability\nT0,0.5\n")

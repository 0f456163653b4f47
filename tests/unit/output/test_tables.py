"""Frames in readers' units, and their arrangement."""

import io
from pathlib import Path

import polars as pl
import pytest

from fairline.errors import UsageError
from fairline.models import TableModel
from fairline.output.formats import write_rows
from fairline.output.tables import Arrangement, market_table, template_table
from fairline.sources import Payload
from tests.unit.output.reports import rain_scan
from tests.unit.pricing.test_edge import NOW, markets


def prices():
    return market_table(markets(*({"yes_bid_dollars": f"0.{cents}", "title": f"Q{cents}"} for cents in (20, 60, 40))))


def test_numbers_are_sorted_from_the_largest_and_text_from_the_first():
    assert Arrangement(sort="yes_bid").apply(prices())["yes_bid"].to_list() == [0.6, 0.4, 0.2]
    assert Arrangement(sort="yes_bid:asc").apply(prices())["yes_bid"].to_list() == [0.2, 0.4, 0.6]
    assert Arrangement(sort="title").apply(prices())["title"].to_list() == ["Q20", "Q40", "Q60"]
    assert Arrangement(sort="title:desc", top=1).apply(prices())["title"].to_list() == ["Q60"]


def test_columns_are_chosen_in_the_given_order():
    assert Arrangement(columns=("p_mid,ticker", "title")).apply(prices()).columns == ["p_mid", "ticker", "title"]


def test_rows_are_limited_after_sorting():
    assert Arrangement(sort="yes_bid", top=1).apply(prices())["yes_bid"].to_list() == [0.6]


@pytest.mark.parametrize(
    ("arrangement", "field"),
    [({"sort": "prise"}, "sort"), ({"columns": ("prise",)}, "columns"), ({"sort": "p_mid:up"}, "sort")],
)
def test_an_unknown_column_names_those_that_exist(arrangement, field):
    with pytest.raises(UsageError) as caught:
        Arrangement(**arrangement).apply(prices())
    assert caught.value.field == field
    assert "p_mid" in str(caught.value)


def test_no_rows_at_all_are_refused():
    with pytest.raises(UsageError, match="invalid top"):
        Arrangement(top=0)


def test_outcome_and_question_are_columns_of_their_own():
    row = rain_scan().opportunities.row(0, named=True)
    assert (row["outcome"], row["title"]) == ("Dorport", "Rain?")


def test_the_template_of_a_table_is_a_table_without_probabilities():
    stream = io.BytesIO()
    write_rows(stream, "csv", template_table(markets({"title": "Rain?"}, {})))
    content = stream.getvalue()
    table = pl.read_csv(content)
    assert table.columns[:4] == ["ticker", "p", "p_sd", "asof"]
    assert table["p"].null_count() == table.height == 2
    model = TableModel(Path("mine.csv"))
    model.check(content)
    filled = content.replace(b"T0,,", b"T0,0.7,")
    (request,) = model.requests(markets({}), NOW)
    rows = model.predict(markets({}, {}), {request: Payload(request, NOW, filled)}, NOW)
    assert rows.filter(pl.col("p").is_not_null())["ticker"].to_list() == ["T0"]

"""Rows in every format."""

import csv
import io
import json
from datetime import UTC, datetime

import polars as pl
import pytest

from fairline.output.formats import FORMATS, as_frame, write_document, write_rows

ROWS = pl.DataFrame(
    {
        "ticker": ["KXA-1", "KXB-2"],
        "title": ["=HYPERLINK(1)", "a|b\nc"],
        "p": [0.5, float("nan")],
        "closes_at": [
            datetime(2026, 12, 1, tzinfo=UTC),
            datetime(2026, 12, 1, 0, 0, 0, 5, tzinfo=UTC),
        ],
        "legs": [[{"side": "yes"}], []],
        "change": [-1, None],
    }
)
ROW_FORMATS = [form for form in FORMATS if form != "table"]


def written(form, rows=ROWS, **more):
    stream = io.BytesIO()
    write_rows(stream, form, rows, **more)
    return stream.getvalue()


def test_json_and_json_lines_hold_the_same_objects():
    objects = json.loads(written("json"))
    assert [json.loads(line) for line in written("jsonl").splitlines()] == objects
    assert objects[0]["closes_at"] == "2026-12-01T00:00:00Z"
    assert objects[1]["closes_at"] == "2026-12-01T00:00:00.000005Z", "microseconds are kept where there are any"
    assert objects[1]["p"] is None, "what is not a number is null"
    assert objects[0]["legs"] == [{"side": "yes"}]


@pytest.mark.parametrize(("form", "separator"), [("csv", ","), ("tsv", "\t")])
def test_spreadsheets_do_not_run_text_and_numbers_stay_numbers(form, separator):
    rows = list(csv.DictReader(io.StringIO(written(form).decode()), delimiter=separator))
    assert rows[0]["title"] == "'=HYPERLINK(1)"
    assert rows[0]["change"] == "-1"
    assert json.loads(rows[0]["legs"]) == [{"side": "yes"}]


def test_a_markdown_table_has_one_line_per_row():
    lines = written("markdown").decode().splitlines()
    assert lines[0].startswith("| ticker | title | p |")
    assert lines[1].startswith("| --- | --- | ---: |")
    assert len(lines) == 4
    assert "a\\|b c" in lines[3]


def test_parquet_keeps_the_types():
    assert pl.read_parquet(io.BytesIO(written("parquet"))).equals(ROWS, null_equal=True)


@pytest.mark.parametrize("form", ROW_FORMATS)
def test_many_rows_are_written_in_parts_without_losing_or_repeating_any(form):
    rows = pl.DataFrame({"number": range(20_000)})
    doubled = written(form, rows, transform=lambda part: part.with_columns(double=pl.col("number") * 2))
    if form == "json":
        values = [row["double"] for row in json.loads(doubled)]
    elif form == "parquet":
        values = pl.read_parquet(io.BytesIO(doubled))["double"].to_list()
    else:
        lines = doubled.decode().splitlines()
        values = [int("".join(c for c in line.replace(":", ",").split(",")[-1].split("|")[-2:][0].split("\t")[-1]
                              if c.isdigit())) for line in lines[-20_000:]]  # fmt: skip
    assert values == list(range(0, 40_000, 2))


@pytest.mark.parametrize("form", ROW_FORMATS)
def test_no_rows_still_have_their_columns_where_the_format_has_columns(form):
    content = written(form, ROWS.clear())
    assert {"json": b"[]\n", "jsonl": b""}.get(form, content) == content
    if form in ("csv", "tsv", "markdown"):
        assert b"ticker" in content


def test_a_document_writes_its_frames_as_arrays():
    stream = io.BytesIO()
    write_document(stream, {"scan": {"complete": True}, "rows": ROWS.select("ticker"), "none": ROWS.clear()})
    assert json.loads(stream.getvalue()) == {
        "scan": {"complete": True},
        "rows": [{"ticker": "KXA-1"}, {"ticker": "KXB-2"}],
        "none": [],
    }


def test_objects_with_lists_become_rows():
    frame = as_frame([{"name": "a", "to": ["x", "y"]}, {"name": "b", "to": []}])
    assert frame["to"].to_list() == ['["x", "y"]', "[]"]

"""Documents and tables are written piece by piece, with the same content as in one piece."""

import io
import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from fairline.output import writers
from fairline.output.writers import Rows, encode_document, encode_table

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def frame(rows):
    return pl.DataFrame(
        {
            "ticker": [f'K{n}\n"é' for n in range(rows)],
            "price": [n / 3 if n % 2 else None for n in range(rows)],
            "closes_at": [NOW + timedelta(microseconds=n % 2) for n in range(rows)],
        },
        schema={"ticker": pl.String, "price": pl.Float64, "closes_at": pl.Datetime("us", "UTC")},
    )


@pytest.mark.parametrize("rows", [0, 1, 3, 10])
def test_a_document_in_chunks_is_the_json_of_its_rows(rows, monkeypatch):
    monkeypatch.setattr(writers, "ROWS_PER_CHUNK", 3)
    document = {"scan": {"complete": True, "notes": ["a\nb"]}, "markets": Rows(frame(rows)), "problems": []}
    text = b"".join(encode_document(document)).decode()
    expected = [
        row | {"closes_at": row["closes_at"].isoformat().replace("+00:00", "Z")} for row in frame(rows).to_dicts()
    ]
    assert json.loads(text) == {"scan": {"complete": True, "notes": ["a\nb"]}, "markets": expected, "problems": []}


def test_a_number_that_json_cannot_hold_is_null():
    rows = Rows(pl.DataFrame({"p": [float("nan"), 0.5]}))
    assert json.loads(b"".join(encode_document({"rows": rows}))) == {"rows": [{"p": None}, {"p": 0.5}]}


@pytest.mark.parametrize("rows", [0, 7])
def test_tables_in_chunks_equal_the_whole_table(rows, monkeypatch):
    monkeypatch.setattr(writers, "ROWS_PER_CHUNK", 3)
    assert pl.read_parquet(io.BytesIO(b"".join(encode_table(Rows(frame(rows)), "parquet")))).equals(frame(rows))
    csv = b"".join(encode_table(Rows(frame(rows)), "csv"))
    assert csv == frame(rows).write_csv(datetime_format="%Y-%m-%dT%H:%M:%SZ").encode()


def test_rows_are_converted_chunk_by_chunk(monkeypatch):
    monkeypatch.setattr(writers, "ROWS_PER_CHUNK", 3)
    heights = []
    rows = Rows(frame(7), lambda chunk: chunk.select("ticker").with_columns(height=heights.append(chunk.height)))
    assert pl.concat(rows.chunks()).columns == ["ticker", "height"]
    assert heights == [3, 3, 1]

"""Encode documents and tables piece by piece, so that memory does not grow with the number of rows."""

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import polars as pl
import polars.selectors as cs

_CONTROLS = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
ROWS_PER_CHUNK = 8_192

Document = Mapping[str, Any]
"""A JSON object. Its values are JSON values, or `Rows`, which become arrays of objects."""


class Rows:
    """Rows in display units, converted from a frame chunk by chunk."""

    def __init__(
        self, frame: pl.DataFrame, convert: Callable[[pl.DataFrame], pl.DataFrame] = lambda frame: frame
    ) -> None:
        self.frame = frame
        self._convert = convert

    def chunks(self) -> Iterator[pl.DataFrame]:
        """Yield the converted rows; one empty chunk if there are none."""
        for start in range(0, max(1, self.frame.height), ROWS_PER_CHUNK):
            yield self._convert(self.frame.slice(start, ROWS_PER_CHUNK))


def encode_document(document: Document) -> Iterator[bytes]:
    """Yield the document as JSON with an indent of two and one line per row of its frames."""
    yield b"{\n"
    for number, (key, value) in enumerate(document.items()):
        yield b",\n  " if number else b"  "
        yield json.dumps(key, ensure_ascii=False).encode() + b": "
        if isinstance(value, Rows):
            yield from _encode_array(value)
        else:
            text = escape_controls(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
            yield text.replace("\n", "\n  ").encode()
    yield b"\n}\n"


def escape_controls(text: str) -> str:
    """Escape what JSON leaves as it is although it controls a terminal or the direction of writing."""
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _encode_array(rows: Rows) -> Iterator[bytes]:
    if rows.frame.is_empty():
        yield b"[]"
        return
    for number, chunk in enumerate(rows.chunks()):
        buffer = io.BytesIO()
        _times_as_text(chunk).with_columns(cs.float().fill_nan(None)).write_ndjson(buffer)
        # Newlines inside texts are escaped, so these separate rows.
        yield b",\n    " if number else b"[\n    "
        lines = escape_controls(buffer.getvalue().decode()).encode()
        yield lines.rstrip(b"\n").replace(b"\n", b",\n    ")
    yield b"\n  ]"


def _times_as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Return times as ISO 8601 text in UTC; a fraction is written only where there is one."""
    return frame.with_columns(
        pl.when(pl.col(name).dt.microsecond() == 0)
        .then(pl.col(name).dt.to_string("%Y-%m-%dT%H:%M:%SZ"))
        .otherwise(pl.col(name).dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ"))
        for name in cs.expand_selector(frame, cs.datetime())
    )


def _without_formulas(frame: pl.DataFrame) -> pl.DataFrame:
    """Put an apostrophe before texts that a spreadsheet would run as a formula: those that begin with = + - or @."""
    return frame.with_columns(
        pl.when(pl.col(name).str.contains(r"^[=+\-@\t\r]"))
        .then(pl.lit("'") + pl.col(name))
        .otherwise(pl.col(name))
        .alias(name)
        for name in cs.expand_selector(frame, cs.string())
    )


def encode_table(rows: Rows, form: str) -> Iterator[bytes]:
    """Yield a table as CSV (times in ISO 8601) or Parquet."""
    buffer = io.BytesIO()
    if form == "parquet":
        pl.concat(rows.chunks()).write_parquet(buffer)
        yield buffer.getvalue()
        return
    for number, chunk in enumerate(rows.chunks()):
        buffer = io.BytesIO()
        _without_formulas(chunk).write_csv(buffer, include_header=number == 0, datetime_format="%Y-%m-%dT%H:%M:%SZ")
        yield buffer.getvalue()

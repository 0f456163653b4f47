"""Rows in every format, written slice by slice, so that a large table never exists a second time in memory."""

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Literal, get_args

import polars as pl
import polars.selectors as cs

from fairline.text import sanitize

Format = Literal["table", "json", "jsonl", "csv", "tsv", "markdown", "parquet"]
FORMATS: tuple[str, ...] = get_args(Format)
SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".md": "markdown",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".tsv": "tsv",
}
_CONTROLS = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_SLICE = 8_192
_TIME = "%Y-%m-%dT%H:%M:%S%.6fZ"
_FORMULA = r"^([=+\-@\t\r])"
"""Text that a spreadsheet would run as a formula."""

Transform = Callable[[pl.DataFrame], pl.DataFrame]


def write_rows(stream: BinaryIO, form: Format, rows: pl.DataFrame, transform: Transform = lambda rows: rows) -> None:
    """Write the transformed rows in a format other than a table."""
    if form == "parquet":
        buffer = io.BytesIO()
        transform(rows).write_parquet(buffer)
        stream.write(buffer.getbuffer())
        return
    writers: dict[str, Callable[[BinaryIO, Iterable[pl.DataFrame]], None]] = {
        "json": _write_json,
        "jsonl": _write_jsonl,
        "csv": lambda target, parts: _write_csv(target, parts, ","),
        "tsv": lambda target, parts: _write_csv(target, parts, "\t"),
        "markdown": _write_markdown,
    }
    writers[form](stream, _slices(rows, transform))


def write_document(stream: BinaryIO, document: Mapping[str, Any], transform: Transform = lambda rows: rows) -> None:
    """Write a JSON object. Frames in it become arrays of transformed objects."""
    separator = b"{\n"
    for key, value in document.items():
        stream.write(separator + json.dumps(key).encode() + b": ")
        if isinstance(value, pl.DataFrame):
            _write_array(stream, _slices(value, transform))
        else:
            stream.write(escape_controls(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)).encode())
        separator = b",\n"
    stream.write(b"\n}\n")


def _slices(rows: pl.DataFrame, transform: Transform) -> Iterator[pl.DataFrame]:
    """Yield the transformed rows in parts; one empty part if there are none, which still has the columns."""
    if rows.is_empty():
        yield transform(rows)
    for part in rows.iter_slices(_SLICE):
        yield transform(part)


def as_frame(rows: "pl.DataFrame | Sequence[Mapping[str, Any]]") -> pl.DataFrame:
    """Return rows as a frame; values that no column can hold become JSON text."""
    if isinstance(rows, pl.DataFrame):
        return rows
    plain = [{name: _plain_value(value) for name, value in row.items()} for row in rows]
    return pl.DataFrame(plain, infer_schema_length=None)


def _plain_value(value: object) -> object:
    return json.dumps(value, default=str, ensure_ascii=False) if isinstance(value, list | tuple | dict) else value


def as_json_columns(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with times in ISO 8601 (UTC) and null for what is not a number."""
    times = [pl.col(name).dt.to_string(_TIME) for name, kind in rows.schema.items() if isinstance(kind, pl.Datetime)]
    whole_seconds = [time.str.replace(".000000", "", literal=True) for time in times]
    return rows.with_columns(cs.float().fill_nan(None), *whole_seconds)


def escape_controls(text: str) -> str:
    """Escape what JSON leaves as it is although it controls a terminal or the direction of writing."""
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def json_objects(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Return rows as objects; what is not a number becomes null."""
    return rows.with_columns(cs.float().fill_nan(None)).to_dicts()


def _json_lines(rows: pl.DataFrame) -> bytes:
    return escape_controls(as_json_columns(rows).write_ndjson()).encode()


def _write_jsonl(stream: BinaryIO, parts: Iterable[pl.DataFrame]) -> None:
    stream.writelines(_json_lines(part) for part in parts)


def _write_json(stream: BinaryIO, parts: Iterable[pl.DataFrame]) -> None:
    _write_array(stream, parts)
    stream.write(b"\n")


def _write_array(stream: BinaryIO, parts: Iterable[pl.DataFrame]) -> None:
    stream.write(b"[")
    separator = b"\n"
    for part in parts:
        lines = _json_lines(part).rstrip(b"\n")
        if lines:
            stream.write(separator + lines.replace(b"\n", b",\n"))
            separator = b",\n"
    stream.write(b"\n]" if separator == b",\n" else b"]")


def _write_csv(stream: BinaryIO, parts: Iterable[pl.DataFrame], separator: str) -> None:
    for number, part in enumerate(parts):
        flat = _without_formulas(as_json_columns(flatten(part)))
        # As text: an error of the stream then keeps its reason, which Polars would drop.
        stream.write(flat.write_csv(separator=separator, include_header=number == 0).encode())


def _without_formulas(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with an apostrophe before text that a spreadsheet would run, as spreadsheets write it themselves."""
    return rows.with_columns(cs.string().str.replace(_FORMULA, "'$1"))


def _write_markdown(stream: BinaryIO, parts: Iterable[pl.DataFrame]) -> None:
    for number, part in enumerate(parts):
        flat = as_json_columns(flatten(part))
        if number == 0:
            marks = ["---:" if kind.is_numeric() else "---" for kind in flat.dtypes]
            stream.write(f"{_markdown_row(flat.columns)}{_markdown_row(marks)}".encode())
        stream.write("".join(_markdown_row(row) for row in flat.iter_rows()).encode())


def _markdown_row(cells: Iterable[object]) -> str:
    texts = ("" if cell is None else sanitize(cell).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(texts)} |\n"


def flatten(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with lists and structs as JSON text, for formats that have neither."""
    nested = [name for name, kind in rows.schema.items() if kind.is_nested()]
    return rows.with_columns(
        pl.Series(name, [json.dumps(value, default=str, ensure_ascii=False) for value in rows[name].to_list()])
        for name in nested
    )

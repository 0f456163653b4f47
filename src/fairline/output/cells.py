"""Values as the text of a cell: numbers with their digits, times, and columns of both."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from fairline.output.grid import Column

MISSING = "–"
Formatter = Callable[[Any], str]


def number(form: str) -> Formatter:
    """Return a formatter of numbers, such as `number("{:.3f}")`."""
    return lambda value: MISSING if value is None else form.format(value)


def text(value: object) -> str:
    """Return text, or the sign for a missing value."""
    return MISSING if value is None or value == "" else str(value)


def upper(value: object) -> str:
    """Return text in upper case."""
    return text(value).upper()


def moment(*, local: bool) -> Formatter:
    """Return a formatter of times to the minute, in UTC or in the local time zone."""

    def format_moment(value: datetime | None) -> str:
        if value is None:
            return MISSING
        return f"{value.astimezone() if local else value:%Y-%m-%d %H:%M}"

    return format_moment


def any_value(value: object) -> str:
    """Return any value as text: six digits of a number, times to the second."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else text(value)


def column(
    rows: pl.DataFrame,
    name: str,
    heading: str,
    form: Formatter = text,
    *,
    rank: int = 0,
    shortest: int | None = None,
    links: Sequence[str] | None = None,
) -> Column:
    """Return a column of a frame; numbers are aligned to the right."""
    cells = [form(value) for value in rows[name]]
    return Column(heading, cells, rank, right=rows.schema[name].is_numeric(), shortest=shortest, links=links)


def frame_columns(rows: pl.DataFrame, *, local: bool = False) -> list[Column]:
    """Return every column of a frame under its own name. Text may be shortened, except identifiers."""
    when = moment(local=local)
    columns = []
    for name, kind in rows.schema.items():
        free_text = kind == pl.String and not name.endswith(("ticker", "_id", "url"))
        form = when if isinstance(kind, pl.Datetime) and local else any_value
        columns.append(column(rows, name, name, form, shortest=16 if free_text else None))
    return columns

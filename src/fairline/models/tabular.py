"""Tables as spreadsheets save them: UTF-8 or UTF-16, commas, semicolons or tabs, decimal commas, Parquet."""

import codecs
import io

import polars as pl

_SEPARATORS = (",", ";", "\t")


def read_tabular(body: bytes) -> tuple[pl.DataFrame, str, int]:
    """Return a table with columns of text, what a row is called, and the number of the first.

    Column names are in lower case without spaces around them. Raises `ValueError` for what is neither CSV nor Parquet.
    """
    try:
        if body[:4] == b"PAR1":
            table, unit, first = pl.read_parquet(io.BytesIO(body)), "row", 1
        else:
            table, unit, first = _read_text(_decode(body)), "line", 2
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise ValueError(str(error).splitlines()[0][:120]) from error
    return table.rename({name: name.strip().lower().lstrip("\ufeff") for name in table.columns}), unit, first


def _decode(body: bytes) -> str:
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return body.decode("utf-16")
    return body.decode("utf-8-sig")


def _read_text(text: str) -> pl.DataFrame:
    heading = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=heading.count)
    table = pl.read_csv(text.encode(), separator=separator, infer_schema=False, truncate_ragged_lines=True)
    if separator != ";":
        return table
    # Where columns are separated by semicolons, numbers have decimal commas.
    return table.with_columns(pl.all().str.replace(r"^(\s*-?\d*),(\d+)", "$1.$2"))


def probabilities(name: str, *, percent: bool) -> pl.Expr:
    """Return a column of text as probabilities; "55 %" is 0.55, and with `percent` so is "55"."""
    text = pl.col(name).cast(pl.String).str.strip_chars()
    signed = text.str.ends_with("%")
    number = text.str.strip_chars_end("%").str.strip_chars().cast(pl.Float64, strict=False)
    return pl.when(signed | pl.lit(percent)).then(number / 100).otherwise(number)


def are_percentages(table: pl.DataFrame, name: str) -> bool:
    """Return whether most numbers of a column without a sign are above 1 and none is above 100."""
    numbers = table[name].cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False).drop_nulls()
    numbers = numbers.filter(numbers.is_finite())
    above = int((numbers > 1).sum())
    return above > 0 and 2 * above >= len(numbers) and bool((numbers <= 100).all()) and bool((numbers >= 0).all())

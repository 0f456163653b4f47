"""Ingest anyone's table of quotes, facts, results, forecasts or trades: CSV, Parquet, JSON or JSON Lines, by a map."""

import gzip
import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from fairline.errors import InputError
from fairline.market.frame import NOTIONAL_U, count_units, dollar_units
from fairline.store.ingest.batch import Batch, Entry, IngestStore
from fairline.store.ingest.maps import COUNTS, NUMBERS, PRICES, TIMES, Rows, TableMap, Time

_UNITS = {"dollars": 1_000_000, "cents": 10_000, "percent": 10_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TableReport:
    """How many rows a file has, how many each dataset got of them, and how many it could not use."""

    read: int
    rows: Mapping[str, int]
    dropped: Mapping[str, int]


def ingest_table(path: Path, table_map: TableMap, target: IngestStore) -> TableReport | None:
    """Put a table into the store; None if this file was ingested with this map before.

    A changed file or map replaces what came from the map before. Raises `InputError` and `StoreError`.
    """
    content = _read(path)
    digest = hashlib.sha256(content + msgspec.json.encode(table_map)).hexdigest()
    if any(entry.hash == digest for entry in target.of_source(table_map.source)):
        return None
    raw = read_table(path, content, table_map.path)
    tables: dict[str, pl.DataFrame] = {rows.dataset: convert(raw, rows, path) for rows in table_map.rows}
    times = [table["seen_ts"] for table in tables.values() if table.height]
    first = min((_as_datetime(column.min()) for column in times), default=_EPOCH)
    last = max((_as_datetime(column.max()) for column in times), default=_EPOCH)
    total = sum(table.height for table in tables.values())
    entry = Entry(table_map.source, path.name, first, last, "done" if total else "empty", total, len(content), digest)
    target.discard(table_map.source)
    target.add(Batch([entry], tables, replaces=True))
    counts = {name: table.height for name, table in tables.items()}
    return TableReport(raw.height, counts, {name: raw.height - count for name, count in counts.items()})


def read_table(path: Path, content: bytes, inner: str = "") -> pl.DataFrame:
    """Return the rows of a file with all columns, nested ones named with dots. Raises `InputError`."""
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    reader = _READERS.get(suffixes[-1] if suffixes else "")
    if reader is None:
        raise InputError(f"{path} has no known format", remedy=f"Expected {', '.join(_READERS)}, also with .gz")
    try:
        return reader(content, inner)
    except (pl.exceptions.PolarsError, msgspec.MsgspecError, UnicodeDecodeError, LookupError, TypeError) as error:
        raise InputError(f"cannot read {path} ({error})", remedy="Check its format and the map's path") from error


def convert(raw: pl.DataFrame, rows: Rows, path: Path) -> pl.DataFrame:
    """Return the rows of a table in the columns of a dataset, each with the instant at which it was known.

    Rows without a ticker or a readable time are left out, and so are quotes with neither side: a bid of 0 and an ask of
    1 mean that there is none.
    """
    missing = [name for name in [rows.time.column, *rows.columns.values()] if name not in raw.columns]
    if missing:
        raise InputError(f"{path} has no column {missing[0]!r}", remedy=f"Its columns: {', '.join(raw.columns)}")
    named = raw.select(
        _time(raw, rows.time).alias("seen_ts"),
        *(_value(raw, name, column, rows) for name, column in rows.columns.items()),
    )
    constants = [pl.lit(value).alias(name) for name, value in rows.constants.items() if name not in named.columns]
    return _FINISH[rows.dataset](named.with_columns(constants).drop_nulls(["seen_ts", "ticker"]))


def _value(raw: pl.DataFrame, name: str, column: str, rows: Rows) -> pl.Expr:
    is_text = raw.schema[column] == pl.String
    if name in PRICES:
        units = dollar_units(column) if is_text else (pl.col(column).cast(pl.Float64) * _UNITS[rows.prices]).round()
        return units.cast(pl.Int64, strict=False).alias(name)
    if name in COUNTS:
        counts = count_units(column) if is_text else (pl.col(column).cast(pl.Float64) * 100).round()
        return counts.cast(pl.Int64, strict=False).alias(name)
    if name in TIMES:
        return _time(raw, Time(column, _guess_format(raw, column, rows.time), rows.time.zone)).alias(name)
    if name in NUMBERS:
        return pl.col(column).cast(pl.Float64, strict=False).alias(name)
    return pl.col(column).cast(pl.String).replace("", None).alias(name)


def _guess_format(raw: pl.DataFrame, column: str, known: Time) -> str:
    """Return the format of another time column: unix for numbers, else that of the row's own time or ISO 8601."""
    if raw.schema[column].is_numeric():
        return "unix"
    return known.format if known.format.startswith("%") else "iso"


def _time(raw: pl.DataFrame, time: Time) -> pl.Expr:
    column, dtype = pl.col(time.column), raw.schema[time.column]
    if isinstance(dtype, pl.Datetime | pl.Date):
        moment = column.cast(pl.Datetime("us")) if dtype.is_temporal() else column
        moment = moment.dt.replace_time_zone(time.zone, ambiguous="earliest").dt.convert_time_zone("UTC")
    elif time.format in ("unix", "unix-ms"):
        scale = 1_000_000 if time.format == "unix" else 1_000
        micros = (column.cast(pl.Float64, strict=False) * scale).round().cast(pl.Int64)
        moment = pl.from_epoch(micros, time_unit="us").dt.replace_time_zone("UTC")
    elif time.format == "iso":
        moment = _iso(column.cast(pl.String), time.zone)
    else:
        naive = column.cast(pl.String).str.to_datetime(time.format, time_unit="us", strict=False)
        moment = naive.dt.replace_time_zone(time.zone, ambiguous="earliest").dt.convert_time_zone("UTC")
    return moment + timedelta(seconds=time.shift_s)


def _iso(text: pl.Expr, zone: str) -> pl.Expr:
    """Return ISO 8601 times, with or without an offset, and dates, which are midnight in the zone."""
    normal = text.str.replace("Z$", "+00:00").str.replace(" ", "T", literal=True)
    aware = normal.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", time_unit="us", time_zone="UTC", strict=False)
    naive = pl.coalesce(
        normal.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False),
        normal.str.to_datetime("%Y-%m-%dT%H:%M", time_unit="us", strict=False),
        normal.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")),
    )
    local = naive.dt.replace_time_zone(zone, ambiguous="earliest").dt.convert_time_zone("UTC")
    return pl.coalesce(aware, local)


def _rename(rows: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    return rows.rename({old: new for old, new in names.items() if old in rows.columns})


def _finish_quotes(rows: pl.DataFrame) -> pl.DataFrame:
    """Return QUOTES. A published midpoint is a bid and an ask of the same price: a price, but no offer."""
    if "mid" in rows.columns:
        rows = rows.with_columns(yes_bid="mid", yes_ask="mid").drop("mid")
    sides = [name for name in ("yes_bid", "yes_ask") if name in rows.columns]
    inside = [pl.when(pl.col(name).is_between(0, NOTIONAL_U, closed="none")).then(name).alias(name) for name in sides]
    quoted = rows.with_columns(inside).filter(pl.any_horizontal(pl.col(name).is_not_null() for name in sides))
    quoted = quoted.with_columns(listed=pl.lit(value=True))
    if "status" not in quoted.columns:
        quoted = quoted.with_columns(status=pl.lit("active"))
    return _rename(
        quoted,
        {
            "yes_bid": "yes_bid_u",
            "yes_ask": "yes_ask_u",
            "yes_bid_size": "yes_bid_size_cc",
            "yes_ask_size": "yes_ask_size_cc",
            "last_price": "last_price_u",
            "volume": "volume_cc",
            "open_interest": "open_interest_cc",
        },
    )


def _finish_facts(rows: pl.DataFrame) -> pl.DataFrame:
    """Facts count as known from the first row that states them."""
    first = rows.sort("seen_ts", maintain_order=True).unique("ticker", keep="first", maintain_order=True)
    if "market_type" not in first.columns:
        first = first.with_columns(market_type=pl.lit("binary"))
    times = {name: f"{name.removesuffix('_time')}_ts" for name in TIMES}
    return _rename(first, times)


def _finish_settlements(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one settlement per market; without a payout, that of a result of yes or no."""
    last = rows.drop_nulls("result").with_columns(pl.col("result").str.to_lowercase())
    last = last.sort("seen_ts", maintain_order=True).unique("ticker", keep="last", maintain_order=True)
    implied = pl.col("result").replace_strict({"yes": NOTIONAL_U, "no": 0}, default=None, return_dtype=pl.Int64)
    stated = pl.col("payout") if "payout" in last.columns else pl.lit(None, dtype=pl.Int64)
    settled = pl.col("settled_time") if "settled_time" in last.columns else pl.col("seen_ts")
    return last.with_columns(payout_u=pl.coalesce(stated, implied), settled_ts=settled)


def _finish_predictions(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("p").is_between(0, 1)).with_columns(asof="seen_ts")


def _finish_trades(rows: pl.DataFrame) -> pl.DataFrame:
    traded = rows.drop_nulls(["price", "count"]).with_columns(created_ts="seen_ts")
    return _rename(traded, {"price": "price_u", "count": "count_cc"})


_FINISH: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "quotes": _finish_quotes,
    "facts": _finish_facts,
    "settlements": _finish_settlements,
    "predictions": _finish_predictions,
    "trades": _finish_trades,
}


def _read_csv(content: bytes, inner: str) -> pl.DataFrame:
    return pl.read_csv(io.BytesIO(content), infer_schema_length=None, try_parse_dates=False)


def _read_parquet(content: bytes, inner: str) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(content))


def _read_json(content: bytes, inner: str) -> pl.DataFrame:
    document: Any = msgspec.json.decode(content)
    outer = {key: value for key, value in document.items() if not isinstance(value, list | dict)} if inner else {}
    for name in inner.split(".") if inner else []:
        document = document[name]
    rows = document if isinstance(document, list) else [document]
    flat = [outer | _flatten(row) for row in rows]
    return pl.DataFrame(flat, infer_schema_length=None)


def _read_json_lines(content: bytes, inner: str) -> pl.DataFrame:
    rows = [_flatten(msgspec.json.decode(line)) for line in content.splitlines() if line.strip()]
    return pl.DataFrame(rows, infer_schema_length=None)


_READERS: dict[str, Callable[[bytes, str], pl.DataFrame]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".json": _read_json,
    ".jsonl": _read_json_lines,
}


def _flatten(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return an object with the names of nested values joined by dots; lists are left out."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        elif not isinstance(value, list):
            flat[f"{prefix}{name}"] = value
    return flat


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except FileNotFoundError as error:
        raise InputError(f"the file {path} does not exist", remedy="Check the path") from error
    except (OSError, EOFError) as error:
        raise InputError(f"cannot read {path} ({error})", remedy="Check the path and its permissions") from error


def _as_datetime(value: object) -> datetime:
    return value if isinstance(value, datetime) else _EPOCH

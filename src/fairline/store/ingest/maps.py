"""Maps of tables: which columns of a file are which columns of a dataset, and what their values mean.

name = "nyc-highs"                       # rows are marked with the source "table:nyc-highs"

[[rows]]
dataset = "quotes"                       # quotes, facts, settlements, predictions or trades
time = {column = "end_ts", format = "unix"}
columns = {ticker = "ticker", yes_bid = "yes_bid_close", yes_ask = "yes_ask_close", volume = "volume"}
constants = {status = "active"}
"""

import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from fairline.errors import InputError, UsageError
from fairline.text import parse_duration

Target = Literal["quotes", "facts", "settlements", "predictions", "trades"]
Unit = Literal["dollars", "cents", "percent"]

REQUIRED: dict[str, tuple[str, ...]] = {
    "quotes": ("ticker",),
    "facts": ("ticker",),
    "settlements": ("ticker", "result"),
    "predictions": ("ticker", "p", "model"),
    "trades": ("ticker", "price", "count"),
}
"""Columns or constants without which a row means nothing."""
PRICES = ("yes_bid", "yes_ask", "last_price", "payout", "price", "mid")
COUNTS = ("volume", "open_interest", "count", "yes_bid_size", "yes_ask_size")
TIMES = ("open_time", "close_time", "created_time", "decided_time", "settled_time")
TEXTS = ("ticker", "event_ticker", "series_ticker", "category", "title", "yes_sub_title", "market_type", "strike_type",
         "status", "result", "model", "trade_id", "taker_side")  # fmt: skip
NUMBERS = ("floor_strike", "cap_strike", "p", "p_sd")
KNOWN = (*PRICES, *COUNTS, *TIMES, *TEXTS, *NUMBERS)


class Time(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a row was known: a column, its format (unix, unix-ms, iso or a strptime pattern) and the zone of its clock.

    `shift` is added: a day's last price is known at its end, so a column of dates takes "1d".
    """

    column: str
    format: str = "iso"
    zone: str = "UTC"
    shift: str = "0s"

    @property
    def shift_s(self) -> float:
        """Raises `UsageError`."""
        sign = -1 if self.shift.startswith("-") else 1
        return sign * parse_duration(self.shift.lstrip("+-"), field="shift").total_seconds()


class Rows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rows of one dataset. `prices` is the unit of numbers; text is always in dollars."""

    dataset: Target
    time: Time
    columns: dict[str, str]
    constants: dict[str, str | float] = {}
    prices: Unit = "dollars"


class TableMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`path` names the list of rows in a JSON file, with dots between names; nested columns are named the same way."""

    name: str
    rows: list[Rows]
    path: str = ""

    @property
    def source(self) -> str:
        return f"table:{self.name}"


def read_map(path: Path) -> TableMap:
    """Read a map. Raises `InputError` that names the file and the fault."""
    try:
        table_map = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), TableMap)
    except FileNotFoundError as error:
        raise InputError(f"the map {path} does not exist", remedy="Check the path") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InputError(f"cannot use the map {path}: {error}", remedy="See examples/maps") from error
    for rows in table_map.rows:
        _check(rows, path)
    return table_map


def _check(rows: Rows, path: Path) -> None:
    given = {*rows.columns, *rows.constants}
    unknown = sorted(given - set(KNOWN))
    if unknown:
        raise InputError(f"the map {path} has an unknown column {unknown[0]!r}", remedy=f"Known: {', '.join(KNOWN)}")
    missing = [name for name in REQUIRED[rows.dataset] if name not in given]
    if missing:
        raise InputError(f"the map {path} has no column {missing[0]!r} for {rows.dataset}", remedy="See examples/maps")
    try:
        _ = rows.time.shift_s
    except UsageError as error:
        raise InputError(f"the map {path} is invalid: {error}") from error

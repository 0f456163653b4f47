"""The table of records that ships with Fairline, `records.toml`."""

import math
import tomllib
from functools import cache
from importlib.resources import files

import msgspec

from fairline.errors import InputError
from fairline.pricing.belief import Record


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    category: str
    k: float
    cap: float
    estimate: float
    standard_error: float
    events: int
    first_day: str
    last_day: str
    data: str
    command: str


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    record: list[_Row] = []


@cache
def shipped_records() -> tuple[Record, ...]:
    """Return the shipped records."""
    return parse_records(files("fairline.pricing").joinpath("records.toml").read_text(encoding="utf-8"))


def parse_records(text: str) -> tuple[Record, ...]:
    """Parse a table of records (TOML). Raises `InputError` for a field that is missing, unknown or out of range."""
    try:
        table = msgspec.convert(tomllib.loads(text), _Table)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InputError(f"invalid table of records ({error})", remedy="See the head of records.toml") from error
    records = tuple(Record(**msgspec.structs.asdict(row), source="shipped") for row in table.record)
    for record in records:
        numbers = (record.k, record.cap, record.estimate, record.standard_error)
        in_range = 0 <= record.k <= 1 and 0 <= record.cap <= 1 and record.standard_error >= 0 and record.events > 0
        if not in_range or not all(map(math.isfinite, numbers)):
            message = f"invalid record of {record.model} in {record.category}"
            raise InputError(message, remedy="Expected k and cap from 0 to 1 and a standard error of at least 0")
    return records

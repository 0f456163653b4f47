"""What models may read at an instant: recorded inputs, and files of the user as far as their dates allow."""

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from fairline.errors import FairlineError, InputError
from fairline.sources import Payload, Request
from fairline.store.inputs import Inputs
from fairline.store.store import Store

TIME_COLUMN = "asof"
"""The column of a user's table that says from when on each row was known."""


class PastInputs:
    """The inputs that were recorded in a store, and for a user's own file that was not recorded its dated rows.

    A table with an `asof` column shows at each instant the rows dated up to then. Any other file counts as known from
    its modification time on.
    """

    def __init__(self, store: Store) -> None:
        self._recorded = Inputs(store)
        self._tables: dict[str, pl.DataFrame] = {}

    def known_at(self, requests: Sequence[Request], at: datetime) -> Mapping[Request, Payload | FairlineError]:
        """Return what had been received for these requests by an instant, or why there is nothing."""
        payloads: dict[Request, Payload | FairlineError] = dict(self._recorded.known_at(requests, at))
        for request, payload in payloads.items():
            if request.source == "file" and isinstance(payload, FairlineError):
                payloads[request] = self._read_file(request, at)
        return payloads

    def _read_file(self, request: Request, at: datetime) -> Payload | FairlineError:
        """Return what a user's file said by an instant, or why that is unknown."""
        path = Path(request.key)
        try:
            modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            table = self._table(path)
            if TIME_COLUMN in table.columns:
                return Payload(request, at, _dated_rows(table, at))
            if modified <= at:
                return Payload(request, modified, path.read_bytes())
        except OSError as error:
            return InputError(f"cannot read {path} ({error.strerror})", remedy="Check the path")
        except (pl.exceptions.PolarsError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            return InputError(f"{path} is neither CSV nor Parquet ({reason})", remedy="Check the file")
        return InputError(
            f"{path.name} was written on {modified:%Y-%m-%d %H:%M} UTC, so at {at:%Y-%m-%d %H:%M} nobody knew it",
            remedy=f"Add a column {TIME_COLUMN} that says from when on each row was known",
        )

    def _table(self, path: Path) -> pl.DataFrame:
        key = str(path)
        if key not in self._tables:
            self._tables[key] = _read_table(path.read_bytes())
        return self._tables[key]


def _read_table(body: bytes) -> pl.DataFrame:
    """Return a table as texts, with the time column parsed; a row without a readable time was never known."""
    parquet = body[:4] == b"PAR1"
    table = pl.read_parquet(io.BytesIO(body)) if parquet else pl.read_csv(body, infer_schema=False)
    table = table.rename({name: name.strip().lower() for name in table.columns})
    if TIME_COLUMN not in table.columns:
        return table
    if table.schema[TIME_COLUMN] != pl.String:
        return table.with_columns(pl.col(TIME_COLUMN).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))
    return table.with_columns(pl.col(TIME_COLUMN).str.strip_chars().str.to_datetime(time_zone="UTC", strict=False))


def _dated_rows(table: pl.DataFrame, at: datetime) -> bytes:
    """Return as CSV the last row of each ticker that was known at an instant, without the time column."""
    known = table.filter(pl.col(TIME_COLUMN) <= at).sort(TIME_COLUMN, maintain_order=True)
    latest = known.unique("ticker", keep="last", maintain_order=True) if "ticker" in known.columns else known
    return latest.drop(TIME_COLUMN).write_csv().encode()

"""The simplest model: a CSV or Parquet file of probabilities.

Columns `ticker, p` and optionally `p_sd` and `asof`, when the probability was worked out (ISO 8601; UTC unless it has
an offset). Without `asof` the file's modification time counts. Tickers may be in lower case or addresses on kalshi.com,
probabilities may be percentages ("55 %", or "55" where most of them are above 1). Every row that cannot be used,
because it is invalid or too old, is reported by its line (CSV) or row (Parquet), and the rest is used.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from fairline.errors import InputError
from fairline.market.frame import PREDICTIONS
from fairline.market.tickers import ticker_expr
from fairline.models.tabular import are_percentages, probabilities, read_tabular
from fairline.sources import Payload, Request
from fairline.text import sanitize

EXPECTED = "Expected columns: ticker,p and optionally p_sd and asof, with a header line"
_MAX_SHOWN = 200
"""Characters of a file's column names in a message."""


class TableModel:
    """Prices the markets listed in a file at the file's probabilities."""

    version = "1"

    def __init__(self, path: Path, max_age: timedelta | None = None) -> None:
        self.path = path
        self.name = path.name
        self.max_age = max_age
        self._request = Request("file", str(path))

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        return pl.lit(value=True)

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        return [self._request]

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """Return PREDICTIONS: one row per usable line, and one with a `note` for each unusable line.

        Raises `InputError` if the whole file is older than `max_age`.
        """
        payload = payloads[self._request]
        rows, unit, first = self._rows(payload.body)
        self._check_age(rows, payload.fetched_ts, asof)
        percent = are_percentages(rows, "p")
        oldest = None if self.max_age is None else asof - self.max_age
        known = markets.select("ticker", known=pl.lit(value=True))
        is_blank = pl.all_horizontal(pl.col("ticker", "p", "p_sd", "asof").is_null())
        checked = (
            rows.with_row_index("line", offset=first)
            .filter(~is_blank)
            .with_columns(
                ticker=ticker_expr("ticker"),
                p_number=probabilities("p", percent=percent),
                p_sd_number=probabilities("p_sd", percent=percent),
                asof_ts=_moment("asof").fill_null(payload.fetched_ts),
            )
            .join(known, on="ticker", how="left", maintain_order="left")
            .with_columns(fault=pl.coalesce(_fault(markets.height), _age_fault(oldest)))
            .with_columns(fault=pl.coalesce("fault", _repetition()))
        )
        usable = pl.col("fault").is_null()
        return checked.select(
            "ticker",
            p=pl.when(usable).then("p_number"),
            p_sd=pl.when(usable).then("p_sd_number"),
            model=pl.lit(self.name),
            asof=pl.lit(asof).cast(PREDICTIONS["asof"]),
            note=pl.format("{} {}: {}", pl.lit(unit), "line", "fault"),
        )

    def check(self, body: bytes) -> None:
        """Raise `InputError` unless the file is a table with a ticker and a probability column."""
        self._rows(body)

    def _rows(self, body: bytes) -> tuple[pl.DataFrame, str, int]:
        """Return the columns ticker, p and p_sd as written, what a row is called, and the number of the first."""
        try:
            table, unit, first = read_tabular(body)
        except ValueError as error:
            raise InputError(f"{self.path} is neither CSV nor Parquet ({error})", remedy=EXPECTED) from error
        missing = [name for name in ("ticker", "p") if name not in table.columns]
        if missing:
            columns = sanitize(", ".join(table.columns))[:_MAX_SHOWN]
            message = f"{self.path} has no column {' and '.join(missing)}; its columns are {columns}"
            raise InputError(message, remedy=EXPECTED)
        absent = [name for name in ("p_sd", "asof") if name not in table.columns]
        table = table.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in absent)
        return table.select("ticker", "p", "p_sd", "asof"), unit, first

    def _check_age(self, rows: pl.DataFrame, changed_ts: datetime, asof: datetime) -> None:
        age = asof - changed_ts
        if self.max_age is not None and age > self.max_age and rows["asof"].null_count() == rows.height:
            hours, limit = (span.total_seconds() / 3_600 for span in (age, self.max_age))
            message = f"{self.path} was last changed {hours:.1f} h ago, more than {limit:g} h"
            raise InputError(message, remedy="Update it, or allow older tables", field="max_table_age")


def _moment(name: str) -> pl.Expr:
    """Parse ISO 8601 times; a time without an offset is UTC."""
    text = pl.col(name).cast(pl.String).str.strip_chars().str.replace("Z$", "+00:00")
    form = {"time_unit": "us", "strict": False}
    zoned = pl.coalesce(
        text.str.to_datetime(pattern, time_zone="UTC", **form)  # type: ignore[arg-type]
        for pattern in ("%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M%:z", "%Y-%m-%d %H:%M:%S%.f%:z")
    )
    naive = pl.coalesce(
        text.str.to_datetime(pattern, **form)  # type: ignore[arg-type]
        for pattern in ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d")
    )
    return pl.coalesce(zoned, naive.dt.replace_time_zone("UTC"))


def _age_fault(oldest: datetime | None) -> pl.Expr:
    """Why a line is too old, or says a time that cannot be read; null if neither."""
    text = pl.col("asof").cast(pl.String)
    unreadable = (text.str.strip_chars() != "") & _moment("asof").is_null()
    too_old = pl.col("asof_ts") < oldest if oldest is not None else pl.lit(value=False)
    return pl.coalesce(
        pl.when(unreadable).then(pl.format("{}: asof = '{}' is not a time", "ticker", text)),
        pl.when(too_old).then(
            pl.format(
                "{}: worked out at {}, too long ago", "ticker", pl.col("asof_ts").dt.strftime("%Y-%m-%d %H:%M UTC")
            )
        ),
    )


def _fault(markets: int) -> pl.Expr:
    """Why a line cannot be used on its own; null if it can."""
    p, p_sd = pl.col("p_number"), pl.col("p_sd_number")
    has_sd = pl.col("p_sd").cast(pl.String).str.strip_chars().fill_null("") != ""
    text = pl.col("p").cast(pl.String).fill_null("")
    is_probability = (p.is_finite() & p.is_between(0, 1)).fill_null(value=False)
    is_deviation = (p_sd.is_finite() & (p_sd >= 0)).fill_null(value=False)
    return pl.coalesce(
        pl.when(pl.col("ticker").fill_null("") == "").then(pl.lit("no ticker")),
        pl.when(~is_probability).then(pl.format("{}: p = '{}' is not a probability", "ticker", text)),
        pl.when(has_sd & ~is_deviation).then(
            pl.format("{}: p_sd = '{}' is not a standard deviation", "ticker", pl.col("p_sd").cast(pl.String))
        ),
        pl.when(pl.col("known").is_null()).then(
            pl.format("{}: not among the {} markets scanned", "ticker", pl.lit(f"{markets:,}"))
        ),
    )


def _repetition() -> pl.Expr:
    """Return a fault for every usable line of a ticker but the first; unusable lines do not count."""
    usable = pl.col("fault").is_null()
    first = pl.struct("ticker", usable).is_first_distinct()
    return pl.when(usable & ~first).then(pl.format("{}: listed before; first used", "ticker"))

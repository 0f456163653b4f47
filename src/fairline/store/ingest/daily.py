"""Ingest the exchange's public daily files: a market's statistics of a day, and all trades of a day.

`market_data_YYYY-MM-DD` and `trade_data_YYYY-MM-DD`, since June 2021, are JSON arrays, since 30 July 2026 compressed.
Numbers are numbers or text. A file is rewritten at times: a day is then replaced, never added to. Its trades have no
ids, so equal rows are different trades. `high` and `low` are prices of trades, not offers.
"""

import gzip
import hashlib
import re
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Literal, Protocol, cast

import msgspec
import polars as pl

from fairline.errors import InputError
from fairline.kalshi.errors import error_for_status
from fairline.kalshi.http import HttpRequest, Response
from fairline.market.frame import count_units
from fairline.market.history import parse_times
from fairline.store.ingest.batch import Batch, Entry, IngestStore, State

BASE_URL = "https://kalshi-public-docs.s3.amazonaws.com/reporting/"
FIRST_DAY = date(2021, 6, 30)
"""The first day with rows; the files of the two days before are empty."""
SUFFIXES = (".json.gz", ".json")
"""Names of a day's file: since 30 July 2026 the first, before the second."""
PUBLISHED_AFTER = timedelta(days=1, hours=12)
"""When a day's statistics count as known if the file does not say when it was published: noon UTC of the next day."""
_PART_ROWS = 500_000
_PIECE = 1 << 20
_NAME = re.compile(r"(market|trade)_data_(\d{4}-\d{2}-\d{2})")
_OBJECT = re.compile(rb"\{[^{}]*\}")

Kind = Literal["market", "trade"]
Number = str | int | float | None


class Downloader(Protocol):
    """Fetches a file piece by piece, as `AiohttpSend.download` does."""

    async def __call__(self, request: HttpRequest, write: Callable[[bytes], object]) -> Response: ...


class _MarketRow(msgspec.Struct, gc=False):
    date: str
    ticker_name: str
    status: str | None = None
    open_interest: Number = None
    daily_volume: Number = None
    block_volume: Number = None
    high: Number = None
    low: Number = None


class _TradeRow(msgspec.Struct, gc=False):
    date: str
    ticker_name: str
    create_ts: str
    contracts_traded: Number
    price: Number


@dataclass(frozen=True, slots=True)
class DailyFile:
    """A file of a day on this machine, when it was published, and its ETag if it was downloaded."""

    path: Path
    kind: Kind
    day: date
    published_ts: datetime
    etag: str = ""

    @property
    def source(self) -> str:
        return f"daily-{self.kind}:{self.day}"


def recognize(path: Path) -> DailyFile:
    """Return what a file on this machine is, by its name. Raises `InputError`."""
    match = _NAME.search(path.name)
    if match is None:
        raise InputError(
            f"{path} is not named like a daily file", remedy="Expected market_data_YYYY-MM-DD or trade_data_YYYY-MM-DD"
        )
    day = date.fromisoformat(match[2])
    kind: Kind = "market" if match[1] == "market" else "trade"
    return DailyFile(path, kind, day, datetime.combine(day, time(), UTC) + PUBLISHED_AFTER)


def ingest_file(file: DailyFile, target: IngestStore) -> int:
    """Read a file piece by piece into the store, and return its rows; 0 if it was ingested with this content before.

    Raises `InputError` for a file that cannot be read, and `StoreError`.
    """
    digest = _hash(file.path)
    if _is_current(target, file.source, digest):
        return 0
    target.discard(file.source)
    rows = 0
    for number, part in enumerate(_read_parts(file)):
        # The first part deletes what an earlier version of the file left.
        entry = _entry(file, f"{file.path.name} part {number}", "partial", part.height)
        target.add(Batch([entry], _tables(file, part), replaces=number == 0))
        rows += part.height
    state: State = "done" if rows else "empty"
    final = _entry(file, file.path.name, state, rows, size=file.path.stat().st_size, digest=digest)
    target.add(Batch([final], replaces=rows == 0))
    return rows


@dataclass(frozen=True, slots=True)
class DailyArchive:
    """The exchange's folder of daily files."""

    download: Downloader
    base_url: str = BASE_URL

    async def ingest(self, since: date, until: date, target: IngestStore) -> AsyncIterator[tuple[str, int]]:
        """Download and ingest both files of each day, and yield the name and the rows of each that was new.

        Raises `KalshiError`, `InputError` and `StoreError`.
        """
        kinds: Sequence[Kind] = ("market", "trade")
        with tempfile.TemporaryDirectory(dir=target.store.folder, prefix=".daily") as folder:
            day = max(since, FIRST_DAY)
            while day <= until:
                for kind in kinds:
                    file = await self.fetch(kind, day, target, Path(folder))
                    if file is not None:
                        yield file.path.name, ingest_file(file, target)
                        file.path.unlink(missing_ok=True)
                day += timedelta(days=1)

    async def fetch(self, kind: Kind, day: date, target: IngestStore, folder: Path) -> DailyFile | None:
        """Download the file of a day, unless the stored one has its ETag. None if it has, or there is no such file.

        A missing file is noted as missing, which does not mean that nothing was traded.
        """
        known = _known_etag(target, kind, day)
        headers = {"If-None-Match": known} if known else {}
        for suffix in SUFFIXES:
            path = folder / f"{kind}_data_{day}{suffix}"
            with path.open("wb") as file:
                answer = await self.download(HttpRequest("GET", f"{self.base_url}{path.name}", headers), file.write)
            if answer.status == 304:
                return None
            if answer.status == 200:
                return DailyFile(path, kind, day, _publication_time(answer, day), answer.headers.get("ETag", ""))
            if answer.status not in (403, 404):
                raise error_for_status(answer.status)(
                    f"cannot download {path.name}: the server answered {answer.status}", status=answer.status
                )
        begin = datetime.combine(day, time(), UTC)
        target.add(Batch([Entry(f"daily-{kind}:{day}", "file", begin, begin + timedelta(days=1), "missing")]))
        return None


def _read_parts(file: DailyFile) -> Iterator[pl.DataFrame]:
    """Yield the rows of a file in parts, so that it never has to fit into memory."""
    row: type[_MarketRow] | type[_TradeRow] = _MarketRow if file.kind == "market" else _TradeRow
    decoder = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]  # chosen at run time
    names = row.__struct_fields__
    rows: list[tuple[object, ...]] = []
    try:
        with _open(file.path) as stream:
            for objects in _split_objects(stream):
                rows += [msgspec.structs.astuple(each) for each in decoder.decode(b"[" + b",".join(objects) + b"]")]
                if len(rows) >= _PART_ROWS:
                    yield _as_text(rows, names)
                    rows = []
    except (OSError, EOFError, msgspec.MsgspecError) as error:
        raise InputError(f"cannot read {file.path} ({error})", remedy="Download it again") from error
    if rows:
        yield _as_text(rows, names)


def _split_objects(stream: IO[bytes]) -> Iterator[list[bytes]]:
    """Yield the objects of a JSON array piece by piece. They are flat: none contains another."""
    rest = b""
    while piece := stream.read(_PIECE):
        text = rest + piece
        objects = _OBJECT.findall(text)
        rest = text[text.rfind(b"}") + 1 :] if objects else text
        if objects:
            yield objects
    if b"{" in rest:
        raise EOFError("the file ends within a row")


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", gzip.open(path, "rb")) if packed else path.open("rb")


def _as_text(rows: Sequence[tuple[object, ...]], names: Sequence[str]) -> pl.DataFrame:
    values = [[None if value is None else str(value) for value in column] for column in zip(*rows, strict=True)]
    return pl.DataFrame(dict(zip(names, values, strict=True)), schema=dict.fromkeys(names, pl.String))


def _tables(file: DailyFile, rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    if file.kind == "trade":
        created = pl.coalesce(parse_times("create_ts"), pl.col("create_ts").str.to_datetime(
            time_unit="us", time_zone="UTC", strict=False))  # fmt: skip
        trades = rows.select(
            created.alias("created_ts"),
            ticker="ticker_name",
            price_u=_cents("price"),
            count_cc=count_units("contracts_traded"),
        )
        return {"trades": trades.drop_nulls(["created_ts", "price_u", "count_cc"]).with_columns(seen_ts="created_ts")}
    daily = rows.select(
        "status",
        ticker="ticker_name",
        day=pl.col("date").str.slice(0, 10).str.to_date(strict=False).fill_null(file.day),
        high_u=_cents("high"),
        low_u=_cents("low"),
        volume_cc=count_units("daily_volume"),
        block_volume_cc=count_units("block_volume"),
        open_interest_cc=count_units("open_interest"),
        seen_ts=pl.lit(file.published_ts),
    )
    return {"daily": daily}


def _cents(name: str) -> pl.Expr:
    """Return micro-dollars of a text in cents, which may have fractions. 0 is no price: nothing was traded."""
    units = pl.col(name).cast(pl.Decimal(18, 4), strict=False).to_physical().cast(pl.Int64)
    return pl.when(units.is_between(1, 1_000_000, closed="both")).then(units)


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror})", remedy="Check the path") from error


def _is_current(target: IngestStore, source: str, digest: str) -> bool:
    return any(entry.hash == digest and entry.state in ("done", "empty") for entry in target.of_source(source))


def _known_etag(target: IngestStore, kind: Kind, day: date) -> str:
    etags = [entry.etag for entry in target.of_source(f"daily-{kind}:{day}") if entry.etag]
    return etags[-1] if etags else ""


def _publication_time(answer: Response, day: date) -> datetime:
    try:
        return parsedate_to_datetime(answer.headers["Last-Modified"]).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.combine(day, time(), UTC) + PUBLISHED_AFTER


def _entry(file: DailyFile, item: str, state: State, rows: int, *, size: int = 0, digest: str = "") -> Entry:
    begin = datetime.combine(file.day, time(), UTC)
    return Entry(file.source, item, begin, begin + timedelta(days=1), state, rows, size, digest, file.etag)

"""`ingest exchange`, `ingest daily` and `ingest table`: bring the past into a store folder of its own."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from fairline.api.options import Connection, Credentials
from fairline.cli.options import ConnectionOptions, CredentialOptions
from fairline.cli.settings import read_settings, sign_in
from fairline.cli.terminal import note, progress_bar
from fairline.errors import UsageError

if TYPE_CHECKING:
    from fairline.config.settings import Settings
    from fairline.store.ingest.batch import IngestStore
    from fairline.store.ingest.exchange import Report
    from fairline.store.ingest.plan import ExchangeOptions, Plan

_Into = Annotated[Path | None, Parameter(name="--into", help="Store folder. Default: beside that of the watch.")]
Every = Literal["1m", "1h", "1d"]
_MINUTES: dict[str, Literal[1, 60, 1440]] = {"1m": 1, "1h": 60, "1d": 1440}


def exchange(
    *,
    series: Annotated[tuple[str, ...], Parameter(help="A series, such as KXHIGHNY. Repeatable.")] = (),
    since: Annotated[timedelta, Parameter(help="How far back, such as 90d.")] = timedelta(days=90),
    every: Annotated[Every, Parameter(help="Length of a candle.")] = "1h",
    trades: Annotated[bool, Parameter(negative="", help="Also read every trade.")] = False,
    plan: Annotated[
        bool, Parameter(negative="", help="Show requests, tokens, minutes and disk, and read nothing.")
    ] = False,
    into: _Into = None,
    connection: ConnectionOptions = Connection(),
    credentials: CredentialOptions = Credentials(),
) -> None:
    """Read settled and live markets of a series with candles and trades, from the archive too."""
    from fairline.store.ingest.plan import ExchangeOptions

    names = tuple(name.strip().upper() for name in series)
    options = ExchangeOptions(names, datetime.now(UTC) - since, _MINUTES[every], trades)
    settings = read_settings(connection, credentials)
    asyncio.run(_ingest_exchange(settings, options, _folder(settings, into), plan_only=plan))


async def _ingest_exchange(settings: "Settings", options: "ExchangeOptions", folder: Path, *, plan_only: bool) -> None:
    from fairline.config.connect import connect
    from fairline.store.ingest.batch import IngestStore
    from fairline.store.ingest.exchange import ExchangeIngest

    kalshi = await connect(settings, sign_in(settings), note)
    async with kalshi:
        with IngestStore(folder, settings.environment) as target:
            ingest = ExchangeIngest(kalshi, target, options)
            plan = await ingest.prepare(kalshi.transport.bucket.rate.refill)
            note(_describe_plan(plan))
            if plan_only:
                return
            with progress_bar("requests") as progress:
                report = await ingest.run(lambda done, _: progress(done) if progress else None)
    _report(report, folder)


def _describe_plan(plan: "Plan") -> str:
    return (
        f"{plan.markets:,} markets: {plan.requests:,} requests ({plan.candle_requests:,} for candles, about "
        f"{plan.trade_requests:,} for trades), {plan.tokens:,} tokens, {plan.minutes:,.1f} minutes, "
        f"about {plan.megabytes:,.1f} MB"
    )


def _report(report: "Report", folder: Path) -> None:
    for mismatch in report.mismatches:
        note(f"fairline: {mismatch}")
    note(f"Ingested {report.candles:,} candles and {report.trades:,} trades into {folder}")


def daily(
    *files: Annotated[Path, Parameter(help="Daily files on this machine.")],
    since: Annotated[str | None, Parameter(help="Download all days from this date (YYYY-MM-DD) to yesterday.")] = None,
    into: _Into = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """Read the exchange's public daily files: statistics of each market, and all trades."""
    from fairline.store.ingest.batch import IngestStore
    from fairline.store.ingest.daily import ingest_file, recognize

    if bool(files) == bool(since):
        raise UsageError("expected either files or --since")
    settings = read_settings(connection)
    folder = _folder(settings, into)
    with IngestStore(folder, settings.environment) as target:
        if since:
            asyncio.run(_ingest_days(since, target))
        for path in files:
            note(f"{path.name}: {ingest_file(recognize(path), target):,} rows")
    note(f"Ingested into {folder}")


async def _ingest_days(since: str, target: "IngestStore") -> None:
    from fairline.kalshi import Timeouts
    from fairline.kalshi.http import AiohttpSend
    from fairline.store.ingest.daily import DailyArchive

    try:
        first = date.fromisoformat(since)
    except ValueError as error:
        raise UsageError(f"expected a date such as 2026-01-31, not {since!r}", field="since") from error
    send = AiohttpSend(Timeouts())
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    async for name, rows in DailyArchive(send.download).ingest(first, yesterday, target):
        note(f"{name}: {rows:,} rows")


def table(
    file: Annotated[Path, Parameter(help="A CSV, Parquet, JSON or JSON Lines file, also compressed.")],
    /,
    *,
    map: Annotated[Path, Parameter(help="What its columns mean; see examples/maps.")],  # noqa: A002  the option's name
    into: _Into = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """Read anyone's table of quotes, facts, results, forecasts or trades."""
    from fairline.store.ingest.batch import IngestStore
    from fairline.store.ingest.maps import read_map
    from fairline.store.ingest.table import ingest_table

    settings, table_map = read_settings(connection), read_map(map)
    folder = _folder(settings, into)
    with IngestStore(folder, settings.environment) as target:
        report = ingest_table(file, table_map, target)
    if report is None:
        note(f"{file.name} was ingested with this map before")
        return
    for dataset, count in report.rows.items():
        note(f"{dataset}: {count:,} of {report.read:,} rows")
    note(f"Ingested into {folder}")


def _folder(settings: "Settings", into: Path | None) -> Path:
    from fairline.config.connect import store_folder

    beside = store_folder(settings, None)
    return into or beside.with_name(f"{beside.name}-history")

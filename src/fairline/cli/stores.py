"""`store check`, `store migrate` and `store size`: the files of a store."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fairline.api.options import Connection
from fairline.cli.options import ConnectionOptions, StoreFolder
from fairline.cli.output import FormatOptions, emit
from fairline.cli.settings import open_store, read_settings
from fairline.cli.terminal import note
from fairline.errors import StoreError

if TYPE_CHECKING:
    import polars as pl


def check(
    *,
    output: FormatOptions = FormatOptions(),
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """Compare every file of the store with its hash and name what is damaged or missing."""
    from fairline.store.check import check_store

    folder = open_store(read_settings(connection), store).folder
    findings = list(check_store(folder))
    rows = [
        {"file": str(finding.path.relative_to(folder)), "problem": finding.text, "damage": not finding.note}
        for finding in findings
    ]

    def print_findings() -> None:
        for row in rows:
            print(f"{row['file']} {row['problem']}")

    emit(output, table=print_findings, document=lambda: rows, rows=lambda: rows)
    damaged = sum(not finding.note for finding in findings)
    if damaged:
        raise StoreError(
            f"{damaged} files of {folder} are damaged or missing",
            remedy="Restore them from a backup; everything else can be used",
        )
    note(f"{folder} is undamaged")


def migrate(*, store: StoreFolder = None, connection: ConnectionOptions = Connection()) -> None:
    """Rewrite a store of an earlier version in today's."""
    from fairline.config.connect import store_folder
    from fairline.store.migrate import migrate as migrate_store

    folder = store_folder(read_settings(connection), store)
    count = migrate_store(folder)
    note(f"Rewrote {count:,} files of {folder}" if count else f"{folder} has today's version")


def size(
    *,
    days: Annotated[int, Parameter(help="Show this many days.")] = 7,
    output: FormatOptions = FormatOptions(),
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """Show how much disk each dataset takes, in all and per day."""
    import polars as pl

    from fairline.output.console import show
    from fairline.output.formats import json_objects
    from fairline.output.records import frame_grid
    from fairline.store.usage import disk_usage

    usage = disk_usage(open_store(read_settings(connection), store).folder)
    latest = usage["day"].unique().sort(descending=True).head(days)
    totals = usage.group_by("dataset").agg(total_mb=_megabytes(pl.col("bytes").sum()))
    shown = usage.filter(pl.col("day").is_in(latest.implode())).with_columns(mb=_megabytes(pl.col("bytes")))
    by_day = shown.pivot("day", index="dataset", values="mb")
    table = totals.join(by_day, on="dataset", how="left").sort("total_mb", descending=True)
    emit(output, table=lambda: show(frame_grid(table)), document=lambda: json_objects(usage), rows=lambda: usage)


def _megabytes(size: "pl.Expr") -> "pl.Expr":
    return (size / 1e6).round(2)

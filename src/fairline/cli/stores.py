"""`store check`, `store migrate` and `store size`: the files of a store."""

import json
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fairline.api.options import Connection
from fairline.cli.options import ConnectionOptions, Json, StoreFolder
from fairline.cli.settings import open_store, read_settings
from fairline.cli.terminal import deliver, note
from fairline.errors import StoreError

if TYPE_CHECKING:
    import polars as pl


def check(
    *, json_output: Json = False, store: StoreFolder = None, connection: ConnectionOptions = Connection()
) -> None:
    """Compare every file of the store with its hash and name what is damaged or missing."""
    from fairline.store.check import check_store

    folder = open_store(read_settings(connection), store).folder
    findings = list(check_store(folder))
    if json_output:
        rows = [
            {"file": str(finding.path.relative_to(folder)), "problem": finding.text, "damage": not finding.note}
            for finding in findings
        ]
        deliver(json.dumps(rows, indent=2).encode() + b"\n", None)
    else:
        for finding in findings:
            print(f"{finding.path.relative_to(folder)} {finding.text}")
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
    json_output: Json = False,
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """Show how much disk each dataset takes, in all and per day."""
    import polars as pl

    from fairline.output import tables, terminal
    from fairline.output.console import show
    from fairline.store.usage import disk_usage

    usage = disk_usage(open_store(read_settings(connection), store).folder)
    if json_output:
        deliver(tables.encode_rows(usage), None)
        return
    latest = usage["day"].unique().sort(descending=True).head(days)
    totals = usage.group_by("dataset").agg(total_mb=_megabytes(pl.col("bytes").sum()))
    shown = usage.filter(pl.col("day").is_in(latest.implode())).with_columns(mb=_megabytes(pl.col("bytes")))
    by_day = shown.pivot("day", index="dataset", values="mb")
    show(terminal.plain_table(totals.join(by_day, on="dataset", how="left").sort("total_mb", descending=True)))


def _megabytes(size: "pl.Expr") -> "pl.Expr":
    return (size / 1e6).round(2)

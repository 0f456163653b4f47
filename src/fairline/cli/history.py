"""`now`, `history`, `report`, `scorecard` and `sql`: what a watch has recorded."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fairline.api.options import Connection
from fairline.cli.options import ConnectionOptions, Since, StoreFolder
from fairline.cli.output import FormatOptions, TableOptions, emit
from fairline.cli.settings import open_store, read_settings, warn_about_damage
from fairline.cli.terminal import note

if TYPE_CHECKING:
    from fairline.config.settings import Settings
    from fairline.store.store import Store

_CHART_SUFFIXES = (".html", ".png", ".svg")
_PLOT_WIDTH = 120
_TOP = 20
"""Rows of a table on the terminal, unless --top says otherwise."""


def now(
    *,
    output: TableOptions = TableOptions(),
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """List the opportunities that the last scan of the watch left open, from the store."""
    from fairline.output.console import show
    from fairline.output.current import current_report, read_current

    arrangement, view = output.arrangement, output.view
    settings = read_settings(connection)
    opened = open_store(settings, store)
    current = read_current(opened, _exchange_of(opened, settings))
    warn_about_damage(opened)
    rows = arrangement.apply(current.opportunities)

    def print_table() -> None:
        everything = current.opportunities
        shown = replace(arrangement, columns=(), top=arrangement.top or _TOP).apply(everything)
        show(current_report(current, shown, view, datetime.now(UTC), more=everything.height - shown.height))

    emit(output, table=print_table, document=lambda: current.document(rows), rows=lambda: rows)


def history(
    ticker: Annotated[str, Parameter(help="A market's ticker, in any case, or its address on kalshi.com.")],
    /,
    *,
    since: Since = None,
    output: FormatOptions = FormatOptions(),
    local_time: Annotated[bool, Parameter(negative="", help="Show times in the local time zone, not UTC.")] = False,
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """Show a market's prices, the models' probabilities, and when it was an opportunity."""
    from fairline.market.tickers import parse_market_ticker
    from fairline.output import records
    from fairline.output.console import open_console, show
    from fairline.output.files import write_output
    from fairline.output.history import read_history
    from fairline.output.plot import plot_history

    opened = open_store(read_settings(connection), store)
    market = read_history(opened, parse_market_ticker(ticker), _start(since))
    warn_about_damage(opened)
    if output.output is not None and output.output.suffix.lower() in _CHART_SUFFIXES:
        write_output(output.output, market.render(output.output))
        note(f"Wrote {output.output}")
        return

    def print_chart() -> None:
        print(plot_history(market.quotes, market.predictions, min(open_console().width, _PLOT_WIDTH), local=local_time))
        show(records.history_report(market.quotes, market.edges, local=local_time))

    emit(output, table=print_chart, document=market.document, rows=lambda: market.quotes)


def report(
    *,
    since: Annotated[timedelta, Parameter(help="The last 24h, 7d, ….")] = timedelta(hours=24),
    output: Annotated[Path, Parameter(help="Write the page to this file.")] = Path("fairline-report.html"),
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """Write one self-contained page: what is on offer, what appeared and went, results, funnel, health, charts."""
    from fairline.output.files import write_output
    from fairline.output.html import report_page

    settings = read_settings(connection)
    opened, until = open_store(settings, store), datetime.now(UTC)
    page = report_page(opened, until - since, until, _exchange_of(opened, settings))
    warn_about_damage(opened)
    write_output(output, page.encode())
    note(f"Wrote {output}")


def scorecard(
    *,
    since: Since = None,
    output: FormatOptions = FormatOptions(),
    plot: Annotated[Path | None, Parameter(help="Draw the reliability chart to this .png or .svg file.")] = None,
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """Compare promised with realised EV, and each model with the market's price."""
    from fairline.api.taken import read_taken_claims
    from fairline.output import charts, records
    from fairline.output.console import show
    from fairline.output.files import write_output
    from fairline.scoring.scorecard import read_scorecard, scorecard_document

    opened = open_store(read_settings(connection), store)
    card = read_scorecard(opened, _start(since))
    warn_about_damage(opened)
    if plot is not None:
        write_output(plot, charts.write_figure(charts.reliability_figure(card.reliability), plot))
        note(f"Wrote {plot}")
    taken = read_taken_claims(opened, opened.folder)

    def print_report() -> None:
        show(records.scorecard_report(card))
        if taken is not None:
            print(taken)

    emit(
        output,
        table=print_report,
        document=lambda: scorecard_document(card) | ({"taken": taken.document()} if taken is not None else {}),
        rows=lambda: records.scorecard_rows(card),
    )


def sql(
    text: Annotated[str, Parameter(help="A query over quotes, facts, predictions, edges, settlements, scans.")],
    /,
    *,
    output: FormatOptions = FormatOptions(),
    local_time: Annotated[bool, Parameter(negative="", help="Show times in the local time zone, not UTC.")] = False,
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """Query the store in SQL (needs the extra `sql`). Columns: docs/running.md."""
    from fairline.output import records
    from fairline.output.console import show
    from fairline.output.formats import json_objects
    from fairline.store.sql import query

    rows = query(open_store(read_settings(connection), store), text)
    emit(
        output,
        table=lambda: show(records.frame_grid(rows, local=local_time)),
        document=lambda: json_objects(rows),
        rows=lambda: rows,
    )


def _start(since: timedelta | None) -> datetime | None:
    return None if since is None else datetime.now(UTC) - since


def _exchange_of(store: "Store", settings: "Settings") -> str:
    """Return the address of the exchange whose markets a store holds, or its name where the settings are of another."""
    return settings.url if store.exchange in ("", settings.environment) else store.exchange

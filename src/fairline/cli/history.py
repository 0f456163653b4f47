"""`history`, `report`, `scorecard` and `sql`: what a watch has recorded."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from fairline.api.options import Connection
from fairline.cli.options import ConnectionOptions, Json, Since, StoreFolder
from fairline.cli.settings import open_store, read_settings, warn_about_damage
from fairline.cli.terminal import deliver, note

SqlFormat = Literal["table", "json", "csv"]


def history(
    ticker: Annotated[str, Parameter(help="A market's ticker.")],
    /,
    *,
    since: Since = None,
    output: Annotated[
        Path | None, Parameter(help="Write a chart (.png, .svg or .html) or the figures (.csv) to this file.")
    ] = None,
    json_output: Json = False,
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """Show a market's prices, the models' probabilities, and when it was an opportunity."""
    from fairline.api.session import parse_ticker
    from fairline.output import charts, tables, terminal
    from fairline.output.console import open_console, show
    from fairline.output.files import write_whole
    from fairline.output.history import read_history

    opened = open_store(read_settings(connection), store)
    market = read_history(opened, parse_ticker(ticker), _start(since))
    warn_about_damage(opened)
    if output is not None:
        write_whole(output, market.render(output))
        note(f"Wrote {output}")
    elif json_output:
        frames = {"quotes": market.quotes, "predictions": market.predictions, "edges": market.edges}
        rows = {name: tables.records(frame) for name, frame in frames.items()}
        deliver(tables.encode_json({"ticker": market.ticker, **rows}), None)
    else:
        print(charts.in_terminal(market.quotes, market.predictions, open_console().width))
        show(terminal.history_report(market.quotes, market.edges))


def report(
    *,
    since: Annotated[timedelta, Parameter(help="The last 24h, 7d, ….")] = timedelta(hours=24),
    output: Annotated[Path, Parameter(help="Write the page to this file.")] = Path("fairline-report.html"),
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """Write one self-contained page: what appeared, what went and why, results, funnel, health, charts."""
    from fairline.output.files import write_whole
    from fairline.output.html import report_page

    settings = read_settings(connection)
    opened, until = open_store(settings, store), datetime.now(UTC)
    page = report_page(opened, until - since, until, settings.url)
    warn_about_damage(opened)
    write_whole(output, page.encode())
    note(f"Wrote {output}")


def scorecard(
    *,
    since: Since = None,
    json_output: Json = False,
    plot: Annotated[Path | None, Parameter(help="Draw the reliability chart to this .png or .svg file.")] = None,
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """Compare promised with realised EV, and each model with the market's price."""
    from fairline.output import charts, tables, terminal
    from fairline.output.console import show
    from fairline.output.files import write_whole
    from fairline.scoring.scorecard import read_scorecard, scorecard_document

    opened = open_store(read_settings(connection), store)
    card = read_scorecard(opened, _start(since))
    warn_about_damage(opened)
    if plot is not None:
        write_whole(plot, charts.write_figure(charts.reliability_figure(card.reliability), plot))
        note(f"Wrote {plot}")
    if json_output:
        deliver(tables.encode_json(scorecard_document(card)), None)
    else:
        show(terminal.scorecard_report(card))


def sql(
    text: Annotated[str, Parameter(help="A query over quotes, facts, predictions, edges, settlements, scans.")],
    /,
    *,
    format: Annotated[SqlFormat, Parameter(help="Format of the rows.")] = "table",  # noqa: A002
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """Query the store in SQL (needs the extra `sql`). Columns: docs/running.md."""
    from fairline.output import tables, terminal
    from fairline.output.console import show
    from fairline.store.sql import query

    rows = query(open_store(read_settings(connection), store), text)
    if format == "json":
        deliver(tables.encode_rows(rows), None)
    elif format == "csv":
        deliver(tables.encode(tables.flatten(rows), "csv"), None)
    else:
        show(terminal.plain_table(rows))


def _start(since: timedelta | None) -> datetime | None:
    return None if since is None else datetime.now(UTC) - since

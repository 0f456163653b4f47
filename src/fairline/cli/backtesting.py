"""`backtest`: what a model would have earned over a recorded past, and the runs so far."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fairline.api.options import Connection, Period, Running, Sizing, Trading
from fairline.api.requests import BacktestRequest
from fairline.cli.options import (
    PERIOD,
    ConnectionOptions,
    FilterOptions,
    ModelArguments,
    ModelOptions,
    PeriodOptions,
    RuleOptions,
    RunningOptions,
    SizingOptions,
    StoreFolder,
    TradingOptions,
)
from fairline.cli.output import OUTPUT, PrintOptions, emit
from fairline.cli.settings import open_store, read_settings, warn_about_damage
from fairline.cli.terminal import note
from fairline.errors import UsageError
from fairline.market.filters import Filters
from fairline.pricing.rules import Rules

if TYPE_CHECKING:
    from fairline.api.backtest import Progress
    from fairline.api.backtest_report import BacktestReport
    from fairline.api.functions import AnyModel
    from fairline.store.store import Store

RUNS = "runs"
"""In place of models: list the runs so far."""
OUTPUT_SUFFIXES = (".html", ".json", ".parquet")


def backtest(
    *models: ModelArguments,
    named: ModelOptions = ModelOptions(),
    period: PeriodOptions = Period(),
    trading: TradingOptions = Trading(),
    running: RunningOptions = Running(),
    filters: FilterOptions = Filters(),
    rules: RuleOptions = Rules(),
    sizing: SizingOptions = Sizing(),
    output: Annotated[
        Path | None,
        Parameter(group=OUTPUT, help="Write a page (.html), everything (.json) or all trades (.parquet) to this file."),
    ] = None,
    plan: Annotated[
        bool, Parameter(group=PERIOD, negative="", help="Estimate what the test would take, and run nothing.")
    ] = False,
    printed: PrintOptions = PrintOptions(),
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
) -> int:
    """Test what models would have earned over a recorded past. `backtest runs` lists the tests so far."""
    from fairline.api.backtest import run_backtest_request

    if output is not None and output.suffix.lower() not in OUTPUT_SUFFIXES:
        raise UsageError(f"expected a name that ends in {', '.join(OUTPUT_SUFFIXES)}", field="output")
    opened = open_store(read_settings(connection), store)
    if models == (RUNS,):
        _list_runs(opened, printed)
        return 0
    request = BacktestRequest(connection, period, trading, running, filters, rules, sizing)
    if plan:
        _show_plan(named.all_models(*models), opened, request, printed)
        return 0
    try:
        with stage_progress() as progress:
            report = run_backtest_request(named.all_models(*models), opened, request, progress)
    except KeyboardInterrupt:
        note("fairline: finished blocks are kept; run the command again to continue")
        raise
    warn_about_damage(opened)
    if output is not None and report.proof_passed:
        _write(report, output)
    emit(printed, table=lambda: print(report), document=report.document, rows=lambda: report.trades)
    return 0 if report.proof_passed else 1


def _show_plan(models: "Sequence[AnyModel]", store: "Store", request: BacktestRequest, printed: PrintOptions) -> None:
    from fairline.api.backtest import plan_document
    from fairline.output.backtest_text import plan_text

    document = plan_document(models, store, request)
    emit(printed, table=lambda: print(plan_text(document)), document=lambda: document, rows=lambda: [document])


def _list_runs(store: "Store", printed: PrintOptions) -> None:
    from fairline.api.backtest import list_runs_document
    from fairline.output.backtest_text import runs_text

    document = list_runs_document(store)
    warn_about_damage(store)
    emit(printed, table=lambda: print(runs_text(document)), document=lambda: document, rows=lambda: document["runs"])


def _write(report: "BacktestReport", output: Path) -> None:
    from fairline.output.files import open_output
    from fairline.output.formats import write_document, write_rows

    suffix = output.suffix.lower()
    with open_output(output) as stream:
        if suffix == ".html":
            stream.write(report.html().encode())
        elif suffix == ".json":
            write_document(stream, report.document())
        else:
            write_rows(stream, "parquet", report.trades)
    note(f"Wrote {output} ({output.stat().st_size:,} bytes)")


@contextmanager
def stage_progress() -> "Iterator[Progress | None]":
    """Show a bar with the time left for each stage on a terminal, nothing in a pipe."""
    from fairline.output.console import open_console

    console = open_console(errors=True)
    if not console.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        tasks = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield report

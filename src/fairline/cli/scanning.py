"""`scan`, `markets`, `explain` and `coherence`: what is listed, what it is worth, and why."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter

from fairline.api.options import AccountUse, Books, Connection, Crawl, Credentials, ModelInputs, Sizing
from fairline.api.requests import CoherenceRequest, ExplainRequest, MarketsRequest, ScanRequest
from fairline.cli.options import (
    AccountUseOptions,
    BookOptions,
    ConnectionOptions,
    CrawlOptions,
    CredentialOptions,
    FilterOptions,
    InputOptions,
    ModelArguments,
    ModelOptions,
    Plan,
    RuleOptions,
    SizingOptions,
)
from fairline.cli.output import FormatOptions, RowOptions, TableOptions, emit
from fairline.cli.terminal import note, passphrase_prompt, progress_bar, resume_hint
from fairline.market.filters import Filters
from fairline.pricing.rules import Rules

if TYPE_CHECKING:
    from fairline.api.session import Hooks
    from fairline.market.listing import Listing
    from fairline.market.plan import PlannedRequests
    from fairline.market.problem import Problem

T = TypeVar("T")
INCOMPLETE = 3
"""Exit code."""
TOP = 20
"""Rows of a table on the terminal, unless --top says otherwise."""
MARKET_ORDER = "volume_24h"


def scan(
    *models: ModelArguments,
    named: ModelOptions = ModelOptions(),
    inputs: InputOptions = ModelInputs(),
    filters: FilterOptions = Filters(),
    rules: RuleOptions = Rules(),
    sizing: SizingOptions = Sizing(),
    account: AccountUseOptions = AccountUse(),
    books: BookOptions = Books(),
    crawl: CrawlOptions = Crawl(),
    plan: Plan = False,
    output: RowOptions = RowOptions(),
    connection: ConnectionOptions = Connection(),
    credentials: CredentialOptions = Credentials(),
) -> int:
    """Price every market with your models and rank what is mispriced after fees."""
    from fairline.api.functions import run_scan_request
    from fairline.market.plan import PlannedRequests
    from fairline.output.console import show

    arrangement, view = output.arrangement, output.view
    if plan:
        reread = [PlannedRequests("/markets/orderbooks", None, "of the candidates, 100 per request")]
        return show_plan(connection, credentials, filters, crawl, reread if books.books else [], output)
    request = ScanRequest(connection, credentials, filters, rules, sizing, account, books, inputs, crawl)
    wanted = named.all_models(*models)
    report = ask_exchange(connection, crawl, lambda hooks: run_scan_request(wanted, request, hooks))
    rows = arrangement.apply(report.opportunities)

    def print_table() -> None:
        shown = replace(arrangement, columns=(), top=arrangement.top or TOP).apply(report.opportunities)
        show(report.text(shown, view))

    emit(output, table=print_table, document=lambda: report.document(rows), rows=lambda: rows)
    warn(output, report.listing, report.problems)
    if not wanted and output.is_table:
        used = ", ".join(report.models) or "none"
        note(f"Models that need no key: {used}. Add your own with --probabilities FILE or --model NAME.")
    return 0 if report.complete else INCOMPLETE


def markets(
    *,
    filters: FilterOptions = Filters(),
    crawl: CrawlOptions = Crawl(),
    plan: Plan = False,
    template: Annotated[
        Path | None, Parameter(help="Write a table of these markets to this file, for your own probabilities.")
    ] = None,
    output: TableOptions = TableOptions(),
    connection: ConnectionOptions = Connection(),
    credentials: CredentialOptions = Credentials(),
) -> int:
    """List every market with the probabilities its prices imply. No model needed."""
    from fairline.api.functions import run_markets_request
    from fairline.output import documents, tables, terminal
    from fairline.output.console import show

    arrangement, view = output.arrangement, output.view
    if plan:
        return show_plan(connection, credentials, filters, crawl, [], output)
    request = MarketsRequest(connection, credentials, filters, crawl)
    report = ask_exchange(connection, crawl, lambda hooks: run_markets_request(request, hooks))
    listing = report.listing
    if arrangement.sort is None and (arrangement.top or output.is_table):
        arrangement = replace(arrangement, sort=MARKET_ORDER)

    def print_table() -> None:
        shown = replace(arrangement, columns=(), top=arrangement.top or 2 * TOP).apply(report.markets)
        order = "most traded in 24 hours first" if arrangement.sort == MARKET_ORDER else f"sorted by {arrangement.sort}"
        show(terminal.markets_report(listing, shown, view, order))

    if template is not None:
        wanted = FormatOptions(format="csv", output=template)
        empty = tables.template_table(
            listing.markets if arrangement.top is None else listing.markets.head(arrangement.top)
        )
        emit(wanted, table=lambda: None, document=list, rows=lambda: empty)
        return 0 if report.complete else INCOMPLETE
    # Without an order or a choice of columns, rows are converted as they are written.
    streamed = arrangement == tables.Arrangement()
    rows = listing.markets if streamed else arrangement.apply(report.markets)
    emit(
        output,
        table=print_table,
        document=lambda: documents.rows_document(listing, "markets", rows),
        rows=lambda: rows,
        transform=tables.market_table if streamed else None,
    )
    warn(output, listing, listing.problems)
    return 0 if report.complete else INCOMPLETE


def explain(
    ticker: Annotated[str, Parameter(help="A market's ticker, in any case, or its address on kalshi.com.")],
    /,
    *models: ModelArguments,
    named: ModelOptions = ModelOptions(),
    inputs: InputOptions = ModelInputs(),
    rules: RuleOptions = Rules(),
    output: FormatOptions = FormatOptions(),
    connection: ConnectionOptions = Connection(),
    credentials: CredentialOptions = Credentials(),
) -> None:
    """Show how one market fares in each step of a scan, with its numbers."""
    from fairline.api.functions import run_explain_request
    from fairline.api.session import Hooks

    request = ExplainRequest(connection, credentials, rules, inputs)
    hooks = Hooks(notify=note, ask_passphrase=passphrase_prompt())
    report = asyncio.run(run_explain_request(ticker, named.all_models(*models), request, hooks))
    emit(output, table=lambda: print(report), document=report.document, rows=report.rows)


def coherence(
    *,
    everything: Annotated[
        bool, Parameter(name="--all", negative="", help="Include violations that are unprofitable after fees.")
    ] = False,
    filters: FilterOptions = Filters(),
    books: BookOptions = Books(),
    crawl: CrawlOptions = Crawl(),
    output: TableOptions = TableOptions(),
    connection: ConnectionOptions = Connection(),
    credentials: CredentialOptions = Credentials(),
) -> int:
    """List quotes that contradict each other, priced with fees on every leg."""
    from fairline.api.functions import run_coherence_request
    from fairline.output import documents, terminal
    from fairline.output.console import show

    arrangement = output.arrangement
    request = CoherenceRequest(connection, credentials, filters, books, crawl)
    report = ask_exchange(connection, crawl, lambda hooks: run_coherence_request(request, hooks))
    wanted = report.violations if everything else report.violations.filter(report.violations["profit"] > 0)

    def print_table() -> None:
        shown = replace(arrangement, columns=(), top=arrangement.top or TOP).apply(wanted)
        show(terminal.coherence_report(report.listing, report.raw, shown))

    rows = arrangement.apply(wanted)
    emit(
        output,
        table=print_table,
        document=lambda: documents.rows_document(report.listing, "violations", rows),
        rows=lambda: rows,
    )
    warn(output, report.listing, report.problems)
    return 0 if report.complete else INCOMPLETE


def ask_exchange(connection: Connection, crawl: Crawl, ask: "Callable[[Hooks], Coroutine[Any, Any, T]]") -> T:
    """Run a question to the exchange with a progress bar, and a hint how to resume after an interruption."""
    from fairline.api.session import Hooks, ages, open_session

    memory = open_session(connection, Credentials(), Hooks()).memory
    with resume_hint(memory, ages(crawl).crawl_s), progress_bar("markets") as progress:
        return asyncio.run(ask(Hooks(progress, note, passphrase_prompt())))


def show_plan(
    connection: Connection,
    credentials: Credentials,
    filters: Filters,
    crawl: Crawl,
    more: "Sequence[PlannedRequests]",
    output: FormatOptions,
) -> int:
    """Print the requests that a command would send, and return the exit code."""
    from fairline.api import session
    from fairline.market.plan import plan_requests
    from fairline.output import terminal
    from fairline.output.console import show

    opened = session.open_session(connection, credentials, session.Hooks())
    url = opened.settings.url
    steps = [*plan_requests(url, session.exact_filters(filters), opened.memory, session.ages(crawl)), *more]
    rows = [{"path": step.path, "requests": step.requests, "why": step.why} for step in steps]
    emit(
        output,
        table=lambda: show(terminal.plan_report(steps)),
        document=lambda: {"exchange": url, "plan": rows},
        rows=lambda: rows,
    )
    return 0


def warn(output: FormatOptions, listing: "Listing", problems: "Sequence[Problem]") -> None:
    """Print on standard error what the chosen format has no place for."""
    from fairline.output import terminal

    if not output.is_table and not listing.complete:
        note(f"fairline: incomplete: {'; '.join(listing.incomplete_reasons)}")
    if output.chosen not in ("table", "json"):
        for line in terminal.problem_lines(listing, problems):
            note(f"fairline: {line}")

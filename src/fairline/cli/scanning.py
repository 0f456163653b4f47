"""`scan`, `markets`, `explain` and `coherence`: what is listed, what it is worth, and why."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
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
    Json,
    ModelArguments,
    ModelOptions,
    OutputOptions,
    Plan,
    RuleOptions,
    SizingOptions,
    Top,
)
from fairline.cli.terminal import deliver, note, passphrase_prompt, progress_bar, resume_hint
from fairline.market.filters import Filters
from fairline.pricing.rules import Rules

if TYPE_CHECKING:
    from fairline.api.session import Hooks
    from fairline.market.listing import Listing
    from fairline.market.plan import PlannedRequests
    from fairline.market.problem import Problem

T = TypeVar("T")
INCOMPLETE = 3


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
    output: OutputOptions = OutputOptions(),
    connection: ConnectionOptions = Connection(),
    credentials: CredentialOptions = Credentials(),
) -> int:
    """Price every market with your models and rank what is mispriced after fees."""
    from fairline.api.functions import run_scan_request
    from fairline.market.plan import PlannedRequests
    from fairline.output import tables, terminal, writers
    from fairline.output.console import show
    from fairline.output.files import choose_format

    chosen = choose_format(output.format, output.output)
    if plan:
        more = (
            [PlannedRequests("/markets/orderbooks", None, "of the candidates, 100 per request")] if books.books else []
        )
        show_plan(connection, credentials, filters, crawl, more, output)
        return 0
    request = ScanRequest(connection, credentials, filters, rules, sizing, account, books, inputs, crawl)
    wanted = named.all_models(*models)
    report = ask_exchange(connection, crawl, lambda hooks: run_scan_request(wanted, request, hooks))
    listing, top = report.listing, output.top
    if chosen == "table":
        show(terminal.scan_report(listing, report.evaluation, top or 20))
    elif chosen == "json":
        deliver(writers.encode_document(tables.scan_document(listing, report.evaluation, top)), output.output)
    else:
        rows = report.opportunities
        deliver(tables.encode(rows.head(top) if top else rows, chosen), output.output)
    warn(chosen, listing, report.problems)
    if not wanted and chosen == "table":
        note("No model was given, so nothing could be priced: add --probabilities FILE or --model NAME.")
    return 0 if report.complete else INCOMPLETE


def markets(
    *,
    filters: FilterOptions = Filters(),
    crawl: CrawlOptions = Crawl(),
    template: Annotated[
        Path | None, Parameter(help="Write a table of these markets to this file, for your own probabilities.")
    ] = None,
    plan: Plan = False,
    output: OutputOptions = OutputOptions(),
    connection: ConnectionOptions = Connection(),
    credentials: CredentialOptions = Credentials(),
) -> int:
    """List every market with the probabilities its prices imply. No model needed."""
    from fairline.api.functions import run_markets_request
    from fairline.output import tables, terminal, writers
    from fairline.output.console import show
    from fairline.output.files import choose_format

    chosen = choose_format(output.format, output.output)
    if plan:
        show_plan(connection, credentials, filters, crawl, [], output)
        return 0
    request = MarketsRequest(connection, credentials, filters, crawl)
    report = ask_exchange(connection, crawl, lambda hooks: run_markets_request(request, hooks))
    listing, top = report.listing, output.top
    if template is not None:
        deliver(writers.encode_table(tables.template_rows(listing.markets, top), "csv"), template)
    elif chosen == "table":
        show(terminal.markets_report(listing, top or 40))
    elif chosen == "json":
        deliver(writers.encode_document(tables.markets_document(listing, top)), output.output)
    else:
        deliver(writers.encode_table(tables.market_rows(listing.markets, top), chosen), output.output)
    warn(chosen, listing, listing.problems)
    return 0 if report.complete else INCOMPLETE


def explain(
    ticker: Annotated[str, Parameter(help="A market's ticker.")],
    /,
    *models: ModelArguments,
    named: ModelOptions = ModelOptions(),
    inputs: InputOptions = ModelInputs(),
    rules: RuleOptions = Rules(),
    json_output: Json = False,
    connection: ConnectionOptions = Connection(),
    credentials: CredentialOptions = Credentials(),
) -> None:
    """Show how one market fares in each step of a scan, with its numbers."""
    from fairline.api.functions import run_explain_request
    from fairline.api.session import Hooks

    request = ExplainRequest(connection, credentials, rules, inputs)
    hooks = Hooks(notify=note, ask_passphrase=passphrase_prompt())
    report = asyncio.run(run_explain_request(ticker, named.all_models(*models), request, hooks))
    print(json.dumps(report.document(), indent=2) if json_output else report)


def coherence(
    *,
    everything: Annotated[
        bool, Parameter(name="--all", negative="", help="Include violations that are unprofitable after fees.")
    ] = False,
    filters: FilterOptions = Filters(),
    books: BookOptions = Books(),
    crawl: CrawlOptions = Crawl(),
    top: Top = None,
    json_output: Json = False,
    connection: ConnectionOptions = Connection(),
    credentials: CredentialOptions = Credentials(),
) -> int:
    """List quotes that contradict each other, priced with fees on every leg."""
    from fairline.api.functions import run_coherence_request
    from fairline.output import tables, terminal
    from fairline.output.console import show

    request = CoherenceRequest(connection, credentials, filters, books, crawl)
    report = ask_exchange(connection, crawl, lambda hooks: run_coherence_request(request, hooks))
    rows = report.raw
    shown = rows if everything else rows.filter(rows["profit_u"] > 0)
    if json_output:
        document = tables.coherence_document(report.listing, shown.head(top) if top else shown)
        deliver(tables.encode_json(document), None)
    else:
        show(terminal.coherence_report(report.listing, rows, shown.head(top or 20)))
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
    output: OutputOptions,
) -> None:
    """Print the requests that a command would send, as a table or JSON."""
    from fairline.api import session
    from fairline.market.plan import plan_requests
    from fairline.output import tables, terminal
    from fairline.output.console import show
    from fairline.output.files import choose_format

    opened = session.open_session(connection, credentials, session.Hooks())
    url = opened.settings.url
    steps = [*plan_requests(url, session.exact_filters(filters), opened.memory, session.ages(crawl)), *more]
    if choose_format(output.format, output.output) == "table":
        show(terminal.plan_report(steps))
    else:
        rows = [{"path": step.path, "requests": step.requests, "why": step.why} for step in steps]
        deliver(tables.encode_json({"exchange": url, "plan": rows}), output.output)


def warn(form: str, listing: "Listing", problems: "Sequence[Problem]") -> None:
    """Print on standard error what the chosen format has no place for."""
    from fairline.output import terminal

    if form != "table" and not listing.complete:
        note(f"fairline: incomplete: {'; '.join(listing.incomplete_reasons)}")
    if form in ("csv", "parquet"):
        for line in terminal.trouble_lines(listing, problems):
            note(f"fairline: {line}")

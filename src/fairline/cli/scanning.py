"""`scan`, `markets`, `explain` and `models`: what is listed, what it is worth, and by whose opinion."""

import asyncio
import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, cast

import typer

from fairline.cli.options import (
    AsJson,
    BankrollOption,
    Caps,
    Category,
    ClosesWithin,
    EventOption,
    Exchange_,
    Form,
    Fresh,
    KellyOption,
    KeyFile,
    KeyId,
    MaxAge,
    MaxSpread,
    MinContracts,
    MinEdge,
    MinEv,
    MinVolume,
    ModelNames,
    NoBooks,
    Offline,
    Output,
    Plan,
    Probabilities,
    Profile,
    Record,
    Rest,
    Search,
    SeriesOption,
    Size,
    Status,
    Suspect,
    TickerOption,
    Top,
    ages_of,
    bankroll_of,
    filters_of,
    tables_of,
)
from fairline.cli.terminal import ask, auth_of, deliver, note, settings_of, show_plan, warn
from fairline.config.connect import connect, input_cache, memory_of, sources_of
from fairline.errors import UsageError
from fairline.kalshi import Kalshi
from fairline.market.listing import Listing, Progress, read_listing
from fairline.market.plan import PlannedRequests, plan_requests
from fairline.models import Model, about, inputs, installed, load
from fairline.output import tables, terminal
from fairline.output.files import choose_format, show
from fairline.pricing.rules import Rules, SideChoice
from fairline.scanner import Evaluation, ScanOptions, ScanResult, explain_market, run_scan

commands = typer.Typer()


@commands.command(epilog="Example: fairline scan --probabilities mine.csv --category sports --closes-within 7d")
def scan(
    probabilities: Probabilities = None,
    model: ModelNames = None,
    category: Category = None,
    series: SeriesOption = None,
    event: EventOption = None,
    ticker: TickerOption = None,
    status: Status = "open",
    closes_within: ClosesWithin = None,
    min_volume: MinVolume = 0,
    search: Search = "",
    min_edge: MinEdge = 2.0,
    min_ev: MinEv = 0.01,
    max_spread: MaxSpread = 5.0,
    side: Annotated[str, typer.Option(help="both, yes or no.")] = "both",
    size: Size = 100,
    min_contracts: MinContracts = 1.0,
    rest: Rest = False,
    suspect: Suspect = 20.0,
    bankroll: BankrollOption = None,
    kelly: KellyOption = 0.25,
    caps: Caps = "5,10,25,50",
    no_books: NoBooks = False,
    offline: Offline = False,
    record: Record = None,
    top: Top = None,
    plan: Plan = False,
    max_age: MaxAge = "2m",
    fresh: Fresh = False,
    form: Form = None,
    output: Output = None,
    exchange: Exchange_ = None,
    profile: Profile = None,
    key_id: KeyId = None,
    key_file: KeyFile = None,
) -> None:
    """Scan every market, price it by your models, and rank what is mispriced after fees."""
    rules = Rules(
        min_edge,
        min_ev,
        max_spread,
        cast(SideChoice, side),  # Rules checks it
        size,
        min_contracts=min_contracts,
        rest=rest,
        suspect_points=suspect,
    )
    filters = filters_of(category, series, event, status, closes_within, min_volume, search, ticker)
    money = bankroll_of(bankroll, kelly, caps)
    chosen = choose_format(form, output)
    models: list[Model] = [*tables_of(probabilities), *(load(name) for name in model or [])]
    settings = settings_of(exchange=exchange, profile=profile, key_id=key_id, key_file=key_file)
    auth = auth_of(settings)

    memory, ages = memory_of(settings), ages_of(max_age, fresh=fresh)
    if plan:
        steps = plan_requests(settings.url, filters, memory, ages)
        books = [] if no_books else [PlannedRequests("/markets/orderbooks", None, "of what survives, 100 a request")]
        show_plan(settings, [*steps, *books], chosen, output)
        return

    options = ScanOptions(filters, rules, books=not no_books, bankroll=money, ages=ages)
    sources = sources_of(offline=offline, record=record)

    async def read(kalshi: Kalshi, progress: Progress | None) -> ScanResult:
        return await run_scan(kalshi, models, options, sources=sources, memory=memory, progress=progress)

    result = ask(settings, auth, read, memory=memory, ages=ages, max_age=max_age)
    listing, evaluation = result.listing, result.evaluation
    if chosen == "table":
        show(terminal.scan_report(listing, evaluation, top or 20))
    elif chosen == "json":
        deliver(tables.encode_json(tables.scan_document(listing, evaluation, top)), output)
    else:
        kept = evaluation.opportunities
        table = tables.opportunity_table(kept.head(top) if top else kept, listing.exchange, evaluation.advice)
        deliver(tables.encode(table, chosen), output)
    warn(chosen, listing, result.problems)
    if not models and chosen == "table":
        note("No model was given, so nothing could be priced: add --probabilities FILE or --model NAME.")
    raise typer.Exit(0 if listing.complete else 3)


@commands.command(epilog="Example: fairline markets --category crypto --format csv --output crypto.csv")
def markets(
    category: Category = None,
    series: SeriesOption = None,
    event: EventOption = None,
    ticker: TickerOption = None,
    status: Status = "open",
    closes_within: ClosesWithin = None,
    min_volume: MinVolume = 0,
    search: Search = "",
    top: Top = None,
    plan: Plan = False,
    max_age: MaxAge = "2m",
    fresh: Fresh = False,
    form: Form = None,
    output: Output = None,
    exchange: Exchange_ = None,
    profile: Profile = None,
    key_id: KeyId = None,
    key_file: KeyFile = None,
) -> None:
    """List every market with its implied probabilities; no model needed."""
    filters = filters_of(category, series, event, status, closes_within, min_volume, search, ticker)
    chosen = choose_format(form, output)
    settings = settings_of(exchange=exchange, profile=profile, key_id=key_id, key_file=key_file)
    auth = auth_of(settings)

    memory, ages = memory_of(settings), ages_of(max_age, fresh=fresh)
    if plan:
        show_plan(settings, plan_requests(settings.url, filters, memory, ages), chosen, output)
        return

    async def read(kalshi: Kalshi, progress: Progress | None) -> Listing:
        return await read_listing(kalshi, filters, progress=progress, memory=memory, ages=ages)

    listing = ask(settings, auth, read, memory=memory, ages=ages, max_age=max_age)
    table = tables.market_table(listing.markets)
    if chosen == "table":
        show(terminal.markets_report(listing, top or 40))
    elif chosen == "json":
        deliver(tables.encode_json(tables.markets_document(listing, top)), output)
    else:
        deliver(tables.encode(table.head(top) if top else table, chosen), output)
    warn(chosen, listing, listing.problems)
    raise typer.Exit(0 if listing.complete else 3)


@commands.command(epilog="Example: fairline explain KXHIGHNY-26NOV23-B54.5 --probabilities mine.csv")
def explain(
    ticker: Annotated[str, typer.Argument(help="A market's ticker.")],
    probabilities: Probabilities = None,
    model: ModelNames = None,
    min_edge: MinEdge = 2.0,
    min_ev: MinEv = 0.01,
    max_spread: MaxSpread = 5.0,
    size: Size = 100,
    min_contracts: MinContracts = 1.0,
    rest: Rest = False,
    offline: Offline = False,
    record: Record = None,
    as_json: AsJson = False,
    exchange: Exchange_ = None,
    profile: Profile = None,
) -> None:
    """Walk one market through every step of a scan, with its numbers: why it is an opportunity, or why not."""
    rules = Rules(min_edge, min_ev, max_spread, size=size, min_contracts=min_contracts, rest=rest)
    models = [*tables_of(probabilities), *(load(name) for name in model or [])]
    settings, sources = settings_of(exchange=exchange, profile=profile), sources_of(offline=offline, record=record)

    async def read() -> Evaluation:
        async with await connect(settings, None, note) as kalshi:
            return await explain_market(kalshi, ticker.upper(), models, ScanOptions(rules=rules), sources=sources)

    made = asyncio.run(read())
    sides = made.explain(ticker.upper())
    # A table is about many markets: only what concerns this one is a problem here.
    problems = [problem for problem in made.problems if problem.ticker in ("", ticker.upper())]
    if as_json:
        told = [tables.problem_object(problem) for problem in problems]
        document = {"ticker": ticker.upper(), "sides": [asdict(side) for side in sides], "problems": told}
        print(json.dumps(document, indent=2))
        return
    print(f"{ticker.upper()}  {made.edges['title'][0] or ''}")
    for side in sides:
        by = f" by {side.model}" if side.model and len(models) > 1 else ""
        print(f"\n{side.side.upper()}{by}: {'an opportunity' if side.kept else 'no opportunity'}")
        for step in side.steps:
            print(f"  {step.result:5}{step.step:40}{step.detail}")
    for problem in problems:
        print(f"problem: {problem}")


@commands.command(epilog="Example: fairline models --json")
def models(as_json: AsJson = False) -> None:
    """The installed models: name, version, origin, what they say of themselves, and what they read."""
    rows, now = list[dict[str, Any]](), datetime.now(UTC)
    for entry in installed():
        row: dict[str, Any] = {"name": entry.name, "version": None, "origin": entry.origin, "about": "", "inputs": []}
        row["problem"] = None
        try:
            made = entry.load()
            read = [asdict(each) for each in inputs(made, now, input_cache())]
            row |= {"version": made.version, "about": about(made), "inputs": read}
        except UsageError as error:
            row["problem"] = str(error)
        rows.append(row)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print(f"{row['name']}  {row['version'] or '–'}  {row['origin']}  {row['problem'] or row['about']}")
        for each in row["inputs"]:
            absent = "asked when it is needed" if each["source"] == "https" else "not there"
            age = absent if each["age_s"] is None else f"{each['age_s'] / 3600:.1f} h old"
            print(f"    reads {each['source']} {each['key']} ({age})")
    print("Beside these: --probabilities FILE, and --model path/to/file.py:Name for a model that is not installed.")

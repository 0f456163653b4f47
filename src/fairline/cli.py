"""The command line: parse, call one library function, render. Exit codes: 0 done, 1 failed, 2 usage, 3 incomplete."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

import fairline
from fairline import report
from fairline.config import Settings, load_settings
from fairline.demo import run_demo
from fairline.edge import Rules
from fairline.errors import ConfigError, FairlineError, UsageError
from fairline.kalshi import Auth, JwtAuth, Kalshi, KalshiError, Transport
from fairline.kalshi.limits import TIERS
from fairline.kalshi.wire import Balance
from fairline.listing import Listing, Problem, read_listing
from fairline.listing import Progress as ProgressCall
from fairline.models import Model, installed, load
from fairline.options import (
    AsJson,
    Category,
    ClosesWithin,
    EventOption,
    Exchange_,
    Form,
    KeyFile,
    KeyId,
    MemberId,
    MinVolume,
    Output,
    Scheme,
    Search,
    SeriesOption,
    Status,
    Top,
    filters_of,
    table_model,
)
from fairline.scan import scan as run_scan
from fairline.session import connect, sign_in
from fairline.sim import Exchange, Fault, Key, SimError, read_public_key, throw_away_pair

T = TypeVar("T")
_INTERRUPTED = 130

app = typer.Typer(
    name="fairline",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Price every market on Kalshi against your own probabilities: which are mispriced, by how much after fees.",
    epilog="Start with: fairline demo",
)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(fairline.__version__)
        raise typer.Exit


@app.command(epilog="Example: fairline scan --probabilities mine.csv --category sports --closes-within 7d")
def scan(
    probabilities: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="CSV or Parquet with ticker,p[,p_sd]. Repeatable.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="An installed model (see: fairline models). Repeatable.")
    ] = None,
    category: Category = None,
    series: SeriesOption = None,
    event: EventOption = None,
    status: Status = "open",
    closes_within: ClosesWithin = None,
    min_volume: MinVolume = 0,
    search: Search = "",
    min_edge: Annotated[float, typer.Option(help="Points of probability above the price.")] = 2.0,
    min_ev: Annotated[float, typer.Option(help="Dollars a contract, after the fee.")] = 0.01,
    max_spread: Annotated[float, typer.Option(help="Percent of the midpoint.")] = 5.0,
    side: Annotated[str, typer.Option(help="both, yes or no.")] = "both",
    size: Annotated[int, typer.Option(help="Contracts wanted; fees are those of an order of this size.")] = 100,
    top: Top = None,
    form: Form = None,
    output: Output = None,
    exchange: Exchange_ = None,
    key_id: KeyId = None,
    key_file: KeyFile = None,
) -> None:
    """Scan every market, price it by your models, and rank what is mispriced after fees."""
    rules = Rules(min_edge, min_ev, max_spread, side, size)
    filters = filters_of(category, series, event, status, closes_within, min_volume, search)
    chosen = report.choose_format(form, output)
    models: list[Model] = [table_model(path) for path in probabilities or []]
    models += [load(name) for name in model or []]
    settings = _settings(exchange, key_id, key_file)
    auth = _auth(settings)

    async def run(progress: ProgressCall | None) -> Any:
        async with await connect(settings, auth, _note) as kalshi:
            return await run_scan(kalshi, models, filters, rules, progress=progress)

    with _progress("markets") as progress:
        listing, evaluation = _run(run(progress))
    if chosen == "table":
        report.show(report.scan_report(listing, evaluation, top or 20))
    elif chosen == "json":
        _deliver(report.encode_json(report.scan_document(listing, evaluation, top)), output)
    else:
        kept = evaluation.opportunities
        table = report.opportunity_table(kept.head(top) if top else kept, listing.exchange)
        _deliver(report.encode(table, chosen), output)
    _warn(chosen, listing, [*listing.problems, *evaluation.problems])
    if not models and chosen == "table":
        _note("No model was given, so nothing could be priced: add --probabilities FILE or --model NAME.")
    raise typer.Exit(0 if listing.complete else 3)


@app.command(epilog="Example: fairline markets --category crypto --format csv --output crypto.csv")
def markets(
    category: Category = None,
    series: SeriesOption = None,
    event: EventOption = None,
    status: Status = "open",
    closes_within: ClosesWithin = None,
    min_volume: MinVolume = 0,
    search: Search = "",
    top: Top = None,
    form: Form = None,
    output: Output = None,
    exchange: Exchange_ = None,
    key_id: KeyId = None,
    key_file: KeyFile = None,
) -> None:
    """List every market with its implied probabilities; no model needed."""
    filters = filters_of(category, series, event, status, closes_within, min_volume, search)
    chosen = report.choose_format(form, output)
    settings = _settings(exchange, key_id, key_file)
    auth = _auth(settings)

    async def run(progress: ProgressCall | None) -> Any:
        async with await connect(settings, auth, _note) as kalshi:
            return await read_listing(kalshi, filters, progress=progress)

    with _progress("markets") as progress:
        listing = _run(run(progress))
    table = report.market_table(listing.markets)
    if chosen == "table":
        report.show(report.markets_report(listing, top or 40))
    elif chosen == "json":
        _deliver(report.encode_json(report.markets_document(listing, top)), output)
    else:
        _deliver(report.encode(table.head(top) if top else table, chosen), output)
    _warn(chosen, listing, listing.problems)
    raise typer.Exit(0 if listing.complete else 3)


@app.command(epilog="Example: fairline balance --key-id ID --key-file key.pem")
def balance(
    as_json: AsJson = False,
    exchange: Exchange_ = None,
    key_id: KeyId = None,
    key_file: KeyFile = None,
    auth: Scheme = None,
    member_id: MemberId = None,
) -> None:
    """Your account's balance: the proof that signing in works."""
    settings = _settings(exchange, key_id, key_file, auth=auth, member_id=member_id)

    signer = _auth(settings)
    if signer is None:
        raise UsageError("the balance needs a key", remedy="Give --key-id and --key-file, or set KALSHI_API_KEY_ID")

    async def run() -> Balance:
        async with Kalshi(Transport(settings.url, auth=signer)) as kalshi:
            group = kalshi.member if isinstance(signer, JwtAuth) else kalshi.portfolio
            return await group.balance()

    account = _run(run())
    cash = account.dollars
    positions = None if account.portfolio_value is None else Decimal(account.portfolio_value) / 100
    if as_json:
        print(json.dumps({"balance": float(cash), "portfolio_value": None if positions is None else float(positions)}))
    else:
        print(f"Balance {_money(cash)}" + (f", positions worth ${positions:,.2f}" if positions is not None else ""))


@app.command(epilog="Example: fairline models --json")
def models(as_json: AsJson = False) -> None:
    """The installed models, by name, version and origin."""
    rows = []
    for entry in installed():
        try:
            rows.append({"name": entry.name, "version": entry.load().version, "origin": entry.origin, "problem": None})
        except UsageError as error:
            rows.append({"name": entry.name, "version": None, "origin": entry.origin, "problem": str(error)})
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(
            f"{row['name']}  {row['version'] or '–'}  {row['origin']}"
            + (f"  {row['problem']}" if row["problem"] else "")
        )
    if not rows:
        print("No model is installed. Probabilities of your own: fairline scan --probabilities FILE")


@app.command(epilog="Example: fairline sim --markets 15000 --port 8080 --fault 429:0.05")
def sim(
    markets: Annotated[int, typer.Option(min=1, help="Open markets of the made-up world.")] = 2_000,
    replay: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Serve recorded markets (JSON, JSON Lines).")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    tier: Annotated[
        str | None, typer.Option(help=f"Rate limits of a tier: {', '.join(TIERS)}. None: no limits.")
    ] = None,
    latency_ms: Annotated[float, typer.Option(min=0, help="Added to every answer.")] = 0,
    fault: Annotated[list[str] | None, typer.Option(metavar="NAME[:P[:TIMES]]", help="Go wrong on purpose.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same world.")] = 0,
    public_key: Annotated[
        list[str] | None, typer.Option(metavar="KEY_ID=FILE", help="Register a public key. Repeatable.")
    ] = None,
) -> None:
    """Run a simulated exchange on this machine."""
    faults = [Fault.parse(text) for text in fault or []]
    with tempfile.TemporaryDirectory(prefix="fairline-sim-") as folder:
        keys = [_registered(text, tier) for text in public_key or []]
        exports = "" if keys else _throw_away_key(Path(folder), tier, keys)
        exchange = Exchange(
            markets=markets, seed=seed, replay=replay, host=host, port=port, tier=tier,
            latency_ms=latency_ms, faults=faults, keys=keys,
        )  # fmt: skip
        with exchange:
            listed = len(exchange.backend.catalog.tickers)
            print(f"Simulated exchange with {listed:,} markets at {exchange.url}")
            print(f"The article's surface is at {exchange.article_url}\n{exports}Ctrl-C stops it.", flush=True)
            _wait_for_signal()


@app.command(epilog="Example: fairline demo --markets 15000 --output opportunities.csv")
def demo(
    markets: Annotated[int, typer.Option(min=1, help="Size of the simulated exchange.")] = 15_000,
    seed: Annotated[int, typer.Option(help="Same seed, same world.")] = 0,
    output: Output = Path("fairline-demo.csv"),
    top: Top = None,
    as_json: AsJson = False,
) -> None:
    """Scan a simulated exchange in this process: no key, no network. Then settle it and compare promise with result."""
    report.choose_format("csv", output)
    with _progress("markets") as progress:
        result = run_demo(markets, seed, progress=progress, say=_note)
    if output is not None:
        table = report.opportunity_table(result.evaluation.opportunities, result.listing.exchange)
        report.write_whole(output, report.encode(table, "csv"))
        _note(f"Wrote {table.height:,} opportunities to {output}")
    if as_json:
        document = report.scan_document(result.listing, result.evaluation, top)
        promise = {name: getattr(result, name) and asdict(getattr(result, name)) for name in ("promised", "realised")}
        _deliver(report.encode_json(document | {"settled": promise}), None)
    else:
        report.show(report.scan_report(result.listing, result.evaluation, top or 15))
        print(result.summary())
    raise typer.Exit(0 if result.listing.complete else 3)


def main() -> None:
    """Run the command line; every foreseen failure is one line on standard error."""
    try:
        # Without its standalone mode the library hands back the code of an Exit instead of ending with it.
        code = app(standalone_mode=False) or 0
        if code == _INTERRUPTED:
            _note("fairline: stopped")
        sys.exit(code)
    except typer.TyperException as error:
        _fail(getattr(error, "format_message", error.__str__)(), 2)
    except (UsageError, ConfigError) as error:
        _fail(str(error), 2)
    except (FairlineError, KalshiError, SimError) as error:
        _fail(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        _fail("stopped", _INTERRUPTED)
    except BrokenPipeError:
        # The reader has seen enough. Standard output must not be flushed again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _fail(f"cannot write the output ({error.strerror})", 1)


def _fail(message: str, code: int) -> None:
    print(f"fairline: {message}", file=sys.stderr)
    sys.exit(code)


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


def _settings(exchange: str | None, key_id: str | None, key_file: str | None, **more: str | None) -> Settings:
    return load_settings({"exchange": exchange, "key_id": key_id, "key_file": key_file, **more})


def _auth(settings: Settings) -> Auth | None:
    ask = (
        (lambda: str(typer.prompt("Passphrase of the key", hide_input=True, err=True))) if sys.stdin.isatty() else None
    )
    return sign_in(settings, _note, ask)


@contextmanager
def _progress(noun: str) -> Iterator[ProgressCall | None]:
    """A counter on a terminal, nothing in a pipe."""
    console = report.terminal(errors=True)
    if not console.is_terminal:
        yield None
        return
    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} " + noun), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done: bar.update(task, completed=done)


def _deliver(content: bytes, output: Path | None) -> None:
    if output is not None:
        report.write_whole(output, content)
        _note(f"Wrote {output} ({len(content):,} bytes)")
        return
    if content[:4] == b"PAR1" and sys.stdout.isatty():
        raise UsageError("Parquet is not for a terminal", remedy="Give --output FILE or pipe it")
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def _note(text: str) -> None:
    print(text, file=sys.stderr)


def _warn(form: str, listing: Listing, problems: list[Problem]) -> None:
    """Say on standard error what the chosen format has no place for."""
    if form != "table" and not listing.complete:
        _note(f"fairline: incomplete: {'; '.join(listing.incomplete_reasons)}")
    if form in ("csv", "parquet"):
        for line in report.trouble_lines(listing, problems):
            _note(f"fairline: {line}")


def _registered(text: str, tier: str | None) -> Key:
    key_id, _, path = text.partition("=")
    if not key_id or not path:
        raise UsageError(f"{text!r} is not KEY_ID=FILE", remedy="Such as --public-key my-key=public.pem")
    return Key(key_id, read_public_key(Path(path)), tier=tier or "basic")


def _throw_away_key(folder: Path, tier: str | None, keys: list[Key]) -> str:
    """Register a fresh key; the text says how to use it."""
    path = folder / "key.pem"
    keys.append(Key("sim-key", throw_away_pair(path), tier=tier or "basic"))
    return f"To sign in:\n  export KALSHI_API_KEY_ID=sim-key\n  export KALSHI_PRIVATE_KEY_PATH={path}\n"


def _wait_for_signal() -> None:
    """Sleep until SIGINT or SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        signal.pause()
    except KeyboardInterrupt:
        _note("Stopped.")


def _money(dollars: Decimal) -> str:
    """Two decimals, or all four where there are parts of a cent."""
    return f"${dollars:,.2f}" if dollars == round(dollars, 2) else f"${dollars:,.4f}"

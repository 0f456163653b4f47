"""What all commands share at the terminal: settings from flags, notes, progress, delivery of bytes."""

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from fairline.config.connect import connect, sign_in
from fairline.config.settings import Settings, load_settings
from fairline.errors import UsageError
from fairline.kalshi import Auth, Kalshi
from fairline.kalshi.cache import ExchangeCache
from fairline.market.listing import Ages, Listing
from fairline.market.listing import Progress as ProgressCall
from fairline.market.plan import PlannedRequests
from fairline.market.problem import Problem
from fairline.output import tables, terminal
from fairline.output.files import open_console, show, write_whole

T = TypeVar("T")


def settings_of(**flags: str | None) -> Settings:
    return load_settings(flags)


def auth_of(settings: Settings) -> Auth | None:
    """The signing scheme; a passphrase that is needed and not set is asked for on a terminal."""
    return sign_in(settings, note, ask_passphrase if sys.stdin.isatty() else None)


def ask_passphrase() -> str:
    return str(typer.prompt("Passphrase of the key", hide_input=True, err=True))


@contextmanager
def counting(noun: str) -> Iterator[ProgressCall | None]:
    """A counter on a terminal, nothing in a pipe."""
    console = open_console(errors=True)
    if not console.is_terminal:
        yield None
        return
    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} " + noun), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def resumable(memory: ExchangeCache, ages: Ages, max_age: str) -> Iterator[None]:
    """Say on an interruption that what was read is kept, and for how long."""
    began = time.time()
    try:
        yield
    except KeyboardInterrupt:
        if ages.crawl_s > 0 and memory.has_unfinished_crawl(began):
            note(f"fairline: what was read so far is kept; the same command goes on with it within {max_age}")
        raise


def ask(
    settings: Settings,
    auth: Auth | None,
    read: Callable[[Kalshi, ProgressCall | None], Coroutine[Any, Any, T]],
    *,
    memory: ExchangeCache,
    ages: Ages,
    max_age: str,
) -> T:
    """What `read` gets of the exchange, with a counter, and a word on an interruption."""

    async def connected(progress: ProgressCall | None) -> T:
        async with await connect(settings, auth, note) as kalshi:
            return await read(kalshi, progress)

    with resumable(memory, ages, max_age), counting("markets") as progress:
        return asyncio.run(connected(progress))


def show_plan(settings: Settings, steps: list[PlannedRequests], form: str, output: Path | None) -> None:
    """What would be asked for, as a table or JSON."""
    if form == "table":
        show(terminal.plan_report(steps))
    else:
        rows = [{"path": step.path, "requests": step.requests, "why": step.why} for step in steps]
        deliver(tables.encode_json({"exchange": settings.url, "plan": rows}), output)


def deliver(content: bytes, output: Path | None) -> None:
    if output is not None:
        write_whole(output, content)
        note(f"Wrote {output} ({len(content):,} bytes)")
        return
    if content[:4] == b"PAR1" and sys.stdout.isatty():
        raise UsageError("Parquet is not for a terminal", remedy="Give --output FILE or pipe it")
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def note(text: str) -> None:
    print(text, file=sys.stderr)


def warn(form: str, listing: Listing, problems: list[Problem]) -> None:
    """Say on standard error what the chosen format has no place for."""
    if form != "table" and not listing.complete:
        note(f"fairline: incomplete: {'; '.join(listing.incomplete_reasons)}")
    if form in ("csv", "parquet"):
        for line in terminal.trouble_lines(listing, problems):
            note(f"fairline: {line}")

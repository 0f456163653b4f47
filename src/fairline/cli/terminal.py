"""What all commands share at the terminal: notes, questions and progress."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from getpass import getpass
from typing import TYPE_CHECKING

from fairline.kalshi.redaction import redact
from fairline.text import sanitize_lines

if TYPE_CHECKING:
    from fairline.kalshi.cache import ExchangeCache

Progress = Callable[[int], None]


def note(text: str) -> None:
    """Print a line for the person at the terminal, on standard error."""
    print(sanitize_lines(redact(text)), file=sys.stderr)


def ask_passphrase() -> str:
    """Ask for the passphrase of a key without showing it."""
    return getpass("Passphrase of the key: ", stream=sys.stderr)


def passphrase_prompt() -> Callable[[], str] | None:
    """Return `ask_passphrase` where somebody can answer."""
    return ask_passphrase if sys.stdin.isatty() else None


@contextmanager
def progress_bar(noun: str) -> Iterator[Progress | None]:
    """Show a counter on a terminal, nothing in a pipe."""
    from fairline.output.console import open_console

    console = open_console(errors=True)
    if not console.is_terminal:
        yield None
        return
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} " + noun), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda count: bar.update(task, completed=count)


@contextmanager
def resume_hint(memory: "ExchangeCache", max_age_s: float) -> Iterator[None]:
    """After an interruption, say that the pages read so far are kept, and for how long."""
    started = time.time()
    try:
        yield
    except KeyboardInterrupt:
        if max_age_s > 0 and memory.has_unfinished_crawl(started):
            note(f"fairline: pages read so far are kept; run the command again within {max_age_s:.0f} s to resume")
        raise

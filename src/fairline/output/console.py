"""The terminal: its width, and output that survives closed pipes and terminals without Unicode."""

import sys
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from rich.console import RenderableType

PIPE_WIDTH = 160
"""Columns where there is no terminal."""


def show(renderable: "RenderableType") -> None:
    """Print to standard output. Raises `BrokenPipeError` if the reader is gone."""
    console = open_console()
    with console.capture() as captured:
        console.print(renderable)
    sys.stdout.write(captured.get())
    sys.stdout.flush()


def open_console(*, errors: bool = False) -> Console:
    """Return a console for standard output or standard error, wide enough for a table where there is no terminal."""
    console = Console(stderr=errors, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console

"""The terminal: its width, and output that survives closed pipes and terminals without Unicode."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.segment import Segment

from fairline.text import sanitize_lines

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType

PIPE_WIDTH = 160
"""Columns where there is no terminal."""


class SafeConsole(Console):
    """A console that prints no control characters of the texts it is given, so that they cannot control a terminal."""

    def render(self, renderable: "RenderableType", options: "ConsoleOptions | None" = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(sanitize_lines(segment.text), segment.style)


def show(renderable: "RenderableType") -> None:
    """Print to standard output. Raises `BrokenPipeError` if the reader is gone."""
    console = open_console()
    with console.capture() as captured:
        console.print(renderable)
    sys.stdout.write(captured.get())
    sys.stdout.flush()


def open_console(*, errors: bool = False) -> Console:
    """Return a console for standard output or standard error, wide enough for a table where there is no terminal."""
    console = SafeConsole(stderr=errors, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console

"""The terminal: its width, and output that survives closed pipes and terminals without Unicode."""

import codecs
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.segment import Segment

from fairline.text import sanitize_lines

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType

PIPE_WIDTH = 160
"""Columns where there is no terminal and no COLUMNS."""
_PLAIN = {
    "…": "...",
    "–": "-",
    "—": "-",
    "−": "-",
    "·": "-",
    "→": "->",
    "←": "<-",
    "×": "x",
    "≤": "<=",
    "≥": ">=",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "\u00a0": " ",
}
"""What is printed in place of a character that the terminal's encoding does not have; a question mark for others."""


class SafeConsole(Console):
    """A console that prints no control characters of the texts it is given, so that they cannot control a terminal."""

    def render(self, renderable: "RenderableType", options: "ConsoleOptions | None" = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(sanitize_lines(segment.text), segment.style)


def show(renderable: "RenderableType") -> None:
    """Print to standard output. Raises `BrokenPipeError` if the reader is gone."""
    console = open_console()
    with console.capture() as captured:
        console.print(renderable, crop=False)  # an identifier longer than the line is not cut
    sys.stdout.write(captured.get())
    sys.stdout.flush()


def open_console(*, errors: bool = False) -> Console:
    """Return a console for standard output or standard error, wide enough for a table where there is no terminal."""
    console = SafeConsole(stderr=errors, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = shutil.get_terminal_size((PIPE_WIDTH, 25)).columns
    return console


def allow_any_encoding() -> None:
    """Let standard output and error print similar characters where their encoding lacks one, instead of failing."""
    codecs.register_error("fairline-plain", _replace)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="fairline-plain")


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character, "?") for character in text), error.end

"""Where a result goes: standard output or a file that is written atomically; and its format."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fairline.errors import OutputError, UsageError
from fairline.files import open_atomic
from fairline.output.formats import SUFFIXES, Format

_FILE_FORMATS = ", ".join(dict.fromkeys(SUFFIXES.values()))


def choose_format(given: Format | None, output: Path | None) -> Format:
    """Return the requested format, else the one that the output file's name implies, else a table.

    Raises `UsageError` for a name without a known suffix and for a table in a file, and `OutputError` for a file that
    cannot be written.
    """
    if output is None:
        return given or "table"
    chosen = given or SUFFIXES.get(output.suffix.lower())
    if chosen is None:
        raise UsageError(
            f"the name {output} does not imply a format", remedy=f"Name it {', '.join(SUFFIXES)}, or give the format"
        )
    if chosen == "table":
        raise UsageError(f"a table is for the terminal; expected one of {_FILE_FORMATS}", field="format")
    _check_writable(output)
    return chosen


@contextmanager
def open_output(output: Path | None) -> Iterator[BinaryIO]:
    """Yield the output file, which appears completely or not at all, or standard output.

    Raises `OutputError` for a file that cannot be written.
    """
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with open_atomic(output) as stream:
            yield stream
    except OSError as error:
        raise _cannot_write(output, error) from error


def write_output(output: Path, content: bytes) -> None:
    """Write a file atomically. Raises `OutputError`."""
    with open_output(output) as stream:
        stream.write(content)


def _check_writable(path: Path) -> None:
    """Raise `OutputError` before the work rather than after it."""
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file in it", field="output")
    folder = path.resolve().parent
    if not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise OutputError(f"cannot write {path}", field="output")


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path} ({error.strerror})", field="output")

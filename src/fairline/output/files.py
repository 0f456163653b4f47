"""Where a result goes: the terminal, or a file that is there whole or not at all; and its format."""

import os
from collections.abc import Iterable
from pathlib import Path

from fairline.errors import OutputError, UsageError
from fairline.files import write_atomic
from fairline.kalshi.redaction import show_value

FORMATS = ("table", "json", "csv", "parquet")
_SUFFIXES = {".json": "json", ".csv": "csv", ".parquet": "parquet"}


def choose_format(given: str | None, output: Path | None) -> str:
    """The format asked for, else the one that the output file's name implies, else a table."""
    chosen = given or (_SUFFIXES.get(output.suffix.lower(), "") if output else "table")
    if not chosen:
        raise UsageError(
            f"{output} does not say its format", remedy="Name it .json, .csv or .parquet, or give --format"
        )
    if chosen not in FORMATS:
        raise UsageError(f"there is no format {show_value(chosen)}", remedy=f"--format takes {', '.join(FORMATS)}")
    if output is not None:
        if chosen == "table":
            raise UsageError("a table is for the terminal", remedy="With --output use --format json, csv or parquet")
        _check_writable(output)
    return chosen


def _check_writable(path: Path) -> None:
    """Raise `OutputError` before the work rather than after it."""
    if path.is_dir():
        raise OutputError(f"{path} is a folder", remedy="Name a file in it with --output")
    folder = path.resolve().parent
    if not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise OutputError(f"cannot write {path}", remedy="Choose another --output")


def write_whole(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file so that it is there whole or not at all; a link keeps pointing, a device is written to.

    Raises `OutputError`.
    """
    try:
        write_atomic(path, content)
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror})", remedy="Choose another --output") from error

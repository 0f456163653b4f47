"""One way to choose a format, a file, the order, the columns and the number of rows, for every command."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import Group, Parameter

from fairline.cli.terminal import note
from fairline.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

    from fairline.output.formats import Transform
    from fairline.output.tables import Arrangement
    from fairline.output.terminal import View

OUTPUT = Group("Output", sort_key=50)
Format = Literal["table", "json", "jsonl", "csv", "tsv", "markdown", "parquet"]


@Parameter(name="*", group=OUTPUT)
@dataclass(frozen=True, slots=True)
class PrintOptions:
    """The format of what is printed."""

    format: Format | None = None
    """Format of the result. Default: a table."""
    json: bool = False
    """Short for --format json."""

    @property
    def file(self) -> Path | None:
        """The file that the result is written to, if it is not printed."""
        return None

    @property
    def chosen(self) -> Format:
        """The format. Raises `UsageError` for contradicting options and `OutputError` for an unwritable file."""
        if self.json and self.format not in (None, "json"):
            raise UsageError(f"--json and --format {self.format} contradict each other", remedy="Leave one out")
        given: Format | None = "json" if self.json else self.format
        if self.file is None:
            return given or "table"
        from fairline.output.files import choose_format

        return choose_format(given, self.file)

    @property
    def is_table(self) -> bool:
        """Whether the result is a table on the terminal."""
        return self.chosen == "table"


@Parameter(name="*", group=OUTPUT)
@dataclass(frozen=True, slots=True)
class FormatOptions(PrintOptions):
    """The format of the result, and the file for it."""

    output: Path | None = None
    """Write the result to this file atomically. Its name implies the format."""

    @property
    def file(self) -> Path | None:
        return self.output


@Parameter(name="*", group=OUTPUT)
@dataclass(frozen=True, slots=True)
class RowOptions(FormatOptions):
    """The format of a ranked table, its columns and its number of rows."""

    top: int | None = None
    """Show at most this many rows, after sorting. The same in every format."""
    columns: tuple[str, ...] = ()
    """Only these columns, in this order, separated by commas. Their names are those of the CSV."""
    local_time: bool = False
    """Show times in a table in the local time zone instead of UTC."""

    @property
    def arrangement(self) -> "Arrangement":
        from fairline.output.tables import Arrangement

        return Arrangement(None, self.columns, self.top)

    @property
    def view(self) -> "View":
        from fairline.output.terminal import View

        names = tuple(name.strip() for part in self.columns for name in part.split(",") if name.strip())
        return View(names, self.local_time)


@Parameter(name="*", group=OUTPUT)
@dataclass(frozen=True, slots=True)
class TableOptions(RowOptions):
    """The format of a table, its order, its columns and its number of rows."""

    sort: str | None = None
    """Column to sort by: NAME, NAME:asc or NAME:desc. Numbers start with the largest."""

    @property
    def arrangement(self) -> "Arrangement":
        from fairline.output.tables import Arrangement

        return Arrangement(self.sort, self.columns, self.top)


def emit(
    options: PrintOptions,
    *,
    table: Callable[[], None],
    document: Callable[[], Mapping[str, Any] | Sequence[Any]],
    rows: "Callable[[], pl.DataFrame | Sequence[Mapping[str, Any]]]",
    transform: "Transform | None" = None,
) -> None:
    """Print or write a result: `table` prints it, `document` is its JSON, `rows` are its rows in other formats.

    Frames in the document and the rows are written slice by slice, each through `transform`.
    """
    form = options.chosen
    if form == "table":
        table()
        return
    from fairline.output.files import open_output
    from fairline.output.formats import as_frame, escape_controls, write_document, write_rows

    change = transform or (lambda part: part)
    if form == "parquet":
        _refuse_terminal(options)
    with open_output(options.file) as stream:
        if form != "json":
            write_rows(stream, form, as_frame(rows()), change)
        elif isinstance(content := document(), Mapping):
            write_document(stream, content, change)
        else:
            text = json.dumps(content, indent=2, ensure_ascii=False, default=str)
            stream.write(f"{escape_controls(text)}\n".encode())
    if options.file is not None:
        note(f"Wrote {options.file} ({options.file.stat().st_size:,} bytes)")


def _refuse_terminal(options: PrintOptions) -> None:
    if options.file is None and sys.stdout.isatty():
        raise UsageError("Parquet cannot be shown on a terminal", remedy="Give --output FILE or pipe it")

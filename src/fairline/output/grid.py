"""Tables that fit the terminal: whole columns are left out, but no ticker and no number is ever cut."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from fairline.text import sanitize

GAP = 2
"""Spaces between two columns."""
PREFERRED = 18
"""Width that text gets before less important columns get any."""
MAX_LINES = 3
"""Lines of a cell whose text is wrapped."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of text.

    Columns with the highest `rank` are left out first; those of rank 0 never, except that their rows are then shown
    as blocks. Text with a `shortest` width may be wrapped to it, between words; other cells take one line. `links` make
    cells clickable in terminals that can do that.
    """

    heading: str
    cells: Sequence[str]
    rank: int = 0
    right: bool = False
    shortest: int | None = None
    links: Sequence[str] | None = None

    @property
    def natural_width(self) -> int:
        return max([cell_len(self.heading), *(cell_len(cell) for cell in self.cells)])

    @property
    def least_width(self) -> int:
        natural = self.natural_width
        return natural if self.shortest is None else min(natural, max(self.shortest, cell_len(self.heading)))

    @property
    def preferred_width(self) -> int:
        return max(self.least_width, min(self.natural_width, PREFERRED))


class Grid:
    """Columns side by side, as many as fit; one block per record where not even the essential ones do.

    Cells are cleaned of control characters.
    """

    def __init__(self, columns: Sequence[Column], title: str = "") -> None:
        self._columns = [_sanitize_column(column) for column in columns]
        self._title = title

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._title:
            yield Text(self._title, style="bold")
        shown, widths = fit(self._columns, options.max_width)
        yield from _rows(shown, widths) if shown else _blocks(self._columns, options.max_width)


def fit(columns: Sequence[Column], width: int) -> tuple[list[Column], list[int]]:
    """Return the columns that fit and their widths; nothing if the essential columns do not fit."""
    shown = list(columns)
    while True:
        worst = max(range(len(shown)), key=lambda at: (shown[at].rank, at))
        lowest = shown[worst].rank
        preferred = [column.preferred_width if column.rank < lowest else column.least_width for column in shown]
        if _total(preferred) <= width:
            break
        if lowest == 0:
            return [], []
        del shown[worst]
    widths = [column.least_width for column in shown]
    spare = width - _total(widths)
    for at, column in enumerate(shown):
        more = min(spare, column.natural_width - widths[at])
        widths[at] += more
        spare -= more
    return shown, widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * max(0, len(widths) - 1)


def _rows(columns: Sequence[Column], widths: Sequence[int]) -> Iterator[Text]:
    headings = [_pad(column.heading, width, right=column.right) for column, width in zip(columns, widths, strict=True)]
    yield Text((" " * GAP).join(headings).rstrip(), style="bold", no_wrap=True)
    for row in range(len(columns[0].cells)):
        cells = [wrap(column.cells[row], width) for column, width in zip(columns, widths, strict=True)]
        for number in range(max(map(len, cells))):
            line = Text(no_wrap=True)
            for column, width, parts in zip(columns, widths, cells, strict=True):
                line.append(" " * GAP if len(line) else "")
                part = parts[number] if number < len(parts) else ""
                line.append(_pad(part, width, right=column.right), style=_link(column, row))
            line.rstrip()
            yield line


def _blocks(columns: Sequence[Column], width: int) -> Iterator[Text]:
    """Yield each record as its first cell and, below it, the others with their headings."""
    first, *others = columns
    for row in range(len(first.cells)):
        yield Text(first.cells[row], style=_link(first, row) or "bold", no_wrap=True, overflow="ignore")
        line = ""
        for column in others:
            part = f"{column.heading} {column.cells[row]}"
            if line and cell_len(line) + GAP + cell_len(part) > width:
                yield Text(line, overflow="fold" if cell_len(line) > width else None)
                line = ""
            line = f"{line}{' ' * GAP}{part}"
        yield Text(line, overflow="fold" if cell_len(line) > width else None)


def wrap(cell: str, width: int) -> list[str]:
    """Return the lines of a cell, broken between words; after `MAX_LINES` of them the rest is left out."""
    if cell_len(cell) <= width:
        return [cell]
    lines = [""]
    for word in cell.split():
        for part in [word] if cell_len(word) <= width else chop_cells(word, width):
            longer = f"{lines[-1]} {part}".lstrip()
            if cell_len(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(part)
    if len(lines) <= MAX_LINES:
        return lines
    shown = lines[:MAX_LINES]
    while shown[-1] and cell_len(shown[-1]) > width - 2:
        shown[-1] = shown[-1].rpartition(" ")[0]
    return [*shown[:-1], f"{shown[-1]} …".lstrip()]


def _pad(cell: str, width: int, *, right: bool) -> str:
    space = " " * (width - cell_len(cell))
    return space + cell if right else cell + space


def _link(column: Column, row: int) -> str:
    return f"link {column.links[row]}" if column.links and column.links[row] else ""


def _sanitize_column(column: Column) -> Column:
    cells = [sanitize(cell) for cell in column.cells]
    return Column(column.heading, cells, column.rank, column.right, column.shortest, column.links)

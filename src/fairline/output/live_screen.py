"""The screen of `fairline live` as lines of text: status, best opportunities, and the keys.

Tickers and numbers are never cut. Where the terminal is too narrow, columns are dropped by priority; where even the
most important ones do not fit, each opportunity takes two lines.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from fairline.text import sanitize

Sort = Literal["ev/$", "ev", "edge", "age", "move", "decided"]
SORTS: tuple[Sort, ...] = ("ev/$", "ev", "edge", "age", "move", "decided")
KEYS = "s sort  / filter  c clear  j k scroll  q quit"
_GAP = "  "


@dataclass(frozen=True, slots=True)
class LiveRow:
    """An opportunity now. Prices and believed EV are dollars, `edge` points, `age_s` seconds since the last change.

    `move` is the midpoint now less that of the last audit, None if either side is missing.
    """

    ticker: str
    side: str
    model: str
    price: float
    p: float
    edge: float
    ev: float
    ev_per_dollar: float
    age_s: float
    move: float | None
    decided_s: float | None
    title: str


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """The state of the feed. `lag_s` are the median and the 99th percentile, None before the first message."""

    markets: int
    without_data: int
    connected: bool
    messages_per_s: float
    lag_s: tuple[float, float] | None
    audit_age_s: float
    alarm: str = ""


@dataclass(slots=True)
class View:
    """What the user has chosen: the order, the filter, and the first row on the screen."""

    sort: Sort = "ev/$"
    filter: str = ""
    typing: bool = False
    first: int = 0

    def press(self, key: str) -> bool:
        """Apply a key; return whether it was the one to quit."""
        if self.typing:
            self._type(key)
            return False
        if key in ("q", "\x03"):
            return True
        if key == "s":
            self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        elif key == "/":
            self.typing = True
        elif key == "c":
            self.filter = ""
        self.first = max(0, self.first + {"j": 1, "k": -1}.get(key, 0)) if key in "jk" else 0
        return False

    def _type(self, key: str) -> None:
        if key in ("\r", "\n", "\x1b"):
            self.typing = False
        elif key in ("\x7f", "\b"):
            self.filter = self.filter[:-1]
        elif key.isprintable():
            self.filter += key
        self.first = 0


_ORDER: dict[Sort, Callable[[LiveRow], float]] = {
    "ev/$": lambda row: -row.ev_per_dollar,
    "ev": lambda row: -row.ev,
    "edge": lambda row: -row.edge,
    "age": lambda row: row.age_s,
    "move": lambda row: -abs(row.move or 0.0),
    "decided": lambda row: math.inf if row.decided_s is None else row.decided_s,
}


def choose_rows(rows: Sequence[LiveRow], view: View) -> list[LiveRow]:
    """Return the rows that match the view's filter, in its order."""
    wanted = view.filter.lower()
    matching = [row for row in rows if wanted in f"{row.ticker} {row.side} {row.model} {row.title}".lower()]
    return sorted(matching, key=_ORDER[view.sort])


def render(rows: Sequence[LiveRow], status: LiveStatus, view: View, width: int, height: int) -> list[str]:
    """Return the lines of the screen, none longer than `width`, unless a ticker is."""
    matching = choose_rows(rows, view)
    view.first = min(view.first, max(0, len(matching) - 1))
    head = _status_lines(status, len(matching), len(rows), view, width)
    room = max(1, height - len(head) - 2)
    columns = _fitting_columns(matching, width)
    if columns is None:
        body = [line for row in matching[view.first :] for line in _two_lines(row)][: room + 1]
    else:
        shown = matching[view.first : view.first + room]
        body = _table(shown, columns)
    return [*head, *body, *[""] * (height - len(head) - len(body) - 1), _fit(KEYS, width)]


def _status_lines(status: LiveStatus, matching: int, total: int, view: View, width: int) -> list[str]:
    lag = "lag –" if status.lag_s is None else f"lag {_seconds(status.lag_s[0])}, 99 % {_seconds(status.lag_s[1])}"
    parts = [
        "feed open" if status.connected else "FEED CLOSED",
        lag,
        f"{status.messages_per_s:,.0f} messages/s",
        f"{status.markets:,} markets",
        f"{status.without_data:,} without current data",
        f"audit {_seconds(status.audit_age_s)} ago",
    ]
    lines = _wrap(parts, width)
    if status.alarm:
        lines.append(_fit(f"ALARM: {sanitize(status.alarm)}", width))
    chosen = f"{matching:,} of {total:,} opportunities by {view.sort}"
    if view.filter or view.typing:
        chosen += f", filter: {view.filter}{'_' if view.typing else ''}"
    return [*lines, _fit(chosen, width)]


def _wrap(parts: Sequence[str], width: int) -> list[str]:
    lines = [""]
    for part in parts:
        joined = f"{lines[-1]} · {part}" if lines[-1] else part
        if len(joined) <= width or not lines[-1]:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


@dataclass(frozen=True, slots=True)
class _Column:
    """`rank` 0 is always shown; of the others, the highest is dropped first."""

    heading: str
    rank: int
    text: Callable[[LiveRow], str]
    right: bool = True


_COLUMNS = (
    _Column("market", 0, lambda row: sanitize(row.ticker), right=False),
    _Column("side", 0, lambda row: row.side.upper(), right=False),
    _Column("price $", 0, lambda row: f"{row.price:.4f}"),
    _Column("p", 2, lambda row: f"{row.p:.4f}"),
    _Column("edge", 4, lambda row: f"{row.edge:+.2f}"),
    _Column("EV $", 0, lambda row: f"{row.ev:+.4f}"),
    _Column("EV/$", 3, lambda row: f"{row.ev_per_dollar:+.1%}"),
    _Column("age", 1, lambda row: _seconds(row.age_s)),
    _Column("move $", 5, lambda row: "–" if row.move is None else f"{row.move:+.4f}"),
    _Column("decided", 7, lambda row: "–" if row.decided_s is None else _seconds(row.decided_s)),
    _Column("model", 6, lambda row: sanitize(row.model), right=False),
)


def _fitting_columns(rows: Sequence[LiveRow], width: int) -> list[_Column] | None:
    """Return the columns that fit; None if not even the most important ones do."""
    columns = list(_COLUMNS)
    while _table_width(rows, columns) > width:
        last = max(columns, key=lambda column: column.rank)
        if last.rank == 0:
            return None
        columns.remove(last)
    return columns


def _widths(rows: Sequence[LiveRow], columns: Sequence[_Column]) -> list[int]:
    return [max(len(column.heading), *(len(column.text(row)) for row in rows), 0) for column in columns]


def _table_width(rows: Sequence[LiveRow], columns: Sequence[_Column]) -> int:
    return sum(_widths(rows, columns)) + len(_GAP) * (len(columns) - 1)


def _table(rows: Sequence[LiveRow], columns: Sequence[_Column]) -> list[str]:
    widths = _widths(rows, columns)

    def line(texts: Sequence[str]) -> str:
        aligned = [
            text.rjust(width) if column.right else text.ljust(width)
            for text, width, column in zip(texts, widths, columns, strict=True)
        ]
        return _GAP.join(aligned).rstrip()

    heading = line([column.heading for column in columns])
    return [heading, *(line([column.text(row) for column in columns]) for row in rows)]


def _two_lines(row: LiveRow) -> list[str]:
    return [sanitize(row.ticker), f"  {row.side.upper()} {row.price:.4f}  EV {row.ev:+.4f}  {_seconds(row.age_s)}"]


def _seconds(value: float) -> str:
    """Return a duration as one number and a unit."""
    if abs(value) < 10:
        return f"{value:.1f} s"
    for limit, unit, size in ((120, "s", 1), (7_200, "min", 60), (172_800, "h", 3_600)):
        if abs(value) < limit:
            return f"{value / size:.0f} {unit}"
    return f"{value / 86_400:.0f} d"


def _fit(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"

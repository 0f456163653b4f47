"""A plot of steps over time in plain characters, one per series, readable without colours and in ASCII."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

HEIGHT = 14
_MARKS = "123456789"
_SEVERAL = "*"
_AXIS_WIDTH = 6
_TICKS = 5
_GRAIN = 20
"""The vertical axis begins and ends at multiples of one twentieth."""


@dataclass(frozen=True, slots=True)
class Series:
    """Values that hold from their times on; None where there is no value."""

    name: str
    mark: str
    times: Sequence[datetime]
    values: Sequence[float | None]

    def at(self, moment: datetime) -> float | None:
        """Return the value that holds at a time, None before the first."""
        place = bisect_right(self.times, moment)
        return self.values[place - 1] if place else None


def plot_history(quotes: pl.DataFrame, predictions: pl.DataFrame, width: int, *, local: bool = False) -> str:
    """Return bid, ask and every model's probability over time, also of a model that never changes its mind."""
    times = quotes["seen_ts"].to_list()
    series = [
        Series(heading, mark, times, [None if value is None else value / 1e6 for value in quotes[column]])
        for heading, mark, column in (("bid", "b", "yes_bid_u"), ("ask", "a", "yes_ask_u"))
    ]
    for number, ((model,), rows) in enumerate(predictions.group_by("model", maintain_order=True)):
        mark = _MARKS[number % len(_MARKS)]
        series.append(Series(f"p by {model}", mark, rows["seen_ts"].to_list(), rows["p"].to_list()))
    return plot(series, width, local=local)


def plot(series: Sequence[Series], width: int, *, local: bool = False) -> str:
    """Return the series as lines of text that are at most `width` characters long."""
    moments = [time for part in series for time in part.times]
    start, end = min(moments), max(moments)
    columns = max(10, width - _AXIS_WIDTH - 2)
    step = max((end - start) / max(1, columns - 1), timedelta(microseconds=1))
    sampled = [[part.at(start + step * column) for column in range(columns)] for part in series]
    low, high = _limits([value for row in sampled for value in row if value is not None])
    cells = [[" "] * columns for _ in range(HEIGHT)]
    for part, row in zip(series, sampled, strict=True):
        for column, value in enumerate(row):
            if value is not None:
                line = round((high - value) / (high - low) * (HEIGHT - 1))
                cells[line][column] = part.mark if cells[line][column] == " " else _SEVERAL
    return "\n".join([*_with_axis(cells, low, high), *_captions(series, start, end, columns, local=local)])


def _limits(values: Sequence[float]) -> tuple[float, float]:
    low = math.floor(min(values, default=0.0) * _GRAIN) / _GRAIN
    high = math.ceil(max(values, default=1.0) * _GRAIN) / _GRAIN
    return (low, high) if high > low else (max(0.0, low - 1 / _GRAIN), min(1.0, high + 1 / _GRAIN))


def _with_axis(cells: Sequence[Sequence[str]], low: float, high: float) -> list[str]:
    ticks = {round(tick * (HEIGHT - 1) / (_TICKS - 1)) for tick in range(_TICKS)}
    lines = []
    for number, row in enumerate(cells):
        value = high - (high - low) * number / (HEIGHT - 1)
        label = f"{value:{_AXIS_WIDTH}.3f}" if number in ticks else " " * _AXIS_WIDTH
        lines.append(f"{label} |{''.join(row)}".rstrip())
    return lines


def _captions(series: Sequence[Series], start: datetime, end: datetime, columns: int, *, local: bool) -> list[str]:
    zone = "local time" if local else "UTC"
    first, last = (f"{moment.astimezone() if local else moment:%m-%d %H:%M}" for moment in (start, end))
    gap = max(1, columns - len(first) - len(last))
    legend = "  ".join(f"{part.mark} {part.name}" for part in series)
    return [
        " " * (_AXIS_WIDTH + 1) + "+" + "-" * columns,
        " " * (_AXIS_WIDTH + 2) + first + " " * gap + last,
        f"dollars and probability over time ({zone}): {legend}  {_SEVERAL} several",
    ]

"""Stretches of time in which to ask for markets, and how many markets to expect in them.

Windows that tile the time line can be walked side by side. Neighbours share the second at which they meet, and the
earlier one is asked for a second more, so that whether the exchange means its limits inclusively cannot lose a row.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Self

import msgspec

BEGINNING = int(datetime(2021, 6, 1, tzinfo=UTC).timestamp())
"""The exchange opened in the summer of 2021: nothing is older. Used to estimate, never to leave anything out."""
_PRIOR_ROWS, _PRIOR_YOUNGEST, _PRIOR_OLDEST = 100_000, 3_600, 400 * 86_400


@dataclass(frozen=True, slots=True)
class Axis:
    """A family of timestamp filters and the field that it looks at; rows come with the latest first."""

    name: str
    field: str


CREATED = Axis("created", "created_time")
CLOSE = Axis("close", "close_time")


@dataclass(frozen=True, slots=True)
class Window:
    """Unix seconds from `low` to `high`, both within; None is open."""

    low: int | None = None
    high: int | None = None

    def filters(self, axis: Axis) -> dict[str, int]:
        low = {} if self.low is None else {f"min_{axis.name}_ts": self.low}
        return low if self.high is None else low | {f"max_{axis.name}_ts": self.high + 1}

    def holds(self, second: int) -> bool:
        """Whether the exchange may send a row of that second for this window."""
        return (self.low is None or second >= self.low - 1) and (self.high is None or second <= self.high + 2)

    def words(self, axis: Axis) -> str:
        if self.low is None and self.high is None:
            return "the listing"
        parts = [f"{word} {_iso(second)}" for word, second in (("from", self.low), ("to", self.high)) if second]
        return f"markets with {axis.field} {' '.join(parts)}"


def _reach(low: int | None, high: int) -> int:
    return high - (BEGINNING if low is None else low)


def _iso(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"


def second_of(text: str) -> int:
    """The Unix second of an RFC 3339 time, rounded down. Raises `ValueError`."""
    return int(datetime.fromisoformat(text).replace(microsecond=0).timestamp())


def tile(cuts: Sequence[int], low: int | None = None, high: int | None = None) -> list[Window]:
    """The windows between `high` and `low` that meet at the cuts, the latest first."""
    edges = [high, *sorted(set(cuts), reverse=True), low]
    return [Window(low=b, high=a) for a, b in pairwise(edges)]


class Profile(msgspec.Struct, frozen=True):
    """How the rows of a listing lay on its axis when it was last walked: every `step`-th row's second, latest first."""

    rows: int
    step: int
    seconds: list[int]
    read_ts: float

    @classmethod
    def of(cls, sample: Sequence[int], step: int, rows: int, now: float) -> Self:
        return cls(rows, step, sorted(sample, reverse=True), now)

    def between(self, low: int | None, high: int | None) -> float:
        """About how many rows lie in that stretch."""
        ascending = self.seconds[::-1]
        first = 0 if low is None else bisect_left(ascending, low)
        last = len(ascending) if high is None else bisect_right(ascending, high)
        return max(0, last - first) * self.step

    def cuts(self, rows: int) -> list[int]:
        """Where to cut so that about `rows` rows lie in each window."""
        every, seconds = max(1, rows // self.step), self.seconds
        # Neighbours share the second of a cut, and one more: what was listed at one instant is not cut but kept above.
        return [s - 2 if s in seconds[at + 1 : at + 2] else s for at, s in list(enumerate(seconds))[every::every]]


class Density:
    """What is to be expected between two seconds: from the last walk's profile, else from a prior by age."""

    def __init__(self, now: float, profile: Profile | None, *, ahead: bool = False) -> None:
        self._now, self._profile, self._ahead = now, profile, ahead

    @property
    def known(self) -> bool:
        """Whether this rests on a walk, not on a guess."""
        return self._profile is not None

    def rows(self, low: int | None, high: int | None) -> float:
        """About how many rows lie between the two."""
        if self._profile is not None:
            return self._profile.between(low, high)
        share = self.measure(high) - self.measure(low)
        return max(0.0, share) * _PRIOR_ROWS / math.log(_PRIOR_OLDEST / _PRIOR_YOUNGEST)

    def extrapolated(self, seen: int, low: int | None, reached: int, high: int | None) -> float:
        """Rows still to come down to `low`, if `seen` lay between `high` and `reached` and it goes on like that."""
        done = self.measure(high) - self.measure(reached)
        rest = self.measure(reached) - self.measure(low)
        return seen / max(done, 1e-3) * max(rest, 0.0)

    def crowd(self, low: int | None, reached: int, stride: int) -> float:
        """Pages to come down to `low` of a batch whose pages cover `stride` seconds each, and whose end is unknown: the
        middle between one more and all the way, by their logarithms.
        """
        return math.sqrt(max(0.0, _reach(low, reached) / stride))

    def cuts(self, low: int | None, high: int, parts: int, stride: int | None = None) -> list[int]:
        """Where to cut that stretch so that as many rows are to be expected in each of `parts` windows.

        With a `stride`, the seconds that a page covers in the batch of rows which ends there, somewhere: evenly in the
        logarithm of what may be its length.
        """
        if self._profile is not None and self._profile.between(low, high) >= parts:
            inside = [s for s in self._profile.seconds if (low is None or s > low) and s < high]
            return sorted({inside[len(inside) * k // parts] for k in range(1, parts) if inside}, reverse=True)
        if stride is not None and not self._ahead:
            reach = max(1.0, _reach(low, high) / stride)
            return [int(high - stride * reach ** (k / parts)) for k in range(1, parts)]
        first, last = self.measure(high), self.measure(low)
        return [self._second(first + (last - first) * k / parts) for k in range(1, parts)]

    def measure(self, second: int | None) -> float:
        """A scale on which rows lie evenly: what is past by the logarithm of its age, what lies ahead by the day."""
        if self._ahead:
            return float(self._now if second is None else second) / 86_400
        return -math.log(min(max(self._now - (BEGINNING if second is None else second), 60), 2e8))

    def _second(self, measure: float) -> int:
        return int(measure * 86_400) if self._ahead else int(self._now - math.exp(-measure))

"""Time windows of a listing, and how many markets to expect in them.

Windows that tile the time line can be read concurrently. Neighbours share the second at which they meet, and the
earlier one is requested one second longer, so that no row is lost whether the exchange's limits are inclusive or not.
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
"""The exchange opened in the summer of 2021, so nothing is older. Used for estimates, never to exclude anything."""
PRIOR_ROWS = 100_000
PRIOR_YOUNGEST_S = 3_600
PRIOR_OLDEST_S = 400 * 86_400
"""Without a profile: this many rows, spread evenly over the logarithm of age between these two ages."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A pair of timestamp filters and the field they compare. Rows arrive with the latest first."""

    name: str
    field: str


CREATED = Axis("created", "created_time")
CLOSE = Axis("close", "close_time")


@dataclass(frozen=True, slots=True)
class Window:
    """Unix seconds from `low` to `high`, both inclusive; None is open."""

    low: int | None = None
    high: int | None = None

    def filters(self, axis: Axis) -> dict[str, int]:
        low = {} if self.low is None else {f"min_{axis.name}_ts": self.low}
        return low if self.high is None else low | {f"max_{axis.name}_ts": self.high + 1}

    def holds(self, second: int) -> bool:
        """Return whether the exchange may send a row of that second for this window."""
        return (self.low is None or second >= self.low - 1) and (self.high is None or second <= self.high + 2)

    def describe(self, axis: Axis) -> str:
        if self.low is None and self.high is None:
            return "the listing"
        parts = [f"{preposition} {_iso(s)}" for preposition, s in (("from", self.low), ("to", self.high)) if s]
        return f"markets with {axis.field} {' '.join(parts)}"


def _seconds_down_to(low: int | None, high: int) -> int:
    return high - (BEGINNING if low is None else low)


def _iso(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"


def second_of(text: str) -> int:
    """Return the Unix second of an RFC 3339 time, rounded down. Raises `ValueError`."""
    return int(datetime.fromisoformat(text).replace(microsecond=0).timestamp())


def tile(cuts: Sequence[int], low: int | None = None, high: int | None = None) -> list[Window]:
    """Return the windows between `high` and `low` that meet at the cuts, the latest first."""
    edges = [high, *sorted(set(cuts), reverse=True), low]
    return [Window(low=lower, high=upper) for upper, lower in pairwise(edges)]


class Profile(msgspec.Struct, frozen=True):
    """How a listing's rows were distributed on its axis when last read: every `step`-th row's second, latest first."""

    rows: int
    step: int
    seconds: list[int]
    read_ts: float

    @classmethod
    def of(cls, sample: Sequence[int], step: int, rows: int, now: float) -> Self:
        return cls(rows, step, sorted(sample, reverse=True), now)

    def between(self, low: int | None, high: int | None) -> float:
        """Estimate how many rows lie between two seconds."""
        ascending = self.seconds[::-1]
        first = 0 if low is None else bisect_left(ascending, low)
        last = len(ascending) if high is None else bisect_right(ascending, high)
        return max(0, last - first) * self.step

    def cuts(self, rows: int) -> list[int]:
        """Return where to cut so that each window holds about `rows` rows."""
        every = max(1, rows // self.step)
        cuts = []
        for position in range(every, len(self.seconds), every):
            second = self.seconds[position]
            # Neighbouring windows overlap by two seconds. Rows listed at one instant stay together in the later window.
            repeated = self.seconds[position + 1 : position + 2] == [second]
            cuts.append(second - 2 if repeated else second)
        return cuts


class Density:
    """The expected rows between two seconds: by the last crawl's profile, else by a prior over age.

    `ahead` is set for axes that lie in the future, such as the closing times of open markets.
    """

    def __init__(self, now: float, profile: Profile | None, *, ahead: bool = False) -> None:
        self._now = now
        self._profile = profile
        self._ahead = ahead

    @property
    def known(self) -> bool:
        """Whether a profile is known."""
        return self._profile is not None

    def rows(self, low: int | None, high: int | None) -> float:
        """Estimate how many rows lie between two seconds."""
        if self._profile is not None:
            return self._profile.between(low, high)
        share = self.measure(high) - self.measure(low)
        return max(0.0, share) * PRIOR_ROWS / math.log(PRIOR_OLDEST_S / PRIOR_YOUNGEST_S)

    def extrapolate(self, seen: int, low: int | None, reached: int, high: int | None) -> float:
        """Estimate the rows between `reached` and `low`, given `seen` rows between `high` and `reached`."""
        done = self.measure(high) - self.measure(reached)
        left = self.measure(reached) - self.measure(low)
        return seen / max(done, 1e-3) * max(left, 0.0)

    def pages_in_batch(self, low: int | None, reached: int, stride: int) -> float:
        """Estimate the pages left of a batch whose pages cover `stride` seconds each and whose end is unknown.

        It is the geometric mean of one page and all pages down to `low`.
        """
        return math.sqrt(max(0.0, _seconds_down_to(low, reached) / stride))

    def cuts(self, low: int | None, high: int, parts: int, stride: int | None = None) -> list[int]:
        """Return where to cut so that each of `parts` windows has the same expected rows.

        `stride` is given inside a batch of unknown length whose pages cover that many seconds. The cuts are then even
        in the logarithm of its possible length.
        """
        if self._profile is not None and self._profile.between(low, high) >= parts:
            inside = [s for s in self._profile.seconds if (low is None or s > low) and s < high]
            return sorted({inside[len(inside) * k // parts] for k in range(1, parts) if inside}, reverse=True)
        if stride is not None and not self._ahead:
            pages = max(1.0, _seconds_down_to(low, high) / stride)
            return [int(high - stride * pages ** (k / parts)) for k in range(1, parts)]
        first = self.measure(high)
        last = self.measure(low)
        return [self._second(first + (last - first) * k / parts) for k in range(1, parts)]

    def measure(self, second: int | None) -> float:
        """Map a second onto a scale with even density: the past by the logarithm of age, the future by the day."""
        if self._ahead:
            return float(self._now if second is None else second) / 86_400
        return -math.log(min(max(self._now - (BEGINNING if second is None else second), 60), 2e8))

    def _second(self, measure: float) -> int:
        return int(measure * 86_400) if self._ahead else int(self._now - math.exp(-measure))

"""The funnel: how many markets each filter and threshold dropped."""

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """One step of a funnel: its text, the markets that passed, and those that ended here.

    `share` is `dropped` as a share of all markets that entered the funnel.
    """

    step: str
    kept: int
    dropped: int
    share: float = 0.0


def with_shares(steps: Iterable[FunnelStep], total: int) -> list[FunnelStep]:
    """Return the steps with their shares of `total` markets, rounded to six decimals."""
    return [replace(step, share=round(step.dropped / max(1, total), 6)) for step in steps]

"""Which markets a listing is about. Plain data: importing it costs nothing."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, get_args

from fairline.errors import UsageError
from fairline.kalshi.redaction import show_value

Status = Literal["unopened", "open", "paused", "closed", "settled"]
STATUSES: tuple[str, ...] = get_args(Status)


@dataclass(frozen=True, slots=True)
class Filters:
    """Which markets to read; `market.selection` applies them. Raises `UsageError` for an unknown status."""

    status: Status = "open"
    """Only markets with this status."""
    categories: tuple[str, ...] = ()
    """Only this category, in any case; any category of the market's series counts. Repeatable."""
    series: tuple[str, ...] = ()
    """Only this series. Repeatable."""
    events: tuple[str, ...] = ()
    """Only this event. Repeatable."""
    tickers: tuple[str, ...] = ()
    """Only this market. Repeatable."""
    decided_within: timedelta | None = None
    """Only markets whose outcome is expected within this time, such as 90m, 12h, 7d or 4w."""
    closes_within: timedelta | None = None
    """Only markets that close within this time. A game's market usually closes two weeks after the game."""
    min_volume: float = 0
    """Only markets with at least this many contracts traded so far."""
    search: str = ""
    """Only markets with this text in the ticker, title or outcome, in any case."""
    combos: bool = False
    """Include multivariate events (parlays)."""

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise UsageError(f"expected one of {', '.join(STATUSES)}, not {show_value(self.status)}", field="status")

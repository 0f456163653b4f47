"""The thresholds of a scan."""

from dataclasses import dataclass
from typing import Literal, get_args

from fairline.errors import UsageError

Side = Literal["yes", "no"]
SideChoice = Literal["both", "yes", "no"]
SortKey = Literal["total", "believed", "ev", "ev-per-dollar", "edge", "yearly", "decided"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as an opportunity. The defaults are the article's: edge > 2.0 points, EV > $0.01, spread < 5 %.

    These thresholds are on the raw numbers. What passes them must also have a believed EV above `min_believed_ev`: EV
    by the probability that the model's record supports. `size` is the order in contracts, whose fee is charged;
    `min_contracts` must be on offer at the best price. With `rest` the order joins the best bid and pays the maker fee;
    otherwise it takes the best offer. An edge above `suspect_points` is more likely a bug than a bargain: in 362
    recorded pairs of a bookmaker consensus and the exchange's price (August 2025) none was 20 points apart and 99 %
    were within 13.

    Raises `UsageError` for the first field that is out of range.
    """

    min_edge_points: float = 2.0
    """Probability points above the price."""
    min_ev: float = 0.01
    """Expected value in dollars per contract, after the fee."""
    max_spread_percent: float = 5.0
    """Spread in percent of the midpoint."""
    side: SideChoice = "both"
    """Which side to buy."""
    size: int = 100
    """Contracts per order; its fee is charged."""
    kelly_fraction: float = 1.0
    """Fraction of full Kelly in the column `kelly`."""
    min_contracts: float = 1.0
    """Contracts on offer at the best price."""
    rest: bool = False
    """Join the best bid at the maker fee instead of taking the offer. EV holds only if filled."""
    in_play: bool = False
    """Keep markets whose game has begun, also for models that know nothing about play."""
    suspect_points: float = 20.0
    """Probability points above which an edge is more likely a bug than a bargain."""
    min_believed_ev: float = 0.01
    """Believed EV in dollars per contract, after the fee: EV by what the model's record supports."""
    min_yearly: float | None = None
    """Believed yearly return in percent until the outcome is decided. Off by default; an unknown time fails it."""
    sort: SortKey = "total"
    """What ranks opportunities: believed EV of the whole order, of a contract, raw EV, edge, yearly return, or time."""

    def __post_init__(self) -> None:
        checks = {
            "min_edge_points": (-100 <= self.min_edge_points < 100, "points from -100 to below 100"),
            "min_ev": (-1 <= self.min_ev < 1, "dollars per contract from -1 to below 1"),
            "max_spread_percent": (0 < self.max_spread_percent <= 200, "percent of the midpoint above 0, up to 200"),
            "side": (self.side in get_args(SideChoice), "both, yes or no"),
            "size": (1 <= self.size <= 1_000_000, "a whole number from 1 to 1,000,000"),
            "min_contracts": (0 <= self.min_contracts <= 1_000_000, "contracts from 0 to 1,000,000"),
            "suspect_points": (0 < self.suspect_points <= 100, "points above 0, up to 100"),
            "min_believed_ev": (-1 <= self.min_believed_ev < 1, "dollars per contract from -1 to below 1"),
            "min_yearly": (self.min_yearly is None or self.min_yearly >= 0, "percent per year of at least 0"),
            "sort": (self.sort in get_args(SortKey), f"one of {', '.join(get_args(SortKey))}"),
            "kelly_fraction": (0 <= self.kelly_fraction <= 1, "a fraction from 0 to 1"),
        }
        for field, (valid, expected) in checks.items():
            if not valid:
                raise UsageError(f"expected {expected}", field=field)

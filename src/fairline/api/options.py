"""Options of the library's functions and of the commands, each declared once.

The fields' names are keywords in Python; the command line turns them into flags. `Filters` and `Rules`, which are
declared in the rooms that use them, follow the same rule with the names in `KEYWORDS`.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

KEYWORDS = {
    "categories": "category",
    "events": "event",
    "max_spread_percent": "max_spread",
    "min_edge_points": "min_edge",
    "suspect_points": "suspect",
    "tickers": "ticker",
}
"""Fields whose keyword and flag differ from their name, in one table."""


def keyword(field: str) -> str:
    """Return the keyword argument of a field: `min_edge` for `min_edge_points`."""
    return KEYWORDS.get(field, field)


def flag(field: str) -> str:
    """Return the command line's flag of a field: `--min-edge` for `min_edge_points`."""
    return f"--{keyword(field).replace('_', '-')}"


@dataclass(frozen=True, slots=True)
class Connection:
    """Which exchange to ask."""

    exchange: str | None = None
    """production, demo or a URL. Default: production."""
    profile: str | None = None
    """A profile of fairline.toml."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The API key. Market data needs none."""

    key_id: str | None = None
    """API key id. Market data needs none."""
    key_file: str | None = None
    """Private key in PEM format; - reads standard input, keyring:NAME uses an imported key."""


@dataclass(frozen=True, slots=True)
class ModelInputs:
    """How models get their inputs."""

    offline: bool = False
    """Use only inputs that were fetched before, however old they are."""
    record: Path | None = None
    """Add every input that a model used to the store in this folder, for replay."""
    trust: float = 1.0
    """Share of your own models' disagreement with the price to believe until they have a record, from 0 to 1."""
    max_table_age: timedelta = timedelta(hours=24)
    """Ignore probabilities of a table that are older than this."""


@dataclass(frozen=True, slots=True)
class Sizing:
    """How much to bet. Advice only: nothing is traded."""

    bankroll: float | None = None
    """Suggest position sizes for this bankroll in dollars. Nothing is traded."""
    kelly: float = 0.25
    """Fraction of full Kelly to stake (0.25 = quarter Kelly)."""
    caps: tuple[float, ...] = (5.0, 10.0, 25.0, 50.0)
    """Largest share of the bankroll at risk on one market, event, series and day, in percent."""


@dataclass(frozen=True, slots=True)
class Crawl:
    """How the listing is read."""

    max_age: timedelta = timedelta(minutes=2)
    """Resume an interrupted crawl that started at most this long ago."""
    fresh: bool = False
    """Ignore everything kept from earlier runs."""


@dataclass(frozen=True, slots=True)
class Books:
    """Whether candidates are confirmed by their order books."""

    books: bool = True
    """Read the order books of the candidates before reporting them."""


@dataclass(frozen=True, slots=True)
class Period:
    """Which part of the past to test."""

    since: str | None = None
    """First instant: a date or time (UTC), or this long ago, such as 30d. Default: the first recorded quote."""
    until: str | None = None
    """Last instant, in the same form. Default: the last recorded quote."""
    every: timedelta = timedelta(hours=1)
    """Interval between decisions."""


@dataclass(frozen=True, slots=True)
class Trading:
    """How opportunities become trades."""

    enter: Literal["first", "each", "daily"] = "first"
    """Buy a market's side once, each time it is flagged again, or once a day."""
    fills: Literal["take", "rest"] = "take"
    """Take offers seen after the decision, or rest at the bid (with a pessimistic and an optimistic answer)."""
    lag: timedelta = timedelta(seconds=60)
    """Time from a decision until its order reaches the exchange."""
    max_gap: timedelta = timedelta(hours=2)
    """Nothing is filled this long after an order without an observation of its market."""
    rest_for: timedelta = timedelta(hours=24)
    """How long a resting order waits."""


@dataclass(frozen=True, slots=True)
class Running:
    """How the backtest runs."""

    refit: timedelta | None = None
    """Refit beliefs and models that learn at this interval. Default: once, before the first instant."""
    trust: float = 1.0
    """How much of your own models' disagreement with the price to believe before they have a record, from 0 to 1."""
    prove: bool = False
    """First prove that nothing looks ahead: compare 200 instants with a copy whose future is deleted."""
    jobs: int = 1
    """Processes on this machine."""
    scheduler: str | None = None
    """Address of a Dask scheduler to use instead (needs the extra dask)."""


@dataclass(frozen=True, slots=True)
class AccountUse:
    """Whether a scan knows the account. It only reads."""

    holdings: bool = False
    """Mark what is held or resting, size bets from the account's equity, and count holdings towards the caps."""


@dataclass(frozen=True, slots=True)
class AccountOptions:
    """Which part of an account is read, and what is kept of it."""

    subaccount: int = 0
    """Subaccount number, 0 to 63."""
    clv: bool = False
    """Compare every fill with the closing line: the last two-sided quote before its event began."""
    history: bool = False
    """Look up category and title of every market ever traded, not only of those held."""
    keep: bool = False
    """Keep fills and settlements on this machine (mode 0600); the exchange drops old ones."""
    store: Path | None = None
    """Folder of a watch's store, for closing quotes and claimed edges."""

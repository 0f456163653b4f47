"""What a watch is configured to do: everything that changed settings can change."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from fairline.market.fees import CAUTIOUS, Policy
from fairline.market.filters import Filters
from fairline.models import Model
from fairline.pricing.belief import Beliefs
from fairline.pricing.rules import Rules
from fairline.pricing.sizing import Bankroll
from fairline.scanner import default_beliefs
from fairline.watch.alerts import Rule


@dataclass(frozen=True, slots=True)
class WatchConfig:
    """What to watch and which receivers to notify: all that changed settings can change."""

    models: Sequence[Model]
    filters: Filters = field(default_factory=Filters)
    rules: Rules = field(default_factory=Rules)
    alerts: Sequence[Rule] = ()
    receivers: dict[str, Any] = field(default_factory=dict)
    every: timedelta = timedelta(seconds=60)
    audit_every: timedelta = timedelta(minutes=30)
    dead_man: timedelta = timedelta(minutes=10)
    settle_every: timedelta = timedelta(minutes=5)
    keep_days: dict[str, int] = field(default_factory=dict)
    facts_s: float = 3_600.0
    books: bool = True
    bankroll: Bankroll | None = None
    holdings: bool = False
    fees: Policy = CAUTIOUS
    ping: Callable[[], Awaitable[None]] | None = None
    read_beliefs: Callable[[], Beliefs] = default_beliefs

"""How a watch is doing: what it counted, whether it sees, and which alarms that amounts to."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fairline.kalshi.clock import TOLERATED_S, Skew
from fairline.store import ROOM_BYTES

_FAILURES = 3
"""How often in a row a model fails before somebody is told."""


@dataclass(slots=True)
class Health:
    """Counted since the start. `trouble` is why the last scan was not whole, by kind: refused, paused, scan, store."""

    started_ts: datetime
    scans: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    changes: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    last_ts: datetime | None = None
    complete_ts: datetime | None = None
    duration_s: float = 0.0
    markets: int = 0
    kept: int = 0
    settlements: int = 0
    trouble: dict[str, str] = field(default_factory=dict)
    skew: Skew | None = None
    free_bytes: int | None = None
    failing: dict[str, str] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)

    def alarms(self, now: datetime, dead_man: timedelta) -> dict[str, str]:
        """The alarms that are due, in words. An exchange that is known to pause blinds nobody."""
        found = {name: words for name, words in self.trouble.items() if name != "scan"}
        since = self.complete_ts or self.started_ts
        if now - since >= dead_man and "paused" not in self.trouble:
            why = self.trouble.get("scan") or self.trouble.get("refused") or "no scan came to its end"
            found["blind"] = f"no complete scan since {since:%Y-%m-%d %H:%M} UTC: {why}"
        if self.skew is not None and abs(self.skew.seconds) - self.skew.error > TOLERATED_S:
            found["clock"] = str(self.skew)
        if self.free_bytes is not None and self.free_bytes < ROOM_BYTES:
            found["disk"] = f"only {self.free_bytes / 1e6:,.0f} MB are free where the store is"
        for model, words in self.failing.items():
            if self.failures.get(model, 0) >= _FAILURES:
                found[f"model {model}"] = f"the model {model} fails: {words}"
        return found

    def sees(self, now: datetime, dead_man: timedelta) -> bool:
        """Whether a whole scan is recent enough."""
        return now - (self.complete_ts or self.started_ts) < dead_man

"""How a watch is doing: what it counted, whether it sees, and which alarms that amounts to."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fairline.kalshi.clock import TOLERATED_S, Skew
from fairline.store.store import ROOM_BYTES

_FAILURES = 3
"""How often in a row a model fails before somebody is told."""
_MODEL = "model "
_LONGEST = 400
"""Letters of an alarm: a listing can be incomplete for very many reasons."""


@dataclass(slots=True)
class Health:
    """Counted since the start. `trouble` is what is wrong by kind (refused, paused, scan, store), and stays until the
    opposite was seen: silence is no all-clear. `blind_since` is when it last saw, or began to be able to.
    """

    started_ts: datetime
    scans: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    changes: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    last_ts: datetime | None = None
    complete_ts: datetime | None = None
    resumed_ts: datetime | None = None
    duration_s: float = 0.0
    markets: int = 0
    kept: int = 0
    settlements: int = 0
    trouble: dict[str, str] = field(default_factory=dict)
    skew: Skew | None = None
    free_bytes: int | None = None
    failing: dict[str, str] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)

    def restore(self, alarms: Mapping[str, str]) -> None:
        """The alarms that were on when it was stopped: they are until something shows that they are over."""
        for name, words in alarms.items():
            if name.startswith(_MODEL):
                model = name.removeprefix(_MODEL)
                self.failing[model], self.failures[model] = words.partition(" fails: ")[2], _FAILURES
            elif name in ("paused", "refused", "store"):
                self.trouble[name] = words
            else:
                self.before[name] = words

    def active(self, now: datetime) -> None:
        """The exchange says that it is open: whoever waited for that may be asked from now on what he sees."""
        if self.trouble.pop("paused", None):
            self.resumed_ts = now

    def read(self, now: datetime, *, complete: bool, why: str) -> None:
        """A scan came to its end."""
        self.active(now)
        self.trouble.pop("refused", None)
        if complete:
            self.complete_ts = now
            self.trouble.pop("scan", None)
            self.before.pop("blind", None)
        else:
            self.trouble["scan"] = why

    def forget(self, models: Collection[str]) -> None:
        """Models other than these are no business of ours any more."""
        for name in [name for name in self.failing if name not in models]:
            del self.failing[name]
            self.failures.pop(name, None)

    def alarms(self, now: datetime, dead_man: timedelta, on: Collection[str] = ()) -> dict[str, str]:
        """The alarms that are due, in words. An exchange that is known to pause blinds nobody; one that is `on` takes
        a little more to be over than it took to begin.
        """
        found = {name: words for name, words in self.trouble.items() if name != "scan"}
        since = self._since()
        if now - since >= dead_man and "paused" not in self.trouble:
            why = self.trouble.get("scan") or self.trouble.get("refused") or "no scan came to its end"
            found["blind"] = f"no complete scan since {since:%Y-%m-%d %H:%M} UTC: {why}"
        tolerated = TOLERATED_S * (0.8 if "clock" in on else 1.0)
        if self.skew is not None and abs(self.skew.seconds) - self.skew.error > tolerated:
            found["clock"] = str(self.skew)
        wanted = ROOM_BYTES * (1.5 if "disk" in on else 1.0)
        if self.free_bytes is not None and self.free_bytes < wanted:
            found["disk"] = f"only {self.free_bytes / 1e6:,.0f} MB are free where the store is"
        for model, words in self.failing.items():
            if self.failures.get(model, 0) >= _FAILURES:
                found[f"{_MODEL}{model}"] = f"the model {model} fails: {words}"
        known = {"clock": self.skew is not None, "disk": self.free_bytes is not None}
        still = {name: words for name, words in self.before.items() if not known.get(name)}
        return {name: _short(words) for name, words in (still | found).items()}

    def sees(self, now: datetime, dead_man: timedelta) -> bool:
        """Whether a whole scan is recent enough."""
        return now - self._since() < dead_man

    def _since(self) -> datetime:
        return max(at for at in (self.started_ts, self.complete_ts, self.resumed_ts) if at is not None)


def _short(words: str) -> str:
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]} …"

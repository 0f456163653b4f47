"""Count what a watch does, and derive its alarms."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fairline.kalshi.clock import TOLERATED_S, Skew
from fairline.kalshi.decoding import Rejected
from fairline.market.completeness import Drift
from fairline.store.store import MIN_FREE_BYTES

_FAILURES = 3
"""Failures in a row after which a model raises an alarm."""
_MODEL = "model "
_DRIFT = "data "
_MAX_TEXT = 400
"""Characters of an alarm: an incomplete listing can have very many reasons."""


@dataclass(slots=True)
class Health:
    """Counters since the start, and what is wrong now.

    `errors` has one message per kind (refused, paused, scan, store); each stays until an explicit recovery. `restored`
    are alarms from before a restart, which stay until their opposite is seen. `drift` has the messages about data that
    is not what this version expects, by kind.
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
    opportunities: int = 0
    settlements: int = 0
    trades: int = 0
    errors: dict[str, str] = field(default_factory=dict)
    skew: Skew | None = None
    free_bytes: int | None = None
    failing: dict[str, str] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    drift: dict[str, str] = field(default_factory=dict)
    restored: dict[str, str] = field(default_factory=dict)

    def restore(self, alarms: Mapping[str, str]) -> None:
        """Take over the alarms that were active when the watch stopped."""
        for name, text in alarms.items():
            if name.startswith(_MODEL):
                model = name.removeprefix(_MODEL)
                self.failing[model] = text.partition(" fails: ")[2]
                self.failures[model] = _FAILURES
            elif name.startswith(_DRIFT):
                self.drift[name.removeprefix(_DRIFT)] = text
            elif name in ("paused", "refused", "store"):
                self.errors[name] = text
            else:
                self.restored[name] = text

    def record_open_exchange(self, now: datetime) -> None:
        """Note that the exchange is open: the time of a pause does not count as an outage."""
        if self.errors.pop("paused", None):
            self.resumed_ts = now

    def record_scan(self, now: datetime, *, complete: bool, reason: str) -> None:
        """Note that a scan ended; `reason` is why it was incomplete."""
        self.record_open_exchange(now)
        self.errors.pop("refused", None)
        if complete:
            self.complete_ts = now
            self.errors.pop("scan", None)
            self.restored.pop("outage", None)
        else:
            self.errors["scan"] = reason

    def record_drift(self, findings: Iterable[Drift]) -> None:
        """Replace the findings about a scan's data."""
        settlements = {kind: text for kind, text in self.drift.items() if kind == "settlements"}
        self.drift = settlements | {finding.kind: finding.message for finding in findings}

    def record_settlements(self, rejected: Sequence[Rejected]) -> None:
        """Note the settlements of the last collection that could not be read."""
        self.drift.pop("settlements", None)
        if rejected:
            self.drift["settlements"] = f"{len(rejected):,} settlements could not be read, such as {rejected[0]}"

    def keep_models(self, models: Collection[str]) -> None:
        """Forget the failures of all other models."""
        for name in [name for name in self.failing if name not in models]:
            del self.failing[name]
            self.failures.pop(name, None)

    def alarms(self, now: datetime, dead_man: timedelta, active: Collection[str] = ()) -> dict[str, str]:
        """Return the alarms that should be active, and their messages.

        A known pause of the exchange is no outage. An alarm in `active` ends with a margin, so that it does not flap.
        """
        pending = {name: text for name, text in self.errors.items() if name != "scan"}
        pending |= {f"{_DRIFT}{kind}": text for kind, text in self.drift.items()}
        pending |= (
            self._outage(now, dead_man) | self._clock(active="clock" in active) | self._disk(active="disk" in active)
        )
        pending |= {
            f"{_MODEL}{model}": f"model {model} fails: {text}"
            for model, text in self.failing.items()
            if self.failures.get(model, 0) >= _FAILURES
        }
        measured = {"clock": self.skew is not None, "disk": self.free_bytes is not None}
        restored = {name: text for name, text in self.restored.items() if not measured.get(name)}
        return {name: _shorten(text) for name, text in (restored | pending).items()}

    def _outage(self, now: datetime, dead_man: timedelta) -> dict[str, str]:
        since = self._complete_since()
        if now - since < dead_man or "paused" in self.errors:
            return {}
        reason = self.errors.get("scan") or self.errors.get("refused") or "no scan finished"
        return {"outage": f"no complete scan since {since:%Y-%m-%d %H:%M} UTC: {reason}"}

    def _clock(self, *, active: bool) -> dict[str, str]:
        tolerated = TOLERATED_S * (0.8 if active else 1.0)
        if self.skew is None or abs(self.skew.seconds) - self.skew.error <= tolerated:
            return {}
        return {"clock": str(self.skew)}

    def _disk(self, *, active: bool) -> dict[str, str]:
        wanted = MIN_FREE_BYTES * (1.5 if active else 1.0)
        if self.free_bytes is None or self.free_bytes >= wanted:
            return {}
        return {"disk": f"only {self.free_bytes / 1e6:,.0f} MB free on the store's disk"}

    def is_current(self, now: datetime, dead_man: timedelta) -> bool:
        """Return whether the last complete scan is recent enough and the exchange's data is as expected."""
        return not self.drift and now - self._complete_since() < dead_man

    def _complete_since(self) -> datetime:
        """Return when a scan was last complete, or since when one could have been."""
        return max(at for at in (self.started_ts, self.complete_ts, self.resumed_ts) if at is not None)


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]} …"

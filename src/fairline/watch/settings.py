"""What `fairline.toml` says of watching: whom to tell of what, how long to keep, when somebody must be told.

[watch]
dead_man = "10m"                      no complete scan for so long is an alarm
ping = "env:HEALTHCHECK_URL"          asked for after each complete scan

[watch.keep]                          days
quotes = 90

[receivers]
phone = "env:FAIRLINE_PHONE"          an Apprise URL

[alerts.large]
to = ["phone"]
min_edge = 5
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from fairline.config.settings import read_tables, secret
from fairline.errors import ConfigError, UsageError
from fairline.kalshi import Timeouts
from fairline.kalshi.http import AiohttpSend, HttpRequest
from fairline.kalshi.keys import readable_by_others
from fairline.store.datasets import DATASETS
from fairline.text import parse_duration
from fairline.watch.alerts import Rule
from fairline.watch.receivers import Receiver

KEEP_DAYS = {"quotes": 90, "facts": 400, "predictions": 400, "edges": 3_650, "settlements": 3_650, "scans": 400}
MOST_DAYS = 36_500
_WATCH = ("dead_man", "ping", "keep")


@dataclass(frozen=True, slots=True)
class Instructions:
    """The parts of the settings that are about watching. Addresses do not show in its repr."""

    receivers: Mapping[str, Receiver] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    dead_man: timedelta = timedelta(minutes=10)
    ping_url: str = field(default="", repr=False)
    keep_days: Mapping[str, int] = field(default_factory=lambda: dict(KEEP_DAYS))
    warnings: tuple[str, ...] = ()

    def ping(self) -> Callable[[], Awaitable[None]] | None:
        """Asks for the health-check's address, if there is one. Raises `KalshiError` if that cannot be reached."""
        if not self.ping_url:
            return None
        send = AiohttpSend(Timeouts(connect_s=5, silence_s=5, total_s=10))

        async def ask() -> None:
            await send(HttpRequest("GET", self.ping_url, {}))
            await send.close()

        return ask


def read_instructions(files: tuple[Path, ...] | None = None, environ: Mapping[str, str] | None = None) -> Instructions:
    """Raises `ConfigError` in one line that names the setting."""
    path, tables = read_tables(files)
    receivers = {name: _receiver(name, url, environ) for name, url in tables["receivers"].items()}
    rules = tuple(Rule.of(name, _table(f"alerts.{name}", table)) for name, table in tables["alerts"].items())
    for rule in rules:
        for name in rule.to:
            if name not in receivers:
                there = ", ".join(receivers) or "none"
                raise ConfigError(
                    f"alerts.{rule.name} tells {name!r}, which is no receiver", remedy=f"There are: {there}"
                )
    secrets = [*tables["receivers"].values(), tables["watch"].get("ping", "env:")]
    literal = any(isinstance(url, str) and not url.startswith("env:") for url in secrets)
    warnings: tuple[str, ...] = ()
    if path is not None and literal and readable_by_others(path):
        warnings = (f"{path} has secret addresses in it and can be read by others: chmod 600 {path}",)
    return Instructions(receivers, rules, **_watch(tables["watch"], environ), warnings=warnings)


def _watch(table: dict[str, Any], environ: Mapping[str, str] | None) -> dict[str, Any]:
    for key in table:
        if key not in _WATCH:
            raise ConfigError(f"watch has an unknown setting {key!r}", remedy=f"It takes {', '.join(_WATCH)}")
    made: dict[str, Any] = {"keep_days": KEEP_DAYS | _days(_table("watch.keep", table.get("keep", {})))}
    if "dead_man" in table:
        try:
            made["dead_man"] = parse_duration(str(table["dead_man"]), field="dead_man")
        except UsageError as error:
            raise ConfigError(f"watch: {error.message}", remedy=error.remedy) from None
        if made["dead_man"] < timedelta(seconds=1):
            raise ConfigError("watch: dead_man must be a second at least", remedy="Such as 10m")
    if "ping" in table:
        made["ping_url"] = secret(str(table["ping"]), environ)
    return made


def _days(keep: dict[str, Any]) -> dict[str, int]:
    for name, days in keep.items():
        if name not in DATASETS:
            raise ConfigError(f"watch.keep names {name!r}", remedy=f"Datasets are {', '.join(DATASETS)}")
        if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= MOST_DAYS:
            words = f"watch.keep: {name} = {days!r} is no number of days"
            raise ConfigError(words, remedy=f"It takes whole days from 1 to {MOST_DAYS}")
    return keep


def _receiver(name: str, url: object, environ: Mapping[str, str] | None) -> Receiver:
    if not isinstance(url, str):
        raise ConfigError(f"the receiver {name!r} must be text", remedy="An Apprise URL, or env:NAME")
    made = Receiver(name, secret(url, environ))
    made.check()
    return made


def _table(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{name} must be a table", remedy=f"Such as [{name}]; see docs/running.md")
    return value

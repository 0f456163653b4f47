"""Read what `fairline.toml` says about watching: receivers, alert rules, retention and the outage limit.

[watch]
dead_man = "10m"                      raise an alarm after so long without a complete scan
ping = "env:HEALTHCHECK_URL"          requested after each complete scan

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
from typing import Annotated

import msgspec
from msgspec import Meta

from fairline.config.files import read_tables
from fairline.config.settings import secret
from fairline.config.validation import Duration, convert_table, expectations
from fairline.errors import ConfigError
from fairline.kalshi import Timeouts
from fairline.kalshi.http import AiohttpSend, HttpRequest
from fairline.kalshi.keys import readable_by_others
from fairline.kalshi.redaction import show_value
from fairline.store.datasets import Dataset
from fairline.watch.alerts import Rule
from fairline.watch.receivers import Receiver

MAX_KEEP_DAYS = 36_500
KEEP_DAYS: dict[str, int] = {
    "quotes": 90,
    "facts": 400,
    "predictions": 400,
    "edges": 3_650,
    "settlements": 3_650,
    "scans": 400,
    "inputs": 90,
    "trades": 400,
    "depth": 90,
    "daily": 3_650,
    "coverage": 3_650,
    "outages": 400,
}
_Days = Annotated[int, Meta(ge=1, le=MAX_KEEP_DAYS)]
_KEEP = f"a table of whole days from 1 to {MAX_KEEP_DAYS} for {', '.join(KEEP_DAYS)}"


class WatchTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of the table `[watch]` that are no options of the command, which reads those itself."""

    dead_man: Annotated[Duration, Meta(description="a duration of a second or more, such as 10m")] = Duration(
        minutes=10
    )
    ping: Annotated[str, Meta(description="a text: an address, or env:NAME")] = ""
    keep: Annotated[dict[Dataset, _Days], Meta(description=_KEEP)] = {}


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """The parts of the settings about watching. Its repr shows no addresses."""

    receivers: Mapping[str, Receiver] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    dead_man: timedelta = timedelta(minutes=10)
    ping_url: str = field(default="", repr=False)
    keep_days: Mapping[str, int] = field(default_factory=lambda: dict(KEEP_DAYS))
    warnings: tuple[str, ...] = ()

    def pinger(self) -> Callable[[], Awaitable[None]] | None:
        """Return a function that requests the health-check address; None without one. It raises `KalshiError`."""
        if not self.ping_url:
            return None
        send = AiohttpSend(Timeouts(connect_s=5, silence_s=5, total_s=10))

        async def ping() -> None:
            await send(HttpRequest("GET", self.ping_url, {}))
            await send.close()

        return ping


def read_watch_settings(
    files: tuple[Path, ...] | None = None, environ: Mapping[str, str] | None = None
) -> WatchSettings:
    """Read the first of the files that exists. Raises `ConfigError` that names file, table and key."""
    path, tables = read_tables(files)
    file = path or "fairline.toml"
    receivers = {name: _read_receiver(name, url, file, environ) for name, url in tables["receivers"].items()}
    rules = tuple(Rule.from_table(name, table, file) for name, table in tables["alerts"].items())
    for rule in rules:
        _check_receivers(rule, receivers, file)
    own = {key: value for key, value in tables["watch"].items() if key in expectations(WatchTable)}
    watch = convert_table(own, WatchTable, f"[watch] of {file}")
    if watch.dead_man < timedelta(seconds=1):
        raise ConfigError(
            f"invalid dead_man in [watch] of {file}: expected a second or more", remedy='For example "10m"'
        )
    return WatchSettings(
        receivers,
        rules,
        watch.dead_man,
        secret(watch.ping, environ),
        KEEP_DAYS | {str(name): days for name, days in watch.keep.items()},
        _permission_warnings(path, [*tables["receivers"].values(), watch.ping]),
    )


def _read_receiver(name: str, url: object, file: object, environ: Mapping[str, str] | None) -> Receiver:
    if not isinstance(url, str):
        raise ConfigError(f"invalid {name} in [receivers] of {file}: expected a text: an Apprise URL, or env:NAME")
    receiver = Receiver(name, secret(url, environ))
    receiver.check()
    return receiver


def _check_receivers(rule: Rule, receivers: Mapping[str, Receiver], file: object) -> None:
    for name in rule.to:
        if name not in receivers:
            known = ", ".join(receivers) or "none"
            raise ConfigError(
                f"invalid to in [alerts.{rule.name}] of {file}: {show_value(name)} is not a receiver",
                remedy=f"Receivers: {known}",
            )


def _permission_warnings(path: Path | None, secrets: list[str]) -> tuple[str, ...]:
    literal = any(text and not text.startswith("env:") for text in secrets)
    if path is None or not literal or not readable_by_others(path):
        return ()
    return (f"{path} contains secret addresses and other users can read it: run chmod 600 {path}",)

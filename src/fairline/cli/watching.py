"""`watch`: scan on a schedule, store each scan, and send alerts."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Annotated, Literal

from cyclopts import Group, Parameter, validators

from fairline.api.options import AccountUse, Books, Connection, Credentials, ModelInputs, Sizing
from fairline.cli.logs import LogFormat, log_to_stderr
from fairline.cli.options import (
    AccountUseOptions,
    BookOptions,
    ConnectionOptions,
    CredentialOptions,
    FilterOptions,
    InputOptions,
    ModelArguments,
    ModelOptions,
    RuleOptions,
    SizingOptions,
    StoreFolder,
)
from fairline.cli.settings import read_settings
from fairline.cli.terminal import note
from fairline.errors import UsageError
from fairline.kalshi.redaction import show_value
from fairline.market.filters import Filters
from fairline.pricing.rules import Rules

_MIN_PERIOD = timedelta(seconds=1)


@Parameter(name="*", group=Group("Schedule and storage", sort_key=35))
@dataclass(frozen=True, slots=True)
class ScheduleOptions:
    """When to scan, and how long to keep what was recorded."""

    every: timedelta = timedelta(seconds=60)
    """Time between the starts of two scans."""
    settle_every: timedelta = timedelta(minutes=5)
    """Time between two checks for settled markets."""
    facts_every: timedelta = timedelta(hours=1)
    """How long series, events and fee terms count as fresh."""
    keep: tuple[str, ...] = ()
    """How many days to keep a dataset. Repeatable."""
    scans: Annotated[int | None, Parameter(validator=validators.Number(gte=1))] = None
    """Stop after this many scans."""

    def __post_init__(self) -> None:
        for field in ("every", "settle_every"):
            if getattr(self, field) < _MIN_PERIOD:
                raise UsageError("expected at least one second", field=field)

    def keep_days(self) -> dict[str, int]:
        """Return how many days to keep each dataset that was named. Raises `UsageError`."""
        from fairline.store.datasets import DATASETS
        from fairline.watch.settings import MAX_KEEP_DAYS

        days = {}
        for text in self.keep:
            name, _, number = text.partition("=")
            valid = number.isascii() and number.isdigit() and 1 <= int(number[:9]) <= MAX_KEEP_DAYS
            if name not in DATASETS or not valid:
                expected = f"expected DATASET=DAYS with one of {', '.join(DATASETS)}, not {show_value(text)}"
                raise UsageError(expected, field="keep")
            days[name] = int(number)
        return days


@Parameter(name="*", group=Group("Live feed", sort_key=37))
@dataclass(frozen=True, slots=True)
class LiveOptions:
    """Whether to follow the exchange's feed between scans."""

    live: bool = False
    """Price what changes as the feed reports it; scans become audits. Needs an API key."""
    audit_every: timedelta = timedelta(minutes=30)
    """Time between two audits of a live watch."""
    tick: float = 0.1
    """Seconds between two rounds of pricing in a live watch."""

    def __post_init__(self) -> None:
        if self.audit_every < _MIN_PERIOD:
            raise UsageError("expected at least one second", field="audit_every")
        if not 0.01 <= self.tick <= 60:
            raise UsageError("expected 0.01 to 60 seconds", field="tick")


@Parameter(name="*", group=Group("Health and log", sort_key=55))
@dataclass(frozen=True, slots=True)
class MonitorOptions:
    """Where the watch reports its own health."""

    port: Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65535))] = 9464
    """Port of /healthz and /metrics; 0 picks a free port."""
    host: str = "127.0.0.1"
    """Address of /healthz and /metrics."""
    log_format: LogFormat = "text"
    """Format of the log on standard error."""
    format: Literal["table", "jsonl"] = "table"
    """jsonl writes every change of an opportunity as a line of JSON to standard output."""
    json: bool = False
    """Short for --format jsonl."""


def watch(
    *models: ModelArguments,
    named: ModelOptions = ModelOptions(),
    filters: FilterOptions = Filters(),
    rules: RuleOptions = Rules(),
    sizing: SizingOptions = Sizing(),
    account: AccountUseOptions = AccountUse(),
    books: BookOptions = Books(),
    inputs: InputOptions = ModelInputs(),
    schedule: ScheduleOptions = ScheduleOptions(),
    live: LiveOptions = LiveOptions(),
    monitor: MonitorOptions = MonitorOptions(),
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
    credentials: CredentialOptions = Credentials(),
) -> None:
    """Scan on a schedule, store each scan, and send alerts about changes until stopped."""
    from fairline.api.account import account_fees
    from fairline.api.beliefs import load_beliefs
    from fairline.api.session import bankroll, exact_filters, load_models
    from fairline.cli.audit import AuditProcess
    from fairline.cli.watch_process import run_watch
    from fairline.config.connect import store_folder
    from fairline.watch.config import WatchConfig
    from fairline.watch.settings import read_watch_settings

    if filters.status != "open":
        raise UsageError("a watch reads open markets only", field="status")
    settings, wanted = read_settings(connection, credentials), named.all_models(*models)
    if account.holdings and not settings.has_key:
        raise UsageError("holdings need an API key", field="holdings")
    exact, keep_days = exact_filters(filters), schedule.keep_days()
    log_to_stderr(monitor.log_format)

    def read_config() -> WatchConfig:
        alerting = read_watch_settings()
        for warning in alerting.warnings:
            note(f"fairline: {warning}")
        return WatchConfig(
            load_models(wanted, inputs, settings.environment),
            exact,
            rules,
            alerting.rules,
            dict(alerting.receivers),
            every=schedule.every,
            audit_every=live.audit_every,
            dead_man=alerting.dead_man,
            settle_every=schedule.settle_every,
            keep_days={**alerting.keep_days, **keep_days},
            facts_s=schedule.facts_every.total_seconds(),
            books=books.books,
            bankroll=bankroll(sizing),
            holdings=account.holdings,
            fees=account_fees(settings, note),
            ping=alerting.pinger(),
            read_beliefs=partial(load_beliefs, settings, inputs.trust, note, folder=store),
        )

    folder = store_folder(settings, store)
    tick_s = live.tick if live.live else None
    asyncio.run(
        run_watch(
            settings,
            read_config,
            folder,
            schedule.scans,
            (monitor.host, monitor.port),
            tick_s=tick_s,
            audit=AuditProcess(settings, wanted, inputs),
            json_lines=monitor.json or monitor.format == "jsonl",
        )
    )

"""`watch` and what belongs to it: alerts, the markets that are followed, and the service."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import platformdirs
import typer

from fairline.cli.logs import log_to_stderr
from fairline.cli.options import (
    AsJson,
    Category,
    ClosesWithin,
    EventOption,
    Exchange_,
    KeyFile,
    KeyId,
    MaxSpread,
    MinContracts,
    MinEdge,
    MinEv,
    MinVolume,
    ModelNames,
    NoBooks,
    Probabilities,
    Profile,
    Rest,
    SeriesOption,
    Size,
    StoreFolder,
    Suspect,
    TickerOption,
    filters_of,
    tables_of,
)
from fairline.cli.terminal import auth_of, note, settings_of
from fairline.config.connect import connect, memory_of, own_folders, sources_of, store_folder
from fairline.config.settings import Settings, supervisor
from fairline.errors import UsageError
from fairline.kalshi.client import check_ticker
from fairline.models import Model, load
from fairline.output.files import write_whole
from fairline.pricing.rules import Rules
from fairline.store.datasets import DATASETS
from fairline.store.store import Store
from fairline.text import parse_duration
from fairline.watch.loop import Watch, WatchConfig
from fairline.watch.monitor import Monitor
from fairline.watch.service import containerfile, supervisor_notifier, systemd_unit
from fairline.watch.settings import MAX_KEEP_DAYS, WatchSettings, read_watch_settings
from fairline.watch.state import State

log = logging.getLogger("fairline.watch")

commands = typer.Typer()
_PATIENCE_S = 1.7
alerting = typer.Typer(help="Whom a watch tells of what.", no_args_is_help=True)
service = typer.Typer(help="A watch as a service of the system.", no_args_is_help=True)
commands.add_typer(alerting, name="alerts")
commands.add_typer(service, name="service")


@commands.command(epilog="Example: fairline watch --probabilities mine.csv --category sports --every 60s")
def watch(
    probabilities: Probabilities = None,
    model: ModelNames = None,
    every: Annotated[str, typer.Option(metavar="SPAN", help="The rhythm of scans.")] = "60s",
    category: Category = None,
    series: SeriesOption = None,
    event: EventOption = None,
    ticker: TickerOption = None,
    closes_within: ClosesWithin = None,
    min_volume: MinVolume = 0,
    min_edge: MinEdge = 2.0,
    min_ev: MinEv = 0.01,
    max_spread: MaxSpread = 5.0,
    size: Size = 100,
    min_contracts: MinContracts = 1.0,
    rest: Rest = False,
    suspect: Suspect = 20.0,
    no_books: NoBooks = False,
    settle_every: Annotated[str, typer.Option(metavar="SPAN", help="How often to ask how markets ended.")] = "5m",
    facts_every: Annotated[
        str, typer.Option(metavar="SPAN", help="How long series, events and fee terms count as fresh.")
    ] = "1h",
    store: StoreFolder = None,
    keep: Annotated[
        list[str] | None, typer.Option(metavar="DATASET=DAYS", help="How long to keep a dataset. Repeatable.")
    ] = None,
    scans: Annotated[int | None, typer.Option(min=1, help="Stop after so many scans.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of /healthz and /metrics; 0 takes a free one.")] = 9464,
    host: Annotated[str, typer.Option(help="Address of /healthz and /metrics.")] = "127.0.0.1",
    log_format: Annotated[str, typer.Option(help="text or json.")] = "text",
    exchange: Exchange_ = None,
    profile: Profile = None,
    key_id: KeyId = None,
    key_file: KeyFile = None,
) -> None:
    """Scan on a rhythm, keep what was seen, and tell of what changes; until it is stopped. See docs/running.md."""
    rules = Rules(
        min_edge, min_ev, max_spread, size=size, min_contracts=min_contracts, rest=rest, suspect_points=suspect
    )
    filters = filters_of(category, series, event, "open", closes_within, min_volume, "", ticker)
    settings = settings_of(exchange=exchange, profile=profile, key_id=key_id, key_file=key_file)
    rhythm = parse_duration(every, field="every")
    settling = parse_duration(settle_every, field="settle_every")
    for flag, value in (("--every", rhythm), ("--settle-every", settling)):
        if value < timedelta(seconds=1):
            raise UsageError(f"the value of {flag} is impossible", remedy="It takes a second or more")
    facts_s = parse_duration(facts_every, field="facts_every").total_seconds()
    kept = _days(keep)
    log_to_stderr(log_format)

    def duty() -> WatchConfig:
        told = read_watch_settings()
        for words in told.warnings:
            note(f"fairline: {words}")
        models: list[Model] = [*tables_of(probabilities), *(load(name) for name in model or [])]
        return WatchConfig(
            models, filters, rules, told.rules, dict(told.receivers), every=rhythm, dead_man=told.dead_man,
            settle_every=settling, keep_days={**told.keep_days, **kept},
            facts_s=facts_s, books=not no_books, ping=told.pinger(),
        )  # fmt: skip

    asyncio.run(_watch(settings, duty, store_folder(settings, store), scans, (host, port)))


def _end(loop: asyncio.AbstractEventLoop, watch: Watch) -> None:
    """End soon, also if a model is computing or a name server does not answer: all that is written is written whole."""
    loop.call_soon_threadsafe(watch.stop)
    last = threading.Timer(_PATIENCE_S, os._exit, (0,))
    last.daemon = True
    last.start()


async def _watch(
    settings: Settings, duty: Callable[[], WatchConfig], folder: Path, scans: int | None, address: tuple[str, int]
) -> None:
    with contextlib.ExitStack() as stack:
        store = Store(folder)
        store.acquire()
        stack.callback(store.release)
        state = State(folder)
        stack.callback(state.close)
        kalshi = await connect(settings, auth_of(settings), note)
        try:
            made = Watch(
                kalshi, duty(), store, state, memory=memory_of(settings), sources=sources_of(), reload=duty,
                notify_supervisor=supervisor_notifier(supervisor()),
            )  # fmt: skip
            monitor = stack.enter_context(Monitor(made, lambda: datetime.now(UTC), *address))
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: _end(loop, made))
            loop.add_signal_handler(signal.SIGHUP, made.request_reload)
            log.info(
                "Watching %s into %s; %s/healthz says how it goes. Ctrl-C stops it.", settings.url, folder, monitor.url
            )
            await made.run(max_scans=scans)
        finally:
            await kalshi.transport.close()
    log.info("Stopped.")


@alerting.command("list", epilog="Example: fairline alerts list --json")
def list_alerts(
    as_json: AsJson = False, store: StoreFolder = None, exchange: Exchange_ = None, profile: Profile = None
) -> None:
    """The rules and receivers of fairline.toml, and what waits to be delivered."""
    told, folder = read_watch_settings(), store_folder(settings_of(exchange=exchange, profile=profile), store)
    if not (folder / "store.json").exists():
        raise UsageError(f"there is no store at {folder}", remedy="fairline watch makes one; --store names another")
    state = _state(exchange, profile, store)
    messages = state.pending_messages()
    waiting = {name: sum(message.receiver == name for message in messages) for name in told.receivers}
    alarms = {name: words for name, (_, words) in state.alarms().items()}
    if as_json:
        rows = [{"rule": rule.name, "to": list(rule.to or told.receivers), "on": list(rule.on)} for rule in told.rules]
        print(json.dumps({"rules": rows, "waiting": waiting, "alarms": alarms}, indent=2))
        return
    for rule in told.rules:
        print(f"{rule.name}: {', '.join(rule.on)} to {', '.join(rule.to or told.receivers) or 'nobody'}")
    for name, count in waiting.items():
        print(f"receiver {name}: {count} messages wait")
    for words in alarms.values():
        print(f"alarm: {words}")
    if not told.rules:
        print("There are no rules: fairline.toml takes [receivers] and [alerts.NAME]; see docs/running.md.")


@alerting.command("test", epilog="Example: fairline alerts test phone")
def try_receivers(
    receiver: Annotated[list[str] | None, typer.Argument(help="Names of receivers; all if absent.")] = None,
) -> None:
    """Send a message to each receiver now, and say whether it was taken."""
    told = read_watch_settings()
    names = receiver or list(told.receivers)
    if not names:
        raise UsageError("there are no receivers", remedy="Name them in fairline.toml under [receivers]")
    for name in names:
        if name not in told.receivers:
            there = ", ".join(told.receivers) or "none"
            raise UsageError(f"there is no receiver {name!r}", remedy=f"Receivers: {there}")
    taken = asyncio.run(_try_all(told, names))
    for name, good in taken.items():
        print(f"{name}: {'taken' if good else 'NOT taken'}")
    raise typer.Exit(0 if all(taken.values()) else 1)


async def _try_all(told: WatchSettings, names: list[str]) -> dict[str, bool]:
    body = "If you can read this, alerts arrive here."
    made = await asyncio.gather(*(told.receivers[name].deliver("Fairline: a test", body) for name in names))
    return dict(zip(names, made, strict=True))


@commands.command(epilog="Example: fairline follow KXHIGHNY-26NOV23-B54.5")
def follow(
    ticker: Annotated[list[str] | None, typer.Argument(help="Market tickers; without any, those followed now.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Follow them no more.")] = False,
    store: StoreFolder = None,
    exchange: Exchange_ = None,
    profile: Profile = None,
) -> None:
    """Keep a list of markets for the alert rules that say `followed = true`."""
    state = _state(exchange, profile, store)
    names = [check_ticker(name.strip().upper()) for name in ticker or []]
    if remove:
        state.unfollow(names)
    elif names:
        state.follow(names, datetime.now(UTC))
    for name in state.followed_tickers():
        print(name)


@service.command(epilog="Example: fairline service install --dry-run -- --model elo --every 60s")
def install(
    arguments: Annotated[list[str] | None, typer.Argument(help="Options of fairline watch, after --.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print it and change nothing.")] = False,
    container: Annotated[bool, typer.Option("--container", help="A Containerfile instead of a systemd unit.")] = False,
    system: Annotated[
        bool, typer.Option("--system", help="A unit of the system, run as you and hardened; to be installed by root.")
    ] = False,
    store: StoreFolder = None,
    exchange: Exchange_ = None,
    profile: Profile = None,
) -> None:
    """Write a systemd unit that runs the watch from this folder, or a Containerfile."""
    given = list(arguments or [])
    places = [("--exchange", exchange), ("--profile", profile)]
    given += [part for flag, value in places if value for part in (flag, value)]
    if container:
        if store is not None:
            raise UsageError("a container keeps its store in the volume /store", remedy="Leave --store out")
        text, path = containerfile(given), Path("Containerfile")
    else:
        folders = [store_folder(settings_of(exchange=exchange, profile=profile), store).absolute(), *own_folders()]
        command = [sys.executable, "-m", "fairline", "watch", "--store", str(folders[0]), *given]
        settings = platformdirs.user_config_path()
        text = systemd_unit(command, settings / "fairline" / "environment", folders, here=Path.cwd(), system=system)
        path = settings / "systemd" / "user" / "fairline.service"
        path = Path("/etc/systemd/system/fairline.service") if system else path
    if dry_run:
        sys.stdout.write(text)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.encode())
    note(f"Wrote {path}")
    if not container:
        for made in folders:
            made.mkdir(parents=True, exist_ok=True)
        ctl = "systemctl" if system else "systemctl --user"
        note(f"Start it with: {ctl} daemon-reload && {ctl} enable --now fairline")
        if not system:
            note("To let it run while you are logged out: loginctl enable-linger")


def _state(exchange: str | None, profile: str | None, store: Path | None) -> State:
    return State(Store(store_folder(settings_of(exchange=exchange, profile=profile), store)).folder)


def _days(texts: list[str] | None) -> dict[str, int]:
    made = {}
    for text in texts or []:
        name, _, days = text.partition("=")
        if name not in DATASETS or not days.isascii() or not days.isdigit() or not 1 <= int(days[:9]) <= MAX_KEEP_DAYS:
            raise UsageError(f"{text!r} is not DATASET=DAYS", remedy=f"Datasets are {', '.join(DATASETS)}")
        made[name] = int(days)
    return made

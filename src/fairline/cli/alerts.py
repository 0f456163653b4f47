"""`alerts list`, `alerts test` and `follow`: alert rules, receivers and the followed markets."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fairline.api.options import Connection
from fairline.cli.options import ConnectionOptions, Json, StoreFolder
from fairline.cli.settings import read_settings, store_exchange
from fairline.errors import UsageError
from fairline.kalshi.redaction import show_value

if TYPE_CHECKING:
    from fairline.watch.settings import WatchSettings
    from fairline.watch.state import State


def list_alerts(
    *, json_output: Json = False, store: StoreFolder = None, connection: ConnectionOptions = Connection()
) -> None:
    """Show the rules and receivers of fairline.toml, and the messages waiting for delivery."""
    from fairline.config.connect import store_folder
    from fairline.watch.settings import read_watch_settings

    settings, folder = read_watch_settings(), store_folder(read_settings(connection), store)
    if not (folder / "store.json").exists():
        raise UsageError(f"there is no store at {folder}", remedy="Run fairline watch to create one, or give --store")
    state = _open_state(connection, store)
    messages = state.pending_messages()
    waiting = {name: sum(message.receiver == name for message in messages) for name in settings.receivers}
    alarms = {name: text for name, (_, text) in state.alarms().items()}
    everybody = list(settings.receivers)
    if json_output:
        rows = [{"rule": r.name, "to": list(r.to or everybody), "on": list(r.on)} for r in settings.rules]
        print(json.dumps({"rules": rows, "waiting": waiting, "alarms": alarms}, indent=2))
        return
    for rule in settings.rules:
        print(f"{rule.name}: {', '.join(rule.on)} to {', '.join(rule.to or everybody) or 'nobody'}")
    for name, count in waiting.items():
        print(f"receiver {name}: {count} messages waiting")
    for text in alarms.values():
        print(f"alarm: {text}")
    if not settings.rules:
        print("No rules yet. Add [receivers] and [alerts.NAME] to fairline.toml; see docs/running.md.")


def try_receivers(*receiver: Annotated[str, Parameter(help="Names of receivers. Default: all.")]) -> int:
    """Send a message to each receiver now and report whether it was accepted."""
    from fairline.watch.settings import read_watch_settings

    settings = read_watch_settings()
    names = list(receiver or settings.receivers)
    if not names:
        raise UsageError("there are no receivers", remedy="Name them in fairline.toml under [receivers]")
    for name in names:
        if name not in settings.receivers:
            known = ", ".join(settings.receivers) or "none"
            raise UsageError(f"there is no receiver {show_value(name)}", remedy=f"Receivers: {known}")
    accepted = asyncio.run(_try_all(settings, names))
    for name, ok in accepted.items():
        print(f"{name}: {'accepted' if ok else 'NOT accepted'}")
    return 0 if all(accepted.values()) else 1


async def _try_all(settings: "WatchSettings", names: list[str]) -> dict[str, bool]:
    text = "If you can read this, alerts arrive here."
    sent = [settings.receivers[name].deliver("Fairline: a test", text) for name in names]
    return dict(zip(names, await asyncio.gather(*sent), strict=True))


def follow(
    *ticker: Annotated[str, Parameter(help="Market tickers. Without any, show those that are followed.")],
    remove: Annotated[bool, Parameter(negative="", help="Stop following them.")] = False,
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """Keep a list of markets for the alert rules with `followed = true`."""
    from fairline.api.session import parse_ticker

    state = _open_state(connection, store)
    names = [parse_ticker(name) for name in ticker]
    if remove:
        state.unfollow(names)
    elif names:
        state.follow(names, datetime.now(UTC))
    for name in state.followed_tickers():
        print(name)


def _open_state(connection: Connection, folder: Path | None) -> "State":
    from fairline.config.connect import store_folder
    from fairline.store.store import Store
    from fairline.watch.state import State

    settings = read_settings(connection)
    store = Store(store_folder(settings, folder), store_exchange(settings, folder))
    return State(store.folder)

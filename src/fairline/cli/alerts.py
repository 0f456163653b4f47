"""`alerts list`, `alerts test` and `follow`: alert rules, receivers and the followed markets."""

import asyncio
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fairline.api.options import Connection
from fairline.cli.options import ConnectionOptions, StoreFolder
from fairline.cli.output import FormatOptions, emit
from fairline.cli.settings import read_settings, store_exchange
from fairline.errors import UsageError
from fairline.kalshi.redaction import show_value

if TYPE_CHECKING:
    from fairline.watch.settings import WatchSettings
    from fairline.watch.state import State


def list_alerts(
    *,
    output: FormatOptions = FormatOptions(),
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """Show the rules and receivers of fairline.toml, the messages waiting for delivery, and the alarms."""
    from fairline.watch.settings import read_watch_settings

    settings = read_watch_settings()
    pending = _read_pending(connection, store, list(settings.receivers), [rule.name for rule in settings.rules])
    everybody = list(settings.receivers)
    rows = [{"rule": rule.name, "to": list(rule.to or everybody), "on": list(rule.on)} for rule in settings.rules]

    def print_alerts() -> None:
        for row in rows:
            print(f"{row['rule']}: {', '.join(row['on'])} to {', '.join(row['to']) or 'nobody'}")
        for line in pending.lines():
            print(line)
        if not rows:
            print("No rules yet. Add [receivers] and [alerts.NAME] to fairline.toml; see docs/running.md.")

    document = {"rules": rows, **asdict(pending)}
    emit(output, table=print_alerts, document=lambda: document, rows=lambda: rows)


@dataclass(frozen=True, slots=True)
class _Pending:
    """What has not been delivered: messages on their way, those a receiver refused, and changes that a rule delays."""

    waiting: dict[str, int]
    """Messages for each receiver."""
    refused: dict[str, int] = field(default_factory=dict)
    """Failed attempts to deliver the oldest message of a receiver."""
    removed: dict[str, int] = field(default_factory=dict)
    """Messages for receivers that fairline.toml no longer names. They are never delivered."""
    delayed: dict[str, str] = field(default_factory=dict)
    """Rules whose changes wait, with their number and the reason."""
    alarms: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        def trouble(name: str) -> str:
            attempts = self.refused.get(name, 0)
            return f"; NOT accepted in {attempts} attempts, still trying" if attempts else ""

        return [
            *(f"rule {name}: {text}" for name, text in self.delayed.items()),
            *(f"receiver {name}: {count} messages waiting{trouble(name)}" for name, count in self.waiting.items()),
            *(f"receiver {name} was removed: {count} messages never sent" for name, count in self.removed.items()),
            *(f"alarm: {text}" for text in self.alarms.values()),
        ]


def _read_pending(connection: Connection, folder: Path | None, receivers: list[str], rules: list[str]) -> _Pending:
    """Return what has not been delivered. Before the first watch there is nothing."""
    from fairline.config.connect import store_folder

    path = store_folder(read_settings(connection), folder)
    if not (path / "store.json").exists():
        return _Pending(dict.fromkeys(receivers, 0))
    state = _open_state(connection, folder)
    messages = state.pending_messages()
    counts = Counter(message.receiver for message in messages)
    oldest = {message.receiver: message.attempts for message in reversed(messages)}
    return _Pending(
        {name: counts[name] for name in receivers},
        {name: attempts for name, attempts in oldest.items() if attempts and name in receivers},
        {name: count for name, count in counts.items() if name not in receivers},
        _delayed_changes(state, rules),
        {name: text for name, (_, text) in state.alarms().items()},
    )


def _delayed_changes(state: "State", rules: list[str]) -> dict[str, str]:
    counts = {rule: len(state.pending_items(rule)[1]) for rule in rules}
    return {
        rule: f"{count} changes delayed ({state.get_note(f'held:{rule}') or 'no receiver yet'})"
        for rule, count in counts.items()
        if count
    }


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
    from fairline.market.tickers import parse_market_ticker

    state = _open_state(connection, store)
    names = [parse_market_ticker(name) for name in ticker]
    wrong = next((name for name in names if "-" not in name), "")
    if wrong:
        raise UsageError(
            f"{wrong} is not a market such as KXHIGHNY-26NOV23-B54.5", remedy="fairline follow alone lists the markets"
        )
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
    return State(Store(store_folder(settings, folder), store_exchange(settings, folder)).folder)

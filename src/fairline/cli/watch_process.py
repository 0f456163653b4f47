"""A watch in this process: its store, its signals, its health endpoint."""

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from fairline.cli.settings import sign_in
from fairline.cli.terminal import note
from fairline.cli.watch_changes import ChangeWriter, log_changes
from fairline.config.connect import connect, memory_of, sources_of
from fairline.config.settings import Settings, supervisor
from fairline.kalshi import ApiKeyAuth, Auth
from fairline.kalshi.feed import Feed
from fairline.store.store import Store
from fairline.watch.config import WatchConfig
from fairline.watch.live_loop import LivePace
from fairline.watch.loop import Audit, Watch
from fairline.watch.monitor import Monitor
from fairline.watch.service import supervisor_notifier
from fairline.watch.state import State

log = logging.getLogger("fairline.watch")
_STOP_TIMEOUT_S = 1.7


async def run_watch(
    settings: Settings,
    read_config: Callable[[], WatchConfig],
    folder: Path,
    scans: int | None,
    address: tuple[str, int],
    *,
    tick_s: float | None = None,
    audit: Audit | None = None,
    json_lines: bool = False,
) -> None:
    """Watch until stopped or for a number of scans. Raises `StoreError` if another watch uses the store.

    Changes of opportunities are logged, with `json_lines` written to standard output instead. With `tick_s`, what
    changes between scans is priced as often, from the feed, if there is a key for it; `audit` then scans.
    """
    with contextlib.ExitStack() as stack:
        store = Store(folder, settings.environment)
        store.acquire()
        stack.callback(store.release)
        state = State(folder)
        stack.callback(state.close)
        auth = sign_in(settings)
        kalshi = await connect(settings, auth, note)
        try:
            watch = Watch(
                kalshi,
                read_config(),
                store,
                state,
                memory=memory_of(settings),
                sources=sources_of(),
                feed=None if tick_s is None else open_feed(settings, auth),
                pace=None if tick_s is None else LivePace(tick_s=tick_s),
                audit=audit,
                reload=read_config,
                notify_supervisor=supervisor_notifier(supervisor()),
                on_changes=ChangeWriter(settings.url) if json_lines else log_changes,
            )
            health = stack.enter_context(Monitor(watch, lambda: datetime.now(UTC), *address))
            _handle_signals(watch)
            log.info("Watching %s, storing in %s. Health: %s/healthz. Press Ctrl-C to stop.", settings.url, folder,
                     health.url)  # fmt: skip
            await watch.run(max_scans=scans)
        finally:
            await kalshi.transport.close()
    log.info("Stopped.")


def open_feed(settings: Settings, auth: Auth | None) -> Feed | None:
    """Return the feed of these settings; None, with a note, without a key that it takes."""
    if not isinstance(auth, ApiKeyAuth):
        note("fairline: the live feed needs an API key; continuing with scans alone (--key-id and --key-file)")
        return None
    return Feed(settings.websocket_url, auth, channels=("ticker", "market_lifecycle_v2", "trade"))


def _handle_signals(watch: Watch) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _stop(loop, watch))
    loop.add_signal_handler(signal.SIGHUP, watch.request_reload)


def _stop(loop: asyncio.AbstractEventLoop, watch: Watch) -> None:
    """Stop soon, even while a model computes or a name server hangs. Files are always written completely."""
    loop.call_soon_threadsafe(watch.stop)
    killer = threading.Timer(_STOP_TIMEOUT_S, os._exit, (0,))
    killer.daemon = True
    killer.start()

"""Once an hour: delete expired days, merge small files, and prune the state."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

from fairline.errors import StoreError
from fairline.store.store import Store
from fairline.watch.state import State

log = logging.getLogger("fairline.watch")

_INTERVAL = timedelta(hours=1)


class Housekeeping:
    """Each task runs even if another fails."""

    def __init__(self, store: Store, state: State) -> None:
        self._store, self._state = store, state
        self._last: datetime | None = None

    async def run(self, now: datetime, keep_days: Mapping[str, int]) -> None:
        """Do what is due. Datasets that `keep_days` does not name are kept."""
        if self._last is not None and abs(now - self._last) < _INTERVAL:
            return
        self._last = now
        tasks: list[Callable[[], object]] = [
            partial(self._store.expire, keep_days, now),
            partial(self._store.compact, now),
        ]
        for task in tasks:
            try:
                await asyncio.to_thread(task)
            except StoreError as error:
                log.error("%s", error)
        self._state.prune(now)
        for warning in self._store.warnings:
            log.warning("%s", warning)
        self._store.warnings.clear()

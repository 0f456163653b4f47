"""Once an hour: delete expired days, merge small files, prune the state; once a day: report the disk use."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial

from fairline.errors import StoreError
from fairline.store.store import Store
from fairline.store.usage import describe_day, disk_usage
from fairline.watch.state import State

log = logging.getLogger("fairline.watch")

_INTERVAL = timedelta(hours=1)


class Housekeeping:
    """Each task runs even if another fails."""

    def __init__(self, store: Store, state: State) -> None:
        self._store, self._state = store, state
        self._last: datetime | None = None
        self._reported: date | None = None

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
        await self._report_disk_usage(now)
        for warning in self._store.warnings:
            log.warning("%s", warning)
        self._store.warnings.clear()

    async def _report_disk_usage(self, now: datetime) -> None:
        """Log what the last whole day took, once."""
        yesterday = now.astimezone(UTC).date() - timedelta(days=1)
        if self._reported == yesterday:
            return
        self._reported = yesterday
        text = describe_day(await asyncio.to_thread(disk_usage, self._store.folder), yesterday)
        if text:
            log.info("disk use: %s", text)

"""The live part of a watch: it records each tick, reports what changed, and says when the next scan is due."""

import asyncio
import contextlib
import ctypes
import gc
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from fairline.errors import StoreError
from fairline.kalshi import Kalshi, KalshiError
from fairline.kalshi.feed import Feed
from fairline.market.fees import CAUTIOUS, Policy
from fairline.market.filters import Filters
from fairline.market.listing import Listing
from fairline.models import Model
from fairline.pricing.rules import Rules
from fairline.scanner import Evaluation
from fairline.sources import Sources
from fairline.watch.health import Health
from fairline.watch.live import LiveSession, LiveTick
from fairline.watch.live_loop import LiveJobs, LiveLoop, LivePace
from fairline.watch.live_recorder import LiveRecorder

log = logging.getLogger("fairline.watch")


@dataclass(slots=True)
class LiveParts:
    """What the live part shares with its watch.

    `notify` reports a scan of some markets, `on_changes` gets the changes of opportunities as EDGES.
    """

    kalshi: Kalshi
    recorder: LiveRecorder
    health: Health
    sources: Sources
    models: Callable[[], Sequence[Model]]
    filters: Callable[[], Filters]
    notify: Callable[[Listing, Evaluation], None]
    on_changes: Callable[[pl.DataFrame], None]
    now: Callable[[], datetime]


class LiveWatch:
    """`active` is false once the exchange has refused the feed: from then on the watch scans as without one."""

    def __init__(
        self, parts: LiveParts, feed: Feed, rules: Rules, pace: LivePace | None = None, *, fees: Policy = CAUTIOUS
    ) -> None:
        self.active = True
        self._parts = parts
        self.session = LiveSession(feed, rules, fees)
        jobs = LiveJobs(parts.models, parts.filters, self._record_tick, self._set_alarm)
        self._loop = LiveLoop(parts.kalshi, self.session, jobs, sources=parts.sources, pace=pace, now=parts.now)

    @property
    def recording(self) -> asyncio.Lock:
        """Held while a scan or a tick is recorded, so that one comes after the other."""
        return self._loop.recording

    def load(self, listing: Listing, evaluation: Evaluation) -> None:
        """Take the result of an audit."""
        self._loop.load(listing, evaluation)
        _release_memory()

    async def run(self) -> None:
        """Run until cancelled, or until the exchange refuses the feed, which is an alarm and no reason to stop."""
        try:
            await self._loop.run()
        except KalshiError as error:
            self.active = False
            log.error("no live feed: %s", error)
            self._set_alarm(f"no live feed: {error}")
            self._loop.audit_wanted.set()

    async def pause(self, interval: timedelta, seconds: float) -> bool:
        """Wait for the next scan; return whether an audit is wanted before its time."""
        if not self.active:
            await asyncio.sleep(max(0.0, seconds))
            return False
        try:
            await asyncio.wait_for(self._loop.audit_wanted.wait(), max(0.0, min(seconds, interval.total_seconds())))
        except TimeoutError:
            return False
        return True

    def flush(self) -> None:
        """Write what the ticks have collected. Raises `StoreError`."""
        self._parts.recorder.flush(self._parts.now())

    def _record_tick(self, tick: LiveTick) -> None:
        session, parts = self.session, self._parts
        if session.listing is None:
            return
        try:
            edges = parts.recorder.add(session, tick)
        except StoreError as error:
            parts.health.errors["store"] = str(error)
            log.error("%s", error)
            return
        if session.opportunities is not None:
            parts.health.opportunities = session.opportunities.height
        if edges.height and tick.evaluation is not None:
            parts.health.changes.update(edges["change"].to_list())
            parts.on_changes(edges)
            parts.notify(session.partial_listing, tick.evaluation)

    def _set_alarm(self, text: str) -> None:
        if text:
            self._parts.health.errors["feed"] = text
        else:
            self._parts.health.errors.pop("feed", None)


def _release_memory() -> None:
    """Return what a scan has freed to the operating system; glibc keeps it otherwise."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)

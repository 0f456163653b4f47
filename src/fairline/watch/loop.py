"""Run scans on a schedule, store each one, and notify receivers of what changed.

Scans never overlap and do not drift: they start at whole multiples of the interval since the start, each a little later
at random; one that takes longer than the interval skips the ticks it runs over. Errors are recorded and the loop
continues; only a store that never worked, or invalid settings at the start, end it.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl

from fairline.errors import FairlineError, StoreError, UsageError
from fairline.kalshi import Kalshi, KalshiError
from fairline.kalshi.cache import ExchangeCache
from fairline.kalshi.clock import in_maintenance_window
from fairline.kalshi.errors import AuthError
from fairline.kalshi.feed import Feed
from fairline.kalshi.wire import ExchangeStatus
from fairline.market.listing import Ages, Listing
from fairline.models import Model
from fairline.pricing.holdings import Holdings
from fairline.scanner import Evaluation, ScanOptions, ScanResult, run_scan
from fairline.sources import Sources
from fairline.store.store import Store
from fairline.watch.config import WatchConfig
from fairline.watch.health import Health
from fairline.watch.holdings import read_holdings
from fairline.watch.housekeeping import Housekeeping
from fairline.watch.live_loop import LivePace
from fairline.watch.live_recorder import LiveRecorder
from fairline.watch.live_watch import LiveParts, LiveWatch
from fairline.watch.notify import Notifier
from fairline.watch.outbox import Outbox
from fairline.watch.recorder import Recorder
from fairline.watch.settlements import SettlementCollector
from fairline.watch.state import State
from fairline.watch.suspensions import active_models, update_suspensions
from fairline.watch.timer import Timer
from fairline.watch.trades import TradeCollector

log = logging.getLogger("fairline.watch")

_DRAIN_S = 0.7
_MAX_DELAY_S = 5.0
"""Longest random delay of a scan's start."""


Audit = Callable[[Sequence[Model], ScanOptions], Awaitable[ScanResult]]
"""Scans elsewhere, such as in a process of its own."""


class Watch:
    """One exchange, one store, one loop. `reload` returns the configuration of changed settings."""

    def __init__(
        self,
        kalshi: Kalshi,
        config: WatchConfig,
        store: Store,
        state: State,
        *,
        memory: ExchangeCache | None = None,
        sources: Sources | None = None,
        feed: Feed | None = None,
        audit: Audit | None = None,
        pace: LivePace | None = None,
        reload: Callable[[], WatchConfig] | None = None,
        notify_supervisor: Callable[[str], None] = lambda _: None,
        on_changes: Callable[[pl.DataFrame], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.kalshi = kalshi
        self.config = config
        self.store = store
        self.state = state
        self.health = Health(now())
        self.outbox = Outbox(state, config.receivers)
        self._recorder = Recorder(store)
        self._settlements = SettlementCollector(kalshi, store, state)
        self._trades = TradeCollector(kalshi, store)
        self._housekeeping = Housekeeping(store, state)
        self._notifier = Notifier(state)
        self._holdings: Holdings | None = None
        self._memory = memory
        self._sources = sources or Sources()
        self._reload = reload
        self._notify_supervisor = notify_supervisor
        self._on_changes = on_changes
        self._audit = audit
        self._now = now
        self._uniform = uniform
        self.live = self._make_live(feed, pace) if feed is not None else None
        self._stop = asyncio.Event()
        self._reload_requested = False

    def _make_live(self, feed: Feed, pace: LivePace | None) -> LiveWatch:
        parts = LiveParts(
            self.kalshi,
            LiveRecorder(self.store, self._recorder),
            self.health,
            self._sources,
            models=lambda: active_models(self.config.models, self.state, self._now()),
            filters=lambda: self.config.filters,
            notify=lambda listing, evaluation: self._notify(listing, evaluation, set(self.health.failing)),
            on_changes=self._on_changes,
            now=self._now,
        )
        return LiveWatch(parts, feed, self.config.rules, pace, fees=self.config.fees)

    def stop(self) -> None:
        self._stop.set()

    def request_reload(self) -> None:
        """Read the settings again before the next scan."""
        self._reload_requested = True

    async def run(self, *, max_scans: int | None = None) -> None:
        """Watch until stopped, or until `max_scans` scans were tried. Raises `StoreError` if none was ever recorded."""
        await asyncio.to_thread(self._recorder.resume, self._now())
        self.health.restore({name: text for name, (_, text) in self.state.alarms().items()})
        reported = pl.col("ticker").is_in(self._notifier.unsettled_tickers(self.config.alerts))
        self._add_settlements(self.store.read("settlements", where=reported))
        tasks = [asyncio.create_task(self._repeat(job, pause)) for job, pause in self._jobs()]
        tasks += [asyncio.create_task(self._run_ticks(max_scans)), asyncio.create_task(self._wait_for_stop())]
        beside = [asyncio.create_task(self.live.run())] if self.live is not None else []
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (*tasks, *beside):
                task.cancel()
            await asyncio.gather(*tasks, *beside, return_exceptions=True)
            self._flush_live()
            await self.outbox.drain(_DRAIN_S)
            self._notify_supervisor("STOPPING=1")

    async def _wait_for_stop(self) -> None:
        await self._stop.wait()

    def _jobs(self) -> list[tuple[Callable[[], Awaitable[None]], float]]:
        """Return what runs beside the scans, and the seconds between two runs."""
        return [
            (self._deliver, 1.0),
            (self._settle, self.config.settle_every.total_seconds()),
            (self._collect_trades, 5.0),
            (self._keep_house, 20.0),
            (self._check_alarms, 5.0),
        ]

    async def _repeat(self, job: Callable[[], Awaitable[None]], pause_s: float) -> None:
        while True:
            try:
                await job()
            except (KalshiError, FairlineError) as error:
                log.warning("%s", error)
            except Exception:  # a background job must be retried after any error; the log has the traceback
                log.exception("unexpected error in a background job")
            await asyncio.sleep(pause_s)

    async def _run_ticks(self, max_scans: int | None) -> None:
        began = time.monotonic()
        tick = 0
        tried = 0
        while max_scans is None or tried < max_scans:
            every = self._interval().total_seconds()
            delay = self._uniform(0, min(every / 10, _MAX_DELAY_S)) if tick else 0.0
            if await self._pause(began + tick * every + delay - time.monotonic()):
                # An audit out of turn: the next ones are counted from here.
                began, tick = time.monotonic(), 0
            if self._reload_requested:
                self._reload_settings()
            await self.tick()
            tried += 1
            current = int((time.monotonic() - began) / every)
            self.health.skipped += max(0, current - tick)
            tick = max(tick, current) + 1

    def _interval(self) -> timedelta:
        return self.config.audit_every if self.live is not None and self.live.active else self.config.every

    async def _pause(self, seconds: float) -> bool:
        """Wait until the next scan; return whether the live feed wants an audit before its time."""
        if self.live is not None:
            return await self.live.pause(self._interval(), seconds)
        await asyncio.sleep(max(0.0, seconds))
        return False

    def _flush_live(self) -> None:
        if self.live is not None:
            with self._catch_store_errors():
                self.live.flush()

    async def tick(self) -> None:
        """Scan once, process the result, and update the alarms."""
        clock = time.monotonic()
        try:
            await self._scan()
        except AuthError as error:
            self._record_outage("refused", str(error))
        except (KalshiError, FairlineError) as error:
            if isinstance(error, UsageError) and not self.health.scans:
                # Fail fast if the first scan has invalid options.
                raise
            self._record_outage("scan", str(error))
        except Exception as error:  # the next tick must come after any error; the log has the traceback
            log.exception("unexpected error during scan")
            self._record_outage("scan", f"{type(error).__name__}: {error}")
        self.health.last_ts = self._now()
        self.health.duration_s = time.monotonic() - clock
        self.health.skew = self.kalshi.transport.skew
        self._update_alarms()
        self._notify_supervisor("READY=1\nWATCHDOG=1\nSTATUS=" + self.status_line())

    async def _scan(self) -> None:
        status = await self.kalshi.exchange.probe()
        if status is not None and not (status.exchange_active and status.trading_active):
            self._record_outage("paused", _describe_pause(status, self._now()), outcome="paused")
            return
        now = self._now()
        if status is not None:
            self.health.record_open_exchange(now)
        models = active_models(self.config.models, self.state, now)
        timer = Timer()
        result = await self._evaluate(models)
        listing, evaluation = result.listing, result.evaluation
        timer.record("read", listing.duration_s)
        timer.lap("price", less=listing.duration_s)
        update_suspensions(evaluation, models, self.state, self.health, every=self.config.every, now=now)
        suspended = {model.name for model in self.config.models} - {model.name for model in models}
        silent = suspended | set(self.health.failing)
        async with self.live.recording if self.live is not None else contextlib.nullcontext():
            self._flush_live()
            await self._record(result, silent)
            if self.live is not None:
                self.live.load(listing, evaluation)
        timer.lap("record")
        self._notify(listing, evaluation, silent)
        timer.lap("alert")
        self.health.seconds.update(timer.seconds)
        await self._count(listing, evaluation)

    async def _evaluate(self, models: Sequence[Model]) -> ScanResult:
        """Scan, and count only the traffic of this scan."""
        before, config = replace(self.kalshi.transport.traffic), self.config
        self._holdings = await read_holdings(self.kalshi, self._holdings) if config.holdings else None
        options = ScanOptions(
            config.filters,
            config.rules,
            beliefs=await asyncio.to_thread(config.read_beliefs),
            books=config.books,
            bankroll=config.bankroll,
            holdings=self._holdings,
            fees=config.fees,
            ages=Ages(config.facts_s, 0),
            misses=0,
        )
        if self._audit is not None and self.live is not None and self.live.active:
            return await self._audit(models, options)
        result = await run_scan(self.kalshi, models, options, memory=self._memory, sources=self._sources)
        after = self.kalshi.transport.traffic
        traffic = {name: getattr(after, name) - getattr(before, name) for name in ("requests", "retries", "bytes")}
        return replace(result, listing=replace(result.listing, **traffic))

    async def _record(self, result: ScanResult, silent: set[str]) -> None:
        with self._catch_store_errors():
            edges = await asyncio.to_thread(self._recorder.record, result, self._now(), silent)
            self.health.changes.update(edges["change"].to_list())
            self.health.errors.pop("store", None)
            self._on_changes(edges)

    def _notify(self, listing: Listing, evaluation: Evaluation, silent: set[str]) -> None:
        config = self.config
        with self._catch_store_errors():
            self._notifier.process_scan(
                listing,
                evaluation,
                silent,
                rules=config.alerts,
                receivers=config.receivers,
                now=self._now(),
                holdings=self._holdings,
            )

    async def _count(self, listing: Listing, evaluation: Evaluation) -> None:
        health = self.health
        health.scans["done" if listing.complete else "incomplete"] += 1
        health.quarantined.update(f"{row.field}: {row.reason}" for row in listing.quarantined)
        health.markets = listing.listed
        health.opportunities = evaluation.opportunities.height
        health.record_drift(listing.drift)
        health.record_scan(self._now(), complete=listing.complete, reason="; ".join(listing.incomplete_reasons))
        if listing.complete and self.config.ping is not None:
            try:
                await self.config.ping()
            except KalshiError:
                log.warning("cannot reach the health-check address")
        log.info("%s", self.status_line())

    def _record_outage(self, kind: str, text: str, *, outcome: str = "failed") -> None:
        """Record that there was no scan, and why. Pending messages are sent all the same."""
        self.health.errors[kind] = text
        self.health.scans[outcome] += 1
        log.warning("no scan: %s", text)
        now = self._now()
        row = {"outcome": outcome, "detail": text[:2_000], "started_ts": now, "complete": False}
        with self._catch_store_errors():
            self._recorder.record_scan(row, now)
            self._notifier.process_outage(self.config.alerts, self.config.receivers, now)

    @contextlib.contextmanager
    def _catch_store_errors(self) -> Iterator[None]:
        """Report what cannot be stored, and continue."""
        try:
            yield
        except StoreError as error:
            self.health.errors["store"] = str(error)
            log.error("%s", error)

    async def _check_alarms(self) -> None:
        """Update alarms between scans: a scan can take long to fail."""
        self._update_alarms()

    def _update_alarms(self) -> None:
        with contextlib.suppress(OSError):
            self.health.free_bytes = self.store.free_bytes()
        now = self._now()
        with self._catch_store_errors():
            current = self.health.alarms(now, self.config.dead_man, self.state.alarms())
            self._notifier.update_alarms(current, self.config.receivers, now)

    async def _deliver(self) -> None:
        self._notify_supervisor("WATCHDOG=1")
        self.outbox.deliver(self._now())

    async def _settle(self) -> None:
        self.health.settlements += await self._settlements.collect(self._now(), self._add_settlements)
        self.health.record_settlements(self._settlements.rejected)

    async def _collect_trades(self) -> None:
        tickers = [*self._recorder.open["ticker"].unique(), *self.state.followed_tickers()]
        self.health.trades += await self._trades.collect(tickers, self._now())

    def _add_settlements(self, settlements: pl.DataFrame) -> None:
        self._notifier.add_settlements(settlements, self.config.alerts)

    async def _keep_house(self) -> None:
        if self.health.skew is None:
            return  # before the first answer nothing is known about the clock
        now = self._now()
        # By a clock that is ahead, everything is old.
        clock_is_right = "clock" not in self.health.alarms(now, self.config.dead_man)
        await self._housekeeping.run(now, self.config.keep_days if clock_is_right else {})

    def _reload_settings(self) -> None:
        self._reload_requested = False
        if self._reload is None:
            return
        try:
            self.config = self._reload()
        except FairlineError as error:
            log.error("settings not changed: %s", error)
            return
        self.outbox.receivers = self.config.receivers
        # The user may have repaired a model.
        self.health.keep_models({model.name for model in self.config.models})
        with self._catch_store_errors():
            self.state.resume(self.state.suspensions())
        log.info("settings reloaded")

    def status_line(self) -> str:
        """Return the state of the watch in one line."""
        health = self.health
        errors = "; ".join(health.errors.values())
        if errors and health.complete_ts != health.last_ts and not health.markets:
            return errors
        changes = health.changes
        return (
            f"scan {sum(health.scans.values())}: {health.markets:,} markets, {health.opportunities:,} opportunities "
            f"(so far {changes['appeared']:,} appeared, {changes['gone']:,} gone)" + (f"; {errors}" if errors else "")
        )


def _describe_pause(status: ExchangeStatus, now: datetime) -> str:
    parts = ["trading is paused" if status.exchange_active else "the exchange is paused"]
    if status.exchange_estimated_resume_time:
        parts.append(f", expected back {status.exchange_estimated_resume_time}")
    if in_maintenance_window(now.timestamp()):
        parts.append(" (the weekly maintenance window, Thursday 03:00 to 05:00 in New York)")
    return "".join(parts)

"""Around the clock: the same scan again and again, kept, compared with the last, and told to whom it concerns.

Scans never overlap and do not drift: they begin at whole multiples of the rhythm since the start, each a little later
by chance, and one that takes longer than the rhythm costs the beats it runs over. What goes wrong is noted and the loop
goes on; only a store that was never there, or settings that cannot be read at the start, end it.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import polars as pl

from fairline.errors import FairlineError, StoreError, UsageError
from fairline.kalshi import Kalshi, KalshiError
from fairline.kalshi.cache import ExchangeCache
from fairline.kalshi.clock import in_maintenance_window
from fairline.kalshi.errors import AuthError
from fairline.kalshi.wire import ExchangeStatus
from fairline.market.filters import Filters
from fairline.market.listing import Ages, Listing
from fairline.models import Model
from fairline.pricing.rules import Rules
from fairline.scanner import Evaluation, ScanOptions, run_scan
from fairline.sources import Sources
from fairline.store.store import Store
from fairline.watch.alerts import Rule
from fairline.watch.health import Health
from fairline.watch.notify import Teller
from fairline.watch.receivers import Post
from fairline.watch.recorder import Recorder
from fairline.watch.settlements import Settling
from fairline.watch.state import Bench, State

log = logging.getLogger("fairline.watch")

_BENCHED_AT_MOST = timedelta(hours=1)
_LANDING_S = 0.7


@dataclass(frozen=True, slots=True)
class Duty:
    """What to watch and whom to tell: all that a change of the settings may change."""

    models: Sequence[Model]
    filters: Filters = field(default_factory=Filters)
    rules: Rules = field(default_factory=Rules)
    alerts: Sequence[Rule] = ()
    receivers: dict[str, Any] = field(default_factory=dict)
    every: timedelta = timedelta(seconds=60)
    dead_man: timedelta = timedelta(minutes=10)
    settle_every: timedelta = timedelta(minutes=5)
    keep_days: dict[str, int] = field(default_factory=dict)
    facts_s: float = 3_600.0
    books: bool = True
    ping: Callable[[], Awaitable[None]] | None = None


class Watch:
    """One exchange, one store, one loop. `reload` gives the duty anew when the settings are to be read again."""

    def __init__(
        self,
        kalshi: Kalshi,
        duty: Duty,
        store: Store,
        state: State,
        *,
        memory: ExchangeCache | None = None,
        sources: Sources | None = None,
        reload: Callable[[], Duty] | None = None,
        said: Callable[[str], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.kalshi, self.duty, self.store, self.state = kalshi, duty, store, state
        self.health = Health(now())
        self.post = Post(state, duty.receivers)
        self._recorder = Recorder(store)
        self._settling = Settling(kalshi, store, state)
        self._memory, self._reload, self._said, self._now, self._uniform = memory, reload, said, now, uniform
        self._sources = sources or Sources()
        self._stop, self._hup = asyncio.Event(), False
        self._teller = Teller(state)
        self._housekept: datetime | None = None

    def stop(self) -> None:
        self._stop.set()

    def reread(self) -> None:
        """Read the settings again before the next scan."""
        self._hup = True

    async def run(self, *, most: int | None = None) -> None:
        """Watch until stopped, or until `most` scans were tried. Raises `StoreError` if nothing was ever recorded."""
        await asyncio.to_thread(self._recorder.resume, self._now())
        self.health.restore({name: words for name, (_, words) in self.state.alarms().items()})
        told = pl.col("ticker").is_in(self._teller.awaited(self.duty.alerts))
        self._learn(self.store.read("settlements", where=told))
        beside = [asyncio.create_task(self._again(job, pause)) for job, pause in self._jobs()]
        beats = asyncio.create_task(self._beats(most))
        stopped = asyncio.create_task(self._stop.wait())
        try:
            done, _ = await asyncio.wait([beats, stopped, *beside], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            tasks = [beats, stopped, *beside]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.post.land(_LANDING_S)
            self._said("STOPPING=1")

    def _jobs(self) -> list[tuple[Callable[[], Awaitable[None]], float]]:
        return [
            (self._deliver, 1.0),
            (self._settle, self.duty.settle_every.total_seconds()),
            (self._keep_house, 20.0),
            (self._look_out, 5.0),
        ]

    async def _again(self, job: Callable[[], Awaitable[None]], pause_s: float) -> None:
        while True:
            try:
                await job()
            except (KalshiError, FairlineError) as error:
                log.warning("%s", error)
            except Exception:  # whatever it was, in months of watching it must be tried again; its traceback is logged
                log.exception("something failed in a way that nobody foresaw")
            await asyncio.sleep(pause_s)

    async def _beats(self, most: int | None) -> None:
        began, beat, tried = time.monotonic(), 0, 0
        while most is None or tried < most:
            every = self.duty.every.total_seconds()
            due = began + beat * every + (self._uniform(0, min(every / 10, 5.0)) if beat else 0.0)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if self._hup:
                self._read_again()
            await self.round()
            tried += 1
            late = int((time.monotonic() - began) / every)
            self.health.skipped += max(0, late - beat)
            beat = max(beat, late) + 1

    async def round(self) -> None:
        """One scan, all that follows from it, and how one is doing after it."""
        clock = time.monotonic()
        try:
            await self._scan()
        except AuthError as error:
            self._blind("refused", str(error))
        except (KalshiError, FairlineError) as error:
            if isinstance(error, UsageError) and not self.health.scans:
                # Who has just started with a question that cannot be asked is told so at once.
                raise
            self._blind("scan", str(error))
        except Exception as error:  # whatever it was, the next beat must come; its traceback is logged
            log.exception("a scan failed in a way that nobody foresaw")
            self._blind("scan", f"{type(error).__name__}: {error}")
        self.health.last_ts, self.health.duration_s = self._now(), time.monotonic() - clock
        self.health.skew = self.kalshi.transport.skew
        self._sound_alarms()
        self._said("READY=1\nWATCHDOG=1\nSTATUS=" + self.line())

    async def _scan(self) -> None:
        status = await self.kalshi.exchange.probe()
        if status is not None and not (status.exchange_active and status.trading_active):
            self._blind("paused", _pause(status, self._now()), outcome="paused")
            return
        if status is not None:
            self.health.active(self._now())
        now, models = self._now(), self._playing(self._now())
        clock = time.monotonic()
        listing, evaluation = await self._look(models)
        seconds = {"read": listing.duration_s, "price": time.monotonic() - clock - listing.duration_s}
        clock = time.monotonic()
        self._judge(evaluation, models, now)
        silent = {model.name for model in self.duty.models} - {model.name for model in models} | set(
            self.health.failing
        )
        await self._record(listing, evaluation, silent)
        seconds["record"], clock = time.monotonic() - clock, time.monotonic()
        self._tell(listing, evaluation, silent)
        seconds["alert"] = time.monotonic() - clock
        self.health.seconds.update(seconds)
        await self._count(listing, evaluation)

    async def _look(self, models: Sequence[Model]) -> tuple[Listing, Evaluation]:
        """The scan, with what it alone sent."""
        duty, before = self.duty, replace(self.kalshi.transport.traffic)
        options = ScanOptions(duty.filters, duty.rules, books=duty.books, ages=Ages(duty.facts_s, 0), misses=0)
        result = await run_scan(self.kalshi, models, options, memory=self._memory, sources=self._sources)
        spent = self.kalshi.transport.traffic
        mine = {name: getattr(spent, name) - getattr(before, name) for name in ("requests", "retries", "bytes")}
        return replace(result.listing, **mine), result.evaluation

    def _playing(self, now: datetime) -> list[Model]:
        benched = self.state.benched()
        # By a clock that has stepped back a bench may seem to last for days.
        sitting = {name for name, bench in benched.items() if now < bench.until_ts <= now + _BENCHED_AT_MOST}
        return [model for model in self.duty.models if model.name not in sitting]

    def _judge(self, evaluation: Evaluation, played: Sequence[Model], now: datetime) -> None:
        """Bench the models that gave no answer, the longer the more often in a row."""
        failed = {problem.model: problem for problem in evaluation.problems if problem.silent}
        priced = set(evaluation.edges["model"].unique())
        for problem in evaluation.problems:
            # Nothing that can be used is no answer either.
            if problem.model and problem.ticker and problem.model not in priced:
                failed.setdefault(problem.model, problem)
        before = self.state.benched()
        self.state.unbench(m.name for m in played if m.name in before and m.name not in failed)
        for model in played:
            why = failed.get(model.name)
            if why is None:
                self.health.failing.pop(model.name, None)
                self.health.failures.pop(model.name, None)
                continue
            failures = before[model.name].failures + 1 if model.name in before else 1
            pause = min(_BENCHED_AT_MOST, self.duty.every * 2 ** min(failures - 1, 12))
            self.state.bench(Bench(model.name, failures, now + pause, why.message))
            self.health.failing[model.name], self.health.failures[model.name] = why.message, failures
            log.warning("model %s is benched for %.0f s: %s", model.name, pause.total_seconds(), why.message)
            if why.traceback:
                log.debug("%s", why.traceback)

    async def _record(self, listing: Listing, evaluation: Evaluation, silent: set[str]) -> None:
        with self._storing():
            edges = await asyncio.to_thread(self._recorder.record, listing, evaluation, self._now(), silent)
            self.health.changes.update(edges["change"].to_list())
            self.health.trouble.pop("store", None)

    def _tell(self, listing: Listing, evaluation: Evaluation, silent: set[str]) -> None:
        with self._storing():
            self._teller.hear(
                listing, evaluation, silent, rules=self.duty.alerts, receivers=self.duty.receivers, now=self._now()
            )

    async def _count(self, listing: Listing, evaluation: Evaluation) -> None:
        health = self.health
        health.scans["done" if listing.complete else "incomplete"] += 1
        health.quarantined.update(f"{row.field}: {row.reason}" for row in listing.quarantined)
        health.markets, health.kept = listing.listed, evaluation.opportunities.height
        health.read(self._now(), complete=listing.complete, why="; ".join(listing.incomplete_reasons))
        if listing.complete and self.duty.ping is not None:
            try:
                await self.duty.ping()
            except KalshiError:
                log.warning("the health-check address could not be asked")
        log.info("%s", self.line())

    def _blind(self, kind: str, words: str, *, outcome: str = "failed") -> None:
        """There was no scan: note why. What waits to be told does not wait for one."""
        self.health.trouble[kind] = words
        self.health.scans[outcome] += 1
        log.warning("no scan: %s", words)
        now = self._now()
        row = {"outcome": outcome, "detail": words[:2_000], "started_ts": now, "complete": False}
        with self._storing():
            self._recorder.record_scan(row, now)
            self._teller.go_on(self.duty.alerts, self.duty.receivers, now)

    @contextlib.contextmanager
    def _storing(self) -> Iterator[None]:
        """What cannot be kept is trouble, and no reason to stop."""
        try:
            yield
        except StoreError as error:
            self.health.trouble["store"] = str(error)
            log.error("%s", error)

    async def _look_out(self) -> None:
        """A round may take long to fail: alarms do not wait for its end."""
        self._sound_alarms()

    def _sound_alarms(self) -> None:
        with contextlib.suppress(OSError):
            self.health.free_bytes = self.store.free_bytes()
        now = self._now()
        try:
            due = self.health.alarms(now, self.duty.dead_man, self.state.alarms())
            self._teller.sound(due, self.duty.receivers, now)
        except StoreError as error:
            self.health.trouble["store"] = str(error)
            log.error("%s", error)

    async def _deliver(self) -> None:
        self._said("WATCHDOG=1")
        self.post.deliver(self._now())

    async def _settle(self) -> None:
        self.health.settlements += await self._settling.collect(self._now(), self._learn)

    def _learn(self, settlements: pl.DataFrame) -> None:
        self._teller.learn(settlements, self.duty.alerts)

    async def _keep_house(self) -> None:
        """Once an hour delete old days, merge small files, forget what is over: each whatever becomes of the others."""
        now = self._now()
        if self.health.skew is None:
            return  # nothing is known of the clock before the first answer
        if self._housekept is not None and abs(now - self._housekept) < timedelta(hours=1):
            return
        self._housekept = now
        jobs = [partial(self.store.compact, now)]
        # By a clock that has leapt ahead everything is old.
        if "clock" not in self.health.alarms(now, self.duty.dead_man):
            jobs.insert(0, partial(self.store.expire, self.duty.keep_days, now))
        for job in jobs:
            try:
                await asyncio.to_thread(job)
            except StoreError as error:
                log.error("%s", error)
        self.state.prune(now)
        for words in self.store.troubles:
            log.warning("%s", words)
        self.store.troubles.clear()

    def _read_again(self) -> None:
        self._hup = False
        if self._reload is None:
            return
        try:
            self.duty = self._reload()
        except FairlineError as error:
            log.error("the settings stay as they were: %s", error)
            return
        self.post.receivers = self.duty.receivers
        # Whoever mended a model says so by this.
        self.health.forget({model.name for model in self.duty.models})
        with self._storing():
            self.state.unbench(self.state.benched())
        log.info("the settings were read again")

    def line(self) -> str:
        """How it is going, in a line."""
        health = self.health
        words = "; ".join(health.trouble.values())
        if words and health.complete_ts != health.last_ts and not health.markets:
            return words
        changes = health.changes
        return (
            f"scan {sum(health.scans.values())}: {health.markets:,} markets, {health.kept:,} opportunities "
            f"({changes['appeared']:,} appeared and {changes['gone']:,} went so far)" + (f"; {words}" if words else "")
        )


def _pause(status: ExchangeStatus, now: datetime) -> str:
    """What the exchange says of its pause, in words."""
    what = "trading is paused" if status.exchange_active else "the exchange is paused"
    back = status.exchange_estimated_resume_time
    weekly = " (the weekly maintenance window, Thursday 03:00 to 05:00 in New York)"
    return what + (f", expected back {back}" if back else "") + weekly * in_maintenance_window(now.timestamp())

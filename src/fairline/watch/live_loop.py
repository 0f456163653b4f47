"""Run a live session beside the scans of a watch: the feed, the ticks, and what has to be asked over REST."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from fairline.errors import FairlineError
from fairline.kalshi import Kalshi, KalshiError
from fairline.market.filters import Filters
from fairline.market.listing import Ages, Listing, read_listing
from fairline.market.live_frame import live_markets
from fairline.models import Model
from fairline.models.prediction import model_requests, predict
from fairline.scanner import Evaluation
from fairline.sources import Payload, Sources, fetch
from fairline.watch.live import LiveSession, LiveTick
from fairline.watch.live_check import check_books

log = logging.getLogger("fairline.watch")

MAX_WRONG_SHARE = 0.05
"""If a larger share of the compared quotes is wrong, no quote counts until an audit."""
MAX_FACTS = 300
"""Most markets whose facts are read again by one request."""


@dataclass(frozen=True, slots=True)
class LivePace:
    """Seconds between ticks, between comparisons with REST, and between looks at facts and models' inputs.

    A feed that has been closed for `outage_s` is an alarm.
    """

    tick_s: float = 0.1
    check_s: float = 60.0
    facts_s: float = 5.0
    inputs_s: float = 30.0
    outage_s: float = 10.0


@dataclass(slots=True)
class LiveJobs:
    """What a live session needs from its watch: the models, the filters, and who receives ticks and alarms."""

    models: Callable[[], Sequence[Model]]
    filters: Callable[[], Filters]
    on_tick: Callable[[LiveTick], None]
    on_alarm: Callable[[str], None]
    """Receives the text of the feed's alarm, empty when it is over."""


class LiveLoop:
    """Keeps a session going until cancelled; ends with the error of a handshake that is refused."""

    def __init__(
        self,
        kalshi: Kalshi,
        session: LiveSession,
        jobs: LiveJobs,
        *,
        sources: Sources | None = None,
        pace: LivePace | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.session = session
        self.audit_wanted = asyncio.Event()
        self.recording = asyncio.Lock()
        self.checked = 0
        self.wrong: Sequence[str] = ()
        self._kalshi, self._jobs, self._sources = kalshi, jobs, sources or Sources()
        self._pace, self._now = pace or LivePace(), now
        self._inputs: dict[object, object] = {}
        self._closed_since: float | None = None
        self._loaded = asyncio.Event()

    def load(self, listing: Listing, evaluation: Evaluation) -> None:
        """Take an audit's result."""
        skew = self._kalshi.transport.skew
        self.session.feed.lag.set_offset(skew.seconds if skew is not None and abs(skew.seconds) > skew.error else 0.0)
        self.session.load(listing, evaluation, self._now())
        if self.session.mismatches:
            log.warning("the audit found %d quotes that the feed had missed", self.session.mismatches)
        self.audit_wanted.clear()
        self._loaded.set()

    async def run(self) -> None:
        """Run until cancelled. Raises `KalshiError` if the exchange refuses the feed."""
        await self._loaded.wait()
        jobs = [self._tick_forever(), *(self._repeat(job, pause_s) for job, pause_s in self._requests())]
        tasks = [asyncio.create_task(self.session.feed.run()), *(asyncio.create_task(job) for job in jobs)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _requests(self) -> list[tuple[Callable[[], Awaitable[None]], float]]:
        pace = self._pace
        return [(self.check, pace.check_s), (self.refresh_facts, pace.facts_s), (self.refresh_inputs, pace.inputs_s)]

    async def _tick_forever(self) -> None:
        """Tick at whole multiples of the pace; a late tick does not shift the next."""
        began = time.monotonic()
        while True:
            late = (time.monotonic() - began) % self._pace.tick_s
            await asyncio.sleep(self._pace.tick_s - late)
            async with self.recording:
                tick = self.session.tick(self._now())
                self._jobs.on_tick(tick)
            if self.session.audit_reason:
                self.audit_wanted.set()
            self._watch_feed()

    def _watch_feed(self) -> None:
        """Raise an alarm for a feed that stays closed, and end it when the feed is back."""
        if self.session.feed.connected:
            if self._closed_since is not None:
                self._closed_since = None
                self._report()
            return
        if self._closed_since is None:
            self._closed_since = time.monotonic()
        if time.monotonic() - self._closed_since > self._pace.outage_s:
            self._report()

    def _report(self) -> None:
        if self._closed_since is not None and time.monotonic() - self._closed_since > self._pace.outage_s:
            self._jobs.on_alarm("the feed is closed and cannot be opened again so far")
        elif self.wrong:
            names = ", ".join(self.wrong[:3])
            self._jobs.on_alarm(f"{len(self.wrong)} live quotes differ from the order books: {names}")
        else:
            self._jobs.on_alarm("")

    async def _repeat(self, job: Callable[[], Awaitable[None]], pause_s: float) -> None:
        while True:
            await asyncio.sleep(pause_s)
            try:
                await job()
            except (KalshiError, FairlineError) as error:
                log.warning("%s", error)
            except Exception:  # a background job must be retried after any error; the log has the traceback
                log.exception("unexpected error in a background job of the feed")

    async def check(self) -> None:
        """Compare random markets with their order books; correct what is wrong, and raise or end the alarm."""
        session = self.session
        result = await check_books(self._kalshi, lambda: session.state)
        self.checked += result.compared
        if result.compared or result.wrong:
            self.wrong = result.wrong
            session.correct(result.quotes)
            if len(result.wrong) > MAX_WRONG_SHARE * result.compared:
                session.distrust("many quotes differ from the order books", self._now())
            self._report()

    async def refresh_facts(self) -> None:
        """Read the markets again whose facts changed, and those that are new; then ask the models again."""
        session = self.session
        tickers = list(session.changed_facts)[:MAX_FACTS]
        if not tickers or session.listing is None:
            return
        for ticker in tickers:
            session.changed_facts.pop(ticker, None)
        filters = replace(self._jobs.filters(), tickers=tuple(tickers))
        listing = await read_listing(self._kalshi, filters, ages=Ages(self._pace.inputs_s, 0))
        session.add_markets(listing.markets, self._now())
        await self.refresh_inputs(changed_facts=True)

    async def refresh_inputs(self, *, changed_facts: bool = False) -> None:
        """Ask the models again if one of their inputs changed."""
        session, models = self.session, self._jobs.models()
        if session.listing is None or not models:
            return
        requested = self._now()
        payloads = await fetch(model_requests(models, session.markets, requested), self._sources)
        inputs: dict[object, object] = {
            request: hash(payload.body) if isinstance(payload, Payload) else str(payload)
            for request, payload in payloads.items()
        }
        changed, self._inputs = inputs != self._inputs and bool(self._inputs), inputs
        if not changed and not changed_facts:
            return
        asof = self._now()
        markets = live_markets(session.markets, session.state, range(len(session.state)))
        predictions, problems = await asyncio.to_thread(
            predict, markets, models, payloads, asof=asof, requested=requested
        )
        for problem in problems:
            log.info("%s", problem)
        session.hold(predictions)

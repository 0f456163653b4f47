"""Read a whole listing through many cursors at once, and report whether it is complete.

The listing is divided into windows that tile the time line. One cursor walks each window to its end. A walk with much
left to read gives the far part to an idle worker, as long as its rows arrive in order, so all workers finish together.
`docs/crawl.md` explains why no market can be lost in between.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Generic, TypeVar

from fairline.kalshi.cache import ExchangeCache, key_of
from fairline.kalshi.client import Kalshi
from fairline.kalshi.clock import certainly_past
from fairline.kalshi.cursor import check_cursor
from fairline.kalshi.decoding import Page
from fairline.kalshi.errors import BadRequestError, CursorLoopError, KalshiError
from fairline.kalshi.http import GZIP, Response, Unpacker
from fairline.kalshi.intake import Intake, copy_market, copy_page, merge_pages
from fairline.kalshi.journal import Journal, Record
from fairline.kalshi.limits import worker_count
from fairline.kalshi.report import CrawlReport
from fairline.kalshi.routes import MAX_TICKERS, Query, Route, batches, choose
from fairline.kalshi.schedule import WalkSchedule
from fairline.kalshi.tasks import run_together
from fairline.kalshi.walk import Walk
from fairline.kalshi.windows import CLOSE, CREATED, Axis, Density, Profile, Window
from fairline.kalshi.wire import Market, markets_page

T = TypeVar("T")

MAX_ATTEMPTS_PER_WALK = 2
CLOSING_LOOK_BACK_S = 60
MAX_REPEATED_SHORT_PAGES = 3


class MarketCrawl(Generic[T]):
    """Read pages of distinct markets. `report` is final when `pages` is exhausted.

    `convert` turns the rows of a page into what `pages` yields. It runs before the next page overwrites their buffer.

    With a `cache`, the last complete crawl's profile says where to cut, this crawl's profile is saved, and pages are
    journalled, so that the same crawl continues after a crash if it began at most `max_age_s` seconds ago.
    Raises `KalshiError` only if nothing at all could be read.
    """

    def __init__(
        self,
        kalshi: Kalshi,
        query: Query,
        convert: Callable[[list[Market]], T],
        *,
        cache: ExchangeCache | None = None,
        max_age_s: float = 120.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.report = CrawlReport()
        self.query = query
        self._convert = convert
        self._kalshi = kalshi
        self._cache = cache
        self._max_age_s = max_age_s
        self._clock = clock
        self._intake = Intake(query, rejects=self.report.rejects)
        self._workers = worker_count(kalshi.transport.bucket.rate)
        self._schedule = WalkSchedule(query, self.report, kalshi.transport, self._workers, self._record)
        self._progress = asyncio.Event()
        self._free_slots = asyncio.Semaphore(self._workers)
        self._output: asyncio.Queue[T | None] = asyncio.Queue()
        self._journal: Journal | None = None
        self._replaying = False
        self._error: KalshiError | None = None
        self._closing_filters: list[dict[str, str]] = []
        self._closing: Walk | None = None
        self._short_pages = 0
        self._began = clock()
        self._start = self._began

    def route(self) -> Route:
        """Return the route this crawl would take. Sends nothing."""
        created = self._load_profile(CREATED)
        closes = self._load_profile(CLOSE)
        route = choose(self.query, created, closes, self._workers)
        by_close = route.axis is CLOSE
        ahead = by_close and self.query.status != "closed"
        self._schedule.density = Density(self._began, closes if by_close else created, ahead=ahead)
        return route

    async def pages(self) -> AsyncIterator[T]:
        """Yield converted pages as they arrive."""
        route = self.route()
        finished = False
        # Only a crawl with a closing pass can be continued later: others end with what existed when they began.
        if self._cache is not None and route.axis is CREATED and self._max_age_s > 0:
            self._journal = self._cache.journal(key_of(self.query), self._max_age_s)
            self._start = self._journal.began if self._journal is not None else self._began
        run = asyncio.create_task(self._run(route))
        run.add_done_callback(lambda _: self._output.put_nowait(None))
        try:
            while (page := await self._output.get()) is not None:
                yield page
                self._free_slots.release()
            await run
            finished = True
        finally:
            run.cancel()
            await asyncio.wait([run])
            if self._journal is not None:
                self._journal.close(keep=not (finished and self.report.complete))

    async def _run(self, route: Route) -> None:
        self.report.asof_s = self._began
        resumed = self._journal is not None and bool(self._journal.records) and await self._resume(self._journal)
        if not resumed:
            for filters in route.walks:
                for window in route.windows or [Window()]:
                    self._schedule.start(filters, route.axis, window)
        if route.axis is CREATED:
            self._closing_filters = route.walks
        await self._run_workers()
        if self._error is not None and not self.report.pages:
            raise self._error
        if self._closing_filters:
            await self._run_closing_pass()
        await self._recheck()
        self._conclude(route)

    async def _run_workers(self) -> None:
        await run_together(self._work() for _ in range(self._workers))

    async def _work(self) -> None:
        schedule = self._schedule
        while schedule.pending or schedule.active:
            schedule.divide()
            idle = not schedule.pending
            if idle and self._closing_filters and self._closing is None and schedule.nearly_done():
                self._begin_closing_pass()
            if not schedule.pending:
                self._progress.clear()
                await self._progress.wait()
                continue
            walk = schedule.pending.popleft()
            schedule.active.append(walk)
            try:
                await self._read_walk(walk)
            finally:
                schedule.active.remove(walk)
                self._progress.set()

    async def _read_walk(self, walk: Walk) -> None:
        walk.began_s = walk.began_s or self._clock()
        try:
            while not walk.ended:
                page = await self._read_page(walk)
                if not walk.ended:
                    await self._emit(self._accept(walk, page))
                if not walk.ended:
                    walk.advance(page, self._clock())
                    check_cursor(page, self.query.page_size)
                self._progress.set()
        except KalshiError as error:
            self._handle_failure(walk, error)

    async def _read_page(self, walk: Walk) -> Page[Market]:
        """Read the walk's next page. A short page with a cursor is requested again: it may lack a row."""
        responses: list[Response] = []
        params = walk.params()
        page = await self._kalshi.markets.page(params, responses.append)
        if page.cursor and 0 < len(page.rows) + len(page.rejected) < self.query.page_size:
            self._short_pages += 1
            if self._short_pages <= MAX_REPEATED_SHORT_PAGES:
                page = merge_pages([copy_page(page), await self._kalshi.markets.page(params, responses.append)])
            elif self._short_pages == MAX_REPEATED_SHORT_PAGES + 1:
                self.report.notes.append("some pages were short although more followed: a market may be missing")
        if self._journal is not None:
            for response in responses:
                last = response is responses[-1]
                self._record(Record(kind="page", walk=walk.number, last=last), response.packed or response.plain)
        return page

    async def _emit(self, fresh: list[Market]) -> None:
        if fresh:
            converted = self._convert(fresh)
            await self._free_slots.acquire()
            self._output.put_nowait(converted)

    def _accept(self, walk: Walk, page: Page[Market]) -> list[Market]:
        """Count a page and return its new markets."""
        report = self.report
        inside = walk.observe(page.rows)
        fresh = self._intake.admit(page, closing=walk.closing)
        report.pages += 1
        report.late += len(fresh) if walk.closing else 0
        report.rows = self._intake.rows
        report.duplicates = self._intake.duplicates
        report.conflicts = self._intake.conflicts
        if not inside and not self._replaying:
            self._schedule.drop_windows("the exchange ignores time windows", self._clock())
        return fresh

    def _handle_failure(self, walk: Walk, error: KalshiError) -> None:
        """Retry the walk once, from its cursor or without it; after that, report it."""
        if isinstance(error, BadRequestError) and walk.span != Window() and not walk.rows:
            self._schedule.drop_windows("the exchange refuses time windows", self._clock())
            return
        self._error = error
        walk.attempts += 1
        retry = walk.attempts < MAX_ATTEMPTS_PER_WALK and self.report.pages > 0
        if retry and error.retryable:
            self._schedule.pending.append(walk)
            return
        cursor_lost = isinstance(error, BadRequestError | CursorLoopError) and not self._schedule.windows_dropped
        remainder = walk.remainder() if retry and cursor_lost else None
        if remainder is not None:
            self._schedule.start(walk.filters, walk.axis, remainder).attempts = walk.attempts
            self._schedule.supersede(walk, self._clock())
            return
        # The journal does not record this end: a crawl that continues from it begins with what is missing.
        walk.failure = error.message
        walk.ended = True
        walk.ended_s = self._clock()

    def _begin_closing_pass(self) -> None:
        """Start the walk over what was created while the others were read."""
        skew = self._kalshi.transport.skew
        self.report.asof_s = certainly_past(self._clock(), skew)
        low = int(certainly_past(self._start, skew)) - CLOSING_LOOK_BACK_S
        closing = self._schedule.start(self._closing_filters[0], CREATED, Window(low=low), closing=True)
        if self._schedule.windows_dropped:
            # Without windows the walk starts at the top and ends where ordered rows are older than the crawl.
            closing.requested = dict(closing.filters)
            closing.shared = True
        self._closing = closing

    async def _run_closing_pass(self) -> None:
        """Run the closing pass unless it ran already; run it again if it was lost with the windows."""
        while self._closing is None or (self._schedule.windows_dropped and not self._closing.shared):
            self._begin_closing_pass()
            await self._run_workers()

    async def _recheck(self) -> None:
        """Read markets again that arrived in another status than requested: they changed during the crawl."""
        unconfirmed = self._intake.unconfirmed
        for tickers in batches(list(unconfirmed), MAX_TICKERS):
            with suppress(KalshiError):
                page = await self._kalshi.markets.page(self.query.base() | {"tickers": ",".join(tickers)})
                unconfirmed |= {row.ticker: copy_market(row) for row in page.rows if row.ticker in unconfirmed}
                self.report.rechecked += len(page.rows)
        await self._emit(list(unconfirmed.values()))

    def _conclude(self, route: Route) -> None:
        report = self.report
        self._intake.drop_recovered()
        report.incomplete_reasons += [
            f"{walk.description} ended after page {walk.pages}: {walk.failure}" for walk in report.missing
        ]
        covers_all = bool(route.windows) and (route.axis is CREATED or self.query.closes is None)
        if self._cache is not None and report.complete and covers_all:
            for axis in (CREATED, CLOSE):
                self._cache.save(self._profile_key(axis), self._intake.profile(axis, self._clock()))

    def _load_profile(self, axis: Axis) -> Profile | None:
        return self._cache.load(self._profile_key(axis), Profile) if self._cache else None

    def _profile_key(self, axis: Axis) -> str:
        return key_of("profile", axis.name, self.query.status, self.query.combos)

    def _record(self, record: Record, body: bytes = b"") -> None:
        if self._journal is None:
            return
        try:
            self._journal.add(record, body)
        except OSError as error:
            self.report.notes.append(f"the crawl is no longer journalled ({error.strerror})")
            self._journal.close(keep=False)
            self._journal = None

    async def _resume(self, journal: Journal) -> bool:
        """Bring every walk to where the journal leaves it. Return False, with nothing done, if it is damaged."""
        report = self.report
        self._replaying = True
        try:
            await self._replay(journal)
        except (KalshiError, LookupError):
            report.walks.clear()
            report.notes.clear()
            report.pages = 0
            self._schedule.windows_dropped = False
            journal.close(keep=False)
            self._journal = None
            return False
        finally:
            journal.records.clear()
            self._replaying = False
        report.resumed_pages = report.pages
        age_s = time.time() - journal.began
        report.notes.append(f"continued a crawl begun {age_s:.0f} s ago, with {report.pages} pages already read")
        for walk in report.walks:
            # The rows of an earlier closing pass are there, and another pass follows.
            walk.ended = walk.ended or walk.closing
        self._schedule.pending.extend(walk for walk in report.walks if not walk.ended)
        return True

    async def _replay(self, journal: Journal) -> None:
        axes = {axis.name: axis for axis in (CREATED, CLOSE)}
        walks = self.report.walks
        answers: list[Page[Market]] = []
        unpack = Unpacker()
        for record, body in journal.records:
            if record.kind == "started":
                window = Window(record.low, record.high)
                walks.append(Walk(len(walks), record.filters, axes.get(record.axis), window, closing=record.closing))
            elif record.kind == "page":
                answers = [*map(copy_page, answers), markets_page(unpack(body) if body[:2] == GZIP else body)]
                if record.last:
                    await self._replay_page(walks[record.walk], merge_pages(answers))
                    answers = []
            elif record.kind == "windows_dropped":
                self._schedule.windows_dropped = True
                self.report.notes.append(f"{record.reason}; one cursor was used")
            else:
                _replay_change(walks[record.walk], record)

    async def _replay_page(self, walk: Walk, page: Page[Market]) -> None:
        walk.params()
        await self._emit(self._accept(walk, page))
        with suppress(CursorLoopError):
            walk.advance(page, self._began)


def _replay_change(walk: Walk, record: Record) -> None:
    if record.kind == "shared":
        walk.window = Window(record.low, walk.window.high)
        walk.shared = True
    elif record.kind == "superseded":
        walk.ended = True
    elif record.kind == "reopened":
        walk.window = Window()
        walk.shared = False
        walk.ended = not walk.cursor

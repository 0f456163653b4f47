"""The whole exchange through many cursors at once, with an account of how whole it was.

The listing is divided into windows of time that tile the time line, and each window is walked to its end by a cursor
of its own. A walk with much before it gives the far part away to whoever is idle, as long as its rows have come in
order; so all finish together. `docs/crawl.md` says why nothing can fall between.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Generic, TypeVar

from fairline.kalshi.account import Account
from fairline.kalshi.client import Kalshi
from fairline.kalshi.clock import surely_past
from fairline.kalshi.decoding import Page
from fairline.kalshi.errors import BadRequestError, CursorLoopError, KalshiError
from fairline.kalshi.http import GZIP, Response, Unpacker
from fairline.kalshi.intake import Intake, merged, owned
from fairline.kalshi.intake import kept as whole
from fairline.kalshi.journal import Journal
from fairline.kalshi.limits import walkers
from fairline.kalshi.memory import Memory, key_of
from fairline.kalshi.routes import MAX_TICKERS, Query, Route, batches, choose
from fairline.kalshi.walk import Walk
from fairline.kalshi.windows import CLOSE, CREATED, Axis, Density, Profile, Window, tile
from fairline.kalshi.wire import Market, markets_page

T = TypeVar("T")

_CREATED = Route([], CREATED, [], None, "")
_ATTEMPTS = 2
_LOOK_BACK_S = 60
_SHORT_PAGES = 3
_SURPRISE = 500
"""Rows more than the profile has where a walk was, before it is no longer believed there."""


class MarketCrawl(Generic[T]):
    """Pages of distinct markets, and when they have all been read, `account`.

    `make` turns a page's rows into what `pages` yields, at once, while they are fresh.

    With a `memory`, the last whole crawl's profile says where to cut, this one's is kept, and pages are journalled, so
    that the same crawl after a crash goes on where that one was, if it began no more than `max_age_s` ago.
    Raises `KalshiError` only if nothing at all could be read.
    """

    def __init__(
        self,
        kalshi: Kalshi,
        query: Query,
        make: Callable[[list[Market]], T],
        *,
        memory: Memory | None = None,
        max_age_s: float = 120.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.account = Account()
        self.query = query
        self._make = make
        self._kalshi, self._memory, self._max_age_s, self._clock = kalshi, memory, max_age_s, clock
        self._intake = Intake(query, rejected=self.account.rejected)
        self._workers = walkers(kalshi.transport.bucket.rate)
        self._pending: deque[Walk] = deque()
        self._active: list[Walk] = []
        self._changed = asyncio.Event()
        self._room = asyncio.Semaphore(self._workers)
        self._out: asyncio.Queue[T | None] = asyncio.Queue()
        self._journal: Journal | None = None
        self._windowless = self._replaying = False
        self._error: KalshiError | None = None
        self._closes: list[dict[str, str]] = []
        self._closing: Walk | None = None
        self._short_pages = 0
        self._began = self._start = clock()
        self._density = Density(self._began, None)

    def route(self) -> Route:
        """The way this crawl would go, without a request."""
        memory = self._memory
        created, closes = (memory.load(self._key(axis), Profile) if memory else None for axis in (CREATED, CLOSE))
        route = choose(self.query, created, closes, self._workers)
        by_close = route.axis is CLOSE
        ahead = by_close and self.query.status != "closed"
        self._density = Density(self._began, closes if by_close else created, ahead=ahead)
        return route

    async def pages(self) -> AsyncIterator[T]:
        route, finished = self.route(), False
        # Only a crawl with a closing pass can be gone on with later: the others end with what was there at their start.
        if self._memory is not None and route.axis is CREATED and self._max_age_s > 0:
            self._journal = self._memory.journal(key_of(self.query), self._max_age_s)
            self._start = self._journal.began if self._journal is not None else self._began
        run = asyncio.create_task(self._run(route))
        run.add_done_callback(lambda _: self._out.put_nowait(None))
        try:
            while (page := await self._out.get()) is not None:
                yield page
                self._room.release()
            await run
            finished = True
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
            if self._journal is not None:
                self._journal.close(keep=not (finished and self.account.complete))

    async def _run(self, route: Route) -> None:
        self.account.asof_s = self._began
        if self._journal is None or not self._journal.found or not await self._resume(self._journal):
            for filters in route.walks:
                for window in route.windows or [Window()]:
                    self._add(filters, route, window)
        if route.axis is CREATED:
            self._closes = route.walks
        await self._work_off()
        if self._error is not None and not self.account.pages:
            raise self._error
        if self._closes:
            await self._close()
        await self._recheck()
        self._conclude(route)

    def _add(self, filters: dict[str, str], route: Route | Walk, window: Window, *, closing: bool = False) -> Walk:
        made = Walk(len(self.account.walks), filters, route.axis, window, closing=closing)
        self.account.walks.append(made)
        self._pending.append(made)
        axis = made.axis.name if made.axis else ""
        stretch = {"axis": axis, "low": window.low, "high": window.high, "closing": closing}
        self._note({"walk": made.number, "filters": filters} | stretch)
        return made

    async def _work_off(self) -> None:
        workers = [asyncio.create_task(self._work()) for _ in range(self._workers)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self) -> None:
        while self._pending or self._active:
            self._divide()
            if not self._pending and self._closes and self._closing is None and self._nearly_done():
                self._begin_closing()
            if not self._pending:
                self._changed.clear()
                await self._changed.wait()
                continue
            mine = self._pending.popleft()
            self._active.append(mine)
            try:
                await self._follow(mine)
            finally:
                self._active.remove(mine)
                self._changed.set()

    async def _follow(self, mine: Walk) -> None:
        mine.began_s = mine.began_s or self._clock()
        try:
            while not mine.ended:
                page = await self._page(mine)
                if not mine.ended:
                    await self._hand_out(self._take(mine, page))
                if not mine.ended:
                    mine.advance(page, self._clock())
                self._changed.set()
        except KalshiError as error:
            self._failed(mine, error)

    async def _page(self, mine: Walk) -> Page[Market]:
        """The walk's next page. One that is short although more follows is asked for again: a row may be missing."""
        kept: list[Response] = []
        params = mine.params()
        page = await self._kalshi.markets.page(params, kept.append)
        if page.cursor and 0 < len(page.rows) + len(page.rejected) < self.query.page_size:
            self._short_pages += 1
            if self._short_pages <= _SHORT_PAGES:
                page = merged([whole(page), await self._kalshi.markets.page(params, kept.append)])
            elif self._short_pages == _SHORT_PAGES + 1:
                self.account.notes.append("some pages were short although more followed: a market may be missing")
        for response in kept if self._journal is not None else ():
            self._note({"walk": mine.number, "last": response is kept[-1]}, response.packed or response.plain)
        return page

    async def _hand_out(self, fresh: list[Market]) -> None:
        if fresh:
            made = self._make(fresh)
            await self._room.acquire()
            self._out.put_nowait(made)

    def _take(self, mine: Walk, page: Page[Market]) -> list[Market]:
        """A page's new markets."""
        account, intake = self.account, self._intake
        inside = mine.reach(page.rows)
        fresh = intake.admit(page)
        account.pages += 1
        account.late += len(fresh) if mine.closing else 0
        account.rows = intake.rows
        account.duplicates, account.conflicts = intake.duplicates, intake.conflicts
        if not inside and not self._replaying:
            self._fall_back("the exchange does not look at time windows")
        return fresh

    def _failed(self, mine: Walk, error: KalshiError) -> None:
        """Once more from where it stands, or without the cursor; then it is reported."""
        if isinstance(error, BadRequestError) and mine.span != Window() and not mine.rows:
            self._fall_back("the exchange refuses time windows")
            return
        self._error = error
        mine.attempts += 1
        again = mine.attempts < _ATTEMPTS and self.account.pages > 0
        if again and error.retryable:
            self._pending.append(mine)
            return
        lost = isinstance(error, BadRequestError | CursorLoopError) and not self._windowless
        rest = mine.rest() if again and lost else None
        if rest is not None:
            self._add(mine.filters, mine, rest).attempts = mine.attempts
            self._supersede(mine)
            return
        # Not journalled as over: whoever goes on with this crawl begins with what is missing.
        mine.failure, mine.ended, mine.ended_s = error.message, True, self._clock()

    def _supersede(self, mine: Walk) -> None:
        mine.ended, mine.ended_s, mine.failure = True, self._clock(), ""
        self._note({"walk": mine.number, "over": True})

    def _fall_back(self, why: str) -> None:
        """One cursor over everything instead of all windows."""
        given_up = [made for made in self.account.walks if made.span != Window() or made in self._pending]
        self._pending.clear()
        if not self._windowless:
            self._windowless = True
            # First in the journal what takes over, then that it does.
            self._walk_whole()
            self._note({"walk": 0, "windowless": why})
            self.account.notes.append(f"{why}; one cursor was used")
        for made in given_up:
            self._supersede(made)

    def _walk_whole(self) -> None:
        """Everything by one cursor: that of the first walk, if it had begun without a window, else a new one."""
        whole = next((made for made in self.account.walks if made.pages and made.span == Window()), None)
        if whole is None:
            status = {} if self.query.status is None else {"status": self.query.status}
            self._add(self.account.walks[0].filters | status, Route([], None, [], None, ""), Window())
            return
        self._note({"walk": whole.number, "taken back": True})
        whole.window, whole.shared = Window(), False
        if whole.ended and whole.cursor:
            whole.ended = False
            self._pending.append(whole)

    def _divide(self) -> None:
        """Give part of the longest walk to each who is idle, if that makes the whole faster."""
        busy = len(self._active) + len(self._pending)
        if self._windowless or busy >= self._workers:
            return
        expected = {made.number: self._expected(made) for made in self._active}
        longest = max(self._active, key=lambda made: expected[made.number], default=None)
        transport = self._kalshi.transport
        pages = busy + sum(expected.values()) / self.query.page_size
        idle = int(min(self._workers, transport.bucket.abreast(pages, transport.traffic.seconds))) - busy
        if idle <= 0 or longest is None or longest.oldest is None:
            return
        parts = min(idle + 1, int(expected[longest.number] / (1.5 * self.query.page_size)))
        floor = longest.window.low
        stride = longest.stride if longest.dense and self.account.guesses_pay else None
        cuts = self._density.cuts(floor, longest.oldest, parts, stride) if parts > 1 else []
        cuts = [cut for cut in cuts if cut < longest.oldest and (floor is None or cut > floor)]
        if not cuts:
            return
        # First in the journal what takes over, then what is given away: whoever is killed in between has both.
        for window in tile(cuts, floor, longest.oldest)[1:]:
            self._add(longest.filters, longest, window).guessed = stride is not None
        longest.window, longest.shared = Window(max(cuts), longest.window.high), True
        self._note({"walk": longest.number, "low": max(cuts)})

    def _expected(self, made: Walk) -> float:
        """About how many rows lie before a walk; 0 if it cannot give any away."""
        if not made.divisible or made.oldest is None:
            return 0.0
        low, prior = made.window.low, self._density.rows(made.window.low, made.oldest)
        foreseen = self._density.known and made.rows <= self._density.rows(made.oldest, made.span.high) + _SURPRISE
        if foreseen or made.pages < 2:
            return prior
        further = self._density.extrapolated(made.rows, low, made.oldest, made.span.high)
        if not (made.dense and self.account.guesses_pay):
            return further
        return max(further, self.query.page_size * self._density.crowd(low, made.oldest, made.stride))

    def _nearly_done(self) -> bool:
        """Somebody has nothing to do, and nobody much before him: the closing pass need not wait for the last page."""
        page = self.query.page_size
        return not self._windowless and all(w.pages and w.ordered and self._expected(w) < page for w in self._active)

    def _begin_closing(self) -> None:
        """The closing pass: what was created while the others were read."""
        skew = self._kalshi.transport.skew
        self.account.asof_s = surely_past(self._clock(), skew)
        low = int(surely_past(self._start, skew)) - _LOOK_BACK_S
        closing = self._closing = self._add(self._closes[0], _CREATED, Window(low=low), closing=True)
        if self._windowless:
            # Without windows, from the top: it ends where rows in order are older than the crawl.
            closing.asked, closing.shared = dict(closing.filters), True

    async def _close(self) -> None:
        """The closing pass, unless there was one; again if it was lost with the windows."""
        while self._closing is None or (self._windowless and not self._closing.shared):
            self._begin_closing()
            await self._work_off()

    async def _recheck(self) -> None:
        """Read again what came with another status than was asked for: it changed while it was being sent."""
        doubtful = self._intake.doubtful
        for tickers in batches(list(doubtful), MAX_TICKERS):
            with suppress(KalshiError):
                page = await self._kalshi.markets.page(self.query.base() | {"tickers": ",".join(tickers)})
                doubtful |= {market.ticker: owned(market) for market in page.rows if market.ticker in doubtful}
                self.account.rechecked += len(page.rows)
        await self._hand_out(list(doubtful.values()))

    def _conclude(self, route: Route) -> None:
        account = self.account
        self._intake.forgive()
        account.incomplete_reasons += [f"{w.words} ended after page {w.pages}: {w.failure}" for w in account.missing]
        whole = route.windows and (route.axis is CREATED or self.query.closes is None)
        if self._memory is not None and account.complete and whole:
            for axis in (CREATED, CLOSE):
                self._memory.save(self._key(axis), self._intake.profile(axis, self._clock()))

    def _key(self, axis: Axis) -> str:
        return key_of("profile", axis.name, self.query.status, self.query.combos)

    def _note(self, record: dict[str, object], body: bytes = b"") -> None:
        if self._journal is not None:
            try:
                self._journal.add(record, body)
            except OSError as error:
                self.account.notes.append(f"no journal is kept any more ({error.strerror})")
                self._journal.close(keep=False)
                self._journal = None

    async def _resume(self, journal: Journal) -> bool:
        """Bring every walk to where its last journalled page left it. False, and nothing, if the journal is damaged."""
        walks, self._replaying = self.account.walks, True
        try:
            await self._replay(journal)
        except (KalshiError, LookupError, TypeError, ValueError):
            walks.clear()
            journal.close(keep=False)
            self._journal, self._windowless, self.account.notes, self.account.pages = None, False, [], 0
            return False
        finally:
            journal.found.clear()
            self._replaying = False
        account, age = self.account, time.time() - journal.began
        account.resumed_pages = account.pages
        account.notes.append(f"went on with a crawl begun {age:.0f} s ago: {account.pages} pages were there")
        for made in walks:
            # There will be another closing pass; what the earlier one brought is there.
            made.ended = made.ended or made.closing
        self._pending.extend(made for made in walks if not made.ended)
        return True

    async def _replay(self, journal: Journal) -> None:
        walks, axes = self.account.walks, {axis.name: axis for axis in (CREATED, CLOSE)}
        parts, unpack = list[Page[Market]](), Unpacker()
        for record, body in journal.found:
            if "filters" in record:
                window = Window(record["low"], record["high"])
                axis = axes.get(record["axis"])
                walks.append(Walk(len(walks), record["filters"], axis, window, closing=record["closing"]))
                continue
            made = walks[record["walk"]]
            if "last" in record:
                parts = [*map(whole, parts), markets_page(unpack(body) if body[:2] == GZIP else body)]
                if record["last"]:
                    await self._replay_page(made, merged(parts))
                    parts = []
            elif "low" in record:
                made.window, made.shared = Window(record["low"], made.window.high), True
            elif "over" in record:
                made.ended = True
            elif "windowless" in record:
                self._windowless = True
                self.account.notes.append(f"{record['windowless']}; one cursor was used")
            else:
                made.window, made.shared, made.ended = Window(), False, not made.cursor

    async def _replay_page(self, made: Walk, page: Page[Market]) -> None:
        made.params()
        await self._hand_out(self._take(made, page))
        with suppress(CursorLoopError):
            made.advance(page, self._began)

"""Which walks of a crawl are waiting or active, and how to divide them among idle workers."""

from collections import deque
from collections.abc import Callable

from fairline.kalshi.journal import Record
from fairline.kalshi.report import CrawlReport
from fairline.kalshi.routes import Query
from fairline.kalshi.transport import Transport
from fairline.kalshi.walk import Walk
from fairline.kalshi.windows import Axis, Density, Window, tile

SURPRISE_ROWS = 500
"""How many rows more than the profile predicts a walk may read before the profile is ignored there."""
MIN_PAGES_PER_PART = 1.5


class WalkSchedule:
    """The walks of one crawl. `record` writes to the journal; `report.walks` lists every walk ever started.

    Order matters in the journal: what takes work over is recorded before the work is given away, so that a crawl
    killed in between has both.
    """

    def __init__(
        self, query: Query, report: CrawlReport, transport: Transport, workers: int, record: Callable[[Record], None]
    ) -> None:
        self.pending: deque[Walk] = deque()
        self.active: list[Walk] = []
        self.windows_dropped = False
        self.density = Density(0.0, None)
        self._query = query
        self._report = report
        self._transport = transport
        self._workers = workers
        self._record = record

    def start(self, filters: dict[str, str], axis: Axis | None, window: Window, *, closing: bool = False) -> Walk:
        """Add a walk to those waiting."""
        walk = Walk(len(self._report.walks), filters, axis, window, closing=closing)
        self._report.walks.append(walk)
        self.pending.append(walk)
        self._record(
            Record(
                kind="started",
                walk=walk.number,
                filters=filters,
                axis=axis.name if axis else "",
                low=window.low,
                high=window.high,
                closing=closing,
            )
        )
        return walk

    def supersede(self, walk: Walk, now_s: float) -> None:
        """End a walk whose remainder others read."""
        walk.ended = True
        walk.ended_s = now_s
        walk.failure = ""
        self._record(Record(kind="superseded", walk=walk.number))

    def drop_windows(self, reason: str, now_s: float) -> None:
        """Read everything with one cursor instead of windows."""
        given_up = [walk for walk in self._report.walks if walk.span != Window() or walk in self.pending]
        self.pending.clear()
        if not self.windows_dropped:
            self.windows_dropped = True
            self._start_whole_walk()
            self._record(Record(kind="windows_dropped", walk=0, reason=reason))
            self._report.notes.append(f"{reason}; one cursor was used")
        for walk in given_up:
            self.supersede(walk, now_s)

    def _start_whole_walk(self) -> None:
        """Read the whole listing with one cursor: the first walk's if that began without a window, else a new one."""
        whole = next((walk for walk in self._report.walks if walk.pages and walk.span == Window()), None)
        if whole is None:
            status = {} if self._query.status is None else {"status": self._query.status}
            self.start(self._report.walks[0].filters | status, None, Window())
            return
        self._record(Record(kind="reopened", walk=whole.number))
        whole.window = Window()
        whole.shared = False
        if whole.ended and whole.cursor:
            whole.ended = False
            self.pending.append(whole)

    def divide(self) -> None:
        """Give part of the longest walk to each idle worker, if that makes the crawl faster."""
        busy = len(self.active) + len(self.pending)
        if self.windows_dropped or busy >= self._workers:
            return
        expected = {walk.number: self.expected_rows(walk) for walk in self.active}
        longest = max(self.active, key=lambda walk: expected[walk.number], default=None)
        if longest is None:
            return
        pages = busy + sum(expected.values()) / self._query.page_size
        concurrent = self._transport.bucket.useful_concurrency(pages, self._transport.traffic.seconds)
        idle = int(min(self._workers, concurrent)) - busy
        if idle > 0:
            parts = min(idle + 1, int(expected[longest.number] / (MIN_PAGES_PER_PART * self._query.page_size)))
            self._split(longest, parts)

    def _split(self, walk: Walk, parts: int) -> None:
        """Divide what a walk has not reached into windows of equal expected rows; it keeps the first."""
        if walk.oldest is None or parts < 2:
            return
        floor = walk.window.low
        stride = walk.stride if walk.dense and self._report.guesses_pay else None
        cuts = self.density.cuts(floor, walk.oldest, parts, stride)
        cuts = [cut for cut in cuts if cut < walk.oldest and (floor is None or cut > floor)]
        if not cuts:
            return
        for window in tile(cuts, floor, walk.oldest)[1:]:
            self.start(walk.filters, walk.axis, window).guessed = stride is not None
        walk.window = Window(max(cuts), walk.window.high)
        walk.shared = True
        self._record(Record(kind="shared", walk=walk.number, low=max(cuts)))

    def expected_rows(self, walk: Walk) -> float:
        """Estimate how many rows a walk still has to read; 0 if it cannot give any away."""
        if not walk.divisible or walk.oldest is None:
            return 0.0
        low = walk.window.low
        predicted = self.density.rows(low, walk.oldest)
        as_predicted = walk.rows <= self.density.rows(walk.oldest, walk.span.high) + SURPRISE_ROWS
        if (self.density.known and as_predicted) or walk.pages < 2:
            return predicted
        extrapolated = self.density.extrapolate(walk.rows, low, walk.oldest, walk.span.high)
        if not (walk.dense and self._report.guesses_pay):
            return extrapolated
        in_batch = self._query.page_size * self.density.pages_in_batch(low, walk.oldest, walk.stride)
        return max(extrapolated, in_batch)

    def nearly_done(self) -> bool:
        """Return whether every active walk expects less than a page, so that the closing pass may begin."""
        if self.windows_dropped:
            return False
        page = self._query.page_size
        return all(walk.pages and walk.ordered and self.expected_rows(walk) < page for walk in self.active)

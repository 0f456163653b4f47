"""The live screen in this process: the session, its audits, the keys, and drawing."""

import asyncio
import contextlib
import os
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from fairline.cli.terminal import note
from fairline.config.connect import connect, memory_of
from fairline.config.settings import Settings
from fairline.kalshi import ApiKeyAuth, Kalshi
from fairline.kalshi.feed import Feed
from fairline.market.filters import Filters
from fairline.market.listing import Ages
from fairline.models import Model
from fairline.output.live_screen import LiveRow, LiveStatus, View, render
from fairline.pricing.belief import Beliefs
from fairline.pricing.rules import Rules
from fairline.scanner import ScanOptions, run_scan
from fairline.sources import Sources
from fairline.watch.live import LiveSession, LiveTick
from fairline.watch.live_loop import LiveJobs, LiveLoop, LivePace

_DRAW_S = 0.5
_SHOWN = 200
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


@dataclass(frozen=True, slots=True)
class LiveView:
    """What to show, and from where."""

    settings: Settings
    auth: ApiKeyAuth
    models: Sequence[Model]
    filters: Filters
    rules: Rules
    read_beliefs: Callable[[], Beliefs]
    sources: Sources
    audit_every: timedelta
    tick_s: float


class LiveScreen:
    """Draws a session and takes the keys."""

    def __init__(self, session: LiveSession) -> None:
        self.view = View()
        self.alarm = ""
        self.audited = time.monotonic()
        self.quit = asyncio.Event()
        self._session = session
        self._audit_mids: dict[str, float] = {}
        self._messages: list[tuple[float, int]] = []

    def note_audit(self) -> None:
        """Remember the prices of an audit, which moves are measured from."""
        self.audited = time.monotonic()
        opportunities = self._session.opportunities
        tickers = [] if opportunities is None else opportunities["ticker"].unique().to_list()
        markets = self._session.markets.filter(pl.col("ticker").is_in(tickers)).drop_nulls("p_mid")
        self._audit_mids = dict(markets.select("ticker", "p_mid").iter_rows())

    def note_tick(self, tick: LiveTick) -> None:
        now = time.monotonic()
        self._messages = [(at, count) for at, count in self._messages if now - at < 5] + [(now, tick.messages)]

    def press(self, text: str) -> None:
        for key in text:
            if self.view.press(key):
                self.quit.set()
        self.draw()

    def draw(self) -> None:
        size = os.get_terminal_size(sys.stdout.fileno())
        lines = render(self.rows(), self.status(), self.view, size.columns, size.lines)
        text = "".join(f"{line}\x1b[K\n" for line in lines[:-1]) + f"{lines[-1]}\x1b[K\x1b[J"
        sys.stdout.write("\x1b[H" + text)
        sys.stdout.flush()

    def rows(self) -> list[LiveRow]:
        """Return the best opportunities, with the age of their quotes and their move since the audit."""
        session = self._session
        if session.opportunities is None:
            return []
        now, now_ms = datetime.now(UTC), int(session.feed.lag.exchange_now * 1000)
        return [self._row(row, now, now_ms) for row in session.opportunities.head(_SHOWN).iter_rows(named=True)]

    def _row(self, row: dict[str, object], now: datetime, now_ms: int) -> LiveRow:
        state, ticker = self._session.state, str(row["ticker"])
        place = state.rows[ticker]
        bid_u, ask_u, _, _ = state.quote_of(ticker)
        before = self._audit_mids.get(ticker)
        mid = (bid_u + ask_u) / 2e6 if bid_u and ask_u else None
        decided = row["decided_ts"]
        return LiveRow(
            ticker=ticker,
            side=str(row["side"]),
            model=str(row["model"]),
            price=_float(row["price_u"]) / 1e6,
            p=_float(row["p"]),
            edge=_float(row["edge_points"]),
            ev=_float(row["believed_ev_u"]) / 1e6,
            ev_per_dollar=_float(row["believed_ev_per_dollar"]),
            age_s=max(0.0, (now_ms - state.ts_ms[place]) / 1000),
            move=None if mid is None or before is None else mid - before,
            decided_s=(decided - now).total_seconds() if isinstance(decided, datetime) else None,
            title=str(row["title"]),
        )

    def status(self) -> LiveStatus:
        session = self._session
        lag = session.feed.lag
        median, late = lag.percentile(0.5), lag.percentile(0.99)
        seconds = time.monotonic() - self._messages[0][0] if self._messages else 1.0
        return LiveStatus(
            markets=len(session.state),
            without_data=len(session.stale),
            connected=session.feed.connected,
            messages_per_s=sum(count for _, count in self._messages) / max(0.1, seconds),
            lag_s=None if median is None or late is None else (median, late),
            audit_age_s=time.monotonic() - self.audited,
            alarm=self.alarm,
        )


async def show_live(wanted: LiveView) -> None:
    """Show a live screen until the user quits. Raises `KalshiError` if the exchange refuses the feed."""
    kalshi = await connect(wanted.settings, wanted.auth, note)
    try:
        feed = Feed(wanted.settings.websocket_url, wanted.auth)
        session = LiveSession(feed, wanted.rules)
        screen = LiveScreen(session)
        jobs = LiveJobs(
            models=lambda: wanted.models,
            filters=lambda: wanted.filters,
            on_tick=screen.note_tick,
            on_alarm=lambda text: setattr(screen, "alarm", text),
        )
        loop = LiveLoop(kalshi, session, jobs, sources=wanted.sources, pace=LivePace(tick_s=wanted.tick_s))
        note("Reading the exchange …")
        await _audit(kalshi, wanted, loop, screen)
        with _raw_terminal(screen):
            await _run(
                loop.run(), _audit_forever(kalshi, wanted, loop, screen), _draw_forever(screen), screen.quit.wait()
            )
    finally:
        await kalshi.transport.close()


async def _run(*jobs: object) -> None:
    """Run until one of the jobs ends, and raise its error."""
    tasks = [asyncio.ensure_future(job) for job in jobs]  # type: ignore[call-overload]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _audit(kalshi: Kalshi, wanted: LiveView, loop: LiveLoop, screen: LiveScreen) -> None:
    beliefs = await asyncio.to_thread(wanted.read_beliefs)
    options = ScanOptions(wanted.filters, wanted.rules, ages=Ages(3_600, 0), misses=0, beliefs=beliefs)
    result = await run_scan(kalshi, wanted.models, options, memory=memory_of(wanted.settings), sources=wanted.sources)
    loop.load(result.listing, result.evaluation)
    screen.note_audit()


async def _audit_forever(kalshi: Kalshi, wanted: LiveView, loop: LiveLoop, screen: LiveScreen) -> None:
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(loop.audit_wanted.wait(), wanted.audit_every.total_seconds())
        await _audit(kalshi, wanted, loop, screen)


async def _draw_forever(screen: LiveScreen) -> None:
    while True:
        screen.draw()
        await asyncio.sleep(_DRAW_S)


@contextlib.contextmanager
def _raw_terminal(screen: LiveScreen) -> Iterator[None]:
    """Take single keys, and use the terminal's other screen; both are put back at the end."""
    descriptor, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, lambda: screen.press(os.read(descriptor, 64).decode(errors="replace")))
    sys.stdout.write(_ENTER)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _float(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0

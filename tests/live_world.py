"""A simulated exchange with a feed, and the comparison of a live state with it."""

import asyncio
import contextlib
import time
from datetime import UTC, datetime

from cryptography.hazmat.primitives import serialization

from fairline.kalshi import ApiKeyAuth, parse_private_key
from fairline.kalshi.feed import Feed
from fairline.market.live import LiveState, apply
from fairline.sim import Exchange, Key
from fairline.sim.catalog import WorldCatalog
from fairline.sim.world import World


class LiveWorld:
    """An exchange on a socket whose world can be stopped, and a member's key for it."""

    def __init__(self, pem, markets=300, moves=200, speed=10, seed=3, **options):
        self.world = World(markets, moves=moves, speed=speed, seed=seed)
        self.auth = ApiKeyAuth("live", parse_private_key(pem))
        public = serialization.load_pem_private_key(pem.encode(), None).public_key()
        self.exchange = Exchange(catalog=WorldCatalog(self.world), keys=[Key("live", public)], **options)

    def __enter__(self):
        self.exchange.__enter__()
        return self

    def __exit__(self, *error):
        self.exchange.__exit__(*error)

    @property
    def tickers(self):
        columns, first = self.world.columns, self.world.first
        listed = zip(columns.ticker, columns.status, strict=True)
        return [ticker for row, (ticker, status) in enumerate(listed) if status == 1 and row >= first]

    def set_speed(self, speed):
        """Let the world's time run faster, or stand still. Its time so far stays."""
        world = self.world
        world.now = datetime.fromtimestamp(world.now_us / 1e6, UTC)
        world._began = world._clock()
        world.speed = speed

    def quote(self, ticker):
        columns, row = self.world.columns, self.world.row[ticker]
        prices = (int(columns.bid[row]) * 100, int(columns.ask[row]) * 100)
        return *prices, int(columns.bid_size[row]), int(columns.ask_size[row])

    def wrong(self, state):
        """Return the open markets whose live quotes are missing or not the exchange's."""
        columns = self.world.columns
        wrong = []
        for ticker, row in state.rows.items():
            if columns.status[self.world.row[ticker]] != 1:
                continue
            if not state.current[row]:
                wrong.append((ticker, "no current data"))
            elif state.quote_of(ticker) != self.quote(ticker):
                wrong.append((ticker, state.quote_of(ticker), self.quote(ticker)))
        return wrong

    def wrong_books(self, state):
        """Return the followed open markets whose book is not valid or not the exchange's, level by level."""
        wrong = []
        for ticker, book in state.books.items():
            row = self.world.row[ticker]
            if self.world.columns.status[row] != 1:
                continue
            yes, no = self.exchange.backend.catalog.book(row)
            expected = [{price * 100: size for price, size in side} for side in (yes, no)]
            if not book.valid or [book.yes, book.no] != expected:
                wrong.append(ticker)
        return wrong


class Follower:
    """A feed that is applied to a live state, as a watch does."""

    def __init__(self, live, books=100, **options):
        self.live = live
        tickers = live.tickers
        self.state = LiveState(tickers)
        self.state.follow(tickers[:books])
        self.feed = Feed(live.exchange.websocket_url, live.auth, **options)
        self.feed.follow_tickers(tickers)
        self.feed.follow_books(tickers[:books])

    async def __aenter__(self):
        self.task = asyncio.create_task(self.feed.run())
        return self

    async def __aexit__(self, *error):
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    def pump(self):
        for message in self.feed.take():
            apply(self.state, message)

    async def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await asyncio.sleep(0.02)
            self.pump()

    async def heal(self, within_s):
        """Return the seconds until everything is right, at most `within_s`."""
        began = time.monotonic()
        while time.monotonic() - began < within_s:
            await asyncio.sleep(0.02)
            self.pump()
            if not self.live.wrong(self.state) and not self.live.wrong_books(self.state):
                return time.monotonic() - began
        return within_s

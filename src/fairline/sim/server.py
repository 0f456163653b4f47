"""A simulated exchange on a real socket, in its own thread.

with Exchange(markets=2_000) as exchange:
    requests.get(exchange.url + "/markets?limit=1000")
"""

import asyncio
import os
import ssl
import tempfile
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fairline.sim import article
from fairline.sim.app import WEBSOCKET, make_app
from fairline.sim.auth import Key, KeyBook
from fairline.sim.catalog import Catalog, WorldCatalog
from fairline.sim.errors import SimError
from fairline.sim.faults import Fault, Faults
from fairline.sim.feed import Hub
from fairline.sim.feed_hub import FeedHub
from fairline.sim.feed_replay import ReplayHub, read_frames
from fairline.sim.limits import Limits
from fairline.sim.replay import ReplayCatalog
from fairline.sim.reply import PREFIX, Backend
from fairline.sim.world import World


class Exchange:
    """Serves a seeded world, or with `replay` a recording, for as long as the context lasts.

    Binds to loopback by default; port 0 takes a free port. `at` sets the clock of a replay. `tier` applies rate limits
    to every request; without it only keys that have a tier are limited. Raises `SimError` if the world would not fit
    into memory, the recording cannot be read, or the port is taken.
    """

    def __init__(
        self,
        *,
        markets: int = 2_000,
        combos: int = 0,
        arrivals: int = 0,
        speed: float = 1.0,
        moves: float = 0.0,
        seed: int = 0,
        replay: Path | None = None,
        replay_feed: Path | None = None,
        feed_speed: float = 1.0,
        feed_market_limit: int | None = None,
        at: datetime | None = None,
        catalog: Catalog | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        tier: str | None = None,
        latency_ms: float = 0,
        faults: Iterable[Fault] = (),
        keys: Iterable[Key] = (),
    ) -> None:
        if at is not None and replay is None:
            raise SimError("only a replay can have a clock of its own; pass a recording as well")
        if replay is not None:
            catalog = ReplayCatalog(replay, at=at)
        elif catalog is None:
            _check_memory(markets + arrivals, combos)
            world = World(markets, combos=combos, arrivals=arrivals, speed=speed, moves=moves, seed=seed)
            catalog = WorldCatalog(world)
        self.backend = Backend(catalog, KeyBook(), Faults(*faults, seed=seed), Limits(tier), latency_ms / 1000)
        self.hub: Hub = (
            FeedHub(self.backend, feed_market_limit)
            if replay_feed is None
            else ReplayHub(read_frames(replay_feed), self.backend.faults, feed_speed)
        )
        self.backend.keys.replay_offset_s = catalog.offset_s
        for key in keys:
            self.backend.keys.register(key)
        self._host = host
        self._port = port
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread
        self._runner: web.AppRunner

    def render_all(self) -> None:
        """Render all markets now, so that the first reader is served as fast as the last."""
        if isinstance(self.backend.catalog, WorldCatalog):
            self.backend.catalog.render_all()

    @property
    def world(self) -> World:
        """The generated world. Raises `SimError` for a replay, which has none."""
        if not isinstance(self.backend.catalog, WorldCatalog):
            raise SimError("a replay has no generated world")
        return self.backend.catalog.world

    @property
    def root(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self.faults.in_force('tls') else 'http'}://{self._host}:{self._port}"

    @property
    def url(self) -> str:
        """Base URL of today's API."""
        return self.root + PREFIX

    @property
    def websocket_url(self) -> str:
        """URL of the feed."""
        return self.root.replace("http", "ws", 1) + WEBSOCKET

    @property
    def article_url(self) -> str:
        """Base URL of the article's API."""
        return self.root + "/v1"

    @property
    def faults(self) -> Faults:
        """The faults in force, which can be changed while the exchange runs."""
        return self.backend.faults

    def register(self, key: Key) -> None:
        """Add an API key."""
        self.backend.keys.register(key)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fairline-sim", daemon=True)
        self._thread.start()
        try:
            self._runner = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        except OSError as error:
            self._stop()
            raise SimError(
                f"cannot listen on {self._host}:{self._port} ({error.strerror}); choose another port"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._finish(), self._loop).result()
        self._stop()

    async def _finish(self) -> None:
        """Stop the server and cancel answers that are still in progress, such as stalled ones."""
        await self._runner.cleanup()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> web.AppRunner:
        runner = web.AppRunner(
            make_app(self.backend, article.ROUTES, self.hub),
            access_log=None,
            shutdown_timeout=0.1,
            max_line_size=1 << 16,
        )
        await runner.setup()
        tls = _self_signed_context(self._host) if self.faults.in_force("tls") else None
        try:
            await web.TCPSite(runner, self._host, self._port, ssl_context=tls).start()
        except OSError:
            await runner.cleanup()
            raise
        self._port = runner.addresses[0][1]
        return runner


def _check_memory(markets: int, combos: int) -> None:
    """Raise `SimError` for a world that is larger than memory, before building it."""
    needed = 8_000 * markets + 1_500 * combos
    try:
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return
    if needed > available:
        raise SimError(
            f"a world of {markets + combos:,} markets needs about {needed / 1e9:,.0f} GB of memory, but this machine "
            f"has {available / 1e9:,.0f} GB; ask for fewer markets and combos"
        )


def _self_signed_context(host: str) -> ssl.SSLContext:
    """Return a server-side TLS context with a new certificate, which no client trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "server.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.touch(mode=0o600)
        path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(path)
    return context

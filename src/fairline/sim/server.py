"""A simulated exchange on a real socket, in a thread of its own.

with Exchange(markets=2_000) as exchange:
    requests.get(exchange.url + "/markets?limit=1000")
"""

import asyncio
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from aiohttp import web

from fairline.sim import article
from fairline.sim.app import PREFIX, Backend, make_app
from fairline.sim.auth import Key, KeyBook
from fairline.sim.catalog import Catalog, WorldCatalog
from fairline.sim.errors import SimError
from fairline.sim.faults import Fault, Faults
from fairline.sim.limits import Limits
from fairline.sim.replay import ReplayCatalog
from fairline.sim.world import World


class Exchange:
    """Serves a seeded world, or with `replay` a recording, until left. Binds to loopback; port 0 takes a free one."""

    def __init__(
        self,
        *,
        markets: int = 2_000,
        seed: int = 0,
        replay: Path | None = None,
        catalog: Catalog | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        tier: str | None = None,
        latency_ms: float = 0,
        faults: Iterable[Fault] = (),
        keys: Iterable[Key] = (),
    ) -> None:
        if catalog is None:
            catalog = ReplayCatalog(replay) if replay is not None else WorldCatalog(World(markets, seed=seed))
        self.backend = Backend(catalog, KeyBook(), Faults(*faults, seed=seed), Limits(tier), latency_ms / 1000)
        for key in keys:
            self.backend.keys.register(key)
        self._host, self._port = host, port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._failure: OSError | None = None

    @property
    def world(self) -> World:
        """The generated world. Raises `SimError` for a replay, which has none."""
        if not isinstance(self.backend.catalog, WorldCatalog):
            raise SimError("a replay has no world behind it")
        return self.backend.catalog.world

    @property
    def root(self) -> str:
        return f"http://{self._host}:{self._port}"

    @property
    def url(self) -> str:
        """Base URL of today's API."""
        return self.root + PREFIX

    @property
    def article_url(self) -> str:
        """Base URL of the article's API."""
        return self.root + "/v1"

    @property
    def faults(self) -> Faults:
        return self.backend.faults

    def register(self, key: Key) -> None:
        self.backend.keys.register(key)

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="fairline-sim", daemon=True)
        self._thread.start()
        ready.wait()
        if self._failure is not None:
            raise SimError(
                f"cannot listen on {self._host}:{self._port} ({self._failure.strerror}); choose another with --port"
            ) from self._failure
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _run(self, ready: threading.Event) -> None:
        loop = self._loop = asyncio.new_event_loop()
        runner = web.AppRunner(
            make_app(self.backend, article.ROUTES), access_log=None, shutdown_timeout=0.1, max_line_size=1 << 16
        )
        try:
            loop.run_until_complete(runner.setup())
            site = web.TCPSite(runner, self._host, self._port)
            loop.run_until_complete(site.start())
            self._port = runner.addresses[0][1]
        except OSError as error:
            self._failure = error
            ready.set()
        else:
            ready.set()
            loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

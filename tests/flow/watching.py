"""Run `fairline watch` as a process, with an HTTP receiver that records its messages."""

import contextlib
import http.server
import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

from fairline.store.store import Store

MODEL = """
import polars as pl

class Above:
    name, version = "above", "1"
    def covers(self, markets): return pl.col("p_mid").is_not_null()
    def requests(self, markets, asof): return []
    def predict(self, markets, payloads, asof):
        p = (pl.col("p_mid") + 0.06).clip(0.01, 0.99)
        return markets.select("ticker", p=p, p_sd=pl.lit(0.01), model=pl.lit("above"), asof=pl.lit(asof))
"""


class Hook:
    """An HTTP receiver that accepts a message with probability `up`."""

    def __init__(self, up=1.0, seed=0):
        self.accepted, self.rejected, self.up, self.pings = [], [], up, 0
        chance = random.Random(seed)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(handler):  # noqa: N805  `self` is the hook
                body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
                good = chance.random() < self.up
                (self.accepted if good else self.rejected).append((body["title"], body["message"]))
                with contextlib.suppress(OSError):
                    handler.send_response(200 if good else 503)
                    handler.end_headers()

            def do_GET(handler):  # noqa: N805  `self` is the hook
                self.pings += 1
                handler.send_response(200)
                handler.end_headers()

            def log_message(handler, *_):  # noqa: N805  `self` is the hook
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.ping = f"http://127.0.0.1:{self.server.server_port}/ping"
        self.url = f"json://127.0.0.1:{self.server.server_port}/hook"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    @property
    def titles(self):
        return [title for title, _ in self.accepted]


class Watched:
    """A `fairline watch` process in a folder of its own."""

    def __init__(self, folder: Path, exchange, toml="", **flags):
        self.folder, self.store = folder, folder / "store"
        (folder / "model.py").write_text(MODEL)
        (folder / "fairline.toml").write_text(toml)
        (folder / "fairline.toml").chmod(0o600)
        flags = {"exchange": exchange.url, "model": "model.py:Above", "store": self.store, "every": "1s", "port": 0,
                 "settle-every": "2s"} | flags  # fmt: skip
        self.command = [sys.executable, "-m", "fairline", "watch"]
        self.command += [part for name, value in flags.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        self.log = folder / "watch.log"

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, cwd=self.folder, stderr=log, stdout=log)
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def output(self):
        return self.log.read_text()

    def until(self, text, seconds=60, times=1):
        """Wait until the log contains `text` at least `times` times."""
        deadline = time.monotonic() + seconds
        while self.output().count(text) < times:
            assert self.process.poll() is None, self.output()[-3000:]
            assert time.monotonic() < deadline, f"no {text!r} in the log:\n{self.output()[-3000:]}"
            time.sleep(0.05)

    def stop(self, number=signal.SIGTERM):
        """Stop the process, and return the seconds it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(timeout=30)
        assert code == 0, self.output()[-3000:]
        return time.monotonic() - began

    def read(self, dataset):
        store = Store(self.store)
        rows = store.read(dataset)
        assert store.warnings == []
        return rows

    def memory_mb(self):
        """Return the resident memory; None where the system does not report it."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.exists():
            return None
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024


def check_readable(store: Path):
    """Check that every file of every dataset can be read."""
    checked = Store(store)
    for dataset in ("quotes", "facts", "predictions", "edges", "settlements", "scans"):
        checked.read(dataset)
    assert checked.warnings == []
    return checked


STOP_S = 8.0
"""Seconds to stop. Two are promised, which `benchmarks/watch.py` measures; here other tests run at the same time."""
HOOKED = '[receivers]\nhook = "{}"\n[alerts.all]\ncooldown = "1h"\n'


def wait_for(condition, seconds=40):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def rows(store, query):
    database = sqlite3.connect(store / "state.sqlite", timeout=10)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def undelivered_ids(store):
    return rows(store, "SELECT id FROM outbox WHERE delivered_ts IS NULL")


def delivered_messages(store):
    return rows(store, "SELECT receiver, title, body FROM outbox WHERE delivered_ts IS NOT NULL")

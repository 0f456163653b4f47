"""How a watch is doing, for machines: `/healthz` and `/metrics` on loopback.

Served from a thread of its own, so that it answers even when the loop does not: that is when somebody wants to know.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from fairline.errors import ConfigError
from fairline.extras import need
from fairline.watch.loop import Watch

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

Start = Callable[[str, list[tuple[str, str]]], Any]


class Monitor:
    """A context in which the two addresses are served. Raises `ConfigError` if the port cannot be had."""

    def __init__(self, watch: Watch, now: Callable[[], datetime], host: str = "127.0.0.1", port: int = 9_464) -> None:
        self._watch, self._now = watch, now
        try:
            self._server = make_server(host, port, self._answer, _Server, _Quiet)
        except OSError as error:
            raise ConfigError(
                f"nothing can be served at {host}:{port} ({error.strerror})", remedy="Give another --port, or --port 0"
            ) from None
        self.url = f"http://{host}:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="monitor", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/healthz":
            document = self.health()
            return _send(start, "200 OK" if document["sees"] else "503 Service Unavailable", "application/json",
                         json.dumps(document).encode())  # fmt: skip
        if path == "/metrics":
            try:
                library = need("prometheus_client", "watch")
            except ConfigError as error:
                return _send(start, "501 Not Implemented", "text/plain", f"{error}\n".encode())
            registry = library.CollectorRegistry()
            registry.register(self)
            text = library.generate_latest(registry)
            return _send(start, "200 OK", "text/plain; version=0.0.4; charset=utf-8", text)
        return _send(start, "404 Not Found", "text/plain", b"There is /healthz and /metrics.\n")

    def health(self) -> dict[str, Any]:
        """What `/healthz` says: 200 as long as a complete scan is recent enough."""
        health, now, duty = self._watch.health, self._now(), self._watch.duty
        complete = health.complete_ts
        return {
            "sees": health.sees(now, duty.dead_man),
            "alarms": health.alarms(now, duty.dead_man),
            "complete_scan_age_s": None if complete is None else round((now - complete).total_seconds(), 1),
            "scans": dict(health.scans),
            "markets": health.markets,
            "opportunities": health.kept,
            "started_ts": health.started_ts.isoformat(),
        }

    def collect(self) -> Iterator["Metric"]:
        """The metrics, read off at the moment they are asked for."""
        core = need("prometheus_client.metrics_core", "watch")
        health, transport, now = self._watch.health, self._watch.kalshi.transport, self._now()
        post = self._watch.post
        counted: list[tuple[str, str, str, Any]] = [
            ("scans", "Scans by outcome", "outcome", health.scans),
            ("scan_seconds", "Seconds spent by stage", "stage", health.seconds),
            ("requests", "Answers of the exchange by status", "status", transport.traffic.statuses),
            ("quarantined", "Rows that could not be read, by reason", "reason", health.quarantined),
            ("edges", "Changes among the opportunities", "change", health.changes),
            ("alerts", "Messages by what became of them", "result",
             {"delivered": post.delivered, "refused": post.refused}),
        ]  # fmt: skip
        for name, words, label, values in counted:
            family = core.CounterMetricFamily(f"fairline_{name}", words, labels=[label])
            for key, value in dict(values).items():
                family.add_metric([str(key)], value)
            yield family
        for name, words, value in (
            ("retries", "Requests that were repeated", transport.traffic.retries),
            ("received_bytes", "Bytes received, compressed", transport.traffic.bytes),
            ("tokens_waited_seconds", "Seconds waited for the rate limit", transport.bucket.waited_s),
            ("beats_skipped", "Scans left out because the one before took too long", health.skipped),
            ("settlements", "Settlements collected", health.settlements),
        ):
            yield core.CounterMetricFamily(f"fairline_{name}", words, value)
        since = health.complete_ts or health.started_ts
        for name, words, value in (
            ("markets", "Markets of the last scan", health.markets),
            ("opportunities", "Opportunities of the last scan", health.kept),
            ("complete_scan_age_seconds", "Since the last complete scan", (now - since).total_seconds()),
            ("alarms", "Alarms that are on", len(health.alarms(now, self._watch.duty.dead_man))),
        ):
            yield core.GaugeMetricFamily(f"fairline_{name}", words, value)


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each who asks, so that one who says nothing keeps nobody waiting."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        """Not a line for every look."""


def _send(start: Start, status: str, kind: str, body: bytes) -> list[bytes]:
    start(status, [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")])
    return [body]

"""Serve the state of a watch to other programs: `/healthz` and `/metrics` on loopback.

It runs in a thread of its own, so that it answers even when the event loop does not.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
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

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class Monitor:
    """A context in which the two addresses are served. Raises `ConfigError` if the port is not available."""

    def __init__(self, watch: Watch, now: Callable[[], datetime], host: str = "127.0.0.1", port: int = 9_464) -> None:
        self._watch, self._now = watch, now
        try:
            self._server = make_server(host, port, self._respond, _Server, _QuietHandler)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {host}:{port} ({error.strerror})",
                remedy="Choose another --port, or --port 0 for a free one",
            ) from error
        self.url = f"http://{host}:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="monitor", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _respond(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/healthz":
            document = self.health()
            status = "200 OK" if document["healthy"] else "503 Service Unavailable"
            return _send(start, status, "application/json", json.dumps(document).encode())
        if path == "/metrics":
            return self._respond_with_metrics(start)
        return _send(start, "404 Not Found", "text/plain", b"Not found. Available: /healthz and /metrics.\n")

    def _respond_with_metrics(self, start: StartResponse) -> Iterable[bytes]:
        try:
            library = need("prometheus_client", "watch")
        except ConfigError as error:
            return _send(start, "501 Not Implemented", "text/plain", f"{error}\n".encode())
        registry = library.CollectorRegistry()
        registry.register(self)
        text = library.generate_latest(registry)
        return _send(start, "200 OK", "text/plain; version=0.0.4; charset=utf-8", text)

    def health(self) -> dict[str, Any]:
        """Return the document of `/healthz`. Its status is 200 as long as a complete scan is recent enough."""
        health = self._watch.health
        now = self._now()
        dead_man = self._watch.config.dead_man
        complete = health.complete_ts
        return {
            "healthy": health.is_current(now, dead_man),
            "alarms": health.alarms(now, dead_man),
            "complete_scan_age_s": None if complete is None else round((now - complete).total_seconds(), 1),
            "scans": dict(health.scans),
            "markets": health.markets,
            "opportunities": health.opportunities,
            "started_ts": health.started_ts.isoformat(),
        }

    def collect(self) -> Iterator["Metric"]:
        """Yield the metrics as of now, as the Prometheus client wants them."""
        core = need("prometheus_client.metrics_core", "watch")
        for name, text, label, values in self._labelled_counters():
            family = core.CounterMetricFamily(f"fairline_{name}", text, labels=[label])
            for key, value in values.items():
                family.add_metric([str(key)], value)
            yield family
        for name, text, value in self._counters():
            yield core.CounterMetricFamily(f"fairline_{name}", text, value)
        for name, text, value in self._gauges():
            yield core.GaugeMetricFamily(f"fairline_{name}", text, value)

    def _labelled_counters(self) -> list[tuple[str, str, str, Mapping[Any, float]]]:
        health, outbox, traffic = self._watch.health, self._watch.outbox, self._watch.kalshi.transport.traffic
        messages = {"delivered": outbox.delivered, "rejected": outbox.rejected}
        return [
            ("scans", "Scans by outcome", "outcome", health.scans),
            ("scan_seconds", "Seconds spent by stage", "stage", health.seconds),
            ("requests", "Responses of the exchange by status", "status", traffic.statuses),
            ("quarantined", "Unreadable rows by reason", "reason", health.quarantined),
            ("edges", "Changes among the opportunities", "change", health.changes),
            ("alerts", "Attempts to deliver a message by result", "result", messages),
        ]

    def _counters(self) -> list[tuple[str, str, float]]:
        health, transport = self._watch.health, self._watch.kalshi.transport
        return [
            ("retries", "Repeated requests", transport.traffic.retries),
            ("received_bytes", "Compressed bytes received", transport.traffic.bytes),
            ("tokens_waited_seconds", "Seconds waited for the rate limit", transport.bucket.waited_s),
            ("ticks_skipped", "Scans left out because the one before took too long", health.skipped),
            ("settlements", "Settlements collected", health.settlements),
            ("trades", "Trades collected", health.trades),
        ]

    def _gauges(self) -> list[tuple[str, str, float]]:
        health, now = self._watch.health, self._now()
        since = health.complete_ts or health.started_ts
        alarms = health.alarms(now, self._watch.config.dead_man)
        return [
            ("markets", "Markets of the last scan", health.markets),
            ("opportunities", "Opportunities of the last scan", health.opportunities),
            ("complete_scan_age_seconds", "Seconds since the last complete scan", (now - since).total_seconds()),
            ("alarms", "Active alarms", len(alarms)),
            *self._feed_gauges(),
        ]

    def _feed_gauges(self) -> list[tuple[str, str, float]]:
        live = self._watch.live
        if live is None:
            return []
        session, feed = live.session, live.session.feed
        lag_s = feed.lag.percentile(0.99)
        gauges = [
            ("feed_connected", "Whether the live feed is open", float(live.active and feed.connected)),
            ("markets_without_data", "Markets without current data in the live feed", float(len(session.stale))),
        ]
        return gauges if lag_s is None else [*gauges, ("feed_lag_seconds", "99th percentile of the feed's lag", lag_s)]


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each client, so that an idle one blocks no other."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that time out or disconnect are no errors of the watch."""


class _QuietHandler(WSGIRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        """Log no line per request."""


def _send(start: StartResponse, status: str, kind: str, body: bytes) -> list[bytes]:
    start(status, [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")])
    return [body]

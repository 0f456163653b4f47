"""The server of `/healthz` and `/metrics`: idle and broken clients write no tracebacks."""

import socket
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from fairline.market.completeness import Drift
from fairline.watch import monitor
from fairline.watch.health import Health

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(monitor._QuietHandler, "timeout", 0.1)
    health = Health(NOW)
    watch = SimpleNamespace(health=health, config=SimpleNamespace(dead_man=timedelta(minutes=10)))
    with monitor.Monitor(watch, lambda: NOW, port=0) as serving:
        yield serving, health


def connect(url):
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=5)


@pytest.mark.parametrize(
    "sent", [b"", b"GET /healthz HT", b"\x16\x03\x01\x02\x00nonsense\r\n\r\n", b"GET /healthz HTTP/1.1\r\n"]
)
def test_idle_and_broken_clients_write_nothing(server, capfd, sent):
    serving, _ = server
    clients = [connect(serving.url) for _ in range(20)]
    for client in clients:
        client.sendall(sent)
    time.sleep(0.5)
    for client in clients:
        client.close()
    with urllib.request.urlopen(f"{serving.url}/healthz", timeout=5) as answer:
        assert answer.status == 200
    captured = capfd.readouterr()
    assert "Traceback" not in captured.out + captured.err
    assert captured.err == ""


def test_drifted_data_is_not_healthy(server):
    serving, health = server
    health.record_scan(NOW, complete=True, reason="")
    assert serving.health()["healthy"]
    health.record_drift([Drift("markets", "1,000 of 1,000 markets could not be read")])
    assert not serving.health()["healthy"]
    assert serving.health()["alarms"] == {"data markets": "1,000 of 1,000 markets could not be read"}
    health.record_drift([])
    assert serving.health()["healthy"]

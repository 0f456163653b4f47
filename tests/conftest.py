"""Fixtures: a clean environment for every test, loopback only, and the recorded data beside the project."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import settings

from fairline.kalshi import PrivateKey, Rate, TokenBucket, parse_private_key
from fairline.sim import Exchange

# A busy machine must not fail a property test: only the outcome counts, not the time of one example.
settings.register_profile("fairline", deadline=None)
settings.load_profile("fairline")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("KALSHI_", "FAIRLINE_")) or name in ("COLUMNS", "LINES"):
            monkeypatch.delenv(name)
    for kind in ("config", "cache", "data", "state"):
        monkeypatch.setenv(f"XDG_{kind.upper()}_HOME", str(tmp_path / kind))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def guard(self: socket.socket, address: object) -> None:
        if self.family != socket.AF_UNIX and str(address[0]) not in ("127.0.0.1", "::1"):
            pytest.fail(f"the test connected to {address}, which is not loopback")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guard)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The recorded data. If it is missing, the test is skipped, or fails in CI."""
    if not SHARED.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{SHARED} is missing")
        pytest.skip(f"needs the recorded data at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def rsa_pem() -> str:
    return _pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))


@pytest.fixture(scope="session")
def ed25519_pem() -> str:
    return _pem(Ed25519PrivateKey.generate())


@pytest.fixture(scope="session")
def rsa_key(rsa_pem: str) -> PrivateKey:
    return parse_private_key(rsa_pem)


@pytest.fixture(scope="session")
def ed25519_key(ed25519_pem: str) -> PrivateKey:
    return parse_private_key(ed25519_pem)


@pytest.fixture(scope="session")
def _exchange() -> Iterator[Exchange]:
    with Exchange(markets=1_500, seed=3) as exchange:
        yield exchange


@pytest.fixture
def exchange(_exchange: Exchange) -> Iterator[Exchange]:
    """A running exchange of 1,500 open markets without faults; tests must not change its world."""
    yield _exchange
    _exchange.faults.set()


@pytest.fixture(scope="module")
def world() -> Iterator[Exchange]:
    """A small exchange with moving quotes; tests that set faults must remove them."""
    with Exchange(markets=400, seed=4, moves=120) as exchange:
        yield exchange


@pytest.fixture
def unhurried() -> TokenBucket:
    """A token bucket that never makes a test wait."""
    return TokenBucket(Rate(refill=1e9, capacity=1e9))


def _pem(key: object) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()

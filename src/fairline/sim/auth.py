"""Authentication of the simulated exchange, and every way in which it refuses a request.

The bodies of refusals follow recordings of 2026. The accepted clock difference is undocumented; half a minute either
way lies between the measured values (10 s accepted, 60 s refused).
"""

import base64
import binascii
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from fairline.sim.errors import SimError

WINDOW_S = 30.0


@dataclass(frozen=True, slots=True)
class Key:
    """A registered API key.

    `tier` limits the key's requests; None leaves them unlimited unless the exchange itself has a tier. `subaccount` is
    the only one that the key may read, None for all. With a `trader_seed` the member trades by a script of that seed.
    """

    key_id: str
    public: RSAPublicKey | Ed25519PublicKey = field(repr=False)
    member_id: str = "member-1"
    tier: str | None = None
    scopes: tuple[str, ...] = ("read",)
    subaccount: int | None = None
    revoked: bool = False
    balance_cents: int = 1_000_000
    trader_seed: int | None = None

    def may(self, scope: str) -> bool:
        """Return whether the key has a scope or its parent (`read` grants `read::portfolio_balance`)."""
        return scope in self.scopes or scope.partition("::")[0] in self.scopes


class Refused(Exception):
    """A 401 with the body that the exchange sends."""

    def __init__(self, code: str, message: str = "", details: str = "") -> None:
        super().__init__(code)
        error = {"code": code, "message": message or code}
        if details:
            error["details"] = details
        self.body = {"error": error}


class Forbidden(Exception):
    """A 403. None was ever recorded, so its body is a guess modelled on the other errors."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.body = {"error": {"code": "forbidden", "message": message}}


class KeyBook:
    """The registered keys, and the checks of requests against them.

    `offset_s` is how far the clock is put ahead by a fault, `replay_offset_s` by a replay of the past.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.keys: dict[str, Key] = {}
        self.offset_s = 0.0
        self.replay_offset_s = 0.0
        self._clock = clock

    def now(self) -> float:
        """Return the exchange's time in Unix seconds, shifted by a fault if one is in force."""
        return self._clock() + self.offset_s

    def register(self, key: Key) -> None:
        """Add a key, replacing one with the same id."""
        self.keys[key.key_id] = key

    def check_signature(self, method: str, path: str, headers: Mapping[str, str]) -> Key:
        """Return the key that signed a request with `KALSHI-ACCESS-*` headers. Raises `Refused`."""
        key_id = headers.get("KALSHI-ACCESS-KEY")
        stamp = headers.get("KALSHI-ACCESS-TIMESTAMP", "")
        signature = headers.get("KALSHI-ACCESS-SIGNATURE")
        if key_id is None:
            raise Refused("token_authentication_failure", "token authentication failure")
        if not signature:
            raise Refused("signature_is_missing_from_headers", "signature is missing from headers")
        if not stamp.isdecimal() or not self._in_window(int(stamp) / 1000):
            raise Refused("header_timestamp_expired", "header timestamp expired")
        key = self.keys.get(key_id)
        if key is None or key.revoked:
            raise Refused("authentication_error", details="NOT_FOUND")
        try:
            _verify(key.public, base64.b64decode(signature, validate=True), f"{stamp}{method}{path}".encode())
        except (InvalidSignature, binascii.Error, ValueError) as error:
            raise Refused("authentication_error", details="INCORRECT_API_KEY_SIGNATURE") from error
        return key

    def _in_window(self, stamp_s: float) -> bool:
        """Return whether a request's time is acceptable; a replay also accepts the time that its clock shows."""
        clocks = (self.now(), self.now() + self.replay_offset_s)
        return any(abs(now - stamp_s) <= WINDOW_S for now in clocks)

    def check_token(self, authorization: str) -> Key:
        """Return the key that signed a PS256 token, which is the article's scheme. Raises `Refused`."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _bad_token()
        try:
            key, claims = self._verified_claims(token)
            expired = float(claims["exp"]) <= self.now()
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            raise _bad_token() from error
        if expired or key.revoked or claims.get("member_id") != key.member_id:
            raise _bad_token()
        return key

    def _verified_claims(self, token: str) -> tuple[Key, dict[str, Any]]:
        header = jwt.get_unverified_header(token)
        unverified = jwt.decode(token, options={"verify_signature": False})
        key = self.keys.get(str(unverified.get("kid") or header.get("kid")))
        if key is None or not isinstance(key.public, RSAPublicKey):
            raise _bad_token()
        # The caller checks the expiry, because it depends on the exchange's own clock.
        options: Any = {"require": ["exp", "iat", "jti"], "verify_exp": False, "verify_iat": False}
        return key, jwt.decode(token, key.public, algorithms=["PS256"], options=options)


def _bad_token() -> Refused:
    return Refused("token_authentication_failure", "token authentication failure")


def _verify(public: RSAPublicKey | Ed25519PublicKey, signature: bytes, message: bytes) -> None:
    if isinstance(public, Ed25519PublicKey):
        public.verify(signature, message)
        return
    # Stated here rather than imported from the client: MGF1 over SHA-256 and a salt of exactly 32 bytes.
    scheme = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
    public.verify(signature, message, scheme, hashes.SHA256())


def read_public_key(path: Path) -> RSAPublicKey | Ed25519PublicKey:
    """Read a public key file, or the public half of a private key file. Raises `SimError`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SimError(f"the public key {path} cannot be read ({error.strerror}); pass a PEM file") from error
    try:
        if b"PRIVATE KEY" in content:
            public = serialization.load_pem_private_key(content, None).public_key()
        else:
            public = serialization.load_pem_public_key(content)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SimError(f"{path} is not a public key; create one with: openssl pkey -in key.pem -pubout") from error
    if not isinstance(public, RSAPublicKey | Ed25519PublicKey):
        raise SimError(f"{path} is neither an RSA nor an Ed25519 key; the exchange accepts only these")
    return public


def throw_away_pair(path: Path) -> RSAPublicKey:
    """Create an RSA key, write the private half to `path` with mode 0600, and return the public half."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.touch(mode=0o600)
    path.write_bytes(pem)
    return private.public_key()

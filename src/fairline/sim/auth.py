"""How the simulated exchange recognises its users, and each way in which it refuses them.

Bodies of refusals follow what was recorded on the wire in 2026. The accepted clock difference is undocumented; half a
minute either way lies within what was measured (10 s accepted, 60 s refused).
"""

import base64
import binascii
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

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
    """A registered API key."""

    key_id: str
    public: RSAPublicKey | Ed25519PublicKey = field(repr=False)
    member_id: str = "member-1"
    tier: str = "basic"
    scopes: tuple[str, ...] = ("read",)
    subaccount: int | None = None
    revoked: bool = False
    balance_cents: int = 1_000_000

    def may(self, scope: str) -> bool:
        """Whether the key has a scope itself or by its parent (`read` grants `read::portfolio_balance`)."""
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
    """A 403. No body of one was ever recorded, so this one is a guess in the shape of the others."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.body = {"error": {"code": "forbidden", "message": message}}


class KeyBook:
    """Registered keys, and the check of a request against them."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.keys: dict[str, Key] = {}
        self.offset_s = 0.0
        self._clock = clock

    def now(self) -> float:
        """The exchange's time; a fault can put it ahead of or behind everybody else's."""
        return self._clock() + self.offset_s

    def register(self, key: Key) -> None:
        self.keys[key.key_id] = key

    def check_signature(self, method: str, path: str, headers: Mapping[str, str]) -> Key:
        """The key that signed this request by `KALSHI-ACCESS-*` headers. Raises `Refused`."""
        key_id, stamp = headers.get("KALSHI-ACCESS-KEY"), headers.get("KALSHI-ACCESS-TIMESTAMP", "")
        signature = headers.get("KALSHI-ACCESS-SIGNATURE")
        if key_id is None:
            raise Refused("token_authentication_failure", "token authentication failure")
        if not signature:
            raise Refused("signature_is_missing_from_headers", "signature is missing from headers")
        if not stamp.isdecimal() or abs(self.now() - int(stamp) / 1000) > WINDOW_S:
            raise Refused("header_timestamp_expired", "header timestamp expired")
        key = self.keys.get(key_id)
        if key is None or key.revoked:
            raise Refused("authentication_error", details="NOT_FOUND")
        try:
            _verify(key.public, base64.b64decode(signature, validate=True), f"{stamp}{method}{path}".encode())
        except (InvalidSignature, binascii.Error, ValueError):
            raise Refused("authentication_error", details="INCORRECT_API_KEY_SIGNATURE") from None
        return key

    def check_token(self, authorization: str) -> Key:
        """The key whose PS256 token this is: the article's scheme. Raises `Refused`."""
        scheme, _, token = authorization.partition(" ")
        refused = Refused("token_authentication_failure", "token authentication failure")
        if scheme.lower() != "bearer" or not token:
            raise refused
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(token, options={"verify_signature": False})
            key = self.keys.get(str(claims.get("kid") or header.get("kid")))
            if key is None or not isinstance(key.public, RSAPublicKey):
                raise refused
            # Whether it has expired is judged below, by the exchange's own clock.
            jwt.decode(
                token,
                key.public,
                algorithms=["PS256"],
                options={"require": ["exp", "iat", "jti"], "verify_exp": False, "verify_iat": False},
            )
            if float(claims["exp"]) <= self.now() or key.revoked:
                raise refused
        except (jwt.PyJWTError, TypeError, ValueError):
            raise refused from None
        if claims.get("member_id") != key.member_id:
            raise refused
        return key


def _verify(public: RSAPublicKey | Ed25519PublicKey, signature: bytes, message: bytes) -> None:
    if isinstance(public, Ed25519PublicKey):
        public.verify(signature, message)
        return
    # Written out rather than shared with any client: MGF1 over SHA-256 and a salt of exactly 32 bytes.
    scheme = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
    public.verify(signature, message, scheme, hashes.SHA256())


def read_public_key(path: Path) -> RSAPublicKey | Ed25519PublicKey:
    """A public key file; a private key file is taken for its public half. Raises `SimError`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SimError(f"the public key {path} cannot be read ({error.strerror}); name a PEM file") from None
    try:
        if b"PRIVATE KEY" in content:
            public = serialization.load_pem_private_key(content, None).public_key()
        else:
            public = serialization.load_pem_public_key(content)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SimError(f"{path} is not a public key; make one with: openssl pkey -in key.pem -pubout") from None
    if not isinstance(public, RSAPublicKey | Ed25519PublicKey):
        raise SimError(f"{path} is neither an RSA nor an Ed25519 key, which is what the exchange takes")
    return public


def throw_away_pair(path: Path) -> RSAPublicKey:
    """Make an RSA key, write the private half to `path` (readable by its owner only), return the public half."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.touch(mode=0o600)
    path.write_bytes(pem)
    return private.public_key()

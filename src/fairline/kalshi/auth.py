"""Authenticate requests: two schemes behind one protocol.

`ApiKeyAuth` is what the exchange accepts. `JwtAuth` is the scheme of an article of 2026, a token that the client signs
itself. No official document describes it, and the exchange does not accept it. It exists so that the article's set-up
runs against the simulator, and so that the doctor can recognise it.
"""

import base64
import time
import uuid
from collections.abc import Callable
from typing import Protocol

from fairline.kalshi.errors import PrivateKeyError
from fairline.kalshi.keys import PrivateKey

Clock = Callable[[], float]


class Auth(Protocol):
    """Signs one attempt of one request. `slow` means that signing should run in a thread."""

    @property
    def slow(self) -> bool: ...

    def renew(self, offset_s: float = 0.0) -> None:
        """Drop cached tokens, and from now on sign as if the local clock were `offset_s` later."""
        ...

    def headers(self, method: str, path: str) -> dict[str, str]:
        """Return headers for this attempt. `path` starts at the host's root; its query, if any, is not signed."""
        ...


class ApiKeyAuth:
    """The `KALSHI-ACCESS-*` headers, signed again for each attempt.

    The signed message is the UTF-8 of Unix milliseconds + METHOD + path without query, the path from the host's root
    including `/trade-api/v2` (the exchange's API documentation, "API keys").
    """

    def __init__(self, key_id: str, key: PrivateKey, clock: Clock = time.time) -> None:
        self.key_id = key_id
        self.key = key
        self._clock = clock
        self._offset_s = 0.0

    @property
    def slow(self) -> bool:
        return self.key.rsa is not None

    def renew(self, offset_s: float = 0.0) -> None:
        self._offset_s = offset_s

    def __repr__(self) -> str:
        return f"ApiKeyAuth(key_id={self.key_id!r}, key={self.key.kind})"

    def headers(self, method: str, path: str) -> dict[str, str]:
        timestamp = str(int((self._clock() + self._offset_s) * 1000))
        message = f"{timestamp}{method.upper()}{path.partition('?')[0]}"
        return {
            "KALSHI-ACCESS-KEY": self.key_id,
            "KALSHI-ACCESS-TIMESTAMP": timestamp,
            "KALSHI-ACCESS-SIGNATURE": base64.b64encode(self.key.sign(message.encode())).decode(),
        }


class JwtAuth:
    """The article's scheme: a PS256 token of ten minutes as `Authorization: Bearer`. The exchange refuses it."""

    LIFETIME_S = 600
    RENEW_BEFORE_S = 30

    def __init__(self, member_id: str, key_id: str, key: PrivateKey, clock: Clock = time.time) -> None:
        if key.rsa is None:
            raise PrivateKeyError(
                f"a PS256 token needs an RSA key, not {key.kind}", remedy="Use an RSA key, or API-key auth"
            )
        self.member_id = member_id
        self.key_id = key_id
        self._rsa = key.rsa
        self._clock = clock
        self._token = ""
        self._expires = 0.0
        self._offset_s = 0.0

    @property
    def slow(self) -> bool:
        return False  # one signature in ten minutes

    def renew(self, offset_s: float = 0.0) -> None:
        self._token = ""
        self._expires = 0.0
        self._offset_s = offset_s

    def __repr__(self) -> str:
        return f"JwtAuth(member_id={self.member_id!r}, key_id={self.key_id!r})"

    def headers(self, method: str, path: str) -> dict[str, str]:
        now = self._clock() + self._offset_s
        if now >= self._expires - self.RENEW_BEFORE_S:
            self._token, self._expires = self._sign(int(now))
        return {"Authorization": f"Bearer {self._token}"}

    def _sign(self, now: int) -> tuple[str, float]:
        expires = now + self.LIFETIME_S
        claims = {
            "member_id": self.member_id,
            "kid": self.key_id,
            "iat": now,
            "exp": expires,
            "jti": str(uuid.uuid4()),
        }
        import jwt

        return jwt.encode(claims, self._rsa, algorithm="PS256", headers={"kid": self.key_id}), float(expires)

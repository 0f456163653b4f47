"""Signed, paced and retried requests: sign, take tokens, send, classify, retry.

Tests and other ways to send plug in at `Send`. Every request is a GET, so repeating it is safe; the class of the error
decides whether repeating can help.
"""

import asyncio
import contextlib
import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self, TypeVar
from urllib.parse import urlencode, urlsplit

from fairline.kalshi.auth import Auth, JwtAuth
from fairline.kalshi.clock import REPLAY_S, SAFE_S, Skew, skew_of
from fairline.kalshi.decoding import Bytes, error_body
from fairline.kalshi.errors import AuthError, KalshiError, RedirectError, ResponseError, error_for_status
from fairline.kalshi.http import AiohttpSend, HttpRequest, Response, Send, Timeouts, Unpacker
from fairline.kalshi.limits import ANONYMOUS, DEFAULT_COST, TokenBucket
from fairline.kalshi.redaction import show_value
from fairline.kalshi.security import require_secure
from fairline.kalshi.wire import EndpointCosts

log = logging.getLogger("fairline.kalshi")

T = TypeVar("T")

Params = Mapping[str, str | int | Sequence[str] | None]


@dataclass(frozen=True, slots=True)
class Retry:
    """Retry with full jitter: before attempt n, sleep uniformly between 0 and min(cap, base · 2ⁿ) seconds."""

    tries: int = 6
    base_s: float = 0.25
    cap_s: float = 8.0

    def delay(self, attempt: int, error: KalshiError, uniform: Callable[[float, float], float]) -> float:
        """Return the seconds to sleep before the next attempt."""
        # The exchange sends no Retry-After, but a proxy in between may.
        retry_after_s = getattr(error, "retry_after_s", None)
        if retry_after_s is not None:
            return min(float(retry_after_s), self.cap_s) + uniform(0, self.base_s)
        return uniform(0, min(self.cap_s, self.base_s * 2**attempt))


@dataclass(slots=True)
class Traffic:
    """What this transport has done so far.

    `bytes` are compressed, `seconds` the recent mean per answer, `statuses` the number of answers by status.
    """

    requests: int = 0
    retries: int = 0
    bytes: int = 0
    seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)


class Transport:
    """Send signed, paced and retried GET requests to one host.

    `base_url` includes the API prefix (`…/trade-api/v2`). Use as an async context manager, or call `close()`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        auth: Auth | None = None,
        bucket: TokenBucket | None = None,
        retry: Retry | None = None,
        timeouts: Timeouts | None = None,
        send: Send | None = None,
        use_server_time: bool = False,
        notify: Callable[[str], None] = log.warning,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.auth = auth
        self.bucket = bucket or TokenBucket(ANONYMOUS)
        self.traffic = Traffic()
        self.costs = EndpointCosts(DEFAULT_COST)
        self._unpack = Unpacker()
        self._prefix = urlsplit(self.base_url).path
        self._retry = retry or Retry()
        self._http = AiohttpSend(timeouts or Timeouts())
        self._send: Send = send or self._http
        self.skew: Skew | None = None
        self._renewals = 0
        self._renewal = asyncio.Lock()
        self._use_server_time = use_server_time
        self._notify = notify
        self._clock = clock
        self._sleep = sleep
        self._uniform = uniform

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def replay_offset(self) -> timedelta:
        """How far the time of a replayed exchange is from the present; zero for clocks that merely differ a little."""
        if self.skew is None or abs(self.skew.seconds) <= REPLAY_S:
            return timedelta(0)
        return timedelta(seconds=self.skew.seconds)

    async def close(self) -> None:
        await self._http.close()

    async def get(
        self,
        path: str,
        params: Params | None = None,
        *,
        decode: Callable[[Bytes], T],
        signed: bool = True,
        keep: Callable[[Response], None] | None = None,
    ) -> T:
        """Return the decoded body of `GET base_url + path`.

        A `ResponseError` from `decode` is retried like a broken connection. `keep` is called with the response that
        was decoded. Raises the `KalshiError` of the last attempt.
        """
        query = encode_query(params or {})
        attempt = 0
        renewed = False
        while True:
            renewals = self._renewals
            try:
                response = await self._attempt(path, query, signed=signed)
                decoded = decode(self._unpack(response.packed) if response.packed else response.plain)
            except AuthError as error:
                if renewed or self.auth is None or not signed or error.status != 401:
                    raise
                # Measure the clock again and sign once more, only once: a refusal is not a network fault.
                renewed = True
                await self._renew(self.auth, renewals)
            except KalshiError as error:
                attempt += 1
                if not error.retryable or attempt >= self._retry.tries:
                    raise
                self.traffic.retries += 1
                pause = self._retry.delay(attempt, error, self._uniform)
                log.info("retry %d of %s in %.2f s: %s", attempt, path, pause, error.message)
                await self._sleep(pause)
            else:
                if keep is not None:
                    keep(response)
                return decoded

    def path_of(self, path: str) -> str:
        """Return the path from the host's root, which is what is signed."""
        return self._prefix + path

    async def once(self, path: str, headers: Mapping[str, str]) -> Response:
        """Send one request with these headers and return the answer, whatever its status. Used by the doctor."""
        if headers:
            self._require_secure()
        await self.bucket.take()
        self.traffic.requests += 1
        return await self._exchange(HttpRequest("GET", f"{self.base_url}{path}", headers))

    async def _exchange(self, request: HttpRequest) -> Response:
        """Send a request, and measure clock and latency by the answer."""
        sent = self._clock()
        response = await self._send(request)
        self.traffic.statuses[response.status] = self.traffic.statuses.get(response.status, 0) + 1
        self.skew = skew_of(response.headers, sent, self._clock()) or self.skew
        self.traffic.seconds += (self._clock() - sent - self.traffic.seconds) / min(self.traffic.requests, 8)
        return response

    async def _renew(self, auth: Auth, renewals: int) -> None:
        """After a refusal, measure the clock again and renew the signature.

        Requests refused at the same time share one renewal; `renewals` is how many there were before the request.
        """
        async with self._renewal:
            if self._renewals == renewals:
                await self._measure_and_renew(auth)
                self._renewals += 1

    async def _measure_and_renew(self, auth: Auth) -> None:
        with contextlib.suppress(KalshiError):
            await self.once("/exchange/status", {})
        skew = self.skew
        if self._use_server_time and skew is not None and abs(skew.seconds) > SAFE_S:
            self._notify(f"{skew}: signing with the exchange's time, as configured")
            auth.renew(skew.seconds)
        else:
            auth.renew()

    async def _attempt(self, path: str, query: str, *, signed: bool) -> Response:
        await self.bucket.take(self.costs.of(path, self._prefix))
        headers = await self._sign(path) if signed else {}
        url = f"{self.base_url}{path}?{query}" if query else f"{self.base_url}{path}"
        self.traffic.requests += 1
        response = await self._exchange(HttpRequest("GET", url, headers))
        self.traffic.bytes += response.received
        log.debug("GET %s %d %d bytes", url, response.status, response.received)
        if response.status == 429:
            self.bucket.record_refusal()
        if response.status != 200:
            error = _error(response, path, self.auth)
            if isinstance(error, AuthError) and self.skew is not None and abs(self.skew.seconds) > SAFE_S:
                error.diagnosis = f"Measured: {self.skew}"
            raise error
        self.bucket.record_answer()
        kind = response.headers.get("Content-Type", "application/json")
        if "json" not in kind and not response.body.lstrip().startswith(b"<"):
            raise ResponseError(f"{path} answered with {kind}, not JSON", remedy="A proxy may be in between. Try again")
        return response

    async def _sign(self, path: str) -> Mapping[str, str]:
        """Return headers for one attempt. RSA signatures are made in a thread, so that decoding continues."""
        if self.auth is None:
            return {}
        self._require_secure()
        if self.auth.slow:
            return await asyncio.to_thread(self.auth.headers, "GET", self._prefix + path)
        return self.auth.headers("GET", self._prefix + path)

    async def handshake(self, url: str, path: str) -> None:
        """Open a signed WebSocket and close it again. Raises `KalshiError`, with the status if it is refused."""
        headers: Mapping[str, str] = {}
        if self.auth is not None:
            require_secure(url)
            headers = self.auth.headers("GET", path)
        await self._http.handshake(url, headers)

    def _require_secure(self) -> None:
        require_secure(self.base_url)


def encode_query(params: Params) -> str:
    """Encode a URL query in the given order. None is left out, a sequence repeats its name."""
    return urlencode([(name, value) for name, value in params.items() if value is not None], doseq=True)


def _error(response: Response, path: str, auth: Auth | None) -> KalshiError:
    """Return the error for a status other than 200, with the exchange's message and a remedy."""
    status = response.status
    if 300 <= status < 400:
        location = show_value(response.headers.get("Location", "elsewhere"))
        return RedirectError(
            f"{path} answered with a redirect to {location}",
            remedy="Use that address as the exchange, if you trust it",
            status=status,
        )
    code, message, details = error_body(response.body)
    statement = " ".join(part for part in (code, "" if message == code else message, details) if part)
    return error_for_status(status)(
        f"{path} answered {status}" + (f" ({statement})" if statement else ""),
        remedy=_token_remedy() if status == 401 and isinstance(auth, JwtAuth) else _remedy(status, code, details),
        status=status,
        code=code,
        details=details,
        retry_after_s=_retry_after_s(response.headers.get("Retry-After", "")),
    )


def _retry_after_s(text: str) -> float | None:
    """Return the seconds of a Retry-After header. HTTP dates and anything else that is not a number are ignored."""
    return float(text) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) else None


def _token_remedy() -> str:
    return "Check member id and key id. The exchange accepts API-key signatures, not this token: set auth to api-key"


def _remedy(status: int, code: str, details: str) -> str:
    if "INCORRECT_API_KEY_SIGNATURE" in details:
        return "The private key does not belong to this key id. Check both"
    if "NOT_FOUND" in details:
        return "The key id is unknown here. Check it, and that the key was created for this environment"
    return {
        "token_authentication_failure": "Set KALSHI_API_KEY_ID and KALSHI_PRIVATE_KEY_PATH to your key",
        "signature_is_missing_from_headers": "A proxy in between removed the signature header: bypass it",
        "header_timestamp_expired": "Synchronise this machine's clock",
        "too_many_requests": "Wait a moment. The limit is shared by everything that uses this key or address",
        "not_found": "Check the ticker, and that the exchange's address ends in /trade-api/v2",
    }.get(code, _remedy_of_status(status))


def _remedy_of_status(status: int) -> str:
    if status >= 500:
        return "Try again later"
    return "Check that the exchange's address ends in /trade-api/v2" if status == 404 else ""

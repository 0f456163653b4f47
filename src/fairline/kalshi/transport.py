"""One way to ask the exchange something: sign, take tokens, send, classify, retry if it is safe.

Tests and other ways to send plug in at `Send`. Everything here is a GET, so repeating a request is always safe; what is
repeated is decided by the error's class.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self, TypeVar
from urllib.parse import urlencode, urlsplit

from fairline.kalshi.auth import Auth, JwtAuth
from fairline.kalshi.clock import SAFE_S, Skew, skew_of
from fairline.kalshi.decoding import Bytes, error_body
from fairline.kalshi.errors import AuthError, KalshiError, RedirectError, ResponseError, error_for_status
from fairline.kalshi.http import AiohttpSend, HttpRequest, Response, Send, Timeouts, Unpacker
from fairline.kalshi.limits import ANONYMOUS, DEFAULT_COST, TokenBucket
from fairline.kalshi.wire import EndpointCosts

log = logging.getLogger("fairline.kalshi")

T = TypeVar("T")

Params = Mapping[str, str | int | Sequence[str] | None]


@dataclass(frozen=True, slots=True)
class Retry:
    """Full jitter: before try n, sleep uniformly between 0 and min(cap, base · 2ⁿ)."""

    tries: int = 6
    base_s: float = 0.25
    cap_s: float = 8.0

    def delay(self, attempt: int, error: KalshiError, uniform: Callable[[float, float], float]) -> float:
        # The exchange sends no Retry-After today, but a proxy in between may.
        asked = getattr(error, "retry_after_s", None)
        if asked is not None:
            return min(float(asked), self.cap_s) + uniform(0, self.base_s)
        return uniform(0, min(self.cap_s, self.base_s * 2**attempt))


@dataclass(slots=True)
class Traffic:
    """What this transport has done so far: bytes as they came, compressed, how long an answer takes of late, and how
    many answers there were of each status.
    """

    requests: int = 0
    retries: int = 0
    bytes: int = 0
    seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)


class Transport:
    """Signed, paced, retried GET requests against one host.

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
        say: Callable[[str], None] = log.warning,
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
        self._examined = 0
        self._examination = asyncio.Lock()
        self._use_server_time = use_server_time
        self._say = say
        self._clock = clock
        self._sleep = sleep
        self._uniform = uniform

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

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
        """The decoded body of `GET base_url + path`.

        `decode` raises `ResponseError` for a body that is not the endpoint's, which is retried like a broken
        connection; `keep` is handed the response that decoded. Raises the `KalshiError` of the last try.
        """
        query = encode_query(params or {})
        attempt, renewed = 0, False
        while True:
            examined = self._examined
            try:
                response = await self._try(path, query, signed=signed)
                decoded = decode(self._unpack(response.packed) if response.packed else response.plain)
                if keep is not None:
                    keep(response)
                return decoded
            except AuthError as error:
                if renewed or self.auth is None or not signed or error.status != 401:
                    raise
                # One more look at the clock and one fresh signature, and no more: a refusal is not a fault of the line.
                renewed = True
                await self._examine(self.auth, examined)
            except KalshiError as error:
                attempt += 1
                if not error.retryable or attempt >= self._retry.tries:
                    raise
                self.traffic.retries += 1
                pause = self._retry.delay(attempt, error, self._uniform)
                log.info("retry %d of %s in %.2f s: %s", attempt, path, pause, error.message)
                await self._sleep(pause)

    def path_of(self, path: str) -> str:
        """The path from the host's root, which is what is signed."""
        return self._prefix + path

    async def once(self, path: str, headers: Mapping[str, str]) -> Response:
        """One plain try with these headers, whatever comes back: for whoever takes a failing set-up apart."""
        await self.bucket.take()
        self.traffic.requests += 1
        return await self._ask(HttpRequest("GET", f"{self.base_url}{path}", headers))

    async def _ask(self, request: HttpRequest) -> Response:
        """Send, and read the clock off the answer."""
        sent = self._clock()
        response = await self._send(request)
        self.traffic.statuses[response.status] = self.traffic.statuses.get(response.status, 0) + 1
        self.skew = skew_of(response.headers, sent, self._clock()) or self.skew
        self.traffic.seconds += (self._clock() - sent - self.traffic.seconds) / min(self.traffic.requests, 8)
        return response

    async def _examine(self, auth: Auth, examined: int) -> None:
        """After a refusal: measure the clock again; sign by the exchange's only if that was asked for.

        Requests that were refused at the same time share one examination; `examined` is how many there had been.
        """
        async with self._examination:
            if self._examined == examined:
                await self._measure_and_renew(auth)
                self._examined += 1

    async def _measure_and_renew(self, auth: Auth) -> None:
        with contextlib.suppress(KalshiError):
            await self.once("/exchange/status", {})
        skew = self.skew
        if self._use_server_time and skew is not None and abs(skew.seconds) > SAFE_S:
            self._say(f"{skew}: signing with the exchange's time, as set")
            auth.renew(skew.seconds)
        else:
            auth.renew()

    async def _try(self, path: str, query: str, *, signed: bool) -> Response:
        await self.bucket.take(self.costs.of(path, self._prefix))
        headers = await self._sign(path) if signed else {}
        url = f"{self.base_url}{path}?{query}" if query else f"{self.base_url}{path}"
        self.traffic.requests += 1
        response = await self._ask(HttpRequest("GET", url, headers))
        self.traffic.bytes += response.received
        log.debug("GET %s %d %d bytes", url, response.status, response.received)
        if response.status == 429:
            self.bucket.throttled()
        if response.status != 200:
            error = _error(response, path, self.auth)
            if isinstance(error, AuthError) and self.skew is not None and abs(self.skew.seconds) > SAFE_S:
                error.diagnosis = f"Found so far: {self.skew}"
            raise error
        self.bucket.answered()
        kind = response.headers.get("Content-Type", "application/json")
        if "json" not in kind and not response.body.lstrip().startswith(b"<"):
            raise ResponseError(f"{path} answered with {kind}, not JSON", remedy="A proxy may be in between; try again")
        return response

    async def _sign(self, path: str) -> Mapping[str, str]:
        """Fresh headers for one try; an RSA signature in a thread, so that pages go on being decoded meanwhile."""
        if self.auth is None:
            return {}
        if self.auth.slow:
            return await asyncio.to_thread(self.auth.headers, "GET", self._prefix + path)
        return self.auth.headers("GET", self._prefix + path)

    async def handshake(self, url: str, path: str) -> None:
        """Open a signed WebSocket and close it again. Raises `KalshiError`, with the status if it is refused."""
        headers = self.auth.headers("GET", path) if self.auth is not None else {}
        await self._http.handshake(url, headers)


def encode_query(params: Params) -> str:
    """URL query in the given order; None is left out, a sequence repeats its name."""
    return urlencode([(name, value) for name, value in params.items() if value is not None], doseq=True)


def _error(response: Response, path: str, auth: Auth | None) -> KalshiError:
    """The error that a status other than 200 stands for, with the exchange's words and our remedy."""
    status = response.status
    if 300 <= status < 400:
        where = response.headers.get("Location", "elsewhere")
        return RedirectError(
            f"{path} answered with a redirect to {where}", remedy="Use that address with --exchange", status=status
        )
    code, message, details = error_body(response.body)
    said = " ".join(part for part in (code, "" if message == code else message, details) if part)
    retry_after = response.headers.get("Retry-After", "")
    return error_for_status(status)(
        f"{path} answered {status}" + (f" ({said})" if said else ""),
        remedy=_token_remedy() if status == 401 and isinstance(auth, JwtAuth) else _remedy(status, code, details),
        status=status,
        code=code,
        details=details,
        retry_after_s=float(retry_after) if retry_after.replace(".", "", 1).isdigit() else None,
    )


def _token_remedy() -> str:
    return "Check member id and key id; today's exchange takes API-key signatures, not this token: use --auth api-key"


def _remedy(status: int, code: str, details: str) -> str:
    if "INCORRECT_API_KEY_SIGNATURE" in details:
        return "The private key does not belong to this key id: check the pair"
    if "NOT_FOUND" in details:
        return "The key id is unknown here: check it, and that the key was made for this environment"
    return {
        "token_authentication_failure": "Sign in with --key-id and --key-file, or with KALSHI_API_KEY_ID and its key",
        "signature_is_missing_from_headers": "Something between here and the exchange removed the signature header",
        "header_timestamp_expired": "This machine's clock is off: synchronise it",
        "too_many_requests": "Wait a little: the limit is shared by everything that uses this key or address",
        "not_found": "Check the ticker, and that --exchange ends in /trade-api/v2",
    }.get(code, "Try again later" if status >= 500 else "Check that --exchange ends in /trade-api/v2" * (status == 404))

"""Isolate why a signed request fails: what the answer says, what the clock says, and a few spaced experiments."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from fairline.kalshi.auth import Auth, JwtAuth
from fairline.kalshi.convention import sign_with_mistake
from fairline.kalshi.decoding import error_body
from fairline.kalshi.errors import KalshiError
from fairline.kalshi.http import Response
from fairline.kalshi.keys import PrivateKey
from fairline.kalshi.redaction import show_value
from fairline.kalshi.remedies import Cause
from fairline.kalshi.transport import Transport

BALANCE = "/portfolio/balance"
ARTICLE_BALANCE = "/member/balance"
ARTICLE_NOTE = (
    "an article of 2026 describes a token (PS256) that the client signs itself, for /v1; the exchange accepts "
    "KALSHI-ACCESS-* signatures over /trade-api/v2 instead"
)
COMMON_MISTAKES = (
    Cause.PKCS1V15,
    Cause.MAX_SALT,
    Cause.QUERY_SIGNED,
    Cause.PREFIX_MISSING,
    Cause.METHOD_CASE,
    Cause.SECONDS_TIMESTAMP,
)
"""Mistakes in signing to try, the most common ones first."""

Explanation = tuple[Cause, str]
"""A cause and its evidence."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What to examine. `load_key` raises `PrivateKeyError`; `known` means that this key has worked here before."""

    url: str
    websocket_url: str
    key_id: str = ""
    load_key: Callable[[], PrivateKey] | None = None
    scheme: Literal["api-key", "jwt"] = "api-key"
    member_id: str = ""
    other_url: str = ""
    subaccount: int | None = None
    known: bool = False
    use_server_time: bool = False

    @property
    def is_article(self) -> bool:
        """Whether this is the article's set-up: a token for /v1."""
        return self.scheme == "jwt" and self.url.endswith("/v1")

    @property
    def balance_path(self) -> str:
        path = ARTICLE_BALANCE if self.is_article else BALANCE
        return path if self.subaccount is None else f"{path}?subaccount={self.subaccount}"


class Experiments:
    """Read-only requests, `spacing_s` apart, that isolate why the signed request of a set-up fails."""

    def __init__(
        self,
        setup: Setup,
        transport: Transport,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        spacing_s: float = 0.3,
    ) -> None:
        self._setup = setup
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        self._spacing_s = spacing_s

    async def request_balance(self, headers: dict[str, str], query: str = "") -> Response:
        await self._sleep(self._spacing_s)
        return await self._transport.once(self._setup.balance_path + query, headers)

    async def request_signed(self, auth: Auth, path: str) -> Response:
        await self._sleep(self._spacing_s)
        return await self._transport.once(path, auth.headers("GET", self._transport.path_of(path)))

    async def explain(self, response: Response, auth: Auth, key: PrivateKey) -> Explanation:
        """Return the cause and the evidence of a signed request that failed with this response."""
        code, message, details = error_body(response.body)
        body = " ".join(filter(None, (code or message, details)))
        answer = f"{self._setup.balance_path} answered {response.status} ({body})"
        general = cause_of_response(response, self._setup.url)
        if general is not None:
            return general, f"{answer}: {describe_response(response)}"
        if isinstance(auth, JwtAuth):
            return self._explain_token(answer)
        if response.status == 403:
            return await self._explain_forbidden(auth, answer)
        if code == "header_timestamp_expired":
            return self._explain_clock(answer)
        if code in ("token_authentication_failure", "signature_is_missing_from_headers"):
            return Cause.HEADERS_STRIPPED, f"{answer}, although the headers were sent"
        return await self._explain_key(auth, key, details, answer)

    async def _explain_key(self, auth: Auth, key: PrivateKey, details: str, answer: str) -> Explanation:
        if "INCORRECT_API_KEY_SIGNATURE" in details:
            return await self._try_mistakes(key, answer)
        if "NOT_FOUND" in details:
            return await self._find_environment(auth, answer)
        return Cause.UNEXPLAINED, answer

    def _explain_token(self, answer: str) -> Explanation:
        skew = self._transport.skew
        if skew is not None and skew.seconds > JwtAuth.LIFETIME_S:
            return Cause.EXPIRED_TOKEN, f"{answer}; {skew}, so a token of ten minutes expires before it is sent"
        return Cause.BEARER_REFUSED, f"{answer}: {ARTICLE_NOTE}"

    async def _explain_forbidden(self, auth: Auth, answer: str) -> Explanation:
        """Explain a 403: the subaccount, if the request passes without it, else the scope."""
        subaccount = self._setup.subaccount
        if subaccount is not None and (await self.request_signed(auth, BALANCE)).status == 200:
            return Cause.SUBACCOUNT_PINNED, f"{answer}; the request passes without subaccount {subaccount}"
        return Cause.SCOPE_MISSING, f"{answer}: the signature is accepted, but the key may not read this"

    def _explain_clock(self, answer: str) -> Explanation:
        skew = self._transport.skew
        if skew is None or abs(skew.seconds) <= skew.error:
            return Cause.UNEXPLAINED, f"{answer}, although the clocks do not differ measurably"
        return (Cause.CLOCK_SLOW if skew.seconds > 0 else Cause.CLOCK_FAST), f"{answer}; {skew}"

    async def _try_mistakes(self, key: PrivateKey, answer: str) -> Explanation:
        """Sign with each common mistake. A host that accepts one wants to be signed that way."""
        query = "?subaccount=0" if self._setup.subaccount is None else ""
        path = self._transport.path_of(self._setup.balance_path) + query
        for mistake in COMMON_MISTAKES:
            headers = {
                "KALSHI-ACCESS-KEY": self._setup.key_id,
                **sign_with_mistake(key, int(self._clock() * 1000), "GET", path, mistake),
            }
            response = await self.request_balance(headers, query)
            general = cause_of_response(response, self._setup.url)
            if general is not None:
                return general, f"{answer}; then an experiment was answered {response.status} and proves nothing"
            if response.status in (200, 403):
                return mistake, f"{answer}; the request passes when signed with {mistake}: this host expects that"
        return (
            Cause.WRONG_PRIVATE_KEY,
            f"{answer}, and no other way of signing passes: {key.fingerprint} belongs to a different key id",
        )

    async def _find_environment(self, auth: Auth, answer: str) -> Explanation:
        """Ask the other environment whether it knows the key."""
        other_url = self._setup.other_url
        if other_url:
            await self._sleep(self._spacing_s)
            try:
                async with Transport(other_url, clock=self._clock) as other:
                    response = await other.once(BALANCE, auth.headers("GET", other.path_of(BALANCE)))
            except KalshiError as error:
                answer += f"; {other_url} could not be checked ({error.message})"
            else:
                if response.status in (200, 403) or b"INCORRECT_API_KEY_SIGNATURE" in response.body:
                    return Cause.OTHER_ENVIRONMENT, f"{answer}; {other_url} knows the key"
        if self._setup.known:
            return Cause.REVOKED_KEY, f"{answer}, and this key has worked here before"
        return Cause.UNKNOWN_KEY, answer


def cause_of_response(response: Response, url: str) -> Cause | None:
    """Return the cause that an answer's status and form alone reveal."""
    if 300 <= response.status < 400:
        return _cause_of_redirect(response, url)
    if is_retired_host(response):
        return Cause.HOST_RETIRED
    if response.status == 429:
        return Cause.RATE_LIMITED
    if is_web_page(response):
        return Cause.HTML_INSTEAD_OF_JSON
    if response.status in (500, 503, 504) and b"exchange_active" not in response.body:
        return Cause.EXCHANGE_PAUSED if response.status == 503 else Cause.UNEXPLAINED
    return None


def _cause_of_redirect(response: Response, url: str) -> Cause:
    try:
        target = urlsplit(response.headers.get("Location", "")).hostname
    except ValueError:
        target = ""
    # A redirect to another host is more likely a network's login page than a mistake in the path.
    return Cause.REDIRECTED if target in (None, urlsplit(url).hostname) else Cause.HTML_INSTEAD_OF_JSON


def is_retired_host(response: Response) -> bool:
    return b"API has been moved" in response.body


def is_web_page(response: Response) -> bool:
    return response.body[:200].lstrip().startswith(b"<")


def describe_response(response: Response) -> str:
    """Describe an answer that is not the exchange's."""
    if is_retired_host(response):
        return "the retired host's notice that the API has been moved: it no longer serves clients"
    if 300 <= response.status < 400:
        return f"a redirect to {show_value(response.headers.get('Location', 'elsewhere'))}"
    return "a web page" if is_web_page(response) else f"{len(response.body)} bytes"

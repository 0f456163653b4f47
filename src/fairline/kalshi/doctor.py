"""Takes a failing set-up apart: a chain of checks, each with evidence and remedy, and the one cause to mend first.

The checks only read. When the signed request fails, a few spaced experiments isolate the fault: what the body says,
what the clock says, whether the key belongs to the other environment, whether leaving out the subaccount helps, and
whether the same request passes when it is signed as other programs wrongly do.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fairline.kalshi import wire
from fairline.kalshi.auth import ApiKeyAuth, Auth, JwtAuth
from fairline.kalshi.clock import REFUSED_S, SAFE_S, TOLERATED_S, in_maintenance_window
from fairline.kalshi.convention import SentRequest, examine, sign_otherwise
from fairline.kalshi.decoding import error_body
from fairline.kalshi.errors import KalshiError, PrivateKeyError, TransportError
from fairline.kalshi.http import Response
from fairline.kalshi.keys import PrivateKey
from fairline.kalshi.remedies import REMEDIES
from fairline.kalshi.transport import Transport

BALANCE = "/portfolio/balance"

_ARTICLE = (
    "an article of 2026 describes a token (PS256) that the client signs itself, for /v1; the exchange takes "
    "KALSHI-ACCESS-* signatures over /trade-api/v2 instead"
)
_LINE = {"name": "name_not_resolved", "tls": "tls"}
# Experiments on the signature, the commonest mistakes first.
_MISTAKES = ("pkcs1v15", "max_salt", "query_signed", "prefix_missing", "method_case", "seconds_timestamp")


@dataclass(frozen=True, slots=True)
class Check:
    """One step: `status` is pass, warn, fail or skipped."""

    name: str
    status: str
    evidence: str
    remedy: str = ""


@dataclass(slots=True)
class Diagnosis:
    """The cause to mend first (None: healthy) and every check that was made."""

    cause: str | None = None
    checks: list[Check] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Setup:
    """What is to be examined. `load_key` raises `PrivateKeyError`; `known` says that this key once worked here."""

    url: str
    websocket_url: str
    key_id: str = ""
    load_key: Callable[[], PrivateKey] | None = None
    scheme: str = "api-key"
    member_id: str = ""
    other_url: str = ""
    subaccount: int | None = None
    known: bool = False
    use_server_time: bool = False


class Doctor:
    """`examine()` runs the chain once. Clock and sleep are passed in for tests."""

    def __init__(
        self,
        patient: Setup,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        spacing_s: float = 0.3,
    ) -> None:
        self._patient = patient
        self._clock = clock
        self._sleep = sleep
        self._spacing_s = spacing_s
        self._transport = Transport(patient.url, clock=clock)
        self._key: PrivateKey | None = None
        self._auth: Auth | None = None
        self._made = Diagnosis()

    async def examine(self) -> Diagnosis:
        """Every check in order; those that need what failed before are skipped."""
        steps = {
            "host": self._host,
            "exchange": self._exchange,
            "key": self._load_key,
            "clock": self._compare_clocks,
            "signed request": self._signed_request,
            "limits": self._limits,
            "scopes": self._scopes,
            "websocket": self._websocket,
        }
        try:
            for name, step in steps.items():
                if self._made.cause is None or (name == "clock" and self._made.cause == "key_unreadable"):
                    await self._take(name, step)
                else:
                    self._skip(name, "because of what failed before")
        finally:
            await self._transport.close()
        return self._made

    async def _take(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except TransportError as error:  # the line broke in the middle of the chain
            self._fail(name, _LINE.get(error.kind, "unreachable"), error.message)
        except KalshiError as error:
            self._fail(name, "unreachable", error.message)

    # -- checks ----------------------------------------------------------------------------------------------------

    async def _host(self) -> None:
        response = self._status = await self._transport.once("/exchange/status", {})
        cause = _cause_of_answer(response, self._patient.url)
        if cause is None and response.status != 200 and b"exchange_active" not in response.body:
            # The article's surface has no status; anywhere else this is not the trade API.
            articles = self._patient.scheme == "jwt" and self._patient.url.endswith("/v1")
            cause = None if articles and response.status == 404 else "not_the_exchange"
        if cause == "host_retired" and self._patient.scheme == "jwt":
            # Of the two things that are wrong then, the scheme is the one to be told about.
            return self._fail("host", "bearer_refused", f"{_kind(response)}; {_ARTICLE}")
        if cause is not None:
            return self._fail("host", cause, f"/exchange/status answered {response.status} ({_kind(response)})")
        return self._pass("host", f"{self._patient.url} answers ({response.status})")

    async def _exchange(self) -> None:
        try:
            status = wire.exchange_status(self._status.body)
        except KalshiError:
            return self._skip("exchange", f"no status here ({self._status.status})")
        if not (status.exchange_active and status.trading_active):
            resume = f", expected back {status.exchange_estimated_resume_time}" * bool(
                status.exchange_estimated_resume_time
            )
            what = "the exchange is paused" if not status.exchange_active else "trading is paused"
            window = " (this is the weekly maintenance window)" * in_maintenance_window(self._clock())
            if not status.exchange_active:
                return self._fail("exchange", "exchange_paused", f"{what}{resume}{window}")
            return self._warn("exchange", f"{what}{resume}{window}", REMEDIES["exchange_paused"])
        return self._pass("exchange", "active, and trading")

    async def _load_key(self) -> None:
        patient = self._patient
        if patient.load_key is None:
            return self._skip("key", "no key is set; market data needs none")
        try:
            self._key = patient.load_key()
            self._auth = (
                JwtAuth(patient.member_id, patient.key_id, self._key, self._clock)
                if patient.scheme == "jwt"
                else ApiKeyAuth(patient.key_id, self._key, self._clock)
            )
        except PrivateKeyError as error:
            return self._fail("key", "key_unreadable", error.message, error.remedy)
        return self._pass("key", f"{self._key.kind}, {self._key.fingerprint}, key id {patient.key_id}")

    async def _compare_clocks(self) -> None:
        skew = self._transport.skew
        if skew is None:
            return self._skip("clock", "the answers carry no Date header")
        evidence = (
            f"{skew}; differences up to {TOLERATED_S:.0f} s were seen to pass, {REFUSED_S:.0f} s and more to fail"
        )
        if abs(skew.seconds) > SAFE_S + skew.error and self._patient.use_server_time and self._auth is not None:
            self._auth.renew(skew.seconds)
            return self._warn("clock", f"{evidence}; signing with the exchange's time, as set", "Synchronise the clock")
        if abs(skew.seconds) > SAFE_S + skew.error:
            return self._warn("clock", evidence, REMEDIES["clock_slow"])
        return self._pass("clock", evidence)

    async def _signed_request(self) -> None:
        if self._auth is None:
            return self._skip("signed request", "no key is set")
        response = await self._balance(self._auth.headers("GET", self._signed_path))
        if response.status == 200:
            return self._pass("signed request", f"{self._balance_path} answered 200")
        cause, evidence = await self._isolate(response)
        return self._fail("signed request", cause, evidence)

    async def _limits(self) -> None:
        if not isinstance(self._auth, ApiKeyAuth):
            return self._skip("limits", "no API key is set")
        try:
            limits = wire.account_limits((await self._signed("/account/limits")).body)
            costs = wire.endpoint_costs((await self._transport.once("/account/endpoint_costs", {})).body)
        except KalshiError as error:
            return self._warn("limits", f"cannot be read: {error.message}", "Fairline keeps to the basic tier's")
        read = limits.read
        return self._pass(
            "limits",
            f"tier {limits.usage_tier}: {read.refill_rate:g} tokens a second, {read.bucket_capacity:g} at most; "
            f"a request costs {costs.default_cost:g}",
        )

    async def _scopes(self) -> None:
        if not isinstance(self._auth, ApiKeyAuth):
            return self._skip("scopes", "no API key is set")
        try:
            keys = wire.api_keys((await self._signed("/api_keys")).body).api_keys
        except KalshiError as error:
            return self._skip("scopes", f"cannot be read: {error.message}")
        mine = next((key for key in keys if key.api_key_id == self._patient.key_id), None)
        if mine is None:
            return self._skip("scopes", "this key is not among the account's listed keys")
        shown = ", ".join(mine.scopes) + (f"; pinned to subaccount {mine.subaccount}" if mine.subaccount else "")
        if any(scope.split("::")[0] == "write" for scope in mine.scopes):
            return self._warn(
                "scopes", shown, "This key may trade. A scanner needs read only: make a key without write"
            )
        return self._pass("scopes", shown)

    async def _websocket(self) -> None:
        if not isinstance(self._auth, ApiKeyAuth):
            return self._skip("websocket", "the WebSocket always needs an API key")
        self._transport.auth = self._auth
        path = "/" + self._patient.websocket_url.partition("://")[2].partition("/")[2]
        try:
            await self._transport.handshake(self._patient.websocket_url, path)
        except KalshiError as error:
            return self._warn("websocket", error.message, "Scans do not need it; live feeds do")
        return self._pass("websocket", "the signed handshake passes")

    # -- experiments -----------------------------------------------------------------------------------------------

    async def _isolate(self, response: Response) -> tuple[str, str]:
        """(cause, evidence) of a signed request that failed."""
        code, message, details = error_body(response.body)
        said = f"{self._balance_path} answered {response.status} ({' '.join(filter(None, (code or message, details)))})"
        general = _cause_of_answer(response, self._patient.url)
        if general is not None:
            return general, f"{said}: {_kind(response)}"
        if isinstance(self._auth, JwtAuth):
            found = self._isolate_token(response, said)
        elif response.status == 403:
            found = await self._isolate_refusal(said)
        elif code == "header_timestamp_expired":
            found = self._isolate_clock(said)
        elif code in ("token_authentication_failure", "signature_is_missing_from_headers"):
            found = "headers_stripped", f"{said}, although the headers were sent"
        elif "INCORRECT_API_KEY_SIGNATURE" in details:
            found = await self._isolate_signature(said)
        elif "NOT_FOUND" in details:
            found = await self._isolate_key(said)
        else:
            found = "unexplained", said
        return found

    def _isolate_token(self, response: Response, said: str) -> tuple[str, str]:
        skew = self._transport.skew
        if skew is not None and skew.seconds > JwtAuth.LIFETIME_S:
            return "expired_token", f"{said}; {skew}, so a token of ten minutes has expired before it is sent"
        return "bearer_refused", f"{said}: {_ARTICLE}"

    async def _isolate_refusal(self, said: str) -> tuple[str, str]:
        """A 403: the subaccount, if leaving it out helps; else the scope."""
        if self._patient.subaccount is not None and (await self._signed(BALANCE)).status == 200:
            return "subaccount_pinned", f"{said}; without subaccount {self._patient.subaccount} it passes"
        return "scope_missing", f"{said}: the signature is accepted, the key may not read this"

    def _isolate_clock(self, said: str) -> tuple[str, str]:
        skew = self._transport.skew
        if skew is None or abs(skew.seconds) <= skew.error:
            return "unexplained", f"{said}, although no difference of the clocks can be seen"
        return ("clock_slow" if skew.seconds > 0 else "clock_fast"), f"{said}; {skew}"

    async def _isolate_signature(self, said: str) -> tuple[str, str]:
        if self._key is None:
            return "unexplained", said
        query = "?subaccount=0" if self._patient.subaccount is None else ""
        for mistake in _MISTAKES:
            path = self._signed_path + query
            headers = {
                "KALSHI-ACCESS-KEY": self._patient.key_id,
                **sign_otherwise(self._key, int(self._clock() * 1000), "GET", path, mistake),
            }
            response = await self._balance(headers, query)
            general = _cause_of_answer(response, self._patient.url)
            if general is not None:
                return general, f"{said}; then an experiment was answered {response.status}: it proves nothing"
            if response.status in (200, 403):
                return mistake, f"{said}; signed as with {mistake} it passes: this host wants it so"
        return (
            "wrong_private_key",
            f"{said}, and no other way of signing passes: {self._key.fingerprint} is another pair's",
        )

    async def _isolate_key(self, said: str) -> tuple[str, str]:
        if self._patient.other_url and self._auth is not None:
            await self._sleep(self._spacing_s)
            other = Transport(self._patient.other_url, clock=self._clock)
            try:
                response = await other.once(BALANCE, self._auth.headers("GET", other.path_of(BALANCE)))
            except KalshiError as error:
                said += f"; {self._patient.other_url} could not be asked ({error.message})"
            else:
                if response.status in (200, 403) or b"INCORRECT_API_KEY_SIGNATURE" in response.body:
                    return "other_environment", f"{said}; at {self._patient.other_url} the same key is known"
            finally:
                await other.close()
        if self._patient.known:
            return "revoked_key", f"{said}, and this key has worked here before"
        return "unknown_key", said

    # -- small change ----------------------------------------------------------------------------------------------

    @property
    def _balance_path(self) -> str:
        # The article's surface has its own.
        path = "/member/balance" if self._patient.scheme == "jwt" and self._patient.url.endswith("/v1") else BALANCE
        return path if self._patient.subaccount is None else f"{path}?subaccount={self._patient.subaccount}"

    @property
    def _signed_path(self) -> str:
        return self._transport.path_of(self._balance_path)

    async def _balance(self, headers: dict[str, str], query: str = "") -> Response:
        await self._sleep(self._spacing_s)
        return await self._transport.once(self._balance_path + query, headers)

    async def _signed(self, path: str) -> Response:
        headers = self._auth.headers("GET", self._transport.path_of(path)) if self._auth is not None else {}
        await self._sleep(self._spacing_s)
        return await self._transport.once(path, headers)

    def _pass(self, name: str, evidence: str) -> None:
        self._made.checks.append(Check(name, "pass", evidence))

    def _warn(self, name: str, evidence: str, remedy: str) -> None:
        self._made.checks.append(Check(name, "warn", evidence, remedy))

    def _skip(self, name: str, why: str) -> None:
        self._made.checks.append(Check(name, "skipped", why))

    def _fail(self, name: str, cause: str, evidence: str, remedy: str = "") -> None:
        self._made.cause = cause
        self._made.checks.append(Check(name, "fail", evidence, remedy or REMEDIES[cause]))


def diagnose_sent(request: SentRequest, key: PrivateKey, now: float, key_id: str = "") -> Diagnosis:
    """The diagnosis of a request that another program sent, from its headers alone; nothing is sent."""
    finding = examine(request, key, now, key_id)
    cause = finding.causes[0] if finding.causes else None
    remedy = " ".join(f"{REMEDIES[c]}." for c in dict.fromkeys(finding.causes))
    return Diagnosis(cause, [Check("signature sent", "fail" if cause else "pass", finding.evidence, remedy)])


def unreadable_key(error: KalshiError) -> Diagnosis:
    """The diagnosis of a key that cannot be loaded, where nothing else is to be examined."""
    check = Check("key", "fail", error.message, error.remedy or REMEDIES["key_unreadable"])
    return Diagnosis("key_unreadable", [check])


def _cause_of_answer(response: Response, url: str) -> str | None:
    """What an answer's status and form alone give away."""
    if 300 <= response.status < 400:
        # To another host: a network's login page rather than a mistake in the path.
        there = urlsplit(response.headers.get("Location", "")).hostname
        return "redirected" if there in (None, urlsplit(url).hostname) else "html_instead_of_json"
    if b"API has been moved" in response.body:
        return "host_retired"
    if response.status == 429:
        return "rate_limited"
    if response.body[:200].lstrip().startswith(b"<"):
        return "html_instead_of_json"
    if response.status in (500, 503, 504) and b"exchange_active" not in response.body:
        return "exchange_paused" if response.status == 503 else "unexplained"
    return None


def _kind(response: Response) -> str:
    if b"API has been moved" in response.body:
        return "the retired host's notice that the API has been moved: it takes no clients any more"
    if 300 <= response.status < 400:
        return f"a redirect to {response.headers.get('Location', 'elsewhere')}"
    return "a web page" if response.body[:200].lstrip().startswith(b"<") else f"{len(response.body)} bytes"

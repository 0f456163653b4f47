"""Examine a failing set-up: a chain of checks, each with evidence and remedy, and the one cause to fix first.

The checks only read. If the signed request fails, `experiments` isolates the fault.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fairline.kalshi import wire
from fairline.kalshi.auth import ApiKeyAuth, Auth, JwtAuth
from fairline.kalshi.clock import REFUSED_S, SAFE_S, TOLERATED_S, in_maintenance_window
from fairline.kalshi.diagnosis import Diagnosis
from fairline.kalshi.errors import KalshiError, PrivateKeyError, TransportError
from fairline.kalshi.experiments import ARTICLE_NOTE, Experiments, Setup, cause_of_response, describe_response
from fairline.kalshi.http import Response
from fairline.kalshi.keys import PrivateKey
from fairline.kalshi.redaction import show_path
from fairline.kalshi.remedies import REMEDIES, Cause
from fairline.kalshi.transport import Transport

CAUSE_OF_NETWORK_ERROR = {"name": Cause.NAME_NOT_RESOLVED, "tls": Cause.TLS}


class Doctor:
    """`examine()` runs the chain once. Clock and sleep are injected for tests."""

    def __init__(
        self,
        setup: Setup,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        spacing_s: float = 0.3,
    ) -> None:
        self._setup = setup
        self._clock = clock
        self._transport = Transport(setup.url, clock=clock)
        self._experiments = Experiments(setup, self._transport, clock=clock, sleep=sleep, spacing_s=spacing_s)
        self._key: PrivateKey | None = None
        self._auth: Auth | None = None
        self._diagnosis = Diagnosis()

    async def examine(self) -> Diagnosis:
        """Run every check in order. Checks that need what failed before are skipped."""
        steps = {
            "host": self._check_host,
            "exchange": self._check_exchange,
            "key": self._check_key,
            "clock": self._check_clock,
            "signed request": self._check_signed_request,
            "limits": self._check_limits,
            "scopes": self._check_scopes,
            "websocket": self._check_websocket,
        }
        diagnosis = self._diagnosis
        async with self._transport:
            for name, check in steps.items():
                clock_anyway = name == "clock" and diagnosis.cause is Cause.KEY_UNREADABLE
                if diagnosis.cause is None or clock_anyway:
                    await self._run(name, check)
                else:
                    diagnosis.record_skip(name, "an earlier check failed")
        return diagnosis

    async def _run(self, name: str, check: Callable[[], Awaitable[None]]) -> None:
        try:
            await check()
        except TransportError as error:
            cause = CAUSE_OF_NETWORK_ERROR.get(error.kind, Cause.UNREACHABLE)
            self._diagnosis.record_failure(name, cause, error.message)
        except KalshiError as error:
            self._diagnosis.record_failure(name, Cause.UNREACHABLE, error.message)

    async def _check_host(self) -> None:
        response = self._status = await self._transport.once("/exchange/status", {})
        cause = self._cause_of_status(response)
        if cause is Cause.HOST_RETIRED and self._setup.scheme == "jwt":
            # Both the host and the scheme are outdated, and the scheme is the one to name first.
            evidence = f"{describe_response(response)}; {ARTICLE_NOTE}"
            self._diagnosis.record_failure("host", Cause.BEARER_REFUSED, evidence)
        elif cause is not None:
            evidence = f"/exchange/status answered {response.status} ({describe_response(response)})"
            self._diagnosis.record_failure("host", cause, evidence)
        else:
            self._diagnosis.record_pass("host", f"{self._setup.url} answers ({response.status})")

    def _cause_of_status(self, response: Response) -> Cause | None:
        cause = cause_of_response(response, self._setup.url)
        if cause is not None or response.status == 200 or b"exchange_active" in response.body:
            return cause
        # The article's endpoints include no status. Anywhere else this is not the trade API.
        return None if self._setup.is_article and response.status == 404 else Cause.NOT_THE_EXCHANGE

    async def _check_exchange(self) -> None:
        diagnosis = self._diagnosis
        try:
            status = wire.exchange_status(self._status.body)
        except KalshiError:
            diagnosis.record_skip("exchange", f"no status here ({self._status.status})")
            return
        if status.exchange_active and status.trading_active:
            diagnosis.record_pass("exchange", "active and trading")
            return
        evidence = "trading is paused" if status.exchange_active else "the exchange is paused"
        if status.exchange_estimated_resume_time:
            evidence += f", expected back {status.exchange_estimated_resume_time}"
        if in_maintenance_window(self._clock()):
            evidence += " (this is the weekly maintenance window)"
        if status.exchange_active:
            diagnosis.record_warning("exchange", evidence, REMEDIES[Cause.EXCHANGE_PAUSED])
        else:
            diagnosis.record_failure("exchange", Cause.EXCHANGE_PAUSED, evidence)

    async def _check_key(self) -> None:
        setup = self._setup
        if setup.load_key is None:
            self._diagnosis.record_skip("key", "no key is set; market data needs none")
            return
        try:
            key = setup.load_key()
            if setup.scheme == "jwt":
                self._auth = JwtAuth(setup.member_id, setup.key_id, key, self._clock)
            else:
                self._auth = ApiKeyAuth(setup.key_id, key, self._clock)
        except PrivateKeyError as error:
            self._diagnosis.record_failure("key", Cause.KEY_UNREADABLE, error.message, error.remedy)
            return
        self._key = key
        self._diagnosis.record_pass("key", f"{key.kind}, {key.fingerprint}, key id {show_path(setup.key_id)}")

    async def _check_clock(self) -> None:
        skew = self._transport.skew
        if skew is None:
            self._diagnosis.record_skip("clock", "the answers have no Date header")
            return
        evidence = (
            f"{skew}; on the wire, differences up to {TOLERATED_S:.0f} s passed, {REFUSED_S:.0f} s and more failed"
        )
        if abs(skew.seconds) <= SAFE_S + skew.error:
            self._diagnosis.record_pass("clock", evidence)
        elif self._setup.use_server_time and self._auth is not None:
            self._auth.renew(skew.seconds)
            evidence += "; signing with the exchange's time, as configured"
            self._diagnosis.record_warning("clock", evidence, "Synchronise the clock")
        else:
            self._diagnosis.record_warning("clock", evidence, REMEDIES[Cause.CLOCK_SLOW])

    async def _check_signed_request(self) -> None:
        if self._auth is None or self._key is None:
            self._diagnosis.record_skip("signed request", "no key is set")
            return
        path = self._setup.balance_path
        response = await self._experiments.request_balance(
            self._auth.headers("GET", self._transport.path_of(path)),
        )
        if response.status == 200:
            self._diagnosis.record_pass("signed request", f"{path} answered 200")
            return
        cause, evidence = await self._experiments.explain(response, self._auth, self._key)
        self._diagnosis.record_failure("signed request", cause, evidence)

    async def _check_limits(self) -> None:
        if not isinstance(self._auth, ApiKeyAuth):
            self._diagnosis.record_skip("limits", "no API key is set")
            return
        try:
            limits = wire.account_limits((await self._experiments.request_signed(self._auth, "/account/limits")).body)
            costs = wire.endpoint_costs((await self._transport.once("/account/endpoint_costs", {})).body)
        except KalshiError as error:
            remedy = "Fairline uses the limits of the basic tier"
            self._diagnosis.record_warning("limits", f"cannot be read: {error.message}", remedy)
            return
        read = limits.read
        self._diagnosis.record_pass(
            "limits",
            f"tier {limits.usage_tier}: {read.refill_rate:,.10g} tokens per second, "
            f"{read.bucket_capacity:,.10g} at most; "
            f"a request costs {costs.default_cost:g}",
        )

    async def _check_scopes(self) -> None:
        if not isinstance(self._auth, ApiKeyAuth):
            self._diagnosis.record_skip("scopes", "no API key is set")
            return
        try:
            keys = wire.api_keys((await self._experiments.request_signed(self._auth, "/api_keys")).body).api_keys
        except KalshiError as error:
            self._diagnosis.record_skip("scopes", f"cannot be read: {error.message}")
            return
        key = next((key for key in keys if key.api_key_id == self._setup.key_id), None)
        if key is None:
            self._diagnosis.record_skip("scopes", "the account does not list this key")
            return
        evidence = ", ".join(key.scopes) + (f"; pinned to subaccount {key.subaccount}" if key.subaccount else "")
        if any(scope.split("::")[0] == "write" for scope in key.scopes):
            remedy = "This key may trade. A scanner needs read only: create a key without write"
            self._diagnosis.record_warning("scopes", evidence, remedy)
        else:
            self._diagnosis.record_pass("scopes", evidence)

    async def _check_websocket(self) -> None:
        if not isinstance(self._auth, ApiKeyAuth):
            self._diagnosis.record_skip("websocket", "the WebSocket always needs an API key")
            return
        self._transport.auth = self._auth
        url = self._setup.websocket_url
        try:
            await self._transport.handshake(url, urlsplit(url).path)
        except KalshiError as error:
            remedy = error.remedy or "Scans do not need the WebSocket. Live feeds do"
            self._diagnosis.record_warning("websocket", error.message, remedy)
        else:
            self._diagnosis.record_pass("websocket", "the signed handshake passes")

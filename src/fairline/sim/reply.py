"""Responses of the simulated exchange, and the faults that change them on the way."""

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from email.utils import formatdate

from aiohttp import web
from isal import igzip

from fairline.sim.auth import KeyBook
from fairline.sim.catalog import Catalog, Index, WorldCatalog
from fairline.sim.drift import apply_drift
from fairline.sim.faults import Faults
from fairline.sim.limits import Limits
from fairline.sim.trading import TradingAccount
from fairline.sim.world import World

PREFIX = "/trade-api/v2"


@dataclass(slots=True)
class Backend:
    """The state that the routes share."""

    catalog: Catalog
    keys: KeyBook
    faults: Faults
    limits: Limits
    latency_s: float = 0.0
    requests: int = 0
    accounts: dict[str, TradingAccount] = field(default_factory=dict)
    index: Index = field(init=False)

    def __post_init__(self) -> None:
        self.index = Index(self.catalog)

    @property
    def world(self) -> World | None:
        """The world behind the catalog, None for a recording."""
        return self.catalog.world if isinstance(self.catalog, WorldCatalog) else None

    @property
    def now_us(self) -> int:
        """The exchange's time, in microseconds."""
        return self.catalog.now_us

    @property
    def date_offset_s(self) -> float:
        """How far the `Date` header is ahead of this machine's clock: by a fault, or by the clock of a replay."""
        return self.catalog.offset_s + self.keys.offset_s


@dataclass(frozen=True, slots=True)
class Reply:
    """A status and a body: an object to encode, or bytes that already are JSON."""

    status: int
    body: object
    content_type: str = "application/json"
    location: str = ""

    def to_bytes(self) -> bytes:
        """Return the body as JSON bytes."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body, separators=(",", ":")).encode()


NOT_FOUND = Reply(404, {"error": {"code": "not_found", "message": "not found"}})
BAD_REQUEST = Reply(400, {"error": {"code": "bad_request", "message": "bad request"}})
TOO_MANY = Reply(429, {"error": {"code": "too_many_requests", "message": "too many requests"}})


async def faulty_response(request: web.Request, backend: Backend) -> web.StreamResponse | None:
    """Return the response of a fault that strikes before the exchange reads the request, None if none does."""
    faults = backend.faults
    if faults.strikes("jitter"):
        await asyncio.sleep(faults.random_amount(0.3))
    if faults.strikes("stall"):
        await asyncio.sleep(3600)
    if faults.strikes("reset") and request.transport is not None:
        request.transport.abort()
        return web.Response()
    page = _foreign_response(request, faults)
    if page is not None:
        return page
    if faults.strikes("429"):
        return await send(request, backend, TOO_MANY)
    if faults.strikes("500"):
        return web.Response(status=500)
    if faults.strikes("502-html"):
        return web.Response(status=502, text="<html><body>Bad gateway</body></html>", content_type="text/html")
    return None


def _foreign_response(request: web.Request, faults: Faults) -> web.StreamResponse | None:
    """Return a response that does not come from the exchange at all, such as a network's login page."""
    if faults.strikes("captive-page"):
        return web.Response(text="<!doctype html><title>Log in to this network</title>", content_type="text/html")
    if faults.strikes("redirect"):
        return web.Response(status=301, headers={"Location": request.path.rstrip("/")})
    if faults.strikes("moved"):
        notice = "API has been moved to https://api.elections.kalshi.com/. Please check our docs on how to migrate."
        return web.Response(status=401, text=notice)
    return None


async def send(request: web.Request, backend: Backend, reply: Reply) -> web.StreamResponse:
    """Send a reply, changed by the faults in force."""
    faults = backend.faults
    body = reply.to_bytes()
    if reply.status == 200:
        body = apply_drift(request.path.removeprefix(PREFIX), body, faults)
    headers = {"Content-Type": "text/plain" if faults.strikes("wrong-type") else reply.content_type}
    if reply.location:
        headers["Location"] = reply.location
    offset = backend.date_offset_s or (45 if faults.strikes("skew") else 0)
    if offset:
        headers["Date"] = formatdate(time.time() + offset, usegmt=True)
    if faults.strikes("not-json"):
        body = body[: len(body) // 2] + b"<oops>"
    if faults.strikes("endless-body"):
        return await _endless(request, headers)
    body = _compress(request, body, headers, faults)
    if faults.strikes("reset-body"):
        return await _cut_off(request, reply.status, headers, body)
    return web.Response(status=reply.status, body=body, headers=headers)


def _compress(request: web.Request, body: bytes, headers: dict[str, str], faults: Faults) -> bytes:
    if len(body) <= 1000 or "gzip" not in request.headers.get("Accept-Encoding", ""):
        return body
    # Speed matters more than size here: the simulator must not be slower than the exchange.
    body = igzip.compress(body, compresslevel=1)
    headers["Content-Encoding"] = "gzip"
    return body[: len(body) * 2 // 3] if faults.strikes("truncated-gzip") else body


async def _endless(request: web.Request, headers: dict[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(b" " * (1 << 20))
    return response


async def _cut_off(request: web.Request, status: int, headers: dict[str, str], body: bytes) -> web.StreamResponse:
    """Announce the whole length, send half of the body, and drop the connection."""
    response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.abort()
    return response

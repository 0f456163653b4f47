"""One WebSocket connection to the exchange: the only file beside `http` that imports the HTTP library."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp

from fairline.kalshi.errors import KalshiError, RedirectError, TransportError, error_for_status
from fairline.kalshi.http import find_proxy
from fairline.kalshi.security import require_secure

CONNECT_S = 10.0
MAX_FRAME_BYTES = 1 << 24
_CLOSE_S = 0.5


class Socket(Protocol):
    """An open connection that carries text frames."""

    async def send(self, text: str) -> None:
        """Send a text frame. Raises `TransportError` if the connection is gone."""
        ...

    async def receive(self) -> bytes | None:
        """Return the next text frame; None when the connection has ended."""
        ...

    async def close(self) -> None: ...


Connect = Callable[[str, Mapping[str, str]], Awaitable[Socket]]
"""Opens a connection to a URL with these headers. Raises `KalshiError`, with the status if it is refused."""


class AiohttpSocket:
    """A connection over the network. Pings of the exchange are answered; none are sent, and none count as data."""

    def __init__(self, session: aiohttp.ClientSession, socket: "aiohttp.ClientWebSocketResponse[bool]") -> None:
        self._session, self._socket = session, socket

    async def send(self, text: str) -> None:
        try:
            await self._socket.send_str(text)
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            raise TransportError("the feed's connection is closed", remedy="It is opened again") from error

    async def receive(self) -> bytes | None:
        while True:
            message = await self._socket.receive()
            if message.type is aiohttp.WSMsgType.TEXT:
                data: bytes = message.data
                return data
            if message.type is not aiohttp.WSMsgType.BINARY:
                return None

    async def close(self) -> None:
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._socket.close()
        except (TimeoutError, aiohttp.ClientError, OSError):
            pass  # a server that does not answer is left
        finally:
            await self._session.close()


async def open_socket(url: str, headers: Mapping[str, str]) -> Socket:
    """Open a WebSocket. Raises `KalshiError`: the class of the status if the handshake is refused.

    A redirect is refused, because a signature is made for one path on one host.
    """
    if headers:
        require_secure(url)
    proxy = find_proxy(url)
    session = aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S), trace_configs=[_no_redirects()]
    )
    try:
        # Without `decode_text` frames stay bytes, which is what is decoded; a timeout here would cost half the time.
        socket = await session.ws_connect(
            url, headers=headers, proxy=proxy, decode_text=False, max_msg_size=MAX_FRAME_BYTES, autoping=True
        )
    except BaseException as error:
        await session.close()
        # Raised below, because the library's error carries the headers with the signature in its repr.
        refusal = _refusal(error, urlsplit(url).netloc.rpartition("@")[2])
        if refusal is None:
            raise
        failure = refusal
    else:
        return AiohttpSocket(session, socket)
    raise failure


def _no_redirects() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()

    async def refuse(
        _session: aiohttp.ClientSession, _context: SimpleNamespace, params: aiohttp.TraceRequestRedirectParams
    ) -> None:
        status = params.response.status
        raise RedirectError(
            "the WebSocket handshake was answered by a redirect",
            remedy="The key was not sent on; check --exchange",
            status=status,
        )

    trace.on_request_redirect.append(refuse)
    return trace


def _refusal(error: BaseException, host: str) -> KalshiError | None:
    """Return what a failed handshake means; None for an error that is none of the connection's."""
    if isinstance(error, KalshiError):
        return error
    if isinstance(error, aiohttp.WSServerHandshakeError):
        status = error.status
        remedy = "Check that key id and private key belong together" if status in (401, 403) else "Try again later"
        return error_for_status(status)(f"the WebSocket at {host} answered {status}", remedy=remedy, status=status)
    if isinstance(error, TimeoutError):
        return TransportError(f"{host} did not answer in time", remedy="Check the network", kind="time-out")
    if isinstance(error, aiohttp.ClientError | OSError):
        return TransportError(f"cannot connect to {host} ({type(error).__name__})", remedy="Check --exchange")
    return None

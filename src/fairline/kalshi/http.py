"""Send requests and receive complete answers: the only file of the client that imports the HTTP library."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from isal import igzip_lib, isal_zlib

from fairline.kalshi.errors import KalshiError, RedirectError, ResponseError, TransportError, error_for_status
from fairline.kalshi.redaction import show_value
from fairline.kalshi.security import is_loopback

MAX_BYTES = 1 << 26
"""A longer answer, compressed or not, is not from the exchange: its largest page is 3 MB."""

# The library's type stubs declare the exception as a value.
_DAMAGED = cast("type[Exception]", igzip_lib.IsalError)

GZIP = b"\x1f\x8b"
"""The first bytes of a gzip stream. JSON never begins like this."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request: an absolute URL and headers, which are never logged because they carry the signature."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer. A body cut off on the way is an error, not a response.

    The body is either `plain` or `packed`, a gzip stream. The stream is kept because it is small, and the journal
    stores it.
    """

    status: int
    headers: Mapping[str, str]
    plain: bytes = field(repr=False, default=b"")
    packed: bytes = field(repr=False, default=b"")

    @property
    def body(self) -> bytes:
        """The unpacked body. Raises `ResponseError` if it cannot be unpacked."""
        return bytes(Unpacker()(self.packed)) if self.packed else self.plain

    @property
    def received(self) -> int:
        """Bytes on the wire."""
        return len(self.packed or self.plain)


Send = Callable[[HttpRequest], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to connect, seconds without a single byte, and seconds in total before a request is given up."""

    connect_s: float = 10.0
    silence_s: float = 20.0
    total_s: float = 60.0


class AiohttpSend:
    """`Send` over the network.

    Redirects are not followed: a signature is valid for one path on one host. Proxies are those of the environment
    (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`), never for loopback addresses.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeout = aiohttp.ClientTimeout(
            total=timeouts.total_s, sock_connect=timeouts.connect_s, sock_read=timeouts.silence_s
        )
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, request: HttpRequest) -> Response:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=self._timeout,
                headers={"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "fairline"},
                # The journal stores bodies as received, and a truncated gzip stream must be noticed.
                auto_decompress=False,
                connector=aiohttp.TCPConnector(limit=32),
                middlewares=(_forbid_silent_retry,),
            )
        try:
            async with self._session.request(
                request.method,
                request.url,
                headers=request.headers,
                allow_redirects=False,
                proxy=find_proxy(request.url),
            ) as answer:
                return await _read_response(answer)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _network_error(error, _host_of(request.url)) from error

    async def download(self, request: HttpRequest, write: Callable[[bytes], object]) -> Response:
        """Pass a body of any size to `write` piece by piece, as it arrives and still compressed; of 200 answers only.

        The response has the status and headers. Its total time is not limited, only its silence.
        """
        timeout = aiohttp.ClientTimeout(sock_connect=self._timeout.sock_connect, sock_read=self._timeout.sock_read)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
                session.request(
                    request.method,
                    request.url,
                    headers=request.headers,
                    allow_redirects=False,
                    proxy=find_proxy(request.url),
                ) as answer,
            ):
                if answer.status == 200:
                    async for piece in answer.content.iter_chunked(1 << 20):
                        write(piece)
                return Response(answer.status, dict(answer.headers))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _network_error(error, _host_of(request.url)) from error

    @asynccontextmanager
    async def websocket(
        self, url: str, headers: Mapping[str, str], **options: Any
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a WebSocket. `options` are those of `aiohttp.ClientSession.ws_connect`.

        Raises `RedirectError` for a redirect, which is not followed, and the error of its status for a refusal.
        """
        refused = 0
        timeout = aiohttp.ClientTimeout(sock_connect=self._timeout.sock_connect)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, middlewares=(_forbid_redirect,)) as session,
                session.ws_connect(url, headers=headers, proxy=find_proxy(url), **options) as socket,
            ):
                yield socket
                return
        except aiohttp.WSServerHandshakeError as error:
            refused = error.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _network_error(error, _host_of(url)) from error
        # Raised outside the handler, because the library's error has the headers with the signature in its repr.
        raise error_for_status(refused)(f"the WebSocket at {_host_of(url)} answered {refused}", status=refused)

    async def handshake(self, url: str, headers: Mapping[str, str]) -> None:
        """Open a WebSocket and close it again. Raises `KalshiError`."""
        async with self.websocket(url, headers):
            return

    async def close(self) -> None:
        session = self._session
        self._session = None
        if session is not None:
            await session.close()


def find_proxy(url: str) -> str | None:
    """Return the proxy that the environment names for a URL. Raises `KalshiError` for an unsupported proxy."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host or is_loopback(host) or proxy_bypass(host):
        return None
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if proxy and urlsplit(proxy).scheme not in ("http", "https"):
        raise KalshiError(
            f"unsupported proxy {show_value(proxy)}: expected an http:// or https:// address",
            remedy="Set HTTPS_PROXY to an HTTP proxy, or NO_PROXY to skip it",
        )
    return proxy or None


def _host_of(url: str) -> str:
    """Return host and port of a URL, without user information."""
    return urlsplit(url).netloc.rpartition("@")[2]


async def _forbid_silent_retry(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Convert errors that the HTTP library would retry by itself, with the old signature and without a token."""
    try:
        return await send(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if isinstance(error, aiohttp.ClientConnectorError):
            raise
        raise _network_error(error, request.url.authority) from error


async def _forbid_redirect(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Raise `RedirectError` before the HTTP library sends the signed headers to another address."""
    answer = await send(request)
    if 300 <= answer.status < 400:
        location = answer.headers.get("Location", "elsewhere")
        answer.close()
        raise RedirectError(
            f"the WebSocket at {request.url.host} answered with a redirect to {show_value(location)}",
            remedy="Use that address as the exchange, if you trust it",
            status=answer.status,
        )
    return answer


async def _read_response(answer: aiohttp.ClientResponse) -> Response:
    """Read the body to its end. Raises `ResponseError` if it is too long or packed in an unexpected way."""
    parts: list[bytes] = []
    length = 0
    async for part in answer.content.iter_any():
        parts.append(part)
        length += len(part)
        if length > MAX_BYTES:
            answer.close()
            raise ResponseError(f"the answer is longer than {MAX_BYTES >> 20} MiB and was given up")
    body = b"".join(parts)
    packing = answer.headers.get("Content-Encoding", "")
    if packing in ("", "identity"):
        return Response(answer.status, answer.headers, body)
    if packing != "gzip":
        raise ResponseError(f"unexpected Content-Encoding {packing}: expected gzip", remedy="Check the proxy")
    return Response(answer.status, answer.headers, packed=body)


class Unpacker:
    """Unpack gzip streams into one reused buffer. What it returns is valid until the next call.

    Fetching fresh memory from the operating system for every page takes longer than unpacking the page.
    """

    CHUNK_BYTES = 1 << 17

    def __init__(self) -> None:
        self._buffer = bytearray()

    def __call__(self, packed: bytes) -> memoryview:
        """Raises `ResponseError` if `packed` is not a complete gzip stream, or is longer than `MAX_BYTES`."""
        stream = isal_zlib.decompressobj(wbits=31)
        length = 0
        rest = packed
        while not stream.eof:
            try:
                chunk = stream.decompress(rest, self.CHUNK_BYTES)
            except _DAMAGED as error:
                raise ResponseError(f"the compressed answer is damaged ({error})", remedy="Try again") from error
            rest = stream.unconsumed_tail
            if not chunk and not rest and not stream.eof:
                raise ResponseError("the compressed answer is truncated", remedy="Try again")
            if length + len(chunk) > MAX_BYTES:
                raise ResponseError(f"the compressed answer is longer than {MAX_BYTES >> 20} MiB and was given up")
            self._reserve(length, len(chunk))
            self._buffer[length : length + len(chunk)] = chunk
            length += len(chunk)
            if stream.eof and stream.unused_data.startswith(GZIP):
                # A stream may have several members, whose contents are concatenated (RFC 1952, 2.2).
                rest = stream.unused_data
                stream = isal_zlib.decompressobj(wbits=31)
        return memoryview(self._buffer)[:length]

    def _reserve(self, length: int, more: int) -> None:
        if length + more > len(self._buffer):
            # A new buffer, because views of the old one may still be in use.
            grown = bytearray(max(2 * len(self._buffer), length + more, 1 << 16))
            grown[:length] = memoryview(self._buffer)[:length]
            self._buffer = grown


def _network_error(error: Exception, host: str) -> KalshiError:
    cause = error.__cause__ or error
    if isinstance(error, TimeoutError):
        return TransportError(
            f"{host} did not answer in time", remedy="Check the network, or try again later", kind="time-out"
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return TransportError(
            f"the name {host} cannot be resolved",
            remedy="Check the exchange's address and the network connection",
            kind="name",
        )
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError | ssl.SSLError):
        return TransportError(
            f"no secure connection to {host}: {cause}",
            remedy="Check the machine's clock, certificates and proxy",
            kind="tls",
        )
    if isinstance(error, aiohttp.InvalidURL):
        return KalshiError(f"{show_value(host or error)} is not a valid address", remedy="Check the exchange's address")
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError):
        return _connection_error(error, host)
    return TransportError(f"the connection to {host} broke ({cause or type(error).__name__})", remedy="Try again")


def _connection_error(error: aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError, host: str) -> TransportError:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return TransportError(
            f"the proxy refused the connection to {host} ({error.status})", remedy="Check HTTPS_PROXY and its sign-in"
        )
    reason = error.os_error.strerror or "connection failed"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return TransportError(
            f"cannot connect to the proxy for {host} ({reason})",
            remedy="Check HTTPS_PROXY, or set NO_PROXY to skip it",
            kind="connection",
        )
    return TransportError(
        f"cannot connect to {host} ({reason})",
        remedy="Check the exchange's address, and that it is running",
        kind="connection",
    )

"""How bytes get to the exchange and back: the only file of the client that imports the HTTP library."""

import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import aiohttp
from isal import igzip_lib, isal_zlib

from fairline.kalshi.errors import KalshiError, ResponseError, TransportError, error_for_status

MAX_BYTES = 1 << 26
"""More than this, compressed or not, is no answer of the exchange: its largest page is 3 MB."""

# The library's own description of its types takes the exception for a value.
_DAMAGED = cast("type[Exception]", igzip_lib.IsalError)

GZIP = b"\x1f\x8b"
"""How a gzip stream begins, and JSON never does."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What is sent: an absolute URL and headers (never logged, they carry the signature)."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """What came back, whole: a body cut off on the way is an error, not a response. The body came either
    `plain` or `packed` as a gzip stream, which is kept as it is: it is small, and is what a journal wants.
    """

    status: int
    headers: Mapping[str, str]
    plain: bytes = field(repr=False, default=b"")
    packed: bytes = field(repr=False, default=b"")

    @property
    def body(self) -> bytes:
        """The content. Raises `ResponseError` if it is packed and cannot be unpacked."""
        return bytes(Unpacker()(self.packed)) if self.packed else self.plain

    @property
    def received(self) -> int:
        """Bytes on the wire."""
        return len(self.packed or self.plain)


Send = Callable[[HttpRequest], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to connect, and seconds without a single byte before a request is given up."""

    connect_s: float = 10.0
    silence_s: float = 20.0
    total_s: float = 60.0


class AiohttpSend:
    """`Send` over the network. Redirects are not followed: a signature is made for one path on one host."""

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
                # Bodies are kept as they came for the journal, and a compressed one that is cut off has to be noticed.
                auto_decompress=False,
                connector=aiohttp.TCPConnector(limit=32),
                middlewares=(_no_silent_repeat,),
            )
        try:
            async with self._session.request(
                request.method, request.url, headers=request.headers, allow_redirects=False
            ) as answer:
                return await _whole(answer)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _network_error(error, urlsplit(request.url).netloc.rpartition("@")[2]) from error

    async def handshake(self, url: str, headers: Mapping[str, str]) -> None:
        host, refused = urlsplit(url).netloc, 0
        try:
            async with (
                aiohttp.ClientSession(timeout=self._timeout) as session,
                session.ws_connect(url, headers=headers),
            ):
                return
        except aiohttp.WSServerHandshakeError as error:
            refused = error.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _network_error(error, host) from error
        # Raised out here, because the library's error carries the headers with the signature in its repr.
        raise error_for_status(refused)(f"the WebSocket at {host} answered {refused}", status=refused)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


async def _no_silent_repeat(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """The HTTP library repeats a GET on its own after a reset, with the old signature and without a token. Hand it
    an error that it does not know, and the repeating is ours.
    """
    try:
        return await send(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if isinstance(error, aiohttp.ClientConnectorError):
            raise
        raise _network_error(error, request.url.authority) from error


async def _whole(answer: aiohttp.ClientResponse) -> Response:
    """The response with its body, unpacked. Raises `ResponseError` for one that is too long or cut off."""
    parts, length = [], 0
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
        raise ResponseError(f"the answer is packed as {packing}, which was not asked for", remedy="Check the proxy")
    return Response(answer.status, answer.headers, packed=body)


class Unpacker:
    """Unpacks gzip streams into one buffer, used again and again: it takes longer to get fresh memory for every page
    from the operating system than to unpack the page. What it returns is good until the next call.
    """

    _PIECE = 1 << 17

    def __init__(self) -> None:
        self._buffer = bytearray()

    def __call__(self, packed: bytes) -> memoryview:
        """Raises `ResponseError` if `packed` is no gzip stream, not whole, or longer than `MAX_BYTES`."""
        stream, length, rest = isal_zlib.decompressobj(wbits=31), 0, packed
        while not stream.eof:
            try:
                piece = stream.decompress(rest, self._PIECE)
            except _DAMAGED as error:
                raise ResponseError(f"the compressed answer is damaged ({error})", remedy="Try again") from None
            rest = stream.unconsumed_tail
            if not piece and not rest and not stream.eof:
                raise ResponseError("the compressed answer ends too early", remedy="Try again")
            if length + len(piece) > MAX_BYTES:
                raise ResponseError(f"the compressed answer is longer than {MAX_BYTES >> 20} MiB and was given up")
            self._make_room(length, len(piece))
            self._buffer[length : length + len(piece)] = piece
            length += len(piece)
            if stream.eof and stream.unused_data.startswith(GZIP):
                # A stream may have several members: what they hold follows each other (RFC 1952, 2.2).
                stream, rest = isal_zlib.decompressobj(wbits=31), stream.unused_data
        return memoryview(self._buffer)[:length]

    def _make_room(self, length: int, more: int) -> None:
        if length + more > len(self._buffer):
            # A new one, not a longer one: somebody may still be looking at the old one.
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
            remedy="Check --exchange and the network connection",
            kind="name",
        )
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError | ssl.SSLError):
        return TransportError(
            f"no secure connection to {host}: {cause}",
            remedy="Check the machine's clock, certificates and proxy",
            kind="tls",
        )
    if isinstance(error, aiohttp.InvalidURL):
        return KalshiError(f"{host or error} is not a valid address", remedy="Check --exchange")
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror or "connection failed"
        return TransportError(
            f"cannot connect to {host} ({reason})",
            remedy="Check --exchange and that it is running",
            kind="connection",
        )
    return TransportError(f"the connection to {host} broke ({cause or type(error).__name__})", remedy="Try again")

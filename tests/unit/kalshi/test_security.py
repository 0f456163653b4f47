"""Signatures go to the exchange only: not in the clear, not along a redirect, and through the user's proxy."""

import asyncio

import pytest
from aiohttp import web  # noqa: TID251 (the servers of these tests)

from fairline.kalshi import ApiKeyAuth, KalshiError, Transport
from fairline.kalshi.errors import RedirectError
from fairline.kalshi.http import AiohttpSend, HttpRequest, Timeouts, find_proxy
from fairline.kalshi.security import is_loopback, require_secure
from fairline.kalshi.wire import exchange_status
from fairline.sim import Exchange, Fault

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST."])
def test_loopback_hosts(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "example.com", "10.0.0.1", "localhost.example.com", "127.0.0.1.example.com"])
def test_other_hosts(host):
    assert not is_loopback(host)


async def test_a_signature_is_not_sent_over_plain_http(rsa_key, unhurried):
    async def send(request):
        raise AssertionError("nothing may be sent")

    transport = Transport(
        "http://example.com/trade-api/v2", auth=ApiKeyAuth("id", rsa_key), send=send, bucket=unhurried
    )
    with pytest.raises(KalshiError, match="refusing to send a signature over plain http to example.com"):
        await transport.get("/portfolio/balance", decode=exchange_status)
    with pytest.raises(KalshiError, match="refusing"):
        await transport.once("/portfolio/balance", {"KALSHI-ACCESS-KEY": "id"})
    with pytest.raises(KalshiError, match="plain ws"):
        await transport.handshake("ws://example.com/trade-api/ws/v2", "/trade-api/ws/v2")
    require_secure("https://example.com")
    require_secure("ws://127.0.0.1:80/x")


async def test_the_handshake_does_not_follow_a_redirect_with_its_signature(rsa_key, unhurried):
    arrived = []

    async def thief(request):
        arrived.append(dict(request.headers))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        return socket

    app = web.Application()
    app.router.add_get("/{path:.*}", thief)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    target = f"http://127.0.0.1:{runner.addresses[0][1]}/steal"

    async def redirect(request):
        return web.Response(status=302, headers={"Location": target})

    front = web.Application()
    front.router.add_get("/{path:.*}", redirect)
    front_runner = web.AppRunner(front)
    await front_runner.setup()
    await web.TCPSite(front_runner, "127.0.0.1", 0).start()
    url = f"ws://127.0.0.1:{front_runner.addresses[0][1]}/trade-api/ws/v2"
    transport = Transport("http://127.0.0.1/trade-api/v2", auth=ApiKeyAuth("id", rsa_key), bucket=unhurried)
    try:
        with pytest.raises(RedirectError):
            await transport.handshake(url, "/trade-api/ws/v2")
        with pytest.raises(RedirectError):
            await _read_status(url.replace("ws://", "http://"))
    finally:
        await transport.close()
        await front_runner.cleanup()
        await runner.cleanup()
    assert arrived == []


async def _read_status(url):
    transport = Transport(url.rsplit("/trade-api", 1)[0] + "/trade-api/v2")
    async with transport:
        await transport.get("/exchange/status", decode=exchange_status)


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({"HTTPS_PROXY": "http://proxy:3128"}, "https://external-api.kalshi.com/x", "http://proxy:3128"),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "wss://external-api-ws.kalshi.com/x", "http://proxy:3128"),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "http://example.com/x", None),
        ({"ALL_PROXY": "http://proxy:1"}, "https://example.com/x", "http://proxy:1"),
        ({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": ".kalshi.com"}, "https://external-api.kalshi.com/x", None),
        ({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "*"}, "https://example.com/x", None),
        ({"HTTP_PROXY": "http://proxy:1"}, "http://127.0.0.1:8080/x", None),
        ({}, "https://example.com/x", None),
    ],
)
def test_the_proxy_is_that_of_the_environment(monkeypatch, environment, url, proxy):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert find_proxy(url) == proxy


def test_an_unsupported_proxy_is_named_without_its_password(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:hunter2@proxy:1080")
    with pytest.raises(KalshiError, match="unsupported proxy") as caught:
        find_proxy("https://example.com")
    assert "hunter2" not in str(caught.value)


async def test_requests_go_through_the_proxy(monkeypatch):
    seen = []

    async def handle(reader, writer):
        seen.append((await reader.readline()).decode().split()[:2])
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    send = AiohttpSend(Timeouts(1, 1, 2))
    with pytest.raises(KalshiError, match="proxy refused the connection to example.com"):
        await send(HttpRequest("GET", "https://example.com/x", {}))
    await send.close()
    server.close()
    await server.wait_closed()
    assert seen == [["CONNECT", "example.com:443"]]


async def test_the_doctor_does_not_call_a_redirected_handshake_healthy(rsa_pem, rsa_key):
    from fairline.sim import Key
    from tests.flow.test_doctor import examine, public, setup_of

    with Exchange(markets=5, keys=[Key("good", public(rsa_pem))], faults=[Fault("feed-redirect")]) as place:
        diagnosis = await examine(setup_of(place, rsa_key))
    check = next(check for check in diagnosis.checks if check.name == "websocket")
    assert check.status == "warn"
    assert "redirect" in check.evidence

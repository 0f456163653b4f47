"""A server of feed frames in its own process: as fast as it can, or at a steady rate with the time of sending.

`python -m benchmarks.feed_server burst COUNT FILE` sends the frames of a file (one a line) again and again;
`python -m benchmarks.feed_server steady RATE MARKETS` sends tickers of random markets. Both print their port.
"""

import asyncio
import contextlib
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from aiohttp import WSMsgType, web

Frames = Callable[[], AsyncIterator[str]]


def ticker_name(number: int) -> str:
    return f"KXBENCH-26DEC31-T{number}"


def burst(count: int, path: Path) -> Frames:
    frames = path.read_text().splitlines()

    async def send() -> AsyncIterator[str]:
        for number in range(count):
            yield frames[number % len(frames)]

    return send


def steady(rate: int, markets: int) -> Frames:
    rng = random.Random(1)

    async def send() -> AsyncIterator[str]:
        began, sent = time.monotonic(), 0
        while True:
            await asyncio.sleep(0.002)
            for _ in range(int((time.monotonic() - began) * rate) - sent):
                sent += 1
                bid = rng.randrange(39, 42)
                body = {
                    "market_ticker": ticker_name(rng.randrange(markets)),
                    "yes_bid_dollars": f"0.{bid:02d}00",
                    "yes_ask_dollars": f"0.{bid + 1:02d}00",
                    "yes_bid_size_fp": f"{rng.randrange(1, 900)}.00",
                    "yes_ask_size_fp": f"{rng.randrange(1, 900)}.00",
                    "ts_ms": int(time.time() * 1000),
                }
                yield json.dumps({"type": "ticker", "sid": 1, "msg": body})

    return send


async def serve(frames: Frames) -> None:
    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        sending: asyncio.Task[None] | None = None

        async def send_all() -> None:
            with contextlib.suppress(ConnectionError):
                async for frame in frames():
                    await socket.send_str(frame)
                await socket.close()

        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            command = json.loads(message.data)
            if command["cmd"] != "subscribe":
                await socket.send_str(json.dumps({"type": "ok", "id": command["id"], "msg": []}))
                continue
            channel = command["params"].get("channels", ["ticker"])[0]
            sid = 2 if channel == "orderbook_delta" else 1
            await socket.send_str(
                json.dumps({"type": "subscribed", "id": command["id"], "msg": {"channel": channel, "sid": sid}})
            )
            if sending is None:
                sending = asyncio.create_task(send_all())
        return socket

    app = web.Application()
    app.router.add_get("/{anything:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    mode, number, more = sys.argv[1:]
    asyncio.run(serve(burst(int(number), Path(more)) if mode == "burst" else steady(int(number), int(more))))

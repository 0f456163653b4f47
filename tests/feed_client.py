"""A feed client that is not ours: what the simulated exchange sends, as it came."""

import json
import time

import aiohttp


async def feed(exchange, member, *commands, seconds=2.0, then=None, together=False, count=None):
    """Return the messages of the feed within `seconds` of these commands.

    Each command waits for the answer to the one before, unless all are sent `together`. `then` is called when two
    thirds of the time are over. With a `count`, return as soon as that many messages have arrived.
    """
    headers = member.headers("GET", "/trade-api/ws/v2")
    received, waiting = [], list(enumerate(commands, 1))
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(exchange.websocket_url, headers=headers) as socket,
    ):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if waiting and (together or not received or is_answer(received[-1])):
                number, command = waiting.pop(0)
                await socket.send_str(command if isinstance(command, str) else json.dumps({"id": number} | command))
                if together:
                    continue
            try:
                message = await socket.receive(timeout=left)
            except TimeoutError:
                break
            if message.type is not aiohttp.WSMsgType.TEXT:
                received.append({"type": "closed"})
                break
            received.append(json.loads(message.data))
            if len(received) == count:
                break
            if then is not None and left < seconds / 3:
                then()
                then = None
    return received


def is_answer(message):
    return message["type"] in ("subscribed", "ok", "unsubscribed", "error")


def subscribe(*channels, **params):
    return {"cmd": "subscribe", "params": {"channels": list(channels)} | params}


def update(sid, action, **params):
    return {"cmd": "update_subscription", "params": {"sid": sid, "action": action} | params}

"""The one function that does the reading for all models."""

import asyncio
import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from fairline.errors import InputError
from fairline.kalshi import KalshiError, Timeouts
from fairline.kalshi.http import AiohttpSend, Send
from fairline.kalshi.http import Request as Asked
from fairline.sources.payload import Payload, Request

_PAUSES_S = (0.5, 2.0)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

Kept = dict[Request, Payload]
"""Payloads of before, for as long as they may be used again."""


async def fetch(requests: Iterable[Request], kept: Kept | None = None) -> Mapping[Request, Payload | InputError]:
    """Every distinct request's payload, or the reason why there is none: one failing input stops no other.

    What is young enough among the `kept` is used again, and they are then those of these requests only.
    """
    distinct, now = list(dict.fromkeys(requests)), datetime.now(UTC)
    young = {
        request: payload
        for request, payload in (kept or {}).items()
        if request in set(distinct) and (now - payload.fetched_ts).total_seconds() < request.max_age_s
    }
    wanted = [request for request in distinct if request not in young]
    results = await _get_all(wanted)
    made = young | dict(zip(wanted, results, strict=True))
    if kept is not None:
        kept.clear()
        kept |= {r: p for r, p in made.items() if isinstance(p, Payload) and r.max_age_s > 0}
    return made


async def _get_all(requests: list[Request]) -> list[Payload | InputError]:
    send = AiohttpSend(Timeouts(connect_s=10, silence_s=10, total_s=30))
    try:
        return await asyncio.gather(*(_get(request, send) for request in requests))
    finally:
        await send.close()


async def _get(request: Request, send: Send) -> Payload | InputError:
    if request.source == "file":
        return await asyncio.to_thread(_read, request)
    if request.source != "https":
        return InputError(f"the source {request.source!r} is not known", remedy="Known sources: file, https")
    try:
        parts = urlsplit(request.key)
    except ValueError:
        return InputError(f"{request.shown} cannot be asked", remedy="Check the model's requests")
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        return InputError(f"{request.shown} is no https address", remedy="What is read must not be changed on the way")
    return await _ask(request, send)


async def _ask(request: Request, send: Send) -> Payload | InputError:
    """What an address answers, asked again after what may pass."""
    why = ""
    for pause in (*_PAUSES_S, None):
        try:
            response = await send(Asked("GET", request.key, {}))
            if response.status == 200:
                return Payload(request, datetime.now(UTC), response.body)
            why = f"it answered {response.status}"
            if response.status not in (429, 500, 502, 503, 504):
                break
        except KalshiError as error:
            why = error.message
        except ValueError:  # a name that no name server takes
            why = "that is no address"
            break
        if pause is not None:
            await asyncio.sleep(random.uniform(0, pause))
    return InputError(f"{request.shown} could not be read ({why})", remedy="Try again later")


def _read(request: Request) -> Payload | InputError:
    path = Path(request.key)
    try:
        return Payload(request, datetime.now(UTC), path.read_bytes())
    except FileNotFoundError:
        return InputError(f"the file {path} does not exist", remedy="Check the path")
    except ValueError as error:
        return InputError(f"{request.key!r} is no path ({error})", remedy="Check the model's requests")
    except OSError as error:
        return InputError(f"the file {path} cannot be read ({error.strerror})", remedy="Check the path and permissions")

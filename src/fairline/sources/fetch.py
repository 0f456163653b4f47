"""The one function that does the reading for all models."""

import asyncio
import random
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

from fairline.errors import FairlineError, InputError
from fairline.kalshi import KalshiError, Timeouts
from fairline.kalshi.http import AiohttpSend, Send
from fairline.kalshi.http import Request as Asked
from fairline.sources.payload import Payload, Request
from fairline.sources.shelf import Shelf

_PAUSES_S = (0.5, 2.0)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_KEY = re.compile(r"\{key:([^{}]*)\}")

Fetched = Mapping[Request, Payload | InputError]


def _no_keys(name: str) -> str:
    raise InputError(f"there is no key {name!r}", remedy=f'Put {name} = "env:NAME" under [keys] in fairline.toml')


@dataclass(slots=True)
class Sources:
    """By what means inputs are got. `keys` gives the secret that a request names, or raises a `FairlineError`.

    What is young enough is used again: from memory, and with a `cache` from the runs before. `offline` asks nobody and
    takes what there is, however old. A `record` is given everything that was used.
    """

    keys: Callable[[str], str] = _no_keys
    cache: Shelf | None = None
    record: Shelf | None = None
    offline: bool = False
    kept: dict[Request, Payload] = field(default_factory=dict, repr=False)


async def fetch(requests: Iterable[Request], sources: Sources | None = None) -> Fetched:
    """Every distinct request's payload, or the reason why there is none: one failing input stops no other."""
    sources = Sources() if sources is None else sources
    distinct, now = list(dict.fromkeys(requests)), datetime.now(UTC)
    there = {request: payload for request in distinct if (payload := _there(request, sources, now)) is not None}
    wanted = [request for request in distinct if request not in there]
    made: dict[Request, Payload | InputError] = {
        **there,
        **dict(zip(wanted, await _get_all(wanted, sources), strict=True)),
    }
    got = {request: payload for request, payload in made.items() if isinstance(payload, Payload)}
    sources.kept.clear()
    sources.kept |= {request: payload for request, payload in got.items() if request.max_age_s > 0}
    for request, payload in got.items():
        # What cannot be kept is only got again.
        with suppress(OSError):
            if sources.cache is not None and request in wanted and request.max_age_s > 0:
                sources.cache.put(payload)
    if sources.record is not None:
        _record(sources.record, got.values())
    return made


def replay(requests: Iterable[Request], shelf: Shelf) -> Fetched:
    """The payloads that were recorded there, with the times of then, for an evaluation as of then."""
    missing = "{} was not recorded there"
    return {
        request: shelf.get(request) or InputError(missing.format(request.shown), remedy="Record it with --record")
        for request in dict.fromkeys(requests)
    }


def _there(request: Request, sources: Sources, now: datetime) -> Payload | None:
    """What is used again. Files are read again, as they may have changed."""
    if request.source == "file":
        return _young(sources.kept.get(request), request, now)
    payload = _young(sources.kept.get(request), request, now)
    if payload is None and sources.cache is not None:
        cached = sources.cache.get(request)
        payload = cached if sources.offline else _young(cached, request, now)
    return payload


def _young(payload: Payload | None, request: Request, now: datetime) -> Payload | None:
    return payload if payload and (now - payload.fetched_ts).total_seconds() < request.max_age_s else None


def _record(shelf: Shelf, payloads: Iterable[Payload]) -> None:
    try:
        for payload in payloads:
            shelf.put(payload)
    except OSError as error:
        raise InputError(
            f"the inputs cannot be recorded in {shelf.folder} ({error.strerror})", remedy="Check --record"
        ) from None


async def _get_all(requests: list[Request], sources: Sources) -> list[Payload | InputError]:
    send = AiohttpSend(Timeouts(connect_s=10, silence_s=10, total_s=30))
    try:
        return await asyncio.gather(*(_get(request, send, sources) for request in requests))
    finally:
        await send.close()


async def _get(request: Request, send: Send, sources: Sources) -> Payload | InputError:
    if request.source == "file":
        return await asyncio.to_thread(_read, request)
    if request.source != "https":
        return InputError(f"the source {request.source!r} is not known", remedy="Known sources: file, https")
    if _needless(request):
        return InputError(f"{request.shown} was not asked, as there is a file", remedy="Remove the file to ask it")
    if sources.offline:
        return InputError(f"{request.shown} was never read before", remedy="Run once without --offline")
    try:
        return await _ask(request, _address(request, sources), send)
    except FairlineError as error:
        return InputError(error.message, remedy=error.remedy)


def _address(request: Request, sources: Sources) -> str:
    """What is asked, with the secrets that it names. Raises a `FairlineError`."""
    try:
        parts = urlsplit(_KEY.sub("key", request.key))
    except ValueError:
        raise InputError(f"{request.shown} cannot be asked", remedy="Check the model's requests") from None
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise InputError(f"{request.shown} is no https address", remedy="What is read must not be changed on the way")
    try:
        return _KEY.sub(lambda found: quote(sources.keys(found[1]), safe=""), request.key)
    except FairlineError as error:
        raise InputError(f"{request.shown} needs a key: {error.message}", remedy=error.remedy) from None


async def _ask(request: Request, address: str, send: Send) -> Payload | InputError:
    """What an address answers, asked again after what may pass. The address may hold a secret: it is never told."""
    why = ""
    for pause in (*_PAUSES_S, None):
        try:
            response = await send(Asked("GET", address, {}))
            if response.status == 200:
                return Payload(request, datetime.now(UTC), response.body)
            why = f"it answered {response.status}"
            if response.status in (401, 403):
                why += ", so the key may be wrong" if _KEY.search(request.key) else ""
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


def _needless(request: Request) -> bool:
    return any(Path(path).is_file() for path in request.unless)


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

"""The one function that does the reading for all models."""

import asyncio
import random
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, quote_plus, urlsplit

from fairline.errors import FairlineError, InputError
from fairline.kalshi import KalshiError, Timeouts
from fairline.kalshi.http import AiohttpSend, HttpRequest, Send
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
    # What several want is got once, as new as the one who wants it newest.
    newest: dict[tuple[str, str], Request] = {}
    for request in sorted(distinct, key=lambda request: request.max_age_s, reverse=True):
        newest[request.source, request.key] = request
    wanted = list(newest.values())
    got = {request: found for request in wanted if (found := _there(request, sources, now)) is not None}
    missing = [request for request in wanted if request not in got]
    made: dict[Request, Payload | InputError] = {**got}
    made |= dict(zip(missing, await _get_all(missing, sources), strict=True))
    for request, payload in made.items():
        # What cannot be kept is only got again.
        with suppress(OSError):
            fresh = request not in got and request.source == "https"
            if sources.cache is not None and fresh and isinstance(payload, Payload):
                sources.cache.put(payload)
    read = [payload for payload in made.values() if isinstance(payload, Payload)]
    sources.kept.clear()
    sources.kept |= {payload.request: payload for payload in read if payload.request.max_age_s > 0}
    if sources.record is not None:
        _record(sources.record, read)
    given = {request: made[newest[request.source, request.key]] for request in distinct}
    return {r: replace(p, request=r) if isinstance(p, Payload) else p for r, p in given.items()}


def replay(requests: Iterable[Request], shelf: Shelf) -> Fetched:
    """The payloads that were recorded there, with the times of then, for an evaluation as of then."""
    missing = "{} was not recorded there"
    return {
        request: shelf.get(request) or InputError(missing.format(request.shown), remedy="Record it with --record")
        for request in dict.fromkeys(requests)
    }


def _there(request: Request, sources: Sources, now: datetime) -> Payload | None:
    """What is used again. A file is read again in another run: it is there."""
    if request.source == "file":
        return _young(sources.kept.get(request), request, now)
    payload = _young(sources.kept.get(request), request, now)
    if payload is None and sources.cache is not None:
        cached = sources.cache.get(request)
        payload = cached if sources.offline else _young(cached, request, now)
    return payload


def _young(payload: Payload | None, request: Request, now: datetime) -> Payload | None:
    """One of the future was got before the clock was set back: nobody knows how old it is."""
    age_s = (now - payload.fetched_ts).total_seconds() if payload else -1.0
    return payload if 0 <= age_s < request.max_age_s else None


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
    secrets: dict[str, str] = {}
    try:
        answer = await _ask(request, _address(request, sources, secrets), send)
    except FairlineError as error:
        answer = InputError(error.message, remedy=error.remedy)
    except ValueError:  # a secret that no address can hold
        return InputError(f"{request.shown} cannot be asked", remedy="Check the key that it needs")
    return _hidden(answer, secrets) if isinstance(answer, InputError) else answer


def _hidden(error: InputError, secrets: Mapping[str, str]) -> InputError:
    """The error without the secrets: other people's words may repeat what was asked."""
    message = error.message
    for name, value in secrets.items():
        for form in (value, quote(value, safe=""), quote(value), quote_plus(value)):
            message = message.replace(form, f"{{key:{name}}}") if form else message
    return InputError(message, remedy=error.remedy)


def _address(request: Request, sources: Sources, secrets: dict[str, str]) -> str:
    """What is asked, with the secrets that it names, which are noted. Raises a `FairlineError` or `ValueError`."""

    def secret(found: re.Match[str]) -> str:
        secrets[found[1]] = sources.keys(found[1])
        return quote(secrets[found[1]], safe="")

    try:
        parts, named = urlsplit(_KEY.sub("key", request.key)), urlsplit(_KEY.sub("\x01", request.key))
    except ValueError:
        raise InputError(f"{request.shown} cannot be asked", remedy="Check the model's requests") from None
    if not parts.hostname or parts.netloc != named.netloc:
        raise InputError("an address without a plain host cannot be asked", remedy="Check the model's requests")
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise InputError(f"{request.shown} is no https address", remedy="What is read must not be changed on the way")
    try:
        return _KEY.sub(secret, request.key)
    except FairlineError as error:
        raise InputError(f"{request.shown} needs a key: {error.message}", remedy=error.remedy) from None


async def _ask(request: Request, address: str, send: Send) -> Payload | InputError:
    """What an address answers, asked again after what may pass. The address may hold a secret: it is never told."""
    why = ""
    for pause in (*_PAUSES_S, None):
        try:
            response = await send(HttpRequest("GET", address, {}))
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
        if path.exists() and not path.is_file():
            return InputError(f"{path} is no regular file", remedy="Check the path")
        # What it says is as old as the file, whenever it is read.
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return Payload(request, written, path.read_bytes())
    except FileNotFoundError:
        return InputError(f"the file {path} does not exist", remedy="Check the path")
    except ValueError as error:
        return InputError(f"{request.key!r} is no path ({error})", remedy="Check the model's requests")
    except OSError as error:
        return InputError(f"the file {path} cannot be read ({error.strerror})", remedy="Check the path and permissions")

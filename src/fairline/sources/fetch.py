"""The one function that reads inputs for all models."""

import asyncio
import random
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from urllib.parse import quote, quote_plus, urlsplit

from fairline.errors import FairlineError, InputError
from fairline.kalshi import KalshiError, Timeouts
from fairline.kalshi.http import AiohttpSend, HttpRequest, Send
from fairline.kalshi.redaction import show_value
from fairline.sources.payload import Payload, Request
from fairline.sources.shelf import Shelf

RETRY_PAUSES_S = (0.5, 2.0)
RETRIED_STATUSES = (429, 500, 502, 503, 504)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_KEY = re.compile(r"\{key:([^{}]*)\}")

Fetched = Mapping[Request, Payload | InputError]


def _no_keys(name: str) -> str:
    raise InputError(f"there is no key {name!r}", remedy=f'Put {name} = "env:NAME" under [keys] in fairline.toml')


@dataclass(slots=True)
class Sources:
    """How inputs are fetched.

    `user_folder` is the folder that `user` keys are relative to. `keys` returns the secret that a request names, or
    raises a `FairlineError`. Payloads that are young enough are reused from `memory`, and from the `cache` of earlier
    runs. With `offline` no address is fetched and cached payloads of any age are used. `record` receives every payload
    that was used.
    """

    user_folder: Path | None = None
    keys: Callable[[str], str] = _no_keys
    cache: Shelf | None = None
    record: Shelf | None = None
    offline: bool = False
    memory: dict[Request, Payload] = field(default_factory=dict, repr=False)

    def path_of(self, request: Request) -> Path:
        """Return where a `user` or `file` request is on this machine. Raises `InputError`."""
        if request.source == "file":
            return Path(request.key)
        key = PurePath(request.key)
        if key.is_absolute() or ".." in key.parts:
            raise InputError(f"{request.shown} leaves the user's data folder", remedy="Check the model's requests")
        if self.user_folder is None:
            raise InputError(
                f"{request.shown} cannot be read: no data folder is set", remedy="Pass Sources(user_folder=…)"
            )
        return self.user_folder / key

    def age_s(self, request: Request, now: datetime) -> float | None:
        """Return the age in seconds of what is available for a request without a network, None if nothing is."""
        if request.source in ("file", "user"):
            try:
                return now.timestamp() - self.path_of(request).stat().st_mtime
            except (OSError, ValueError, InputError):
                return None
        cached = self.cache.get(request) if self.cache else None
        return (now - cached.fetched_ts).total_seconds() if cached else None


async def fetch(requests: Iterable[Request], sources: Sources | None = None) -> Fetched:
    """Return the payload of every distinct request, or the error why there is none.

    One failing input does not affect the others. An input that several requests share is fetched once, at the shortest
    `max_age_s` among them.
    """
    sources = Sources() if sources is None else sources
    distinct = list(dict.fromkeys(requests))
    youngest = _youngest_by_input(distinct)
    reused = _reusable(youngest.values(), sources, datetime.now(UTC))
    missing = [request for request in youngest.values() if request not in reused]
    fetched = await _fetch_all(missing, sources)
    _cache(fetched.values(), sources)
    results: dict[Request, Payload | InputError] = {**reused, **fetched}
    payloads = [result for result in results.values() if isinstance(result, Payload)]
    sources.memory.clear()
    sources.memory |= {payload.request: payload for payload in payloads if payload.request.max_age_s > 0}
    if sources.record is not None:
        _record(sources.record, payloads)
    return {request: _for_request(results[youngest[_input(request)]], request) for request in distinct}


def replay(requests: Iterable[Request], shelf: Shelf) -> Fetched:
    """Return the recorded payloads with their original times, to evaluate as of that time."""
    return {request: shelf.get(request) or _not_recorded(request) for request in dict.fromkeys(requests)}


def _not_recorded(request: Request) -> InputError:
    return InputError(f"{request.shown} was not recorded", remedy="Record it with --record")


def _input(request: Request) -> tuple[str, str]:
    return request.source, request.key


def _youngest_by_input(requests: list[Request]) -> dict[tuple[str, str], Request]:
    """For each input, the request with the shortest maximum age."""
    by_age = sorted(requests, key=lambda request: request.max_age_s, reverse=True)
    return {_input(request): request for request in by_age}


def _for_request(result: Payload | InputError, request: Request) -> Payload | InputError:
    return replace(result, request=request) if isinstance(result, Payload) else result


def _reusable(requests: Iterable[Request], sources: Sources, now: datetime) -> dict[Request, Payload]:
    """Return the payloads that need not be fetched again, from memory or cache."""
    candidates = {request: _reusable_payload(request, sources, now) for request in requests}
    return {request: payload for request, payload in candidates.items() if payload is not None}


def _reusable_payload(request: Request, sources: Sources, now: datetime) -> Payload | None:
    payload = _young_enough(sources.memory.get(request), request, now)
    # Files are never cached: another run can read them again.
    if payload is not None or request.source != "https" or sources.cache is None:
        return payload
    cached = sources.cache.get(request)
    return cached if sources.offline else _young_enough(cached, request, now)


def _young_enough(payload: Payload | None, request: Request, now: datetime) -> Payload | None:
    """Return the payload if its age is known and allowed. A time in the future means that the clock was set back."""
    age_s = (now - payload.fetched_ts).total_seconds() if payload else -1.0
    return payload if 0 <= age_s < request.max_age_s else None


def _cache(results: Iterable[Payload | InputError], sources: Sources) -> None:
    if sources.cache is None:
        return
    for result in results:
        if isinstance(result, Payload) and result.request.source == "https":
            # A payload that cannot be cached is fetched again next time.
            with suppress(OSError):
                sources.cache.put(result)


def _record(shelf: Shelf, payloads: list[Payload]) -> None:
    """Write the payloads to a recording. Raises `InputError`."""
    by_key: dict[str, Payload] = {}
    for payload in payloads:
        other = by_key.setdefault(payload.request.logical_key, payload)
        if other is not payload:
            message = f"{payload.request.key} and {other.request.key} would be recorded under the same name"
            raise InputError(message, remedy="Rename one of the files")
    try:
        for payload in payloads:
            shelf.put(payload)
    except OSError as error:
        message = f"cannot record inputs in {shelf.folder} ({error.strerror})"
        raise InputError(message, remedy="Check the folder of the recording") from error


async def _fetch_all(requests: list[Request], sources: Sources) -> dict[Request, Payload | InputError]:
    send = AiohttpSend(Timeouts(connect_s=10, silence_s=10, total_s=30))
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {request: group.create_task(_fetch_one(request, send, sources)) for request in requests}
    finally:
        await send.close()
    return {request: task.result() for request, task in tasks.items()}


async def _fetch_one(request: Request, send: Send, sources: Sources) -> Payload | InputError:
    if request.source in ("file", "user"):
        return await asyncio.to_thread(_read_file, request, sources)
    if request.source != "https":
        return InputError(f"unknown source {request.source!r}", remedy="Known sources: https, user, file")
    if _is_replaced(request, sources):
        return InputError(f"{request.shown} was not fetched because a file replaces it", remedy="Remove the file")
    if sources.offline:
        return InputError(f"{request.shown} is not in the cache", remedy="Run once without --offline")
    return await _fetch_address(request, send, sources)


async def _fetch_address(request: Request, send: Send, sources: Sources) -> Payload | InputError:
    secrets: dict[str, str] = {}
    try:
        result = await _send_with_retries(request, _address(request, sources, secrets), send)
    except FairlineError as error:
        result = InputError(error.message, remedy=error.remedy)
    except ValueError:  # the secret contains characters that no address can contain
        return InputError(f"cannot fetch {request.shown}", remedy="Check the key that it needs")
    return _redact(result, secrets) if isinstance(result, InputError) else result


def _redact(error: InputError, secrets: Mapping[str, str]) -> InputError:
    """Return the error without secrets: the text of a library or server may repeat the address."""
    message = error.message
    for name, value in secrets.items():
        for form in (value, quote(value, safe=""), quote(value), quote_plus(value)):
            message = message.replace(form, f"{{key:{name}}}") if form else message
    return InputError(message, remedy=error.remedy)


def _address(request: Request, sources: Sources, secrets: dict[str, str]) -> str:
    """Fill in the secrets that an address names, noting them in `secrets`. Raises `FairlineError` or `ValueError`."""

    def secret(match: re.Match[str]) -> str:
        secrets[match[1]] = sources.keys(match[1])
        return quote(secrets[match[1]], safe="")

    _check_address(request)
    try:
        return _KEY.sub(secret, request.key)
    except FairlineError as error:
        raise InputError(f"{request.shown} needs a key: {error.message}", remedy=error.remedy) from error


def _check_address(request: Request) -> None:
    """Raise `InputError` unless the address has a fixed host and is encrypted or local."""
    try:
        parts = urlsplit(_KEY.sub("key", request.key))
        marked = urlsplit(_KEY.sub("\x01", request.key))
    except ValueError as error:
        raise InputError(f"cannot fetch {request.shown}", remedy="Check the model's requests") from error
    if not parts.hostname or parts.netloc != marked.netloc:
        raise InputError("an address without a fixed host cannot be fetched", remedy="Check the model's requests")
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise InputError(f"{request.shown} is not an https address", remedy="Unencrypted answers could be altered")


async def _send_with_retries(request: Request, address: str, send: Send) -> Payload | InputError:
    """Fetch an address, retrying what may be temporary. Messages never contain the address: it may hold a secret."""
    reason = ""
    for pause_s in (*RETRY_PAUSES_S, None):
        try:
            response = await send(HttpRequest("GET", address, {}))
        except KalshiError as error:
            reason = error.message
        except ValueError:  # a host name that cannot be resolved at all
            reason = "invalid address"
            break
        else:
            if response.status == 200:
                return Payload(request, datetime.now(UTC), response.body)
            reason = _refusal(request, response.status)
            if response.status not in RETRIED_STATUSES:
                break
        if pause_s is not None:
            await asyncio.sleep(random.uniform(0, pause_s))
    return InputError(f"cannot fetch {request.shown} ({reason})", remedy="Try again later")


def _refusal(request: Request, status: int) -> str:
    suspect_key = status in (401, 403) and _KEY.search(request.key)
    return f"status {status}; the key may be wrong" if suspect_key else f"status {status}"


def _is_replaced(request: Request, sources: Sources) -> bool:
    try:
        return any(sources.path_of(Request("user", key)).is_file() for key in request.unless)
    except InputError:
        return False


def _read_file(request: Request, sources: Sources) -> Payload | InputError:
    """Read a file; its payload is as old as its last modification."""
    try:
        path = sources.path_of(request)
        if path.exists() and not path.is_file():
            return InputError(f"{path} is not a regular file", remedy="Check the path")
        modified_ts = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return Payload(request, modified_ts, path.read_bytes())
    except InputError as error:
        return error
    except FileNotFoundError:
        return InputError(f"the file {path} does not exist", remedy="Check the path")
    except ValueError as error:
        return InputError(f"{show_value(request.key)} is not a path ({error})", remedy="Check the model's requests")
    except OSError as error:
        return InputError(f"cannot read {path} ({error.strerror})", remedy="Check the path and its permissions")

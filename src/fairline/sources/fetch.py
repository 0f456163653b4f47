"""The one function that does the reading for all models."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from fairline.errors import InputError
from fairline.sources.payload import Payload, Request

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
    results = await asyncio.gather(*(asyncio.to_thread(_read, request) for request in wanted))
    made = young | dict(zip(wanted, results, strict=True))
    if kept is not None:
        kept.clear()
        kept |= {r: p for r, p in made.items() if isinstance(p, Payload) and r.max_age_s > 0}
    return made


def _read(request: Request) -> Payload | InputError:
    if request.source != "file":
        return InputError(f"the source {request.source!r} is not known", remedy="Known sources: file")
    path = Path(request.key)
    try:
        return Payload(request, datetime.now(UTC), path.read_bytes())
    except FileNotFoundError:
        return InputError(f"the file {path} does not exist", remedy="Check the path")
    except ValueError as error:
        return InputError(f"{request.key!r} is no path ({error})", remedy="Check the model's requests")
    except OSError as error:
        return InputError(f"the file {path} cannot be read ({error.strerror})", remedy="Check the path and permissions")

"""The one function that does the reading for all models."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from fairline.errors import InputError
from fairline.sources.payload import Payload, Request


async def fetch(requests: Iterable[Request]) -> Mapping[Request, Payload | InputError]:
    """Every distinct request's payload, or the reason why there is none: one failing input stops no other."""
    distinct = list(dict.fromkeys(requests))
    results = await asyncio.gather(*(asyncio.to_thread(_read, request) for request in distinct))
    return dict(zip(distinct, results, strict=True))


def _read(request: Request) -> Payload | InputError:
    if request.source != "file":
        return InputError(f"the source {request.source!r} is not known", remedy="Known sources: file")
    path = Path(request.key)
    try:
        return Payload(request, datetime.now(UTC), path.read_bytes())
    except FileNotFoundError:
        return InputError(f"the file {path} does not exist", remedy="Check the path")
    except OSError as error:
        return InputError(f"the file {path} cannot be read ({error.strerror})", remedy="Check the path and permissions")

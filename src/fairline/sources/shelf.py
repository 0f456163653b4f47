"""Payloads in a folder: kept from run to run, recorded to be looked at again, or replayed without a network.

A file a request, named by a digest of it. Its first line is JSON that says what it is of, and when it was got; the rest
are the bytes as they were. No secret is in it: requests name keys, and only the fetcher puts them in.
"""

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from fairline.sources.payload import Payload, Request

SUFFIX = ".payload"
_OLD_S, _LEFT_S = 30 * 86_400, 3_600


class Shelf:
    """One folder of payloads. A file that cannot be read, or is of another request, is as good as none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, request: Request) -> Payload | None:
        try:
            head, _, body = self._path(request).read_bytes().partition(b"\n")
            facts = json.loads(head)
            at = datetime.fromisoformat(facts["fetched_ts"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        whole = len(body) == facts.get("bytes") and at.tzinfo is not None
        return Payload(request, at, body) if whole else None

    def put(self, payload: Payload) -> None:
        """Keep it, whole or not at all. Raises `OSError`."""
        request = payload.request
        facts = {"source": request.source, "of": request.shown, "fetched_ts": payload.fetched_ts.isoformat(),
                 "bytes": len(payload.body)}  # fmt: skip
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=self.folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(json.dumps(facts).encode() + b"\n" + payload.body)
            Path(name).replace(self._path(request))
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise

    def tidy(self, now: datetime) -> None:
        """Take away what nobody has asked for in a month, and what was left half-written."""
        for path in self.folder.glob("*"):
            with suppress(OSError):
                age = now.timestamp() - path.stat().st_mtime
                if age > (_OLD_S if path.suffix == SUFFIX else _LEFT_S):
                    path.unlink()

    def _path(self, request: Request) -> Path:
        digest = hashlib.sha256(f"{request.source}\n{request.key}".encode("utf-8", "surrogateescape")).hexdigest()
        return self.folder / f"{digest[:32]}{SUFFIX}"

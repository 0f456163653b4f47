"""A folder of payloads: a cache between runs, or a recording that can be replayed without a network.

Each payload is one file, named by a digest of its request's logical key. The first line is JSON that says what it is
and when it was fetched; the rest is the payload's bytes. Files contain no secrets: requests name keys, and only the
fetcher fills them in.
"""

import hashlib
import json
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from fairline.files import write_atomic
from fairline.sources.payload import Payload, Request

SUFFIX = ".payload"
MAX_AGE_S = 30 * 86_400
"""Seconds after which `tidy` removes a payload."""
MAX_PARTIAL_AGE_S = 3_600
"""Seconds after which `tidy` removes a file that was left half-written."""
_PRIVATE = 0o600


class Shelf:
    """Payloads in one folder. An unreadable file counts as missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, request: Request) -> Payload | None:
        """Return the stored payload of a request, None if there is none or it is damaged."""
        try:
            header, _, body = self._path(request).read_bytes().partition(b"\n")
            facts = json.loads(header)
            fetched_ts = datetime.fromisoformat(facts["fetched_ts"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        complete = len(body) == facts.get("bytes") and fetched_ts.tzinfo is not None
        return Payload(request, fetched_ts, body) if complete else None

    def put(self, payload: Payload) -> None:
        """Store a payload atomically. Raises `OSError`."""
        request = payload.request
        header = {
            "source": request.source,
            "of": request.shown,
            "fetched_ts": payload.fetched_ts.isoformat(),
            "bytes": len(payload.body),
        }
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        content = json.dumps(header).encode() + b"\n" + payload.body
        write_atomic(self._path(request), content, mode=_PRIVATE, durable=False)

    def tidy(self, now: datetime) -> None:
        """Remove payloads older than a month and files left half-written."""
        for path in self.folder.glob("*"):
            with suppress(OSError):
                age_s = now.timestamp() - path.stat().st_mtime
                if age_s > (MAX_AGE_S if path.suffix == SUFFIX else MAX_PARTIAL_AGE_S):
                    path.unlink()

    def _path(self, request: Request) -> Path:
        digest = hashlib.sha256(request.logical_key.encode("utf-8", "surrogateescape")).hexdigest()
        return self.folder / f"{digest[:32]}{SUFFIX}"

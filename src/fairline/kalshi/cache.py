"""Cached facts of one exchange: slow answers with their age, crawl profiles and journals."""

import contextlib
import os
import time
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import msgspec

from fairline.kalshi.errors import ResponseError
from fairline.kalshi.http import GZIP, Response, Unpacker
from fairline.kalshi.journal import Journal

T = TypeVar("T")

MIN_PAGE_BYTES = 4_096
"""A journal without a page is shorter than this, one with a page longer."""


class ExchangeCache:
    """A folder that may be deleted at any time. Files that cannot be read or written count as absent.

    A file dated in the future is not fresh: its age is unknown.
    """

    def __init__(self, folder: Path, exchange: str) -> None:
        self._folder = folder / sha256(exchange.encode()).hexdigest()[:16]

    def load_body(self, name: str, max_age_s: float) -> bytes | None:
        """Return a saved answer if it is at most `max_age_s` old."""
        path = self._folder / f"{name}.gz"
        with contextlib.suppress(OSError, ResponseError):
            if 0 <= time.time() - path.stat().st_mtime <= max_age_s:
                packed = path.read_bytes()
                return bytes(Unpacker()(packed)) if packed[:2] == GZIP else packed
        return None

    def save_body(self, name: str, response: Response) -> None:
        self._write(f"{name}.gz", response.packed or response.plain)

    def load(self, name: str, shape: type[T]) -> T | None:
        """Return the value saved under that name if it still has that shape."""
        with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return msgspec.json.decode((self._folder / f"{name}.json").read_bytes(), type=shape)
        return None

    def save(self, name: str, value: object) -> None:
        self._write(f"{name}.json", msgspec.json.encode(value))

    def journal(self, key: str, max_age_s: float) -> Journal | None:
        return Journal.open(self._folder, key, max_age_s)

    def has_unfinished_crawl(self, since_s: float = 0.0) -> bool:
        """Return whether a crawl that did not end has left pages written since that Unix time."""
        with contextlib.suppress(OSError):
            files = [path.stat() for path in self._folder.glob("*.pages")]
            return any(file.st_size > MIN_PAGE_BYTES and file.st_mtime >= since_s for file in files)
        return False

    def body_age_s(self, name: str) -> float:
        """Return the age of a saved answer in seconds, 0 if there is none."""
        try:
            return max(0.0, time.time() - (self._folder / f"{name}.gz").stat().st_mtime)
        except OSError:
            return 0.0

    def _write(self, name: str, content: bytes) -> None:
        """Write a file atomically."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary = self._folder / f"{name}.{os.getpid()}"
            temporary.write_bytes(content)
            temporary.replace(self._folder / name)


def key_of(*parts: object) -> str:
    """Return a file name for a query."""
    return sha256(repr(parts).encode()).hexdigest()[:16]

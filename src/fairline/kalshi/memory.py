"""What is remembered of an exchange between runs: slow answers with their age, the last crawl's profile, journals."""

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

_A_PAGE = 4_096
"""A journal without a page is shorter, one with a page longer."""


class Memory:
    """A folder that may be deleted at any time. What cannot be read or written is as if it were not there."""

    def __init__(self, folder: Path, exchange: str) -> None:
        self._folder = folder / sha256(exchange.encode()).hexdigest()[:16]

    def body(self, name: str, max_age_s: float) -> bytes | None:
        """An answer that was kept, if it is not older than `max_age_s`."""
        path = self._folder / f"{name}.gz"
        with contextlib.suppress(OSError, ResponseError):
            if time.time() - path.stat().st_mtime <= max_age_s:
                packed = path.read_bytes()
                return bytes(Unpacker()(packed)) if packed[:2] == GZIP else packed
        return None

    def keep(self, name: str, response: Response) -> None:
        self._write(f"{name}.gz", response.packed or response.plain)

    def load(self, name: str, shape: type[T]) -> T | None:
        """What was saved under that name, if it still has that shape."""
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode((self._folder / f"{name}.json").read_bytes(), type=shape)
        return None

    def save(self, name: str, value: object) -> None:
        self._write(f"{name}.json", msgspec.json.encode(value))

    def journal(self, key: str, max_age_s: float) -> Journal | None:
        return Journal.open(self._folder, key, max_age_s)

    def unfinished(self, since_s: float = 0.0) -> bool:
        """Whether there are pages, written since that Unix time, of a crawl that did not end."""
        with contextlib.suppress(OSError):
            found = [path.stat() for path in self._folder.glob("*.pages")]
            return any(file.st_size > _A_PAGE and file.st_mtime >= since_s for file in found)
        return False

    def age_s(self, name: str) -> float:
        """How long ago an answer was kept."""
        try:
            return time.time() - (self._folder / f"{name}.gz").stat().st_mtime
        except OSError:
            return 0.0

    def _write(self, name: str, content: bytes) -> None:
        """Whole or not at all."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary = self._folder / f"{name}.{os.getpid()}"
            temporary.write_bytes(content)
            temporary.replace(self._folder / name)


def key_of(*parts: object) -> str:
    """A file name for a question."""
    return sha256(repr(parts).encode()).hexdigest()[:16]

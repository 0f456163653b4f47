"""Write files atomically."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_atomic(path: Path, content: bytes, *, mode: int | None = None, durable: bool = True) -> None:
    """Replace a file so that readers see either the old content or the new one. Raises `OSError`.

    See `open_atomic`.
    """
    with open_atomic(path, mode=mode, durable=durable) as file:
        file.write(content)


@contextmanager
def open_atomic(path: Path, *, mode: int | None = None, durable: bool = True) -> Iterator[BinaryIO]:
    """Yield a file that replaces `path` at the end, and not at all after an error. Raises `OSError`.

    A symbolic link keeps its target, and a device or pipe is written to directly. `mode` sets the permissions; without
    it an existing file keeps its own and a new one gets the process's default. With `durable` the content reaches the
    disk before the file is replaced.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        with target.open("wb") as file:
            yield file
        return
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.chmod(_permissions(target) if mode is None else mode)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _permissions(target: Path) -> int:
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask

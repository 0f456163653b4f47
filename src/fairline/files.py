"""Write files atomically."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path


def write_atomic(
    path: Path, content: bytes | Iterable[bytes], *, mode: int | None = None, durable: bool = True
) -> None:
    """Replace a file so that readers see either the old content or the new one. Raises `OSError`.

    A symbolic link keeps its target, and a device or pipe is written to directly. `mode` sets the permissions; without
    it an existing file keeps its own and a new one gets the process's default. With `durable` the content reaches the
    disk before the function returns. `content` may be an iterable of pieces, which are written as they come.
    """
    pieces = [content] if isinstance(content, bytes) else content
    target = path.resolve()
    if target.exists() and not target.is_file():
        with target.open("wb") as device:
            device.writelines(pieces)
        return
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(pieces)
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

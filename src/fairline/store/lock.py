"""The lock of a store: one process at a time may write."""

import fcntl
import os
from pathlib import Path

from fairline.errors import StoreError

CHECK_DISK = "Check the disk and its permissions, or choose another --store"


class Lock:
    """Holds the file `lock` of a folder, which is created if needed.

    Raises `StoreError` if another process holds it, or the folder is not writable.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise not_writable(folder, error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = os.read(self._descriptor, 32).decode(errors="replace").strip() or "unknown"
            self.release()
            raise StoreError(
                f"process {pid} is writing to the store {folder}", remedy="Stop that process, or choose another --store"
            ) from error
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            self.release()
            raise not_writable(folder, error) from error

    def release(self) -> None:
        os.close(self._descriptor)

    def is_valid(self) -> bool:
        """Return whether the folder is still the one that was locked; its disk may have been unmounted."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), (self._folder / "lock").stat())
        except OSError:
            return False


def not_writable(folder: Path, error: OSError) -> StoreError:
    return StoreError(f"cannot write to the store {folder} ({error.strerror})", remedy=CHECK_DISK)

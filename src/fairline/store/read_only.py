"""A file system for the SQL engine that contains the store's files and opens them only for reading."""

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from fairline.extras import need

PROTOCOL = "store"


def read_only_files(files: Mapping[str, Path], stack: ExitStack) -> Any:
    """Return an fsspec file system of these files by name. `stack` closes what the engine leaves open."""
    fsspec = need("fsspec", "sql")

    class ReadOnlyFiles(fsspec.AbstractFileSystem):  # type: ignore[misc, name-defined]
        """The methods are those of fsspec that DuckDB calls."""

        protocol = PROTOCOL
        cachable = False

        def _path(self, name: str) -> Path:
            try:
                return files[str(self._strip_protocol(name))]
            except KeyError as error:
                raise FileNotFoundError(f"{name} is not in the store") from error

        def info(self, path: str, **_: Any) -> dict[str, Any]:
            return {"name": path, "size": self._path(path).stat().st_size, "type": "file"}

        def read_time(self, path: str) -> datetime:
            return datetime.fromtimestamp(self._path(path).stat().st_mtime, UTC)

        modified = read_time

        def glob(self, path: str, **_: Any) -> list[str]:
            name = str(self._strip_protocol(path))
            return [name] if name in files else []

        def open(self, path: str, mode: str = "rb", **_: Any) -> IO[bytes]:
            if mode != "rb":
                raise PermissionError("the store is read-only for queries")
            return stack.enter_context(self._path(path).open("rb", buffering=0))

    return ReadOnlyFiles()

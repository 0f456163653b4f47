"""Run a model without access to files, network and processes, to prove that it uses only what it is given.

A model that opens today's file inside `predict` sees the future in every backtest. Python reports each opened file and
each connection to an audit hook; the column library opens files without reporting them, so its readers are refused by
name. Code that opens files in a native library of its own is not detected.
"""

import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NoReturn

import polars as pl

from fairline.errors import FairlineError

_VIOLATIONS: ContextVar[list[str] | None] = ContextVar("violations", default=None)
"""What was attempted in the current isolation; None outside of one."""
_ALLOWED: ContextVar[tuple[str, ...]] = ContextVar("allowed", default=())
_FORBIDDEN_EVENTS = {
    "socket.connect": "connected to the network",
    "socket.getaddrinfo": "looked up a host name",
    "socket.sendto": "sent to the network",
    "subprocess.Popen": "started a process",
    "os.system": "started a process",
    "os.posix_spawn": "started a process",
}
_CODE_SUFFIXES = {".py", ".pyc", ".so", ".pyd", ".dylib", ".pth"}
_READERS = [name for name in dir(pl) if name.startswith(("read_", "scan_"))]
_hook_is_installed = False


class IsolationError(FairlineError):
    """A model used something that it was not given."""


@contextmanager
def isolate(*allowed: Path) -> Iterator[list[str]]:
    """Raise `IsolationError` inside this block where code opens a file, connects anywhere or starts a process.

    Yields the list of what was attempted, so that an error that a model swallowed is noticed too. Importing code and
    reading time zones stay possible, because they hold no data about markets, and so does reading `allowed` folders.
    """
    _install_hook()
    violations: list[str] = []
    token = _VIOLATIONS.set(violations)
    allowed_token = _ALLOWED.set(tuple(str(folder) for folder in allowed))
    originals = {name: getattr(pl, name) for name in _READERS}
    try:
        for name, original in originals.items():
            setattr(pl, name, _refuse_paths(name, original))
        yield violations
    finally:
        for name, original in originals.items():
            setattr(pl, name, original)
        _ALLOWED.reset(allowed_token)
        _VIOLATIONS.reset(token)


def _install_hook() -> None:
    """Install the audit hook once; Python has no way to remove one, so it does nothing outside `isolate`."""
    global _hook_is_installed  # noqa: PLW0603 - a process has one list of hooks
    if not _hook_is_installed:
        sys.addaudithook(_audit)
        _hook_is_installed = True


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _VIOLATIONS.get() is None:
        return
    if event in _FORBIDDEN_EVENTS:
        _refuse(_FORBIDDEN_EVENTS[event])
    if event == "open" and isinstance(arguments[0], str | bytes) and not _is_code(_text(arguments[0])):
        _refuse(f"opened the file {_text(arguments[0])}")


def _refuse(action: str) -> NoReturn:
    violations = _VIOLATIONS.get()
    if violations is not None:
        violations.append(action)
    raise IsolationError(f"the model {action}", remedy="Declare it in `requests`")


def _text(path: str | bytes) -> str:
    return path.decode(errors="replace") if isinstance(path, bytes) else path


def _is_code(path: str) -> bool:
    """Return whether a file belongs to an installed package, to Python or to the time zone database."""
    if Path(path).suffix in _CODE_SUFFIXES:
        return True
    packages = [folder for folder in sys.path if folder.endswith(("site-packages", "dist-packages"))]
    return path.startswith((*_CODE_FOLDERS, *packages, *_ALLOWED.get()))


_PACKAGE = str(Path(__file__).parents[1])
_INSTALLED = {str(Path(prefix) / "lib") for prefix in (sys.prefix, sys.base_prefix)}
_CODE_FOLDERS = {
    *sysconfig.get_paths().values(), *_INSTALLED, _PACKAGE, "/usr/share/zoneinfo", "/proc/self", "/dev/",
} - {""}  # fmt: skip


def _refuse_paths(name: str, original: Any) -> Any:
    """Return a reader that accepts bytes and buffers, and refuses paths."""

    def reader(source: Any = None, *arguments: Any, **options: Any) -> Any:
        if isinstance(source, str | Path | list):
            _refuse(f"called polars.{name} on a file")
        return original(source, *arguments, **options)

    return reader

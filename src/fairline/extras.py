"""Libraries of the extras, imported when needed; a missing one is reported with the command that installs it."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from fairline.errors import ConfigError


def need(module: str, extra: str) -> Any:
    """Import and return a module. Raises `ConfigError` if its library is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise ConfigError(
            f"this needs {library}, which is not installed", remedy=f"pip install 'fairline[{extra}]'"
        ) from error


@cache
def compile_function(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """Compile a function to machine code, cached on disk between runs; return None without the extra `fast`."""
    try:
        numba = import_module("numba")
    except ImportError:
        return None
    machine_code: Callable[..., Any] = numba.njit(cache=True)(function)
    return machine_code

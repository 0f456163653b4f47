"""Libraries that come only with an extra, imported when they are needed: one place says how to get them."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from fairline.errors import ConfigError


def need(module: str, extra: str) -> Any:
    """The module. Raises `ConfigError` if its library is not installed."""
    try:
        return import_module(module)
    except ImportError:
        library = module.partition(".")[0]
        raise ConfigError(
            f"this needs {library}, which is not installed", remedy=f"pip install 'fairline[{extra}]'"
        ) from None


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """The function as machine code, kept on disk from run to run; None without the extra `fast`."""
    try:
        numba = import_module("numba")
    except ImportError:
        return None
    made: Callable[..., Any] = numba.njit(cache=True)(function)
    return made

"""A client for the Kalshi Trade API v2 that stands on its own: it imports nothing else of Fairline.

Names are imported on first use, so that importing one submodule does not load the HTTP library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairline.kalshi.auth import ApiKeyAuth, Auth, JwtAuth
    from fairline.kalshi.client import DEMO, PRODUCTION, Kalshi
    from fairline.kalshi.errors import KalshiError
    from fairline.kalshi.http import Timeouts
    from fairline.kalshi.keys import PrivateKey, parse_private_key, read_private_key
    from fairline.kalshi.limits import TIERS, Rate, TokenBucket
    from fairline.kalshi.transport import Retry, Transport

__all__ = [
    "DEMO",
    "PRODUCTION",
    "TIERS",
    "ApiKeyAuth",
    "Auth",
    "JwtAuth",
    "Kalshi",
    "KalshiError",
    "PrivateKey",
    "Rate",
    "Retry",
    "Timeouts",
    "TokenBucket",
    "Transport",
    "parse_private_key",
    "read_private_key",
]
_MODULES = {
    "auth": ["ApiKeyAuth", "Auth", "JwtAuth"],
    "client": ["DEMO", "PRODUCTION", "Kalshi"],
    "errors": ["KalshiError"],
    "http": ["Timeouts"],
    "keys": ["PrivateKey", "parse_private_key", "read_private_key"],
    "limits": ["TIERS", "Rate", "TokenBucket"],
    "transport": ["Retry", "Transport"],
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value

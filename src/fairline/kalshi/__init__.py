"""A client for the Kalshi Trade API v2 that stands on its own: it imports nothing else of Fairline."""

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

"""The rate limit of the simulated exchange: a token bucket per key, and per address for requests without a key."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from fairline.sim.errors import SimError

COST = 10
# Read tokens per second and the capacity of the bucket, by tier (rate-limit documentation, October 2026).
TIERS = {
    "basic": (200, 600),
    "advanced": (300, 900),
    "expert": (600, 600),
    "premier": (1200, 1200),
    "paragon": (2400, 2400),
    "prime": (4800, 4800),
    "prestige": (12000, 12000),
}
UNLIMITED = ("prestige", 1_000_000, 1_000_000)
"""Tier, refill rate and capacity that are reported where no limit applies."""


@dataclass(slots=True)
class _Bucket:
    """Tokens left at a time in seconds."""

    tokens: float
    at: float


class Limits:
    """Rate limits of a tier. Without a tier, requests are limited only by the tier of their own key, if it has one."""

    def __init__(self, tier: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        if tier is not None and tier not in TIERS:
            raise SimError(f"unknown tier {tier!r}; expected one of {', '.join(TIERS)}")
        self.tier = tier
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def effective(self, key_tier: str | None) -> tuple[str, int, int]:
        """Return the tier, refill rate and capacity that apply to a key.

        Unlimited requests are reported as the highest tier with a rate that no client reaches.
        """
        tier = self.tier or key_tier
        return (tier, *TIERS[tier]) if tier is not None else UNLIMITED

    def admit(self, client: str, key_tier: str | None = None, cost: int = COST) -> bool:
        """Take `cost` tokens from the bucket of a key or address; return False if it holds too few."""
        tier = self.tier or key_tier
        if tier is None:
            return True
        refill, capacity = TIERS[tier]
        now = self._clock()
        bucket = self._buckets.setdefault(client, _Bucket(capacity, now))
        bucket.tokens = min(capacity, bucket.tokens + (now - bucket.at) * refill)
        bucket.at = now
        if bucket.tokens < cost:
            return False
        bucket.tokens -= cost
        return True

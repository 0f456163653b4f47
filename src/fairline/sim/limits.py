"""The exchange's side of the rate limit: a token bucket for each key, and for each address without one."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from fairline.sim.errors import SimError

COST = 10
# Read tokens a second and the most that can be saved up, by tier (rate-limit documentation, October 2026).
TIERS = {
    "basic": (200, 600),
    "advanced": (300, 900),
    "expert": (600, 600),
    "premier": (1200, 1200),
    "paragon": (2400, 2400),
    "prime": (4800, 4800),
    "prestige": (12000, 12000),
}


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Limits:
    """`admit` says whether a request passes. With no tier at all everything does."""

    def __init__(self, tier: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        if tier is not None and tier not in TIERS:
            raise SimError(f"there is no tier {tier!r}; tiers are {', '.join(TIERS)}")
        self.tier = tier
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def admit(self, who: str, cost: int = COST) -> bool:
        if self.tier is None:
            return True
        refill, capacity = TIERS[self.tier]
        now = self._clock()
        bucket = self._buckets.setdefault(who, _Bucket(capacity, now))
        bucket.tokens = min(capacity, bucket.tokens + (now - bucket.at) * refill)
        bucket.at = now
        if bucket.tokens < cost:
            return False
        bucket.tokens -= cost
        return True

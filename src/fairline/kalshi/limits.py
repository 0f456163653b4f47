"""The exchange's rate limit as a token bucket, with the published tiers as data.

A request costs 10 tokens unless the exchange's endpoint costs say otherwise; the bucket refills continuously. There
is no Retry-After and no penalty for a 429, so the fastest client stays just under the limit.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

DEFAULT_COST = 10
CONCURRENCY_MARGIN = 1.3
"""Concurrent requests beyond the average need, because answers arrive unevenly. On simulated worlds a first crawl takes
longer with 1.6 and with 2.0.
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """A read budget: `refill` tokens per second, at most `capacity` saved up."""

    refill: float
    capacity: float

    def __post_init__(self) -> None:
        if not (self.refill > 0 and self.capacity >= DEFAULT_COST):
            raise ValueError(f"invalid rate {self}: expected a positive refill and a capacity of at least one request")

    def with_reserve(self) -> "Rate":
        """Return the rate with one request less in the burst.

        The exchange's bucket starts to refill when the first request arrives there, a little after ours. A burst to
        the last token would end in a 429.
        """
        return Rate(self.refill, max(self.capacity - DEFAULT_COST, DEFAULT_COST))


# Read tiers of the rate-limit documentation as of October 2026. Nothing is documented without a key. About 20 requests
# per second and address with a burst of 60 were measured in October 2026; the default is a cautious half of that.
ANONYMOUS = Rate(refill=100, capacity=300)
TIERS = {
    "basic": Rate(refill=200, capacity=600),
    "advanced": Rate(refill=300, capacity=900),
    "expert": Rate(refill=600, capacity=600),
    "premier": Rate(refill=1200, capacity=1200),
    "paragon": Rate(refill=2400, capacity=2400),
    "prime": Rate(refill=4800, capacity=4800),
    "prestige": Rate(refill=12000, capacity=12000),
}


class TokenBucket:
    """One budget shared by everything the process sends; first come, first served.

    A 429 halves the rate and empties the bucket. Several within a second count once: they answer requests that were
    sent at the same rate. Afterwards the rate recovers with the time over which answers arrive: fast up to 80 % of
    the rate that was refused, slowly beyond. Time without answers is no evidence, so it counts for little.
    """

    MIN_SHARE = 0.05
    SAME_BURST_S = 1.0
    SAFE_SHARE = 0.8
    FAST_RECOVERY_PER_S = 0.1
    SLOW_RECOVERY_PER_S = 0.01
    MAX_EVIDENCE_S = 2.0
    """An answer is evidence for at most this many seconds before it."""

    def __init__(
        self,
        rate: Rate,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.rate = rate
        self.share = 1.0
        self.waited_s = 0.0
        self._refused_share = 1.0
        self._refused_at = -math.inf
        self._answered_at = clock()
        self._clock = clock
        self._sleep = sleep
        self._tokens = rate.capacity
        self._at = clock()
        self._queue = asyncio.Lock()

    @property
    def available(self) -> float:
        """Tokens available now."""
        self._refill()
        return self._tokens

    def useful_concurrency(self, requests: float, seconds: float) -> float:
        """Return how many of `requests` to send concurrently, if each takes `seconds` and costs 10 tokens.

        That many use up the saved tokens by the last request. Infinite if the rate does not limit them.
        """
        beyond = requests - self.available / DEFAULT_COST
        if beyond <= 0:
            return math.inf
        return math.ceil(
            CONCURRENCY_MARGIN * self.rate.refill * self.share / DEFAULT_COST * seconds * requests / beyond
        )

    async def take(self, cost: float = DEFAULT_COST) -> None:
        """Wait for `cost` tokens and take them. A cost above the capacity takes the whole bucket."""
        cost = min(cost, self.rate.capacity)
        async with self._queue:
            self._refill()
            while (missing := cost - self._tokens) > 1e-9:
                wait = missing / (self.rate.refill * self.share)
                await self._sleep(wait)
                self.waited_s += wait
                self._refill()
            self._tokens -= cost

    def record_refusal(self) -> None:
        """Record a 429: empty the bucket and halve the rate."""
        self._refill()
        self._tokens = min(self._tokens, 0.0)
        if self._at - self._refused_at >= self.SAME_BURST_S:
            self._refused_share = self.share
            self.share = max(self.MIN_SHARE, self.share / 2)
        self._refused_at = self._at
        self._answered_at = self._at

    def record_answer(self) -> None:
        """Record an answer: recover some of the rate that a 429 took."""
        self._refill()
        elapsed = min(self._at - self._answered_at, self.MAX_EVIDENCE_S)
        self._answered_at = self._at
        safe = self._refused_share * self.SAFE_SHARE
        if self.share < safe:
            self.share = min(safe, self.share + elapsed * self.FAST_RECOVERY_PER_S)
        else:
            self.share = min(1.0, self.share + elapsed * self.SLOW_RECOVERY_PER_S)

    def resize(self, rate: Rate) -> None:
        """Use another budget from now on, without a new burst."""
        self._refill()
        self.rate = rate
        self._tokens = min(self._tokens, rate.capacity)

    def _refill(self) -> None:
        now = self._clock()
        elapsed = max(0.0, now - self._at)
        self._at = now
        self._tokens = min(self.rate.capacity, self._tokens + elapsed * self.rate.refill * self.share)


def worker_count(rate: Rate) -> int:
    """Return how many concurrent requests use up a rate at the latencies seen (0.15 to 0.5 s)."""
    return 8 if rate.refill <= 30 * DEFAULT_COST else 16

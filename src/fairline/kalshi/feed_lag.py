"""How late the feed's messages are: the exchange's time of a message against the exchange's time of its receipt.

The local clock is read once; from then on the exchange's time is counted by the monotonic clock, so that a step of the
local clock changes nothing. (A recorder whose clock was 250 ms behind saw messages from the future.)
"""

import time
from collections import deque
from collections.abc import Callable

from fairline.kalshi.feed_messages import Delta, Ticker, Trade, UnknownMessage, WireMessage

_SAMPLES = 512
_STEP_S = 0.5


class LagMeter:
    """The lag of the latest measured messages, in seconds. `set_offset` corrects for a wrong local clock."""

    def __init__(self, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._monotonic = clock, monotonic
        self._samples: deque[float] = deque(maxlen=_SAMPLES)
        self.clock_steps = 0
        self._base = self._seen_base = clock() - monotonic()

    def set_offset(self, offset_s: float) -> None:
        """Take the exchange's clock to be ahead of the local one by this much, as measured just now."""
        self._seen_base = self._clock() - self._monotonic()
        self._base = self._seen_base + offset_s

    @property
    def exchange_now(self) -> float:
        """The exchange's time in Unix seconds."""
        return self._monotonic() + self._base

    def observe(self, message: WireMessage | UnknownMessage) -> None:
        """Measure a message that carries the exchange's time."""
        base = self._clock() - self._monotonic()
        if abs(base - self._seen_base) > _STEP_S:
            self.clock_steps += 1
            self._seen_base = base
        if isinstance(message, Delta | Ticker | Trade) and message.msg.ts_ms:
            self._samples.append(self.exchange_now - message.msg.ts_ms / 1000)

    def percentile(self, share: float) -> float | None:
        """Return the lag that this share of the latest messages did not exceed; None before the first."""
        if not self._samples:
            return None
        ordered = sorted(self._samples)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

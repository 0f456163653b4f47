"""How long the stages of a scan take."""

import time


class Timer:
    """Seconds spent by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def record(self, stage: str, seconds: float) -> None:
        self.seconds[stage] = seconds

    def lap(self, stage: str, less: float = 0.0) -> None:
        """Record the time since the last lap, less what another stage recorded."""
        now = time.monotonic()
        self.seconds[stage] = now - self._last - less
        self._last = now

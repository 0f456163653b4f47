"""The two values that stand between a model and the world."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Request:
    """Something a model wants to read. `source` says how to get it (`file`, `https`), `key` which one; what was got no
    more than `max_age_s` seconds ago may be used again by whoever scans again and again.
    """

    source: str
    key: str
    max_age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Payload:
    """The bytes exactly as they were, and when they were got (UTC)."""

    request: Request
    fetched_ts: datetime
    body: bytes = field(repr=False)

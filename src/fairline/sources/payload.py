"""The two values that stand between a model and the world."""

from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """Something a model wants to read. `source` says how to get it (`file`, `https`), `key` which one; what was got no
    more than `max_age_s` seconds ago may be used again, by whoever scans again and again and in later runs.

    An address is not asked at all if one of the files in `unless` is there, which says as much.

    An address names a secret as `{key:NAME}`, which is one of the user's `[keys]`: it is put in only when it is asked.
    """

    source: str
    key: str
    max_age_s: float = 0.0
    unless: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Request({self.source!r}, {self.shown!r})"

    @property
    def shown(self) -> str:
        """The key as it may be shown: of an address host and path, since the rest may hold a secret."""
        if "://" not in self.key:
            return self.key
        try:
            parts = urlsplit(self.key)
            return f"{parts.scheme}://{parts.hostname}{parts.path}"
        except ValueError:
            return "an address that is none"


@dataclass(frozen=True, slots=True)
class Payload:
    """The bytes exactly as they were, and when they were got (UTC); of a file, when it was written last."""

    request: Request
    fetched_ts: datetime
    body: bytes = field(repr=False)

"""The two values between a model and the world: what it asks for, and the bytes it gets."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePath
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """An input of a model.

    | `source` | `key` |
    |---|---|
    | `https` | an address; `{key:NAME}` stands for one of the user's `[keys]`, filled in when it is sent |
    | `user` | a path relative to the user's data folder, such as `results/mlb.csv` |
    | `file` | the path of a file that the user named |

    A payload fetched at most `max_age_s` seconds ago may be reused, also by later runs. An address is not fetched if
    one of the user files in `unless` exists, because that file takes its place.
    """

    source: str
    key: str
    max_age_s: float = 0.0
    unless: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Request({self.source!r}, {self.shown!r})"

    @property
    def shown(self) -> str:
        """The request as messages may show it: of an address only host and path, because the rest may hold a secret."""
        if self.source == "user":
            return f"user:{self.key}"
        if "://" not in self.key:
            return self.key
        try:
            parts = urlsplit(self.key)
            return f"{parts.scheme}://{parts.hostname}{parts.path}"
        except ValueError:
            return "an invalid address"

    @property
    def logical_key(self) -> str:
        """The name under which recordings keep this input; it is the same on every machine.

        Of a file that the user named only the file name counts, not the folder it was in.
        """
        key = PurePath(self.key).name if self.source == "file" else self.key
        return f"{self.source}:{key}"


@dataclass(frozen=True, slots=True)
class Payload:
    """Bytes exactly as received, and when: the fetch time (UTC) of an address, the modification time of a file."""

    request: Request
    fetched_ts: datetime
    body: bytes = field(repr=False)

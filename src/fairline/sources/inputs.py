"""The inputs of one scan: what its models were given, and when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fairline.errors import FairlineError
from fairline.sources.payload import Payload, Request

Payloads = Mapping[Request, Payload | FairlineError]


@dataclass(frozen=True, slots=True)
class ScanInputs:
    """Payloads, or why there are none: requested at `requested`, used as of `asof`."""

    payloads: Payloads
    requested: datetime
    asof: datetime

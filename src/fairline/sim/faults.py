"""What can go wrong on purpose: each fault by name, with a probability and a seed, changeable while it runs."""

import random
from dataclasses import dataclass
from typing import Self

from fairline.sim.errors import SimError

FAULTS = {
    "429": "too many requests, without Retry-After",
    "500": "an empty internal error",
    "502-html": "an HTML error page of the front",
    "jitter": "an answer takes up to 300 ms longer",
    "reset": "the connection is cut before an answer",
    "reset-body": "the connection is cut in the middle of the body",
    "stall": "no answer at all until the client gives up",
    "repeat-cursor": "a page carries the cursor that was asked for",
    "duplicate-row": "a row appears twice on a page",
    "vanished-row": "a row is left out of a page",
    "malformed-row": "a price of a row is missing, null or not a number",
    "unknown-values": "a row has an unknown status and an unknown field",
    "skew": "the Date header is 45 s off",
    "clock-ahead": "the exchange's clock is 45 s ahead, as if yours were slow",
    "clock-behind": "the exchange's clock is 45 s behind, as if yours were fast",
    "strip-headers": "a proxy removes the KALSHI-ACCESS headers",
    "captive-page": "a network's login page answers everything",
    "redirect": "every path redirects to one without a trailing slash",
    "moved": "the retired host's notice that the API has been moved",
    "revoked-key": "every key has been revoked, which looks like an unknown one",
    "no-scope": "every key lacks the scope to read",
    "pinned-subaccount": "every key is pinned to subaccount 1",
    "expired-token": "every bearer token has expired",
    "tls": "the socket speaks TLS with a certificate that nobody signed",
    "paused": "the exchange is paused",
    "wrong-type": "a page's content type is text/plain",
    "not-json": "a body is JSON up to the middle, then text",
    "truncated-gzip": "a compressed body ends too early, with a length that fits",
    "endless-body": "a body that does not end",
    "endless-cursor": "the listing never ends: after the last page there is always another, empty one",
    "shuffled-rows": "the rows of a page come in no order",
    "socket-drop": "the WebSocket is cut without a word, at one of its messages",
    "sequence-gap": "a message of the WebSocket that has a sequence number is left out",
    "feed-duplicate": "a message of the WebSocket is sent twice",
    "feed-reorder": "a message of the WebSocket is sent after the one that follows it",
    "feed-silence": "the WebSocket sends pings and nothing else; what happens is lost",
    "feed-lag": "every message of the WebSocket is 3 s late",
    "feed-no-snapshot": "a subscription is acknowledged and the market's order book does not come",
    "feed-unknown-message": "a message of an unknown type comes before another",
    "feed-unknown-market": "a ticker of a market that is not listed comes before another",
    "feed-unavailable": "the WebSocket handshake is answered by a 503",
    "refused-windows": "time windows together with a status are a 400",
    "ignored-windows": "time windows are taken and not looked at",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """`probability` is per answer; `times` limits how often it strikes (None: for ever)."""

    name: str
    probability: float = 1.0
    times: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """`NAME`, `NAME:PROBABILITY` or `NAME:PROBABILITY:TIMES`. Raises `SimError` naming what there is."""
        name, *numbers = text.split(":")
        if name not in FAULTS:
            raise SimError(f"there is no fault {name!r}; faults are {', '.join(FAULTS)}")
        try:
            probability = float(numbers[0]) if numbers else 1.0
            times = int(numbers[1]) if len(numbers) > 1 else None
        except ValueError:
            raise SimError(f"{text!r} is not NAME:PROBABILITY[:TIMES]") from None
        if not 0 <= probability <= 1 or len(numbers) > 2:
            raise SimError(f"{text!r}: the probability of a fault lies between 0 and 1")
        return cls(name, probability, times)


class Faults:
    """The faults in force. `strikes(name)` draws whether one happens now."""

    def __init__(self, *faults: Fault, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self.struck: dict[str, int] = {}
        self.set(*faults)

    def set(self, *faults: Fault) -> None:
        """Replace what is in force, and start counting anew."""
        self._faults = {fault.name: fault for fault in faults}
        self.struck = {}

    def in_force(self, name: str) -> bool:
        """Whether a fault of that name is set at all: for those that are a state, not an accident."""
        return name in self._faults

    def strikes(self, name: str) -> bool:
        fault = self._faults.get(name)
        if fault is None or (fault.times is not None and self.struck.get(name, 0) >= fault.times):
            return False
        if self._random.random() >= fault.probability:
            return False
        self.struck[name] = self.struck.get(name, 0) + 1
        return True

    def up_to(self, most: float) -> float:
        """A random amount."""
        return self._random.uniform(0, most)

    def rows(self, rows: list[bytes]) -> list[bytes]:
        """A page's market objects after the faults that touch rows."""
        if rows and self.strikes("duplicate-row"):
            rows = [*rows, self._random.choice(rows)]
        if rows and self.strikes("vanished-row"):
            gone = self._random.randrange(len(rows))
            rows = rows[:gone] + rows[gone + 1 :]
        if rows and self.strikes("malformed-row"):
            rows = self._change(
                rows,
                b'"yes_bid_dollars":"',
                self._random.choice([b'"x":"', b'"yes_bid_dollars":null,"x":"', b'"yes_bid_dollars":"abc']),
            )
        if rows and self.strikes("unknown-values"):
            rows = self._change(rows, b'"status":"', b'"brand_new_field":{"a":[1]},"status":"suspended_')
        if rows and self.strikes("shuffled-rows"):
            rows = self._random.sample(rows, len(rows))
        return rows

    def _change(self, rows: list[bytes], old: bytes, new: bytes) -> list[bytes]:
        at = self._random.randrange(len(rows))
        return [*rows[:at], rows[at].replace(old, new, 1), *rows[at + 1 :]]

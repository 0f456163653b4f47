"""Faults that the simulated exchange produces on request: by name and probability, seeded, changeable while it runs."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from fairline.sim.errors import SimError

FAULTS = {
    "429": "too many requests, without Retry-After",
    "500": "an empty internal error",
    "502-html": "an HTML error page from a proxy",
    "jitter": "an answer takes up to 300 ms longer",
    "reset": "the connection is cut before an answer",
    "reset-body": "the connection is cut in the middle of the body",
    "stall": "no answer until the client gives up",
    "repeat-cursor": "a page carries the cursor it was requested with",
    "duplicate-row": "a row appears twice on a page",
    "vanished-row": "a row is missing from a page",
    "malformed-row": "a price of a row is missing, null or not a number",
    "unknown-values": "a row has an unknown status and an unknown field",
    "skew": "the Date header is 45 s off",
    "clock-ahead": "the exchange's clock is 45 s ahead, as if yours were slow",
    "clock-behind": "the exchange's clock is 45 s behind, as if yours were fast",
    "strip-headers": "a proxy removes the KALSHI-ACCESS headers",
    "captive-page": "a network's login page answers everything",
    "redirect": "every path redirects to one without a trailing slash",
    "moved": "the retired host's notice that the API has been moved",
    "revoked-key": "every key has been revoked, which looks like an unknown key",
    "no-scope": "every key lacks the scope to read",
    "late-positions": "an account's positions lack its newest fill",
    "pinned-subaccount": "every key is restricted to subaccount 1",
    "expired-token": "every bearer token has expired",
    "tls": "the socket speaks TLS with a self-signed certificate",
    "paused": "the exchange is paused",
    "wrong-type": "the content type of a page is text/plain",
    "not-json": "the second half of a body is not JSON",
    "truncated-gzip": "a compressed body is cut short, with a matching length",
    "endless-body": "a body never ends",
    "endless-cursor": "the listing never ends: the last page is followed by more, empty ones",
    "shuffled-rows": "the rows of a page are in random order",
    "socket-drop": "the WebSocket is cut without a close message",
    "sequence-gap": "a WebSocket message with a sequence number is left out",
    "feed-duplicate": "a message of the WebSocket is sent twice",
    "feed-reorder": "a message of the WebSocket is sent after the one that follows it",
    "feed-silence": "the WebSocket sends pings and nothing else; what happens is lost",
    "feed-lag": "every message of the WebSocket is 3 s late",
    "feed-no-snapshot": "a subscription is acknowledged and the market's order book does not come",
    "feed-unknown-message": "a message of an unknown type comes before another",
    "feed-unknown-market": "a ticker of a market that is not listed comes before another",
    "feed-refused": "the WebSocket handshake is answered by a 401",
    "feed-unavailable": "the WebSocket handshake is answered by a 503",
    "refused-windows": "time windows together with a status are a 400",
    "ignored-windows": "time windows are accepted and ignored",
    "feed-redirect": "the WebSocket handshake is answered by a redirect to another path",
    "drift-price-name": "a market's yes_bid_dollars has another name",
    "drift-market-type": "a market is of an unknown type",
    "drift-empty-objects": "a market is an empty object",
    "drift-no-markets": "a page of markets is empty",
    "drift-fewer-markets": "a market is left out of its page",
    "drift-no-cursor": "a page of markets has no cursor",
    "drift-cursor-name": "the cursor of a page of markets is called next_cursor",
    "drift-no-series": "the list of series is empty",
    "drift-no-multiplier": "a series has no fee_multiplier",
    "drift-huge-multiplier": "a series has a fee_multiplier of 1e10",
    "drift-no-events": "a page of events is empty",
    "drift-book-names": "a side of an order book is called yes_dollars_fp",
    "drift-book-side": "a side of an order book is missing",
    "drift-book-sizes": "the sizes of an order book are negative",
    "drift-book-null": "an empty side of an order book is null",
    "drift-payout": "a settlement pays 1.50 dollars",
    "drift-result-name": "the result of a settlement has another name",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault with its `probability` per answer and the number of `times` it strikes at most (None: no limit)."""

    name: str
    probability: float = 1.0
    times: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse NAME, NAME:PROBABILITY or NAME:PROBABILITY:TIMES. Raises `SimError` that lists the known names."""
        name, *numbers = text.split(":")
        if name not in FAULTS:
            raise SimError(f"unknown fault {name!r}; expected one of {', '.join(FAULTS)}")
        try:
            probability = float(numbers[0]) if numbers else 1.0
            times = int(numbers[1]) if len(numbers) > 1 else None
        except ValueError as error:
            raise SimError(f"invalid fault {text!r}: expected NAME:PROBABILITY[:TIMES]") from error
        if not 0 <= probability <= 1 or len(numbers) > 2:
            raise SimError(f"invalid fault {text!r}: expected a probability from 0 to 1")
        return cls(name, probability, times)


class Faults:
    """The faults in force. `struck` counts how often each has struck."""

    def __init__(self, *faults: Fault, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self.struck: dict[str, int] = {}
        self.set(*faults)

    def set(self, *faults: Fault) -> None:
        """Replace the faults in force and reset the counts."""
        self._faults = {fault.name: fault for fault in faults}
        self.struck = {}

    def in_force(self, name: str) -> bool:
        """Return whether a fault is set at all, for faults that are a state rather than an accident."""
        return name in self._faults

    def strikes(self, name: str) -> bool:
        """Draw whether a fault strikes now."""
        fault = self._faults.get(name)
        if fault is None or (fault.times is not None and self.struck.get(name, 0) >= fault.times):
            return False
        if self._random.random() >= fault.probability:
            return False
        self.struck[name] = self.struck.get(name, 0) + 1
        return True

    def random_amount(self, most: float) -> float:
        """Return a random amount between 0 and `most`."""
        return self._random.uniform(0, most)

    def rows(self, rows: list[bytes]) -> list[bytes]:
        """Return the market objects of a page, changed by the faults that affect rows."""
        for name, change in self._row_faults().items():
            if rows and self.strikes(name):
                rows = change(rows)
        return rows

    def _row_faults(self) -> dict[str, Callable[[list[bytes]], list[bytes]]]:
        bad_price = (b'"x":"', b'"yes_bid_dollars":null,"x":"', b'"yes_bid_dollars":"abc')
        unknown = b'"brand_new_field":{"a":[1]},"status":"suspended_'
        return {
            "duplicate-row": lambda rows: [*rows, self._random.choice(rows)],
            "vanished-row": self._without_one,
            "malformed-row": lambda rows: self._change(rows, b'"yes_bid_dollars":"', self._random.choice(bad_price)),
            "unknown-values": lambda rows: self._change(rows, b'"status":"', unknown),
            "shuffled-rows": lambda rows: self._random.sample(rows, len(rows)),
        }

    def _without_one(self, rows: list[bytes]) -> list[bytes]:
        gone = self._random.randrange(len(rows))
        return rows[:gone] + rows[gone + 1 :]

    def _change(self, rows: list[bytes], old: bytes, new: bytes) -> list[bytes]:
        at = self._random.randrange(len(rows))
        return [*rows[:at], rows[at].replace(old, new, 1), *rows[at + 1 :]]

"""Sequence numbers of the feed's subscriptions: which messages are next, repeated, or missing before.

A number counts the messages of one subscription over all its markets. `ok` and `unsubscribed` use numbers up too
(recorded in August 2026: 268 frames, numbered 1 to 268, 11 of them `ok`), and so do messages that cannot be read.
"""

from enum import StrEnum


class Place(StrEnum):
    """Where a message stands in its subscription's sequence."""

    NEXT = "next"
    REPEATED = "repeated"
    AFTER_GAP = "after a gap"


class Sequences:
    """The last number of each subscription of one connection."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}

    def place(self, sid: int, seq: int | None) -> Place:
        """Record a message and return its place. One without a number is always the next.

        The first number of a subscription may be any: lifecycle numbers were recorded at 279597. A repeated number
        counts nothing. After a gap the sequence goes on from the later number.
        """
        if seq is None:
            return Place.NEXT
        last = self._last.get(sid)
        if last is None:
            self._last[sid] = seq
            return Place.NEXT
        if seq == last + 1:
            self._last[sid] = seq
            return Place.NEXT
        if seq <= last:
            return Place.REPEATED
        self._last[sid] = seq
        return Place.AFTER_GAP

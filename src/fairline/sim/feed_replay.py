"""Recorded feeds served again, frame by frame, at recorded or higher speed.

Files are JSON Lines, gzipped or not, or JSON with `frames`. Four shapes are read: raw frames with receive times, as
`fairline feed --record` writes them (`received_ns`, `frame`); the same as `received_ms`; a recorder's rows with
`payload_json`, `event_type` and `sequence_number`; and messages by their distance from a market's close.
"""

import gzip
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairline.sim.errors import SimError
from fairline.sim.faults import Faults
from fairline.sim.feed import Hub
from fairline.sim.feed_messages import Body
from fairline.sim.render import count, dollars
from fairline.sim.world import UNIT

_CHANNELS = {
    "orderbook_snapshot": "orderbook_delta",
    "orderbook_delta": "orderbook_delta",
    "ticker": "ticker",
    "trade": "trade",
    "market_lifecycle_v2": "market_lifecycle_v2",
}
_ADDED = ("yes_bid", "yes_ask", "no_bid", "no_ask", "no_bid_dollars", "no_ask_dollars", "no_bid_size_fp",
          "no_ask_size_fp", "price_cents")  # fmt: skip
"""Fields that one recorder added to the exchange's messages; they were never on the wire."""


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """One message: seconds since the recording began, and the step of its sequence number (above 1 after a gap)."""

    at_s: float
    kind: str
    body: Body
    step: int = 1


def read_frames(path: Path) -> list[RecordedFrame]:
    """Return the messages of a file or folder in the order of their receipt. Raises `SimError`."""
    rows = [_parse(row) for file in _files(path) for row in _rows(file)]
    parsed = sorted((row for row in rows if row is not None), key=lambda row: row[0])
    if not parsed:
        raise SimError(f"{path} has no feed messages; --replay-feed takes JSON Lines of recorded frames")
    began, last_seq, frames = parsed[0][0], dict[str, int](), []
    for at_s, stream, kind, seq, body in parsed:
        step = 1
        if seq is not None:
            step = max(1, seq - last_seq.get(stream, seq - 1))
            last_seq[stream] = seq
        if kind in _CHANNELS:
            frames.append(RecordedFrame(at_s - began, kind, body, step))
    return frames


_Row = tuple[float, str, str, int | None, Body]
"""Receive time in seconds, the stream that counts the sequence, type, sequence number, and message body."""


def _parse(row: dict[str, Any]) -> _Row | None:
    """Return one line of a recording in a common form; None for a line that is no message."""
    if "frame" in row:
        frame = json.loads(row["frame"]) if isinstance(row["frame"], str) else row["frame"]
        at_s = row["received_ns"] / 1e9 if "received_ns" in row else row.get("received_ms", 0) / 1e3
        return at_s, str(frame.get("sid")), frame.get("type", ""), frame.get("seq"), frame.get("msg") or {}
    if "payload_json" in row:
        body = {name: value for name, value in row["payload_json"].items() if name not in _ADDED}
        stream = str(row.get("connection_id") or row.get("market_ticker"))
        at_s = row.get("local_recv_ns", 0) / 1e9
        return at_s, stream, row.get("event_type") or row.get("channel", ""), row.get("sequence_number"), body
    if "recv_minus_close_s" in row:
        # Every market's close becomes the same instant, 10 s after the beginning.
        return row["recv_minus_close_s"] + 10, row["market_ticker"], row["type"], row["seq"], row["msg"]
    return None


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise SimError(f"{path} does not exist; --replay-feed takes a file or folder of recorded frames")
    if path.is_file():
        return [path]
    return sorted(file for file in path.iterdir() if file.name.removesuffix(".gz").endswith((".ndjson", ".jsonl")))


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    try:
        content = file.read_bytes()
        text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode()
        if file.suffix == ".json":
            yield from json.loads(text)["frames"]
            return
        for line in text.splitlines():
            yield json.loads(line)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise SimError(f"{file} cannot be read as recorded frames ({error})") from error


class ReplayHub(Hub):
    """Plays a recording once, from the first subscription on, to all connections together."""

    def __init__(
        self,
        frames: list[RecordedFrame],
        faults: Faults,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(faults)
        self._frames, self._speed, self._clock = frames, speed, clock
        self._books: dict[str, tuple[dict[int, int], dict[int, int]]] = {}
        self._last: dict[tuple[str, str], Body] = {}
        self._next = 0
        self._began: float | None = None
        self._ids = {body["market_id"]: body["market_ticker"] for body in _bodies(frames)}

    def ticker_of(self, market_id: str) -> str | None:
        return self._ids.get(market_id)

    @property
    def finished(self) -> bool:
        return self._next == len(self._frames)

    def advance(self) -> None:
        now = self._clock()
        if self._began is None:
            self._began = now if any(connection.has_subscriptions for connection in self.connections) else None
            return
        until = (now - self._began) * self._speed
        while self._next < len(self._frames) and self._frames[self._next].at_s <= until:
            self._play(self._frames[self._next])
            self._next += 1

    def book(self, ticker: str, *, yes_prices: bool) -> Body | None:
        if ticker not in self._books:
            return None
        body = {name: self._last["book", ticker][name] for name in ("market_ticker", "market_id")}
        yes, no = self._books[ticker]
        if yes:
            body["yes_dollars_fp"] = [[dollars(price), count(size)] for price, size in sorted(yes.items())]
        if no:
            shown = [(UNIT - price if yes_prices else price, size) for price, size in sorted(no.items())]
            body["no_dollars_fp"] = [[dollars(price), count(size)] for price, size in shown]
        return body

    def ticker(self, ticker: str) -> Body | None:
        return self._last.get(("ticker", ticker))

    def _play(self, frame: RecordedFrame) -> None:
        channel, ticker = _CHANNELS[frame.kind], frame.body.get("market_ticker", "")
        if channel == "orderbook_delta":
            self._apply(frame, ticker)
        self._last["book" if channel == "orderbook_delta" else channel, ticker] = frame.body
        readers = self.readers(channel, ticker)
        text = json.dumps(frame.body, separators=(",", ":")) if readers else ""
        for connection, subscription in readers:
            connection.send(subscription, frame.kind, text, frame.step)

    def _apply(self, frame: RecordedFrame, ticker: str) -> None:
        body = frame.body
        if frame.kind == "orderbook_snapshot":
            sides = (body.get("yes_dollars_fp", []), body.get("no_dollars_fp", []))
            yes, no = ({_units(price, UNIT): _units(size, 100) for price, size in levels} for levels in sides)
            self._books[ticker] = (yes, no)
        elif ticker in self._books:
            side = self._books[ticker][body["side"] == "no"]
            price = _units(body["price_dollars"], UNIT)
            size = side.pop(price, 0) + _units(body["delta_fp"], 100)
            if size > 0:
                side[price] = size


def _bodies(frames: list[RecordedFrame]) -> Iterator[Body]:
    return (frame.body for frame in frames if "market_id" in frame.body)


def _units(text: str, scale: int) -> int:
    return round(float(text) * scale)

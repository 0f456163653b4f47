"""Raw frames of the feed as JSON Lines: `{"received_ns": …, "frame": …}`, gzipped if the name ends in .gz."""

import asyncio
import contextlib
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from fairline.kalshi import Auth
from fairline.kalshi.feed import Feed

CHANNELS = ("ticker", "trade", "market_lifecycle_v2")


async def record_feed(url: str, auth: Auth, tickers: Sequence[str], path: Path, seconds: float | None) -> int:
    """Write every frame until interrupted or for a number of seconds; return how many.

    With tickers, only their tickers and trades are recorded, and their order books. Raises `KalshiError`.
    """
    frames = 0
    with _open(path) as file:

        def write(received_ns: int, frame: bytes) -> None:
            nonlocal frames
            frames += 1
            file.write(b'{"received_ns":%d,"frame":%b}\n' % (received_ns, frame.replace(b"\n", b" ")))

        feed = Feed(url, auth, channels=CHANNELS, on_frame=write)
        feed.follow_tickers(tickers)
        feed.follow_books(tickers)
        running = asyncio.create_task(_drain(feed))
        with contextlib.suppress(TimeoutError, KeyboardInterrupt, asyncio.CancelledError):
            await asyncio.wait_for(feed.run(), seconds)
        running.cancel()
    return frames


async def _drain(feed: Feed) -> None:
    """Take what arrives, because only the raw frames are wanted."""
    while True:
        await feed.wait()
        feed.take()
        await asyncio.sleep(0.1)


def read_frames(path: Path) -> Iterator[bytes]:
    """Yield the frames of a recording in order. Raises `OSError` or `ValueError`."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            frame = json.loads(line)["frame"]
            yield frame.encode() if isinstance(frame, str) else json.dumps(frame).encode()


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "wb") if path.suffix == ".gz" else path.open("wb")  # type: ignore[return-value]

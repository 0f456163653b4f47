"""Who is told: receivers by name, behind whose names are Apprise URLs, which are secrets and never shown."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from fairline.errors import ConfigError
from fairline.state import Letter, State

log = logging.getLogger("fairline.receivers")

_FIRST, _LONGEST = timedelta(seconds=5), timedelta(minutes=15)
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Receiver:
    """A name, and the Apprise URL behind it. Raises `ConfigError` for a URL that Apprise cannot use."""

    name: str
    url: str = field(repr=False)

    def check(self) -> None:
        if _notifier(self.url) is None:
            kind = self.url.partition("://")[0] if "://" in self.url else "no address"
            raise ConfigError(
                f"the receiver {self.name!r} has an address that Apprise does not take ({kind})",
                remedy="See the list of services in Apprise's documentation",
            )

    async def deliver(self, title: str, body: str) -> bool:
        """Whether the receiver took it. It has half a minute."""
        try:
            return await asyncio.wait_for(_aside(lambda: self._deliver(title, body)), _TIMEOUT_S)
        except TimeoutError:
            return False

    def _deliver(self, title: str, body: str) -> bool:
        made = _notifier(self.url)
        return made is not None and bool(made.notify(body=body, title=title, body_format="text"))


class Post:
    """Empties the outbox: each receiver its letters one after the other, again and again until it takes them."""

    def __init__(self, state: State, receivers: Mapping[str, Receiver]) -> None:
        self._state = state
        self.receivers = receivers
        self.delivered = self.refused = 0
        self._flying: set[asyncio.Task[bool]] = set()

    async def deliver(self, now: datetime) -> int:
        """Try what is due; how many were taken. A letter to somebody who is not in the settings any more waits."""
        before = self.delivered
        while due := [letter for letter in self._state.outbox(now) if letter.receiver in self.receivers]:
            sent = [asyncio.create_task(self._try(letter, now)) for letter in due]
            self._flying.update(sent)
            done, _ = await asyncio.wait(sent)
            self._flying.difference_update(sent)
            if not any(task.result() for task in done):
                break
        return self.delivered - before

    async def land(self, seconds: float) -> None:
        """Wait for what is under way, so that what was taken is noted as taken; not for a receiver that is silent."""
        if self._flying:
            _, silent = await asyncio.wait(self._flying, timeout=seconds)
            for task in silent:
                task.cancel()

    async def _try(self, letter: Letter, now: datetime) -> bool:
        if await self.receivers[letter.receiver].deliver(letter.title, letter.body):
            self._state.delivered(letter, now)
            self.delivered += 1
            return True
        pause = min(_LONGEST, _FIRST * 2 ** min(letter.attempts, 20))
        self._state.postpone(letter, now + pause)
        self.refused += 1
        log.warning("%s did not take a message; again in %.0f s", letter.receiver, pause.total_seconds())
        return False


def _aside(work: Callable[[], bool]) -> "asyncio.Future[bool]":
    """The result of blocking work in a thread that nobody waits for at the end: a silent receiver must not keep a
    process from stopping.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[bool] = loop.create_future()

    def run() -> None:
        done = work()
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(_answer, result, done)

    threading.Thread(target=run, name="receiver", daemon=True).start()
    return result


def _answer(result: "asyncio.Future[bool]", done: bool) -> None:  # noqa: FBT001  called by the loop
    if not result.done():
        result.set_result(done)


def _notifier(url: str) -> Any:
    """Apprise with that address; None if it does not take it."""
    try:
        import apprise  # noqa: PLC0415  an extra, and slow to import
    except ImportError:
        raise ConfigError("receivers need Apprise", remedy="pip install 'fairline[watch]'") from None
    # It writes addresses, and so passwords, into its own log.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    # One service at a time: what sends to several does so in threads that are waited for when the process ends.
    return apprise.Apprise.instantiate(url)

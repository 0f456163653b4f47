"""Who is told: receivers by name, behind whose names are Apprise URLs, which are secrets and never shown."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from fairline.errors import ConfigError, StoreError
from fairline.extras import need
from fairline.watch.state import Letter, State

log = logging.getLogger("fairline.receivers")

_FIRST, _LONGEST = timedelta(seconds=5), timedelta(minutes=15)
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Receiver:
    """A name, and the Apprise URL behind it."""

    name: str
    url: str = field(repr=False)

    def check(self) -> None:
        """Raises `ConfigError` for a URL that Apprise cannot use."""
        if _notifier(self.url) is None:
            kind = self.url.partition("://")[0] if "://" in self.url else "no address"
            raise ConfigError(
                f"the receiver {self.name!r} has an address that Apprise does not take ({kind})",
                remedy="See the list of services in Apprise's documentation",
            )

    def deliver(self, title: str, body: str) -> "asyncio.Future[bool]":
        """Whether the receiver took it, once that is known: in a thread that nobody waits for at the end, since a
        silent receiver must not keep a process from stopping.
        """
        loop = asyncio.get_running_loop()
        result: asyncio.Future[bool] = loop.create_future()

        def run() -> None:
            taken = False
            try:
                made = _notifier(self.url)
                taken = made is not None and bool(made.notify(body=body, title=title, body_format="text"))
            except Exception as error:  # noqa: BLE001  a service's plug-in is anybody's code; its words may hold the URL
                log.error("%s failed (%s)", self.name, type(error).__name__)
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(partial(_answer, result, taken=taken))

        threading.Thread(target=run, name="receiver", daemon=True).start()
        return result


class Post:
    """Empties the outbox: each receiver its letters one after the other, again and again until it takes them."""

    def __init__(self, state: State, receivers: Mapping[str, Receiver], timeout_s: float = _TIMEOUT_S) -> None:
        self._state, self._timeout_s = state, timeout_s
        self.receivers = receivers
        self.delivered = self.refused = 0
        self._rounds: dict[str, asyncio.Task[None]] = {}
        self._under_way: dict[int, asyncio.Future[bool]] = {}
        self._taken: dict[int, Letter] = {}

    def deliver(self, now: datetime) -> None:
        """See to what is due. A letter to somebody who is not in the settings any more waits. Raises `StoreError`."""
        self._note_taken(now)
        due = {letter.receiver for letter in self._state.outbox(now)} & set(self.receivers)
        for name in due:
            if name not in self._rounds or self._rounds[name].done():
                self._rounds[name] = asyncio.create_task(self._round(name, now))

    async def land(self, seconds: float) -> None:
        """Wait for what is under way, so that what was taken is noted as taken; not for a receiver that is silent."""
        flying = [task for task in self._rounds.values() if not task.done()]
        if flying:
            _, silent = await asyncio.wait(flying, timeout=seconds)
            for task in silent:
                task.cancel()

    async def _round(self, name: str, now: datetime) -> None:
        """A receiver's letters until there are no more, or it does not take one."""
        taken = True
        with contextlib.suppress(StoreError):  # the next look at the outbox says what is wrong with it
            while taken:
                mine = [letter for letter in self._state.outbox(now) if letter.receiver == name]
                taken = bool(mine) and mine[0].number not in self._taken and await self._try(mine[0], now)

    async def _try(self, letter: Letter, now: datetime) -> bool:
        if await self._arrives(letter):
            self._taken[letter.number] = letter
            self.delivered += 1
            self._note_taken(now)
            return True
        pause = min(_LONGEST, _FIRST * 2 ** min(letter.attempts, 20))
        self._state.postpone(letter, now + pause)
        self.refused += 1
        log.warning("%s did not take a message; again in %.0f s", letter.receiver, pause.total_seconds())
        return False

    async def _arrives(self, letter: Letter) -> bool:
        """Whether a letter was taken. One that is still under way from the last try is not sent a second time."""
        answer = self._under_way.pop(letter.number, None)
        answer = answer or self.receivers[letter.receiver].deliver(letter.title, letter.body)
        done, late = await asyncio.wait([answer], timeout=self._timeout_s)
        if late:
            self._under_way[letter.number] = answer
        return bool(done) and answer.result()

    def _note_taken(self, now: datetime) -> None:
        """What was taken but could not be noted, on a full disk say, must be noted before it could be sent again."""
        for letter in list(self._taken.values()):
            self._state.delivered(letter, now)
            del self._taken[letter.number]


def _answer(result: "asyncio.Future[bool]", *, taken: bool) -> None:
    if not result.done():
        result.set_result(taken)


def _notifier(url: str) -> Any:
    """What Apprise makes of an address; None if it does not take it. Raises `ConfigError` without Apprise."""
    apprise = need("apprise", "watch")
    # It writes addresses, and so passwords, into its own log.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    # One service at a time: what sends to several does so in threads that are waited for when the process ends.
    made = apprise.Apprise.instantiate(url)
    if made is not None and "rto=" not in url:
        # It gives up a receiver that takes longer than four seconds, who would then get the letter again.
        made.socket_read_timeout = _TIMEOUT_S - 5
    return made

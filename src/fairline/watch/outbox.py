"""Deliver the messages in the outbox: to each receiver in order, repeated until it accepts them."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol

from fairline.errors import StoreError
from fairline.watch.receivers import TIMEOUT_S
from fairline.watch.state import Message, State

log = logging.getLogger("fairline.receivers")

FIRST_PAUSE, MAX_PAUSE = timedelta(seconds=5), timedelta(minutes=15)


class Deliverer(Protocol):
    """What the outbox needs of a receiver."""

    def deliver(self, title: str, body: str) -> "asyncio.Future[bool]": ...


class Outbox:
    """Sends pending messages. `delivered` and `rejected` count since the start."""

    def __init__(self, state: State, receivers: Mapping[str, Deliverer], timeout_s: float = TIMEOUT_S) -> None:
        self._state, self._timeout_s = state, timeout_s
        self.receivers = receivers
        self.delivered = 0
        self.rejected = 0
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._in_flight: dict[int, asyncio.Future[bool]] = {}
        self._accepted: dict[int, Message] = {}

    def deliver(self, now: datetime) -> None:
        """Start sending what is due. Messages to receivers not in the settings wait. Raises `StoreError`."""
        self._mark_accepted(now)
        pending = {message.receiver for message in self._state.due_messages(now)} & set(self.receivers)
        for name in pending:
            if name not in self._tasks or self._tasks[name].done():
                self._tasks[name] = asyncio.create_task(self._send_all(name, now))

    async def drain(self, seconds: float) -> None:
        """Wait for messages in flight, so that accepted ones are marked; cancel what takes longer."""
        running = [task for task in self._tasks.values() if not task.done()]
        if running:
            _, late = await asyncio.wait(running, timeout=seconds)
            for task in late:
                task.cancel()

    async def _send_all(self, name: str, now: datetime) -> None:
        """Send a receiver's messages until none is left or one is rejected."""
        accepted = True
        with contextlib.suppress(StoreError):  # the next call of deliver reports it
            while accepted:
                pending = [message for message in self._state.due_messages(now) if message.receiver == name]
                accepted = (
                    bool(pending) and pending[0].number not in self._accepted and await self._try(pending[0], now)
                )

    async def _try(self, message: Message, now: datetime) -> bool:
        if await self._send(message):
            self._accepted[message.number] = message
            self.delivered += 1
            self._mark_accepted(now)
            return True
        pause = min(MAX_PAUSE, FIRST_PAUSE * 2 ** min(message.attempts, 20))
        self._state.postpone(message, now + pause)
        self.rejected += 1
        log.warning("receiver %s did not accept a message; retrying in %.0f s", message.receiver, pause.total_seconds())
        return False

    async def _send(self, message: Message) -> bool:
        """Return whether a message was accepted. One still in flight from the last attempt is not sent again."""
        answer = self._in_flight.pop(message.number, None)
        answer = answer or self.receivers[message.receiver].deliver(message.title, message.body)
        done, late = await asyncio.wait([answer], timeout=self._timeout_s)
        if late:
            self._in_flight[message.number] = answer
        return bool(done) and answer.result()

    def _mark_accepted(self, now: datetime) -> None:
        """Mark accepted messages as delivered, also those that an error, such as a full disk, left unmarked."""
        for message in list(self._accepted.values()):
            self._state.mark_delivered(message, now)
            del self._accepted[message.number]

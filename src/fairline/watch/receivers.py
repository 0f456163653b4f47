"""Receivers of messages: a name, and the Apprise URL behind it, which is a secret and never shown."""

import asyncio
import contextlib
import logging
import threading
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fairline.errors import ConfigError
from fairline.extras import need

log = logging.getLogger("fairline.receivers")

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Receiver:
    """A name, and the Apprise URL behind it."""

    name: str
    url: str = field(repr=False)

    def check(self) -> None:
        """Raise `ConfigError` if Apprise does not support the URL."""
        if _create_notifier(self.url) is None:
            scheme = self.url.partition("://")[0] if "://" in self.url else "no scheme"
            raise ConfigError(
                f"Apprise does not support the address of receiver {self.name!r} ({scheme})",
                remedy="See the list of services in Apprise's documentation",
            )

    def deliver(self, title: str, body: str) -> "asyncio.Future[bool]":
        """Send a message; the result is whether the receiver accepted it.

        It is sent in a daemon thread, because a silent receiver must not keep the process from ending.
        """
        loop = asyncio.get_running_loop()
        result: asyncio.Future[bool] = loop.create_future()

        def send() -> None:
            accepted = False
            try:
                notifier = _create_notifier(self.url)
                accepted = notifier is not None and bool(notifier.notify(body=body, title=title, body_format="text"))
            except Exception as error:  # noqa: BLE001  plug-ins raise anything, and their messages may contain the URL
                log.error("receiver %s failed (%s)", self.name, type(error).__name__)
            with contextlib.suppress(RuntimeError):  # the loop may have ended meanwhile
                loop.call_soon_threadsafe(partial(_set_result, result, accepted=accepted))

        threading.Thread(target=send, name="receiver", daemon=True).start()
        return result


def _set_result(result: "asyncio.Future[bool]", *, accepted: bool) -> None:
    if not result.done():
        result.set_result(accepted)


def _create_notifier(url: str) -> Any:
    """Return Apprise's notifier of a URL; None if it does not support it. Raises `ConfigError` without Apprise."""
    apprise = need("apprise", "watch")
    # Apprise logs addresses, and with them passwords.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    # One service at a time: Apprise sends to several in threads that block the end of the process.
    notifier = apprise.Apprise.instantiate(url)
    if notifier is not None and "rto=" not in url:
        # Apprise's default of four seconds would repeat messages to a receiver that is only slow.
        notifier.socket_read_timeout = TIMEOUT_S - 5
    return notifier

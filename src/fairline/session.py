"""From settings to a client that is signed in and paced by the account's own limits."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fairline.config import Settings
from fairline.kalshi import Auth, JwtAuth, Kalshi, KalshiError, Rate, TokenBucket, Transport
from fairline.kalshi.errors import AuthError, PassphraseError
from fairline.kalshi.keys import readable_by_others
from fairline.kalshi.limits import TIERS

Say = Callable[[str], None]


def sign_in(settings: Settings, say: Say, ask: Callable[[], str] | None = None) -> Auth | None:
    """The signing scheme; a passphrase that is needed and not set is asked for, if there is somebody to `ask`."""
    try:
        auth = settings.signer()
    except PassphraseError:
        if ask is None:
            raise
        auth = replace(settings, passphrase=ask()).signer()
    if auth is not None and settings.key_file and readable_by_others(Path(settings.key_file).expanduser()):
        say(f"fairline: {settings.key_file} can be read by others; mend that with: chmod 600 {settings.key_file}")
    return auth


async def connect(settings: Settings, auth: Auth | None, say: Say) -> Kalshi:
    """A client; with a key, paced by the account's own limits as far as they can be read."""
    kalshi = Kalshi(Transport(settings.url, auth=auth))
    if auth is None or isinstance(auth, JwtAuth):
        return kalshi
    kalshi.transport.bucket = TokenBucket(TIERS["basic"])
    try:
        limits = (await kalshi.account.limits()).read
        kalshi.transport.bucket.resize(Rate(limits.refill_rate, limits.bucket_capacity))
    except AuthError:
        await kalshi.transport.close()
        raise
    except (KalshiError, ValueError) as error:
        say(f"fairline: the account's limits cannot be read ({error}); keeping to those of the basic tier")
    return kalshi

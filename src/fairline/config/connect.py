"""Build an authenticated client from settings, paced by the account's own limits."""

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import platformdirs

from fairline.config.model_settings import model_settings
from fairline.config.settings import Settings, model_key
from fairline.errors import ConfigError
from fairline.files import write_atomic
from fairline.kalshi import Auth, JwtAuth, Kalshi, KalshiError, PrivateKey, Rate, Retry, TokenBucket, Transport
from fairline.kalshi.cache import ExchangeCache
from fairline.kalshi.errors import AuthError, PassphraseError, PrivateKeyError
from fairline.kalshi.experiments import Setup
from fairline.kalshi.keys import readable_by_others
from fairline.kalshi.limits import TIERS
from fairline.sources import Shelf, Sources
from fairline.sources.shelf import SUFFIX

Say = Callable[[str], None]


def sign_in(settings: Settings, say: Say, ask: Callable[[], str] | None = None) -> Auth | None:
    """Return the signing scheme; a missing passphrase comes from `ask`, if that is given."""
    try:
        auth = settings.signer()
    except PassphraseError:
        if ask is None:
            raise
        auth = replace(settings, passphrase=ask()).signer()
    warning = key_file_warning(settings)
    if auth is not None and warning:
        say(f"fairline: {warning}")
    return auth


def key_file_warning(settings: Settings) -> str:
    """Return a warning if others can read the key file, otherwise an empty string."""
    path = Path(settings.key_file).expanduser()
    if not settings.key_file or not path.is_file() or not readable_by_others(path):
        return ""
    return f"{settings.key_file} can be read by others; fix that with: chmod 600 {settings.key_file}"


def patient_of(settings: Settings, *, other_url: str, subaccount: int | None, ask: Callable[[], str] | None) -> Setup:
    """Return what the doctor examines, from these settings."""

    def load_key() -> PrivateKey:
        try:
            settings.identity()
            return private_key(settings, ask)
        except ConfigError as error:
            raise PrivateKeyError(error.message, remedy=error.remedy) from error

    key_id = settings.key_id
    with contextlib.suppress(ConfigError):
        key_id = settings.identity() if settings.has_key else ""
    return Setup(
        url=settings.url,
        websocket_url=settings.websocket_url,
        key_id=key_id,
        load_key=load_key if settings.has_key else None,
        scheme="jwt" if settings.auth == "jwt" else "api-key",
        member_id=settings.member_id,
        other_url=other_url or settings.other_url,
        subaccount=subaccount,
        known=_mark(settings, key_id) in _marks(),
        use_server_time=bool(settings.use_server_time),
    )


def private_key(settings: Settings, ask: Callable[[], str] | None) -> PrivateKey:
    """Return the private key of the settings; a missing passphrase comes from `ask`, if that is given."""
    try:
        return settings.private_key()
    except PassphraseError:
        if ask is None:
            raise
    return replace(settings, passphrase=ask()).private_key()


def remember(settings: Settings) -> None:
    """Record that this key worked in this environment, so that the doctor recognises a key that was revoked later.

    The record is a digest of environment and key id. Without a writable folder nothing is recorded.
    """
    marks = _marks() | {_mark(settings, settings.identity())}
    if marks == _marks():
        return
    with contextlib.suppress(OSError):
        _memory().parent.mkdir(parents=True, exist_ok=True)
        write_atomic(_memory(), json.dumps(sorted(marks)).encode(), mode=0o600)


def _memory() -> Path:
    return platformdirs.user_state_path("fairline") / "keys-that-worked.json"


def _mark(settings: Settings, key_id: str) -> str:
    return hashlib.sha256(f"{settings.environment} {key_id}".encode()).hexdigest()[:32]


def _marks() -> set[str]:
    try:
        return set(json.loads(_memory().read_text()))
    except (OSError, ValueError, TypeError):
        return set()


def memory_of(settings: Settings) -> ExchangeCache:
    """Return the cache of this exchange in the user's cache folder."""
    return ExchangeCache(platformdirs.user_cache_path("fairline"), settings.url)


def input_cache() -> Shelf:
    """Return the cache of models' inputs, which outlives a run."""
    return Shelf(platformdirs.user_cache_path("fairline") / "inputs")


def sources_of(*, offline: bool = False, record: Path | None = None) -> Sources:
    """Return sources of inputs with the user's keys and cache. Raises `ConfigError`."""
    cache = input_cache()
    cache.tidy(datetime.now(UTC))
    if record is not None and any(record.glob(f"*{SUFFIX}")):
        raise ConfigError(f"{record} holds a record already", remedy="Give --record a new folder")
    recording = Shelf(record) if record else None
    user_folder = model_settings().data_folder
    return Sources(user_folder, keys=model_key, cache=cache, record=recording, offline=offline)


def store_folder(settings: Settings, given: Path | None) -> Path:
    """Return the given folder, otherwise the default store of this exchange."""
    return given or platformdirs.user_data_path("fairline") / settings.environment.replace(":", "-")


def own_folders() -> list[Path]:
    """Return the folders besides the store that a watch writes to."""
    return [platformdirs.user_cache_path("fairline"), platformdirs.user_state_path("fairline")]


def transport_of(settings: Settings, auth: Auth | None, say: Say, retry: Retry | None = None) -> Transport:
    return Transport(settings.url, auth=auth, use_server_time=bool(settings.use_server_time), notify=say, retry=retry)


async def connect(settings: Settings, auth: Auth | None, say: Say) -> Kalshi:
    """Return a client; with a key, paced by the account's own limits if they can be read."""
    kalshi = Kalshi(transport_of(settings, auth, say))
    if auth is None or isinstance(auth, JwtAuth):
        return kalshi
    kalshi.transport.bucket = TokenBucket(TIERS["basic"].with_reserve())
    try:
        limits = (await kalshi.account.limits()).read
        remember(settings)
        kalshi.transport.bucket.resize(Rate(limits.refill_rate, limits.bucket_capacity).with_reserve())
        kalshi.transport.costs = await kalshi.account.endpoint_costs()
    except AuthError as error:
        # A key that lacks the scope for its limits may still read something else.
        if error.status != 403:
            await kalshi.transport.close()
            raise
        say(f"fairline: the account's limits cannot be read ({error.message}); keeping to those of the basic tier")
    except (KalshiError, ValueError) as error:
        say(f"fairline: the account's limits cannot be read ({error}); keeping to those of the basic tier")
    return kalshi

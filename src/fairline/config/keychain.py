"""API keys in the operating system's keyring: imported once, then used by name.

A keyring cannot be listed, so one entry holds the names, key ids and fingerprints of the others, and no secret.
"""

import json
from dataclasses import asdict, dataclass, field

import keyring
from keyring.errors import KeyringError

from fairline.errors import ConfigError
from fairline.kalshi import parse_private_key
from fairline.kalshi.redaction import show_value

SERVICE = "fairline"
_INDEX = "(index)"


@dataclass(frozen=True, slots=True)
class StoredKey:
    """The public facts about a stored key."""

    name: str
    key_id: str
    kind: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Secret:
    """A private key as imported, in PEM, and its passphrase if it has one."""

    key_id: str
    pem: str = field(repr=False)
    passphrase: str = field(default="", repr=False)


def store(name: str, secret: Secret) -> StoredKey:
    """Put a key into the keyring under a name, replacing any other key of that name.

    Raises `PrivateKeyError` for an unusable key and `ConfigError` if there is no keyring.
    """
    if not name.isprintable() or not name or name == _INDEX:
        raise ConfigError(f"{show_value(name)} cannot be the name of a key", remedy="Give another --name")
    key = parse_private_key(secret.pem, secret.passphrase or None)
    entry = StoredKey(name, secret.key_id, key.kind, key.fingerprint)
    _set(name, json.dumps(asdict(secret)))
    _set(_INDEX, json.dumps([asdict(k) for k in list_stored() if k.name != name] + [asdict(entry)]))
    return entry


def list_stored() -> list[StoredKey]:
    """Return the imported keys."""
    try:
        entries = [StoredKey(**entry) for entry in json.loads(_get(_INDEX) or "[]")]
    except (ValueError, TypeError):
        return []  # a damaged list hides names, not keys: they are still fetched and removed by name
    return sorted(entries, key=lambda key: key.name)


def fetch(name: str) -> Secret:
    """Return a stored key by its name. Raises `ConfigError` with the names that exist."""
    text = _get(name) if name != _INDEX else None
    if text is None:
        names = ", ".join(key.name for key in list_stored()) or "none"
        raise ConfigError(
            f"the keyring has no key {show_value(name)}", remedy=f"Keys there: {names}; see fairline key import"
        )
    try:
        return Secret(**json.loads(text))
    except (ValueError, TypeError):
        # Without the cause, which holds the secret's text.
        raise ConfigError(
            f"the keyring's entry {show_value(name)} is damaged", remedy="Remove and import it again"
        ) from None


def remove(name: str) -> None:
    """Delete a stored key. Raises `ConfigError` if none has that name."""
    if _get(name) is None:
        fetch(name)
    _set(_INDEX, json.dumps([asdict(key) for key in list_stored() if key.name != name]))
    try:
        keyring.delete_password(SERVICE, name)
    except (KeyringError, ImportError, OSError) as error:
        raise _no_keyring(error) from error


def _get(name: str) -> str | None:
    try:
        return keyring.get_password(SERVICE, name)
    except (KeyringError, ImportError, OSError) as error:
        raise _no_keyring(error) from error


def _set(name: str, text: str) -> None:
    try:
        keyring.set_password(SERVICE, name, text)
    except (KeyringError, ImportError, OSError) as error:
        raise _no_keyring(error) from error


def _no_keyring(error: Exception) -> ConfigError:
    reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
    return ConfigError(
        f"this machine's keyring cannot be used ({reason})", remedy="Unlock or install one, or use --key-file PATH"
    )

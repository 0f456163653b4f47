"""API keys in the operating system's keyring: imported once, then named instead of lying about as files.

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
    """What is told of a stored key."""

    name: str
    key_id: str
    kind: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Secret:
    """What signs: the PEM text as it was imported, and the passphrase if it has one."""

    key_id: str
    pem: str = field(repr=False)
    passphrase: str = field(default="", repr=False)


def store(name: str, secret: Secret) -> StoredKey:
    """Put a key into the keyring under a name, replacing one of that name.

    Raises `PrivateKeyError` for what is no usable key and `ConfigError` where there is no keyring.
    """
    if not name.isprintable() or not name or name == _INDEX:
        raise ConfigError(f"{show_value(name)} cannot be the name of a key", remedy="Give another --name")
    key = parse_private_key(secret.pem, secret.passphrase or None)
    made = StoredKey(name, secret.key_id, key.kind, key.fingerprint)
    _set(name, json.dumps(asdict(secret)))
    _set(_INDEX, json.dumps([asdict(k) for k in stored() if k.name != name] + [asdict(made)]))
    return made


def stored() -> list[StoredKey]:
    """The keys that were imported."""
    try:
        entries = [StoredKey(**entry) for entry in json.loads(_get(_INDEX) or "[]")]
    except (ValueError, TypeError):
        return []  # a damaged list hides names, not keys: they are still fetched and removed by name
    return sorted(entries, key=lambda key: key.name)


def fetch(name: str) -> Secret:
    """A stored key by its name. Raises `ConfigError` naming those there are."""
    text = _get(name) if name != _INDEX else None
    if text is None:
        names = ", ".join(key.name for key in stored()) or "none"
        raise ConfigError(
            f"the keyring has no key {show_value(name)}", remedy=f"Keys there: {names}; see fairline key import"
        )
    try:
        return Secret(**json.loads(text))
    except (ValueError, TypeError):
        raise ConfigError(
            f"the keyring's entry {show_value(name)} is damaged", remedy="Remove and import it again"
        ) from None


def remove(name: str) -> None:
    """Delete a stored key. Raises `ConfigError` if there is none of that name."""
    if _get(name) is None:
        fetch(name)
    _set(_INDEX, json.dumps([asdict(key) for key in stored() if key.name != name]))
    try:
        keyring.delete_password(SERVICE, name)
    except (KeyringError, ImportError, OSError) as error:
        raise _no_keyring(error) from None


def _get(name: str) -> str | None:
    try:
        return keyring.get_password(SERVICE, name)
    except (KeyringError, ImportError, OSError) as error:
        raise _no_keyring(error) from None


def _set(name: str, text: str) -> None:
    try:
        keyring.set_password(SERVICE, name, text)
    except (KeyringError, ImportError, OSError) as error:
        raise _no_keyring(error) from None


def _no_keyring(error: Exception) -> ConfigError:
    reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
    return ConfigError(
        f"this machine's keyring cannot be used ({reason})", remedy="Unlock or install one, or use --key-file PATH"
    )

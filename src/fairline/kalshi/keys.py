"""Private keys: read, parse and sign. The exchange accepts RSA (documented with 2048 bits) and Ed25519."""

import base64
import hashlib
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from fairline.kalshi.errors import PassphraseError, PrivateKeyError
from fairline.kalshi.pem import WHERE_TO_GET, normalize_pem
from fairline.kalshi.redaction import looks_secret, show_path

MIN_RSA_BITS = 1024
"""Shorter keys have no room for the padding."""

# The salt is as long as the digest: the exchange refuses the maximum length, the default of some libraries.
_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """An RSA or Ed25519 private key that signs, and never shows its content."""

    _key: RSAPrivateKey | Ed25519PrivateKey = field(repr=False)

    @property
    def kind(self) -> str:
        """`RSA-2048` (or its size) or `Ed25519`."""
        return f"RSA-{self._key.key_size}" if isinstance(self._key, RSAPrivateKey) else "Ed25519"

    @property
    def rsa(self) -> RSAPrivateKey | None:
        """The RSA key itself, which the PS256 token needs; None for Ed25519."""
        return self._key if isinstance(self._key, RSAPrivateKey) else None

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the public half (DER), as `SHA256:…` in base64; safe to show."""
        public = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return "SHA256:" + base64.b64encode(hashlib.sha256(public).digest()).decode().rstrip("=")

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Return whether `sign` of this key made the signature."""
        try:
            if isinstance(self._key, RSAPrivateKey):
                self._key.public_key().verify(signature, message, _PSS, hashes.SHA256())
            else:
                self._key.public_key().verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def sign(self, message: bytes) -> bytes:
        """Sign with RSA-PSS (SHA-256, salt of 32 bytes) or Ed25519, by the type of the key."""
        if isinstance(self._key, RSAPrivateKey):
            return self._key.sign(message, _PSS, hashes.SHA256())
        return self._key.sign(message)


def read_private_key(path: Path, passphrase: str | None = None) -> PrivateKey:
    """Read a private key from a file. Raises `PrivateKeyError` with the file, the fault and a remedy."""
    content = _read_file(path)
    try:
        return parse_private_key(content, passphrase)
    except PrivateKeyError as error:
        raise type(error)(f"{path}: {error.message}", remedy=error.remedy) from error


def read_pem(path: Path) -> str:
    """Read a key file as well-formed PEM text. Raises `PrivateKeyError`."""
    return normalize_pem(_read_file(path))[1].decode()


def _read_file(path: Path) -> bytes:
    if looks_secret(str(path)) and "PRIVATE KEY" in str(path):
        raise PrivateKeyError(
            "key_file contains a private key instead of a path",
            remedy="Set KALSHI_PRIVATE_KEY to the text of the key, or KALSHI_PRIVATE_KEY_PATH to the path of its file",
        )
    shown = show_path(path)
    try:
        return path.read_bytes()
    except OSError as error:
        # The path may be a secret that was given in its place, and the error would show it.
        error.filename = None
        raise _file_error(shown, error) from error
    except ValueError as error:
        raise PrivateKeyError(f"{shown} is not a path", remedy="Set key_file to the path of the key file") from error


def _file_error(shown: str, error: OSError) -> PrivateKeyError:
    if isinstance(error, FileNotFoundError):
        return PrivateKeyError(
            f"the key file {shown} does not exist", remedy="Set key_file (KALSHI_PRIVATE_KEY_PATH) to its path"
        )
    if isinstance(error, IsADirectoryError):
        return PrivateKeyError(f"{shown} is a folder", remedy="Set key_file to the key file itself")
    return PrivateKeyError(
        f"the key file {shown} cannot be read ({error.strerror})", remedy="Check its owner and permissions"
    )


def readable_by_others(path: Path) -> bool:
    """Return whether the file's mode lets anyone but its owner read it (POSIX only)."""
    return sys.platform != "win32" and bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def parse_private_key(content: str | bytes, passphrase: str | None = None) -> PrivateKey:
    """Parse a private key from PEM text, repaired where it was damaged by pasting.

    Raises `PrivateKeyError`; the message never contains any of the text.
    """
    label, pem = normalize_pem(content)
    encrypted = "ENCRYPTED" in label or b"ENCRYPTED" in pem
    if encrypted and not passphrase:
        raise PassphraseError(
            "the key is protected by a passphrase",
            remedy="Set KALSHI_PRIVATE_KEY_PASSPHRASE, or run from a terminal and answer the prompt",
        )
    try:
        key = serialization.load_pem_private_key(pem, passphrase.encode() if passphrase and encrypted else None)
    except UnsupportedAlgorithm as error:
        raise PrivateKeyError("the exchange does not accept this kind of key", remedy=WHERE_TO_GET) from error
    except (ValueError, TypeError) as error:
        if encrypted:
            raise PrivateKeyError("the passphrase does not open the key", remedy="Check the passphrase") from error
        raise PrivateKeyError("the key is truncated or damaged", remedy=WHERE_TO_GET) from _without_key(error)
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        name = type(key).__name__.removeprefix("_").removesuffix("PrivateKey")
        raise PrivateKeyError(
            f"the key is of type {name}; the exchange accepts RSA or Ed25519", remedy="Create a new API key there"
        )
    if isinstance(key, RSAPrivateKey) and key.key_size < MIN_RSA_BITS:
        raise PrivateKeyError(f"an RSA key of {key.key_size} bits is too short to sign with", remedy=WHERE_TO_GET)
    return PrivateKey(key)


def _without_key(error: Exception) -> Exception:
    """Return the error, or one without its text if that quotes the key."""
    return ValueError("unreadable key") if "-----" in str(error) else error

"""A private key from the forms in which people have it.

The exchange signs users in with RSA (2048 bits documented) or Ed25519 keys. People paste them with literal
`\\n`, on one line, with CRLF, a byte-order mark, quotes or stray spaces; all of these are mended here, and each
thing that is not a usable private key gets its own sentence.
"""

import base64
import hashlib
import re
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

# Salt as long as the digest: the exchange refuses the maximum-length salt that some libraries default to.
_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)(?:-----END \1-----|$)", re.DOTALL)

_PEM_HEADER = re.compile(r"(Proc-Type|DEK-Info):\s*([A-Z0-9]+(?:-[A-Z0-9]+)*,[A-Za-z0-9]+)")

_NOT_A_PRIVATE_KEY = {
    "PUBLIC KEY": "this is a public key",
    "RSA PUBLIC KEY": "this is a public key",
    "CERTIFICATE": "this is a certificate",
    "CERTIFICATE REQUEST": "this is a certificate request",
    "OPENSSH PRIVATE KEY": "this is an OpenSSH key, a format the exchange does not issue",
    "EC PRIVATE KEY": "this is an elliptic-curve (EC) key; the exchange takes RSA or Ed25519",
}
_WHERE_TO_GET = "Use the private key file that the exchange's account page offered once when the API key was made"


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """An RSA or Ed25519 private key that can sign and tell its fingerprint, and never shows itself."""

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
        """Whether `sign` of this key made the signature."""
        try:
            if isinstance(self._key, RSAPrivateKey):
                self._key.public_key().verify(signature, message, _PSS, hashes.SHA256())
            else:
                self._key.public_key().verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def sign(self, message: bytes) -> bytes:
        """RSA-PSS with SHA-256 and a 32-byte salt, or plain Ed25519, by the type of the key."""
        if isinstance(self._key, RSAPrivateKey):
            return self._key.sign(message, _PSS, hashes.SHA256())
        return self._key.sign(message)


def read_private_key(path: Path, passphrase: str | None = None) -> PrivateKey:
    """The private key in a file. Raises `PrivateKeyError` naming the file, the fault and the remedy."""
    try:
        return parse_private_key(_read(path), passphrase)
    except PrivateKeyError as error:
        if str(path) in error.message:
            raise
        raise type(error)(f"{path}: {error.message}", remedy=error.remedy) from None


def read_text(path: Path) -> str:
    """A key file as well-formed PEM text. Raises `PrivateKeyError`."""
    return _mend(_read(path))[1].decode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise PrivateKeyError(
            f"the key file {path} does not exist", remedy="Give its path with --key-file or KALSHI_PRIVATE_KEY_PATH"
        ) from None
    except IsADirectoryError:
        raise PrivateKeyError(f"{path} is a folder", remedy="Name the key file itself") from None
    except OSError as error:
        raise PrivateKeyError(
            f"the key file {path} cannot be read ({error.strerror})", remedy="Check its owner and permissions"
        ) from None


def readable_by_others(path: Path) -> bool:
    """Whether the file's mode lets anyone but its owner read it (POSIX only)."""
    return sys.platform != "win32" and bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def parse_private_key(content: str | bytes, passphrase: str | None = None) -> PrivateKey:
    """The private key in PEM text, mended where people's clipboards broke it.

    Raises `PrivateKeyError`; the message never contains any of the text.
    """
    label, pem = _mend(content)
    encrypted = "ENCRYPTED" in label or b"ENCRYPTED" in pem
    if encrypted and not passphrase:
        raise PassphraseError(
            "the key is protected by a passphrase",
            remedy="Set KALSHI_PRIVATE_KEY_PASSPHRASE, or run from a terminal and answer the prompt",
        )
    try:
        key = serialization.load_pem_private_key(pem, passphrase.encode() if passphrase and encrypted else None)
    except UnsupportedAlgorithm:
        raise PrivateKeyError("the key is of a kind the exchange does not take", remedy=_WHERE_TO_GET) from None
    except (ValueError, TypeError) as error:
        if encrypted:
            raise PrivateKeyError("the passphrase does not open the key", remedy="Check the passphrase") from None
        reason = "the key is truncated or damaged"
        raise PrivateKeyError(reason, remedy=_WHERE_TO_GET) from (error if _is_quiet(error) else None)
    if isinstance(key, RSAPrivateKey) and key.key_size < 1024:
        raise PrivateKeyError(f"an RSA key of {key.key_size} bits is too short to sign with", remedy=_WHERE_TO_GET)
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        name = type(key).__name__.removeprefix("_").removesuffix("PrivateKey")
        raise PrivateKeyError(
            f"the key is of type {name}; the exchange takes RSA or Ed25519", remedy="Make a new API key there"
        )
    return PrivateKey(key)


def _is_quiet(error: Exception) -> bool:
    return "-----" not in str(error)


def _mend(content: str | bytes) -> tuple[str, bytes]:
    """(PEM label, well-formed PEM) of whatever was pasted."""
    if isinstance(content, bytes):
        if content[:1] == b"\x30":
            raise PrivateKeyError("the key is binary (DER)", remedy="Convert it to PEM: openssl pkey -inform DER")
        try:
            content = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        except UnicodeDecodeError:
            raise PrivateKeyError("the key is not text", remedy=_WHERE_TO_GET) from None
    if any("\ud800" <= character <= "\udfff" for character in content):
        raise PrivateKeyError("the key is not text", remedy=_WHERE_TO_GET)
    text = content.lstrip("\ufeff").strip().strip("'\"").replace("\\\\", "\\").replace("\\r", "").replace("\\n", "\n")
    text = "\n".join(line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    if not text.strip():
        raise PrivateKeyError("the key is empty", remedy=_WHERE_TO_GET)
    blocks = list(_BLOCK.finditer(text))
    if not blocks:
        raise PrivateKeyError("there is no '-----BEGIN … PRIVATE KEY-----' line", remedy=_WHERE_TO_GET)
    block = next((b for b in blocks if b[1].endswith("PRIVATE KEY")), blocks[0])
    label, body = block[1], block[2]
    if label in _NOT_A_PRIVATE_KEY:
        raise PrivateKeyError(_NOT_A_PRIVATE_KEY[label], remedy=_WHERE_TO_GET)
    if not block[0].rstrip().endswith(f"-----END {label}-----"):
        raise PrivateKeyError("the key is cut off: its END line is missing", remedy=_WHERE_TO_GET)
    # Old encrypted PEM carries header lines ("Proc-Type: …") and a blank line before the base64; keep those.
    headers = [f"{name}: {value}" for name, value in _PEM_HEADER.findall(body)]
    base64_text = re.sub(r"\s+", "", _PEM_HEADER.sub("", body))
    lines = [base64_text[i : i + 64] for i in range(0, len(base64_text), 64)]
    parts = [f"-----BEGIN {label}-----", *([*headers, ""] if headers else []), *lines, f"-----END {label}-----"]
    return label, ("\n".join(parts) + "\n").encode()

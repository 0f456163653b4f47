"""Repair pasted PEM text: literal `\\n`, one line, CRLF, byte-order marks, quotes and stray spaces."""

import re

from fairline.kalshi.errors import PrivateKeyError

WHERE_TO_GET = "Use the private key file that the exchange's account page offered when the API key was created"

LINE_LENGTH = 64
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
DER_SEQUENCE = b"\x30"

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)(?:-----END \1-----|$)", re.DOTALL)
_HEADER = re.compile(r"(Proc-Type|DEK-Info):\s*([A-Z0-9]+(?:-[A-Z0-9]+)*,[A-Za-z0-9]+)")
_NOT_TEXT = re.compile(r"[\ud800-\udfff\ufffd]")

_NOT_A_PRIVATE_KEY = {
    "PUBLIC KEY": "this is a public key",
    "RSA PUBLIC KEY": "this is a public key",
    "CERTIFICATE": "this is a certificate",
    "CERTIFICATE REQUEST": "this is a certificate request",
    "OPENSSH PRIVATE KEY": "this is an OpenSSH key, a format the exchange does not issue",
    "EC PRIVATE KEY": "this is an elliptic-curve (EC) key; the exchange accepts RSA or Ed25519",
}


def normalize_pem(content: str | bytes) -> tuple[str, bytes]:
    """Return the label and the well-formed PEM of a pasted private key.

    Raises `PrivateKeyError`, which never contains any of the text, if it is not a private key.
    """
    text = _unfold(_decode(content))
    if not text.strip():
        raise PrivateKeyError("the key is empty", remedy=WHERE_TO_GET)
    blocks = list(_BLOCK.finditer(text))
    if not blocks:
        raise PrivateKeyError("there is no '-----BEGIN … PRIVATE KEY-----' line", remedy=WHERE_TO_GET)
    block = next((block for block in blocks if block[1].endswith("PRIVATE KEY")), blocks[0])
    label = block[1]
    if label in _NOT_A_PRIVATE_KEY:
        raise PrivateKeyError(_NOT_A_PRIVATE_KEY[label], remedy=WHERE_TO_GET)
    if not block[0].rstrip().endswith(f"-----END {label}-----"):
        raise PrivateKeyError("the key is truncated: its END line is missing", remedy=WHERE_TO_GET)
    return label, _fold(label, block[2])


def _decode(content: str | bytes) -> str:
    if isinstance(content, bytes):
        if content[:1] == DER_SEQUENCE:
            raise PrivateKeyError("the key is binary (DER)", remedy="Convert it to PEM: openssl pkey -inform DER")
        # Replacing bad bytes instead of raising keeps the key out of the exception's arguments.
        content = content.decode("utf-16" if content[:2] in UTF16_MARKS else "utf-8-sig", errors="replace")
    if _NOT_TEXT.search(content):
        raise PrivateKeyError("the key is not text", remedy=WHERE_TO_GET)
    return content


def _unfold(text: str) -> str:
    """Remove marks, quotes and escapes, and strip every line."""
    text = text.lstrip("\ufeff").strip().strip("'\"")
    text = text.replace("\\\\", "\\").replace("\\r", "").replace("\\n", "\n")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "\n".join(line.strip() for line in text.split("\n"))


def _fold(label: str, body: str) -> bytes:
    """Return well-formed PEM. Old encrypted PEM has header lines and a blank line before the base64."""
    headers = [f"{name}: {value}" for name, value in _HEADER.findall(body)]
    base64_text = re.sub(r"\s+", "", _HEADER.sub("", body))
    lines = [f"-----BEGIN {label}-----"]
    if headers:
        lines += [*headers, ""]
    lines += [base64_text[start : start + LINE_LENGTH] for start in range(0, len(base64_text), LINE_LENGTH)]
    lines.append(f"-----END {label}-----")
    return ("\n".join(lines) + "\n").encode()

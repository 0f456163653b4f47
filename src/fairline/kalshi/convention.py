"""Recognise the signing convention of another program from a request it sent and the private key.

The signature is checked with the public half of the key against every common mistake in message and padding, and the
convention that fits is named.
"""

import base64
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from fairline.kalshi.clock import REFUSED_S
from fairline.kalshi.errors import KalshiError
from fairline.kalshi.keys import PrivateKey
from fairline.kalshi.redaction import show_path
from fairline.kalshi.remedies import Cause

PREFIX = "/trade-api/v2"
Padding = Literal["pss", "max_salt", "pkcs1v15"]
"""RSA padding: PSS with a salt of 32 bytes, PSS with any other salt, or PKCS#1 v1.5."""

_SHA256 = hashes.SHA256()
_REQUEST_LINE = re.compile(r"([A-Za-z]+)\s+((?:https?:/)?/\S*)(?:\s+HTTP/\S+)?$")
_HEADER_LINE = re.compile(r"(:?[A-Za-z0-9-]+)\s*:\s*(.*)")
_PYTHON_DUMP = re.compile(r"send: (b'.*'|b\".*\")")
_CURL_NOTE = re.compile(r"\s*[*<{}]")


@dataclass(frozen=True, slots=True)
class SentRequest:
    """What a failing program sent: METHOD, path from the host's root (query included), and its headers."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), "")


@dataclass(frozen=True, slots=True)
class Finding:
    """Causes by importance (none if the signature is correct), and the evidence in words."""

    causes: list[Cause]
    evidence: str


def parse_sent(text: str) -> SentRequest:
    """Parse a request as programs print it: `GET /path HTTP/1.1`, then `Name: value` lines.

    Accepts the output of `curl -v` (notes and the answer are skipped), `:method` and `:path` of HTTP/2, and the
    `send: b'…'` line of Python's http.client. Raises `KalshiError` for a text without a request line or headers.
    """
    lines = _request_lines(text)
    request_line = next((match for line in lines if (match := _REQUEST_LINE.match(line))), None)
    matches = (_HEADER_LINE.fullmatch(line) for line in lines)
    headers = {match[1]: match[2].strip() for match in matches if match is not None}
    method = request_line[1] if request_line else headers.get(":method", "")
    path = request_line[2] if request_line else headers.get(":path", "")
    if not method or not path:
        raise KalshiError(
            "the headers have no request line", remedy="Begin with a line such as: GET /trade-api/v2/markets"
        )
    request = SentRequest(method, path, {name: value for name, value in headers.items() if name[0] != ":"})
    if not request.header("KALSHI-ACCESS-SIGNATURE") and not request.header("Authorization"):
        raise KalshiError(
            "the headers have neither KALSHI-ACCESS-SIGNATURE nor Authorization", remedy="Paste what the program sent"
        )
    return request


def _request_lines(text: str) -> list[str]:
    dump = _PYTHON_DUMP.search(text)
    if dump is not None:
        text = dump[1][2:-1].replace("\\r\\n", "\n")
    lines = [line.strip() for line in text.splitlines() if not _CURL_NOTE.match(line)]
    return [line.removeprefix(">").strip() for line in lines]


def examine(request: SentRequest, key: PrivateKey, now: float, key_id: str = "") -> Finding:
    """Find what is wrong with a request that another program signed with this key."""
    signature_text = request.header("KALSHI-ACCESS-SIGNATURE")
    stamp = request.header("KALSHI-ACCESS-TIMESTAMP")
    if not signature_text:
        return _examine_token(request.header("Authorization"), now)
    if not stamp:
        return Finding([Cause.HEADERS_STRIPPED], "there is no KALSHI-ACCESS-TIMESTAMP among the headers")
    try:
        signature = base64.b64decode(signature_text.translate(str.maketrans("-_", "+/")), validate=True)
    except ValueError:
        return Finding([Cause.WRONG_PRIVATE_KEY], "the signature is not base64")
    mistakes = _find_mistakes(request, stamp, key, signature)
    if mistakes is None:
        return Finding(
            [Cause.WRONG_PRIVATE_KEY],
            "the signature follows no known convention with this key: another key made it",
        )
    if not (stamp.isascii() and stamp.isdigit() and 12 <= len(stamp) <= 14):
        mistakes.append(Cause.SECONDS_TIMESTAMP)
    if set("-_") & set(signature_text):
        mistakes.append(Cause.BASE64_ALPHABET)
    return _describe_mistakes(mistakes) if mistakes else _examine_correct(request, stamp, now, key_id)


def _find_mistakes(request: SentRequest, stamp: str, key: PrivateKey, signature: bytes) -> list[Cause] | None:
    """Return the mistakes of the convention that the signature follows; None if it follows none."""
    for mistakes, message, scheme in _conventions(request, stamp):
        if verifies(key, signature, message.encode(), scheme):
            return list(mistakes)
    return None


def _examine_correct(request: SentRequest, stamp: str, now: float, key_id: str) -> Finding:
    """Examine a request whose signature is correct: it may still be sent wrongly."""
    path = request.path.partition("?")[0]
    age_s = now - int(stamp) / 1000
    sent_id = request.header("KALSHI-ACCESS-KEY")
    if key_id and sent_id != key_id:
        cause = Cause.UNKNOWN_KEY if sent_id else Cause.HEADERS_STRIPPED
        sent = show_path(sent_id) if sent_id else "missing"
        evidence = f"the signature is correct, but KALSHI-ACCESS-KEY is {sent}, not {show_path(key_id)}"
        return Finding([cause], evidence)
    if len(path) > 1 and path.endswith("/"):
        return Finding([Cause.REDIRECTED], "the signature is correct, but the path ends in a slash, which redirects")
    if age_s < -REFUSED_S:
        return Finding(
            [Cause.CLOCK_FAST], f"the signature is correct, but its timestamp is {-age_s:.0f} s in the future"
        )
    when = "ago" if age_s >= 0 else "in the future"
    return Finding([], f"the signature is correct, made {abs(age_s):.0f} s {when}")


def verifies(key: PrivateKey, signature: bytes, message: bytes, scheme: Padding) -> bool:
    """Return whether this key made the signature with this padding."""
    rsa = key.rsa
    if rsa is None:
        return scheme == "pss" and key.verify(signature, message)
    if scheme == "pkcs1v15":
        pad: padding.AsymmetricPadding = padding.PKCS1v15()
    else:
        pad = padding.PSS(padding.MGF1(_SHA256), 32 if scheme == "pss" else padding.PSS.AUTO)
    try:
        rsa.public_key().verify(signature, message, pad, _SHA256)
    except InvalidSignature:
        return False
    return True


def sign_with_mistake(key: PrivateKey, stamp_ms: int, method: str, path: str, mistake: str) -> dict[str, str]:
    """Return the headers of a program that makes this mistake, for an experiment."""
    stamp = str(stamp_ms // 1000 if mistake == Cause.SECONDS_TIMESTAMP else stamp_ms)
    signed_path = path if mistake == Cause.QUERY_SIGNED else path.partition("?")[0]
    if mistake == Cause.PREFIX_MISSING:
        signed_path = signed_path.removeprefix(PREFIX)
    signed_method = method.lower() if mistake == Cause.METHOD_CASE else method
    message = f"{stamp}{signed_method}{signed_path}".encode()
    rsa = key.rsa
    if rsa is not None and mistake == Cause.PKCS1V15:
        signature = rsa.sign(message, padding.PKCS1v15(), _SHA256)
    elif rsa is not None and mistake == Cause.MAX_SALT:
        signature = rsa.sign(message, padding.PSS(padding.MGF1(_SHA256), padding.PSS.MAX_LENGTH), _SHA256)
    else:
        signature = key.sign(message)
    return {"KALSHI-ACCESS-TIMESTAMP": stamp, "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode()}


def _conventions(request: SentRequest, stamp: str) -> Iterator[tuple[list[Cause], str, Padding]]:
    """Yield every message that may have been signed, the correct one first, with the mistakes it contains."""
    methods: dict[str, list[Cause]] = {request.method.upper(): [], request.method.lower(): [Cause.METHOD_CASE]}
    paddings: dict[Padding, list[Cause]] = {
        "pss": [],
        "max_salt": [Cause.MAX_SALT],
        "pkcs1v15": [Cause.PKCS1V15],
    }
    other_unit = stamp[:-3] if len(stamp) > 12 else stamp + "000"
    stamps: dict[str, list[Cause]] = {stamp: [], other_unit: [Cause.SECONDS_TIMESTAMP]}
    for path, method, scheme, signed_stamp in itertools.product(
        _signed_paths(request).items(), methods.items(), paddings.items(), stamps.items()
    ):
        mistakes = [*scheme[1], *path[1], *method[1], *signed_stamp[1]]
        yield mistakes, f"{signed_stamp[0]}{method[0]}{path[0]}", scheme[0]


def _signed_paths(request: SentRequest) -> dict[str, list[Cause]]:
    """Return every path that may have been signed, with the mistakes it contains."""
    path, _, query = re.sub(r"^https?://[^/]+", "", request.path).partition("?")
    # A path without the API's prefix was either shortened here or signed without it.
    path = path if path.startswith("/trade-api/") else PREFIX + path
    paths: dict[str, list[Cause]] = {path: []}
    if query:
        paths[f"{path}?{query}"] = [Cause.QUERY_SIGNED]
    if path.startswith(PREFIX):
        short = {long.removeprefix(PREFIX): [*causes, Cause.PREFIX_MISSING] for long, causes in paths.items()}
        paths |= short
    return paths


_DESCRIPTIONS = {
    Cause.PKCS1V15: "it is padded with PKCS#1 v1.5 instead of PSS",
    Cause.MAX_SALT: "its PSS salt is not 32 bytes (many libraries default to the maximum length)",
    Cause.QUERY_SIGNED: "the query string was signed",
    Cause.PREFIX_MISSING: f"{PREFIX} is missing from the signed path",
    Cause.METHOD_CASE: "the method was signed in lower case",
    Cause.SECONDS_TIMESTAMP: "the timestamp is in seconds or another unit, not milliseconds",
    Cause.BASE64_ALPHABET: "it is in URL-safe base64",
}


def _describe_mistakes(mistakes: list[Cause]) -> Finding:
    descriptions = " and ".join(_DESCRIPTIONS[mistake] for mistake in dict.fromkeys(mistakes))
    return Finding(mistakes, f"this key made the signature, but {descriptions}")


def _examine_token(authorization: str, now: float) -> Finding:
    """Examine the claims of a bearer token. They are neither trusted nor shown."""
    try:
        header, claims = (
            json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
            for part in authorization.rsplit(maxsplit=1)[-1].split(".", 2)[:2]
        )
        algorithm = str(header.get("alg"))
        expires = float(claims.get("exp", 0))
    except (ValueError, AttributeError, IndexError, TypeError, RecursionError):
        return Finding([Cause.BEARER_REFUSED], "the bearer token is not a JWT; the exchange accepts API-key signatures")
    if algorithm != "PS256":
        shown = algorithm if algorithm in KNOWN_ALGORITHMS else "another algorithm"
        return Finding([Cause.BEARER_REFUSED], f"the token is signed with {shown}; the article's scheme is PS256")
    if expires <= now:
        return Finding([Cause.EXPIRED_TOKEN], f"the token expired {now - expires:.0f} s ago")
    return Finding(
        [Cause.BEARER_REFUSED], "the token is valid, but the exchange does not accept tokens that a client signs"
    )


KNOWN_ALGORITHMS = ("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS384", "PS512", "ES256", "EdDSA", "none")

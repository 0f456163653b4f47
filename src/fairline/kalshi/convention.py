"""Which convention a signature follows: what another program signed, told from its headers and the private key.

A request that fails elsewhere carries its own evidence. With the public half of the key, the signature it sent is
checked against every common way of getting the message or the padding wrong, and the one that fits is named.
"""

import base64
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from fairline.kalshi.clock import REFUSED_S
from fairline.kalshi.errors import KalshiError
from fairline.kalshi.keys import PrivateKey

PREFIX = "/trade-api/v2"
_SHA256 = hashes.SHA256()
_REQUEST_LINE = re.compile(r"([A-Za-z]+)\s+((?:https?:/)?/\S*)(?:\s+HTTP/\S+)?$")


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
    """Causes in the order of importance (empty: the signature is as it should be), and the evidence in words."""

    causes: list[str]
    evidence: str


def parse_sent(text: str) -> SentRequest:
    """A request as programs print it: `GET /path HTTP/1.1`, then `Name: value` lines.

    Takes what `curl -v` shows (its notes and the answer's lines are passed over), HTTP/2's `:method` and `:path`, and
    the `send: b'…'` line of Python's http.client. Raises `KalshiError` for a text without a request line or headers.
    """
    dumped = re.search(r"send: (b'.*'|b\".*\")", text)
    if dumped is not None:
        text = dumped[1][2:-1].replace("\\r\\n", "\n")
    lines = [line.strip() for line in text.splitlines() if not re.match(r"\s*[*<{}]", line)]
    lines = [line.removeprefix(">").strip() for line in lines]
    asked = next((found for line in lines if (found := _REQUEST_LINE.match(line))), None)
    fields = (re.fullmatch(r"(:?[A-Za-z0-9-]+)\s*:\s*(.*)", line) for line in lines)
    headers = {field[1]: field[2].strip() for field in fields if field is not None}
    method = asked[1] if asked else headers.get(":method", "")
    path = asked[2] if asked else headers.get(":path", "")
    if not method or not path:
        raise KalshiError("the headers have no request line", remedy="Begin with, such as: GET /trade-api/v2/markets")
    request = SentRequest(method, path, {name: value for name, value in headers.items() if name[0] != ":"})
    if not request.header("KALSHI-ACCESS-SIGNATURE") and not request.header("Authorization"):
        raise KalshiError(
            "the headers have neither KALSHI-ACCESS-SIGNATURE nor Authorization", remedy="Paste what the program sent"
        )
    return request


def examine(request: SentRequest, key: PrivateKey, now: float, key_id: str = "") -> Finding:
    """What is wrong with a request that another program signed with this key."""
    text, stamp = request.header("KALSHI-ACCESS-SIGNATURE"), request.header("KALSHI-ACCESS-TIMESTAMP")
    if not text:
        return _examine_token(request.header("Authorization"), now)
    if not stamp:
        return Finding(["headers_stripped"], "there is no KALSHI-ACCESS-TIMESTAMP among the headers")
    try:
        signature = base64.b64decode(text.translate(str.maketrans("-_", "+/")), validate=True)
    except ValueError:
        return Finding(["wrong_private_key"], "the signature is not base64")
    alphabet = ["base64_alphabet"] if set("-_") & set(text) else []
    unit = [] if stamp.isdecimal() and 12 <= len(stamp) <= 14 else ["seconds_timestamp"]
    for mistakes, message, scheme in _candidates(request, stamp):
        if verifies(key, signature, message.encode(), scheme):
            found = [*mistakes, *unit, *alphabet]
            return _describe(found, stamp, now) if found else _examine_rest(request, stamp, now, key_id)
    return Finding(
        ["wrong_private_key"], "the signature follows no known convention with this key: another key made it"
    )


def _examine_rest(request: SentRequest, stamp: str, now: float, key_id: str) -> Finding:
    """A right signature can still be sent wrongly."""
    bare, age = request.path.partition("?")[0], now - int(stamp) / 1000
    named = request.header("KALSHI-ACCESS-KEY")
    if key_id and named != key_id:
        cause = "unknown_key" if named else "headers_stripped"
        return Finding([cause], f"the signature is right, but KALSHI-ACCESS-KEY is {named or 'missing'}, not {key_id}")
    if len(bare) > 1 and bare.endswith("/"):
        return Finding(["redirected"], "the signature is right, but the path ends in a slash, which redirects")
    if age < -REFUSED_S:
        return Finding(["clock_fast"], f"the signature is right, but its timestamp is {-age:.0f} s in the future")
    return _describe([], stamp, now)


def verifies(key: PrivateKey, signature: bytes, message: bytes, scheme: str) -> bool:
    """Whether this key made that signature: `pss` (32-byte salt), `max_salt` (any other salt) or `pkcs1v15`."""
    rsa = key.rsa
    try:
        if rsa is None:
            return scheme == "pss" and key.verify(signature, message)
        public = rsa.public_key()
        if scheme == "pkcs1v15":
            public.verify(signature, message, padding.PKCS1v15(), _SHA256)
        else:
            salt = 32 if scheme == "pss" else padding.PSS.AUTO
            public.verify(signature, message, padding.PSS(padding.MGF1(_SHA256), salt), _SHA256)
    except InvalidSignature:
        return False
    return True


def sign_otherwise(key: PrivateKey, stamp_ms: int, method: str, path: str, cause: str) -> dict[str, str]:
    """Signature and timestamp as a program with that mistake would send them, for an experiment."""
    stamp = str(stamp_ms // 1000 if cause == "seconds_timestamp" else stamp_ms)
    signed_path = path if cause == "query_signed" else path.partition("?")[0]
    if cause == "prefix_missing":
        signed_path = signed_path.removeprefix(PREFIX)
    message = f"{stamp}{method.lower() if cause == 'method_case' else method}{signed_path}".encode()
    rsa = key.rsa
    if rsa is not None and cause == "pkcs1v15":
        signature = rsa.sign(message, padding.PKCS1v15(), _SHA256)
    elif rsa is not None and cause == "max_salt":
        signature = rsa.sign(message, padding.PSS(padding.MGF1(_SHA256), padding.PSS.MAX_LENGTH), _SHA256)
    else:
        signature = key.sign(message)
    return {"KALSHI-ACCESS-TIMESTAMP": stamp, "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode()}


def _candidates(request: SentRequest, stamp: str) -> Iterator[tuple[list[str], str, str]]:
    """Every message that could have been signed, the right one first, with the mistakes that it contains."""
    bare, _, query = re.sub(r"^https?://[^/]+", "", request.path).partition("?")
    # What is given without the API's prefix was either meant with it, or signed without it.
    bare = bare if bare.startswith("/trade-api/") else PREFIX + bare
    paths: dict[str, list[str]] = {bare: []} | ({f"{bare}?{query}": ["query_signed"]} if query else {})
    short = {p.removeprefix(PREFIX): [*c, "prefix_missing"] for p, c in paths.items() if p.startswith(PREFIX)}
    methods: dict[str, list[str]] = {request.method.upper(): [], request.method.lower(): ["method_case"]}
    schemes: dict[str, list[str]] = {"pss": [], "max_salt": ["max_salt"], "pkcs1v15": ["pkcs1v15"]}
    stamps = {stamp} | ({stamp[:-3]} if len(stamp) > 12 else {stamp + "000"})
    for (path, a), (method, b), (scheme, c) in itertools.product(
        (paths | short).items(), methods.items(), schemes.items()
    ):
        for signed in stamps:
            wrong_unit = [] if signed == stamp else ["seconds_timestamp"]
            yield [*c, *a, *b, *wrong_unit], f"{signed}{method}{path}", scheme


_WORDS = {
    "pkcs1v15": "it is padded with PKCS#1 v1.5 instead of PSS",
    "max_salt": "its PSS salt is not 32 bytes (the maximum length is many libraries' default)",
    "query_signed": "the query string was signed",
    "prefix_missing": f"{PREFIX} is missing from the signed path",
    "method_case": "the method was signed in lower case",
    "seconds_timestamp": "the timestamp is in seconds or another unit, not milliseconds",
    "base64_alphabet": "it is in URL-safe base64",
}


def _describe(causes: list[str], stamp: str, now: float) -> Finding:
    if causes:
        return Finding(
            causes, "this key made the signature, but " + " and ".join(_WORDS[c] for c in dict.fromkeys(causes))
        )
    age = now - int(stamp) / 1000
    return Finding(
        [], f"the signature is as the exchange wants it, made {abs(age):.0f} s {'ago' if age >= 0 else 'ahead'}"
    )


def _examine_token(authorization: str, now: float) -> Finding:
    """What a bearer token says of itself; nothing of it is trusted or shown."""
    try:
        header, claims = (
            json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
            for part in authorization.rsplit(maxsplit=1)[-1].split(".", 2)[:2]
        )
        algorithm, expires = str(header.get("alg")), float(claims.get("exp", 0))
    except (ValueError, AttributeError, IndexError, TypeError):
        return Finding(["bearer_refused"], "the bearer token is no JWT; the exchange takes API-key signatures")
    if algorithm != "PS256":
        return Finding(["bearer_refused"], f"the token is signed with {algorithm}; the article's scheme is PS256")
    if expires <= now:
        return Finding(["expired_token"], f"the token expired {now - expires:.0f} s ago")
    return Finding(["bearer_refused"], "the token is in order, but today's exchange takes no client-signed tokens")

"""Show values in messages without showing secrets."""

import re
from urllib.parse import urlsplit

MAX_SHOWN_CHARACTERS = 120

_KEY_MATERIAL = re.compile(r"PRIVATE KEY|BEGIN [A-Z ]+-----|\beyJ[A-Za-z0-9_-]{10,}")
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL)
_TOKEN = re.compile(r"[A-Za-z0-9+=_~.-]{20,}")
"""A long run of the characters that tokens consist of. Path separators end it."""
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PLAIN_SCHEMES = ("http", "https", "ws", "wss", "file")


def show_value(value: object) -> str:
    """Return a value that a user gave, quoted, for a message; only its length if it looks like a secret.

    A URL is shown without user information, query and fragment. URLs of other schemes than http, ws and file, such as
    notification addresses, are secrets: only their scheme is shown.
    """
    text = str(value)
    if _URL.match(text.strip()):
        return repr(_show_url(text.strip()))
    if looks_secret(text):
        return f"(a value of {len(text):,} characters, not shown)"
    if len(text) > MAX_SHOWN_CHARACTERS:
        text = text[: MAX_SHOWN_CHARACTERS - 1] + "…"
    return repr(text)


def show_path(path: object) -> str:
    """Return a path that a user gave, as it is; only its length if it looks like a secret given in its place."""
    text = str(path)
    is_secret = "\n" in text or _KEY_MATERIAL.search(text) or ("/" not in text and looks_secret(text))
    return show_value(text) if is_secret else text


def redact(text: str) -> str:
    """Remove private keys from a text that is about to be shown."""
    return _PEM.sub("(a private key, not shown)", text)


def looks_secret(text: str) -> bool:
    """Return whether a text looks like key material, a token or the content of a file.

    A token is a run of at least 20 characters that mixes letters with digits, or upper with lower case, without
    being words. UUIDs are identifiers, not secrets.
    """
    if "\n" in text or "\r" in text or _KEY_MATERIAL.search(text):
        return True
    return any(_is_token(run) for run in _TOKEN.findall(_UUID.sub("", text)))


def _is_token(run: str) -> bool:
    parts = re.split(r"[-_.=+~]+", run)
    longest = max(parts, key=len)
    mixed = any(c.isdigit() for c in longest) and any(c.isalpha() for c in longest)
    mixed_case = longest != longest.lower() and longest != longest.upper() and longest[1:] != longest[1:].lower()
    return len(longest) >= 16 and (mixed or mixed_case or len(longest) >= 32)


def _show_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return url.partition("://")[0] + "://…"
    if parts.scheme.lower() not in _PLAIN_SCHEMES:
        return f"{parts.scheme}://…"
    path = "/".join("…" if looks_secret(segment) else segment for segment in parts.path.split("/"))
    hidden = "?…" if parts.query else "#…" if parts.fragment else ""
    return f"{parts.scheme}://{'…@' if '@' in parts.netloc else ''}{host}{path}{hidden}"

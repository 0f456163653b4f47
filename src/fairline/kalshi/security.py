"""Where a signature may be sent: encrypted, or to this machine."""

import ipaddress
from urllib.parse import urlsplit

from fairline.kalshi.errors import KalshiError


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine's own."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def require_secure(url: str) -> None:
    """Raise `KalshiError` for an address that would send a signature unencrypted over a network."""
    parts = urlsplit(url)
    if parts.scheme in ("https", "wss") or is_loopback(parts.hostname or ""):
        return
    raise KalshiError(
        f"refusing to send a signature over plain {parts.scheme} to {parts.hostname}",
        remedy="Use an https:// address, or leave the key out",
    )

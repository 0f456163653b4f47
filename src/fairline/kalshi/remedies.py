"""The causes that the doctor can name, and what to do about each."""

from enum import StrEnum


class Cause(StrEnum):
    """Why a set-up does not work, or what another program does wrong."""

    UNKNOWN_KEY = "unknown_key"
    OTHER_ENVIRONMENT = "other_environment"
    WRONG_PRIVATE_KEY = "wrong_private_key"
    CLOCK_SLOW = "clock_slow"
    CLOCK_FAST = "clock_fast"
    EXPIRED_TOKEN = "expired_token"  # noqa: S105 (the name of a cause)
    BEARER_REFUSED = "bearer_refused"
    SCOPE_MISSING = "scope_missing"
    SUBACCOUNT_PINNED = "subaccount_pinned"
    REVOKED_KEY = "revoked_key"
    PKCS1V15 = "pkcs1v15"
    MAX_SALT = "max_salt"
    QUERY_SIGNED = "query_signed"
    PREFIX_MISSING = "prefix_missing"
    METHOD_CASE = "method_case"
    SECONDS_TIMESTAMP = "seconds_timestamp"
    HEADERS_STRIPPED = "headers_stripped"
    HTML_INSTEAD_OF_JSON = "html_instead_of_json"
    BASE64_ALPHABET = "base64_alphabet"
    HOST_RETIRED = "host_retired"
    NOT_THE_EXCHANGE = "not_the_exchange"
    REDIRECTED = "redirected"
    NAME_NOT_RESOLVED = "name_not_resolved"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    EXCHANGE_PAUSED = "exchange_paused"
    RATE_LIMITED = "rate_limited"
    KEY_UNREADABLE = "key_unreadable"
    UNEXPLAINED = "unexplained"


_SYNCHRONISE = "Synchronise this machine's clock (timedatectl set-ntp true), or set use_server_time"

REMEDIES: dict[Cause, str] = {
    Cause.UNKNOWN_KEY: "Check the key id. If the key was deleted, create a new one on the exchange's account page",
    Cause.OTHER_ENVIRONMENT: "Use this key with the other exchange, or create one here (production and demo differ)",
    Cause.WRONG_PRIVATE_KEY: "Use the private key that was issued together with this key id",
    Cause.CLOCK_SLOW: _SYNCHRONISE,
    Cause.CLOCK_FAST: _SYNCHRONISE,
    Cause.EXPIRED_TOKEN: "Create a new token every ten minutes, with a correct clock",
    Cause.BEARER_REFUSED: "Sign with the API key: set auth to api-key (an article describes the token; the exchange "
    "accepts KALSHI-ACCESS-* headers)",
    Cause.SCOPE_MISSING: "Give the key the read scope on the account page. A scanner needs no other",
    Cause.SUBACCOUNT_PINNED: "Leave the subaccount out, or name the one that the key is pinned to",
    Cause.REVOKED_KEY: "This key worked before: it was deleted or revoked. Create a new one on the account page",
    Cause.PKCS1V15: "Pad with PSS (SHA-256, MGF1 with SHA-256, salt 32)",
    Cause.MAX_SALT: "Set the PSS salt length to that of the digest, 32 bytes",
    Cause.QUERY_SIGNED: "Sign the path without the question mark and what follows it",
    Cause.PREFIX_MISSING: "Sign the whole path from the host's root, with /trade-api/v2",
    Cause.METHOD_CASE: "Sign the method in upper case",
    Cause.SECONDS_TIMESTAMP: "Send and sign Unix milliseconds",
    Cause.HEADERS_STRIPPED: "A proxy removes the KALSHI-ACCESS headers: bypass it, or let it pass them",
    Cause.HTML_INSTEAD_OF_JSON: "Another server answers: a login page of this network, or a wrong address",
    Cause.BASE64_ALPHABET: "Encode the signature in standard base64, with + and /",
    Cause.HOST_RETIRED: "Set exchange to production, or to https://external-api.kalshi.com/trade-api/v2",
    Cause.NOT_THE_EXCHANGE: "End the address in /trade-api/v2, on a host that serves it (production or demo)",
    Cause.REDIRECTED: "Use the address that it redirects to, without a trailing slash",
    Cause.NAME_NOT_RESOLVED: "Check the address, and this machine's network and DNS",
    Cause.UNREACHABLE: "Check the address, the network and any firewall",
    Cause.TLS: "Check the machine's clock, its certificates, and whether a proxy intercepts the connection",
    Cause.EXCHANGE_PAUSED: "Wait: the exchange is paused (regularly Thursday 03:00-05:00 in New York)",
    Cause.RATE_LIMITED: "Stop the other programs that use this key or address, and wait a moment",
    Cause.KEY_UNREADABLE: "Use the private key file that the account page offered when the key was created",
    Cause.UNEXPLAINED: "Try again later. If the problem persists, send this report with the evidence",
}

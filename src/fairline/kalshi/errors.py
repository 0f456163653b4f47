"""The client's error tree.

    KalshiError
    ├── PrivateKeyError        the private key cannot be read or used
    │   └── PassphraseError    the key is encrypted and there is no passphrase
    ├── TransportError         no answer: name, connection, TLS, reset, time-out   (may be retried)
    ├── ResponseError          an answer that is not JSON: a web page, truncated   (may be retried)
    ├── ShapeError             JSON of another shape than the endpoint's
    ├── CursorLoopError        the exchange repeated a cursor
    └── ApiError               the exchange answered with an error status
        ├── RedirectError      3xx, not followed
        ├── BadRequestError    400
        ├── AuthError          401, 403
        ├── NotFoundError      404
        ├── RateLimitError     429                                                 (may be retried)
        └── ServerError        5xx                                                 (may be retried)

Every error reads as one line: what happened and, in a second sentence, the remedy.
"""

from typing import ClassVar


class KalshiError(Exception):
    """Root of the tree. `retryable` means that repeating the request can help."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}" if self.remedy else self.message


class PrivateKeyError(KalshiError):
    """The private key is missing, malformed, protected or of the wrong kind."""


class PassphraseError(PrivateKeyError):
    """The private key is encrypted and no passphrase was given."""


class TransportError(KalshiError):
    """No answer arrived. `kind` is name, connection, tls, time-out or broken."""

    retryable = True

    def __init__(self, message: str, *, remedy: str = "", kind: str = "broken") -> None:
        super().__init__(message, remedy=remedy)
        self.kind = kind


class ResponseError(KalshiError):
    """The answer is not JSON: a web page, empty, or truncated."""

    retryable = True


class ShapeError(KalshiError):
    """The answer is JSON of another shape. Repeating the request does not help."""


class CursorLoopError(KalshiError):
    """A page's cursor was already followed in the same walk."""


class ApiError(KalshiError):
    """An error status, with the exchange's own code, message and details."""

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        status: int,
        code: str = "",
        details: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
        self.code = code
        self.details = details
        self.retry_after_s = retry_after_s


class RedirectError(ApiError):
    """3xx. Not followed: a signature is valid for one path on one host."""


class BadRequestError(ApiError):
    """400: a parameter that the exchange does not accept."""


class AuthError(ApiError):
    """401 or 403: the exchange does not accept the credentials. `diagnosis` adds what is known about the cause."""

    diagnosis: str = ""

    def __str__(self) -> str:
        return f"{super().__str__()}. {self.diagnosis}" if self.diagnosis else super().__str__()


class NotFoundError(ApiError):
    """404: there is nothing at that path."""


class RateLimitError(ApiError):
    """429: more requests than the tier allows."""

    retryable = True


class ServerError(ApiError):
    """5xx: the exchange or a server in front of it could not answer."""

    retryable = True


def error_for_status(status: int) -> type[ApiError]:
    """Return the class of an error status; `ApiError` for one without a class of its own."""
    if status >= 500:
        return ServerError
    if status < 400:
        return RedirectError
    return {
        400: BadRequestError,
        401: AuthError,
        403: AuthError,
        404: NotFoundError,
        429: RateLimitError,
    }.get(status, ApiError)

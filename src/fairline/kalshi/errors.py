"""What can go wrong between us and the exchange.

    KalshiError
    ├── PrivateKeyError        the private key cannot be read or used
    │   └── PassphraseError    it is protected, and there is no passphrase
    ├── TransportError         no answer: name, connection, TLS, reset, time-out   (may be retried)
    ├── ResponseError          an answer that is no JSON: a web page, cut off      (may be retried)
    ├── ShapeError             JSON, but not what the endpoint returns
    ├── CursorLoopError        the exchange handed out a cursor it had given before
    └── ApiError               the exchange answered with an error status
        ├── RedirectError      3xx: what we ask for lives elsewhere
        ├── BadRequestError    400
        ├── AuthError          401, 403
        ├── NotFoundError      404
        ├── RateLimitError     429                                                 (may be retried)
        └── ServerError        5xx                                                 (may be retried)

Every error reads as one line: what happened and, after a full stop, the remedy.
"""

from typing import ClassVar


class KalshiError(Exception):
    """Root of the tree; `retryable` tells whether asking again can help."""

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
    """An answer arrived that is no JSON: a web page, empty, or cut off."""

    retryable = True


class ShapeError(KalshiError):
    """The answer is JSON of another shape; asking again brings the same."""


class CursorLoopError(KalshiError):
    """A page's cursor was one already followed in the same walk."""


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
    """3xx. Not followed: a signature is made for one path on one host."""


class BadRequestError(ApiError):
    """400: a parameter the exchange does not take."""


class AuthError(ApiError):
    """401 or 403: the exchange does not accept who we say we are. `diagnosis` is what has been found out so far."""

    diagnosis: str = ""

    def __str__(self) -> str:
        return f"{super().__str__()}. {self.diagnosis}" if self.diagnosis else super().__str__()


class NotFoundError(ApiError):
    """404: nothing at that path."""


class RateLimitError(ApiError):
    """429: more requests than the tier allows."""

    retryable = True


class ServerError(ApiError):
    """5xx: the exchange or its front could not answer."""

    retryable = True


def error_for_status(status: int) -> type[ApiError]:
    """The class of an error status; any other is a plain `ApiError`."""
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

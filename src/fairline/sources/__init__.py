"""What a model reads: declared as `Request`s, delivered as `Payload`s of verbatim bytes."""

from fairline.sources.fetch import Kept, fetch
from fairline.sources.payload import Payload, Request

__all__ = ["Kept", "Payload", "Request", "fetch"]

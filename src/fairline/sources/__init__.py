"""Inputs of models: declared as `Request`s, delivered as `Payload`s of verbatim bytes."""

from fairline.sources.fetch import Fetched, Sources, fetch, replay
from fairline.sources.payload import Payload, Request
from fairline.sources.shelf import Shelf

__all__ = ["Fetched", "Payload", "Request", "Shelf", "Sources", "fetch", "replay"]

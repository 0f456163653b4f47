"""What a model is: a pure function of markets, recorded bytes and an instant."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

import polars as pl

from fairline.sources import Payload, Request


@runtime_checkable
class Model(Protocol):
    """A model declares what it covers and reads, and prices; it does no input or output of its own.

    One that is made of the exchange's own prices says so by an attribute `from_prices = True`: it is no second opinion
    beside the price, and `blend` gives it no voice.
    """

    name: str
    version: str

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        """A boolean expression over MARKETS: the rows worth asking about. Cheap; no payload is there yet."""
        ...

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        """What must be read to price these (already covered) markets at that instant."""
        ...

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """Columns `ticker, p, p_sd, model, asof`, one row a market priced; `p_sd` may be null.

        A row with a null `p` and a text in the optional column `note` reports something that could not be used.
        """
        ...

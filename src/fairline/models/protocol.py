"""What a model is: a pure function of markets, recorded bytes and an instant."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

import polars as pl

from fairline.sources import Payload, Request


@runtime_checkable
class Model(Protocol):
    """A model declares what it covers and reads, and prices. It reads no disk, clock, network or environment itself.

    Set `from_prices = True` if the model uses only the exchange's own prices; `blend` then ignores it. Set
    `knows_play = True` if its probabilities follow a game that has begun; otherwise such markets are left out.
    """

    name: str
    version: str

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        """Return a boolean expression over MARKETS that selects the rows worth pricing. Called before any input is
        read.
        """
        ...

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        """Return the inputs needed to price these covered markets at that instant."""
        ...

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """Return columns `ticker, p, p_sd, model, asof`, one row per priced market; `p_sd` may be null.

        A row with a null `p` and a text in the optional column `note` reports something that could not be used.
        """
        ...


@runtime_checkable
class Learner(Model, Protocol):
    """A model that learns from settled markets. A backtest fits it again at the beginning of each fold."""

    def fit(self, history: pl.DataFrame, asof: datetime) -> Model:
        """Return a model fitted on settled markets: `ticker, event_ticker, category, hours, price, y`.

        One row per market and time before its close: `price` is the midpoint `hours` before it, `y` is 1 for YES and 0
        for NO. The history holds only markets whose settlement had been published by `asof`.
        """
        ...

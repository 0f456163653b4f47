"""An example model: the market's price, corrected for the favourite-longshot bias."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from fairline.sources import Payload, Request

EXPONENT = 1.05
"""Above one, favourites are worth more than their price and long shots less; fit it on settled markets."""


class Favourites:
    """Raise the midpoint's odds to the power of 1.05, which favours favourites over long shots."""

    name, version = "favourites", "0.1"

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        """Cover markets that are quoted on both sides and not nearly decided."""
        return pl.col("p_mid").is_between(0.02, 0.98)

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        """Request nothing: the price is the only input."""
        return []

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        odds = (pl.col("p_mid") / (1 - pl.col("p_mid"))) ** EXPONENT
        return markets.select(
            "ticker",
            p=odds / (1 + odds),
            # The standard deviation of a price anywhere between the quotes.
            p_sd=pl.min_horizontal(pl.col("spread_u") / 1e6 / 12**0.5, 0.1),
            model=pl.lit(self.name),
            asof=pl.lit(asof),
        )

"""A model for Fairline in a file: the market's price, corrected for the favourite-longshot bias."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from fairline.sources import Payload, Request

EXPONENT = 1.05
"""Above one, favourites are worth more than they cost and long shots less; yours to fit on settled markets."""


class Favourites:
    """The midpoint's odds to the power of 1.05: favourites a little dearer, long shots a little cheaper."""

    name, version = "favourites", "0.1"

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        """Markets quoted on both sides, neither of them nearly decided."""
        return pl.col("p_mid").is_between(0.02, 0.98)

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        """Nothing: the price says it all."""
        return []

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        odds = (pl.col("p_mid") / (1 - pl.col("p_mid"))) ** EXPONENT
        return markets.select(
            "ticker",
            p=odds / (1 + odds),
            # As uncertain as the quotes are wide: the standard deviation of a price anywhere between them.
            p_sd=pl.min_horizontal(pl.col("spread_u") / 1e6 / 12**0.5, 0.1),
            model=pl.lit(self.name),
            asof=pl.lit(asof),
        )

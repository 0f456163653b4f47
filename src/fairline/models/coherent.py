"""The fair value of coherence: what the other prices of an event imply for each market."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from fairline.market.frame import PREDICTIONS
from fairline.pricing.projection import coherent
from fairline.sources import Payload, Request


class CoherentModel:
    """Probabilities close to the midpoints that obey the rules within the quotes (`coherence.coherent`).

    Where the rules allow, p lies between bid and ask, so an edge appears only where quotes break a rule. The model
    knows nothing that the prices do not.
    """

    name = "coherent"
    version = "1"
    from_prices = True
    knows_play = True

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        return is_quoted()

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        return []

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """Return PREDICTIONS of all these markets; `p_sd` is that of a price anywhere between bid and ask."""
        p = pl.col("p")
        # No probability has a larger standard deviation than √(p(1 − p)), however wide the quotes are.
        largest_sd = (p * (1 - p)).clip(lower_bound=0.0).sqrt()
        return coherent(markets).select(
            "ticker",
            p=p.clip(0.0, 1.0),
            p_sd=pl.min_horizontal("p_sd", largest_sd),
            model=pl.lit(self.name),
            asof=pl.lit(asof).cast(PREDICTIONS["asof"]),
        )


def is_quoted() -> pl.Expr:
    """Return whether an active binary market has both a bid and an ask."""
    two_sided = pl.col("yes_bid_u").is_not_null() & pl.col("yes_ask_u").is_not_null()
    return two_sided & (pl.col("status") == "active") & (pl.col("market_type") == "binary")


def midpoint() -> pl.Expr:
    """Return the midpoint of bid and ask as a probability."""
    return (pl.col("yes_bid_u") + pl.col("yes_ask_u")) / 2e6

"""The fair value of coherence: what the other prices of an event say of each, with nothing from outside."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from fairline.market.frame import PREDICTIONS
from fairline.pricing.coherence import coherent
from fairline.sources import Payload, Request


class CoherentModel:
    """Probabilities near to the midpoints that obey the rules inside the quotes (`coherence.coherent`).

    Its p lies between bid and ask wherever the rules allow, so it finds an edge only where quotes break a rule. That is
    its honesty: it knows nothing that the prices do not.
    """

    name, version = "coherent", "1"
    from_prices = True

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        two = pl.col("yes_bid_u").is_not_null() & pl.col("yes_ask_u").is_not_null()
        return two & (pl.col("status") == "active") & (pl.col("market_type") == "binary")

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        return []

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """PREDICTIONS of all these markets; `p_sd` is that of a price anywhere between bid and ask."""
        made = coherent(markets)
        # No probability is less certain than √(p(1 − p)), however far bid and ask are apart.
        possible = (pl.col("p") * (1 - pl.col("p"))).clip(lower_bound=0.0).sqrt()
        return made.select(
            "ticker",
            p=pl.col("p").clip(0.0, 1.0),
            p_sd=pl.min_horizontal("p_sd", possible),
            model=pl.lit(self.name),
            asof=pl.lit(asof).cast(PREDICTIONS["asof"]),
        )

"""What a price has meant: how often markets at such a price ended YES, where that was proven to differ."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import platformdirs
import polars as pl

from fairline.errors import InputError
from fairline.models.answer import answered, told
from fairline.models.curve import Curve, nearest, read_curves
from fairline.sources import Payload, Request

FILE = "calibration.json"
_SOONEST_H, _LATEST_H = 0.2, 400.0
"""Hours before the close between which what was seen an hour, a day and a week before it says anything."""
_OLD = timedelta(days=45)


def calibration_path() -> str:
    """Where `fairline calibrate` puts the curves, and this model looks for them."""
    return str(platformdirs.user_data_path("fairline") / FILE)


class CalibratedModel:
    """What prices have meant on settled markets, by category and time to close, where that beat the price.

    It reads the curves that `fairline calibrate` fits on what a watch has recorded. Kinds of market of which it has no
    curve, or one that did not beat the price on events it had not seen, it leaves unpriced.
    """

    name, version = "calibrated", "1"
    from_prices = True

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        two = pl.col("yes_bid_u").is_not_null() & pl.col("yes_ask_u").is_not_null()
        return two & (pl.col("status") == "active") & (pl.col("market_type") == "binary")

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        return [Request("file", calibration_path())]

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """PREDICTIONS of the kinds of market whose curve was better than the price; a `note` counts the others."""
        (request,) = self.requests(markets, asof)
        curves = read_curves(payloads[request].body, request.key)
        if curves.fitted_ts > asof:
            raise InputError(f"{request.key} was fitted later than it is used", remedy="Fit on what was known by then")
        hours = (pl.col("close_ts") - asof).dt.total_seconds() / 3_600
        middle = (pl.col("yes_bid_u") + pl.col("yes_ask_u")) / 2e6
        rows = markets.select("ticker", "category", price=middle, hours=nearest(hours), ahead=hours)
        parts, left = list[pl.DataFrame](), 0
        near = pl.col("ahead").is_between(_SOONEST_H, _LATEST_H)
        left += rows.filter(~near).height
        for (category, at), some in rows.filter(near).group_by("category", "hours", maintain_order=True):
            found = curves.of(None if category is None else str(category), float(str(at)))
            if found is None or not found[1].better:
                left += some.height
                continue
            parts.append(_priced(some, found[1]))
        if left:
            words = f"{left} markets are of kinds or times in which the price itself was as good"
            parts.append(told(words))
        if asof - curves.fitted_ts > _OLD:
            words = f"the curves are of {curves.fitted_ts:%Y-%m-%d}: fit them again with fairline calibrate"
            parts.append(told(words))
        return answered(parts, self.name, asof)


def _priced(rows: pl.DataFrame, curve: Curve) -> pl.DataFrame:
    p, error = curve.at(rows["price"].to_numpy())
    made = rows.select("ticker", p=pl.Series(p), p_sd=pl.Series(error), note=pl.lit(None, dtype=pl.String))
    possible = (pl.col("p") * (1 - pl.col("p"))).sqrt()
    return made.with_columns(p_sd=pl.min_horizontal("p_sd", possible))

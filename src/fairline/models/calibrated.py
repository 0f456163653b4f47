"""What prices have meant: how often markets at such a price resolved YES, where that was shown to differ."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import polars as pl

from fairline.config.model_settings import ModelSettings, check_fit
from fairline.errors import InputError
from fairline.models.answer import note_row, priced_rows, to_predictions
from fairline.models.coherent import is_quoted, midpoint
from fairline.models.curve import Curve, Curves, nearest_hours, read_curves
from fairline.sources import Payload, Request

FILE = "calibration.json"
"""Where `fairline calibrate` writes the curves, in the user's data folder."""
MIN_HOURS, MAX_HOURS = 0.2, 400.0
"""Hours before the close for which the curves of an hour, a day and a week before it are used."""
MAX_CURVE_AGE = timedelta(days=45)
MIN_P_SD = 0.015
"""Root mean square distance between curves and the market's midpoint (docs/models/calibrated.md)."""


class CalibratedModel:
    """What prices have meant on settled markets, by category and time to close, where that beat the price.

    It reads the curves that `fairline calibrate` fits on what a watch has recorded. It does not price kinds of market
    without a curve, or with one that did not beat the price on events left out of the fit.
    """

    name = "calibrated"
    version = "1"
    from_prices = True
    knows_play = True

    def __init__(self, curves: Path | None = None, *, key: str = FILE, exchange: str = "") -> None:
        """`curves` is a file; without it they are read from `key` in the user's data folder."""
        self._request = Request("user", key) if curves is None else Request("file", str(curves))
        self._exchange = exchange

    @classmethod
    def from_settings(cls, settings: ModelSettings) -> Self:
        return cls(key=settings.fit_key(FILE), exchange=settings.exchange)

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        return is_quoted()

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        return [self._request]

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """Return PREDICTIONS of the kinds of market whose curve beat the price; a `note` counts the others."""
        curves = self._curves(payloads)
        if curves.fitted_ts > asof:
            message = f"{self._request.shown} was fitted after {asof:%Y-%m-%d %H:%M} UTC"
            raise InputError(message, remedy="Use a fit on what was known by then")
        hours = (pl.col("close_ts") - asof).dt.total_seconds() / 3_600
        rows = markets.select("ticker", "category", price=midpoint(), hours=nearest_hours(hours), hours_left=hours)
        in_range = rows.filter(pl.col("hours_left").is_between(MIN_HOURS, MAX_HOURS))
        parts = list[pl.DataFrame]()
        for (category, at), group in in_range.group_by("category", "hours", maintain_order=True):
            curve = curves.find(None if category is None else str(category), float(str(at)))
            if curve is not None and curve.beats_price:
                parts.append(_price(group, curve))
        left_out = rows.height - sum(part.height for part in parts)
        if left_out:
            parts.append(note_row(f"{left_out} markets are of kinds or times for which the price itself was as good"))
        if asof - curves.fitted_ts > MAX_CURVE_AGE:
            parts.append(note_row(f"the curves date from {curves.fitted_ts:%Y-%m-%d}: refit with fairline calibrate"))
        return to_predictions(parts, self.name, asof)

    def _curves(self, payloads: Mapping[Request, Payload]) -> Curves:
        try:
            body = payloads[self._request].body
        except InputError as error:
            raise InputError(error.message, remedy="Create it with: fairline calibrate") from error
        curves = read_curves(body, self._request.shown)
        check_fit(curves.exchange, self._exchange, self._request.shown)
        return curves


def _price(rows: pl.DataFrame, curve: Curve) -> pl.DataFrame:
    p, error = curve.at(rows["price"].to_numpy())
    return priced_rows(rows["ticker"], p, error, MIN_P_SD)

"""Price ladders: a random walk with the volatility that prices recently had, or that options imply."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Self

import numpy as np
import polars as pl

from fairline.config.model_settings import ModelSettings
from fairline.errors import InputError
from fairline.models.answer import count_unpriced, link_fault, priced_rows, to_predictions
from fairline.models.linking import link
from fairline.models.prices.diffusion import Floats, probability, probability_sd
from fairline.models.prices.feeds import RandomWalk, coin_requests, coin_walk, index_requests, index_walk
from fairline.models.subjects import FILE, Subject, load_subjects
from fairline.sources import Payload, Request

MAX_AHEAD_S = 86_400.0 * 3
MIN_P_SD = {"price": 0.097, "index": 0.0}
"""Root mean square distance between this model and the market's midpoint on ladders of coins
(docs/models/diffusion.md); it was not measured for indices."""
_REQUESTS = {"price": coin_requests, "index": index_requests}
_WALKS = {"price": coin_walk, "index": index_walk}


class DiffusionModel:
    """Price ladders (BTC, ETH, S&P 500, Nasdaq-100): a random walk with fat tails from the last known price.

    It knows nothing about upcoming news, and does not price quarters of an hour of BTC, where it lost to the price. Nor
    does it price markets in the minute that settles them, from stale prices, or of an index while the stock exchanges
    are closed.
    """

    name = "diffusion"
    version = "3"

    def __init__(self, subjects: Mapping[str, Subject] | None = None) -> None:
        subjects = load_subjects() if subjects is None else subjects
        self._subjects = {
            series: subject for series, subject in subjects.items() if subject.kind in _WALKS and subject.enabled
        }

    @classmethod
    def from_settings(cls, settings: ModelSettings) -> Self:
        """Build the model with the user's subjects."""
        return cls(load_subjects(settings.table(FILE)))

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        return pl.col("series_ticker").is_in(list(self._subjects)) & (pl.col("status") == "active")

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        """Return what the series among the markets need; without any market, what all series need."""
        listed = set(markets["series_ticker"].unique())
        subjects = {(s.kind, s.subject) for series, s in self._subjects.items() if series in listed or not listed}
        return [request for kind, subject in sorted(subjects) for request in _REQUESTS[kind](subject)]

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """Return PREDICTIONS of the reliably linked markets; a `note` says why others are not priced."""
        linked = link(markets, self._subjects)
        parts = list[pl.DataFrame]()
        for (kind, subject), rows in linked.group_by("kind", "subject", maintain_order=True):
            try:
                walk = _WALKS[str(kind)](str(subject), payloads, asof)
            except InputError as error:
                parts.append(count_unpriced(rows.with_columns(note=pl.lit(error.message))))
            else:
                parts += _price(rows, walk, asof.timestamp(), MIN_P_SD[str(kind)])
        return to_predictions(parts, self.name, asof)


def _price(rows: pl.DataFrame, walk: RandomWalk, now_s: float, min_p_sd: float) -> list[pl.DataFrame]:
    """Return the markets of one subject whose price is known."""
    ahead_s = pl.col("at_ts").dt.epoch("us") / 1e6 - now_s
    fault = pl.coalesce(
        link_fault(),
        pl.when(ahead_s <= pl.col("window_s")).then(pl.lit("it settles within the minute")),
        pl.when((walk.unseen > 0) & (ahead_s <= now_s - walk.at_s)).then(
            pl.lit("it settles before today's delayed price is seen")
        ),
        pl.when(ahead_s > MAX_AHEAD_S).then(pl.lit("it settles in more than three days")),
    )
    rows = rows.with_columns(note=fault)
    usable = rows.filter(pl.col("note").is_null())
    closes_s = usable["at_ts"].dt.epoch("us").to_numpy() / 1e6
    sd = _standard_deviations(walk, closes_s, usable["window_s"].to_numpy())
    has_price = ~np.isnan(sd)
    no_price = usable.filter(~has_price).with_columns(note=pl.lit("there is no price when it settles"))
    return [
        _probabilities(usable.filter(has_price), walk, sd[has_price], min_p_sd),
        count_unpriced(rows.filter(pl.col("note").is_not_null())),
        count_unpriced(no_price),
    ]


def _probabilities(rows: pl.DataFrame, walk: RandomWalk, sd: Floats, min_p_sd: float) -> pl.DataFrame:
    low, high = (rows[name].fill_null(float("nan")).to_numpy() for name in ("low", "high"))
    spot = np.full(rows.height, walk.spot)
    p = np.clip(probability(low, high, spot, sd), 0.0, 1.0)
    p_sd = probability_sd(low, high, spot, sd, error=walk.error, basis=walk.basis, unseen=walk.unseen)
    return priced_rows(rows["ticker"], p, p_sd, min_p_sd)


def _standard_deviations(walk: RandomWalk, closes_s: Floats, windows_s: Floats) -> Floats:
    """Standard deviations, computed once for each distinct close and window."""
    pairs, where = np.unique(np.column_stack([closes_s, windows_s]), axis=0, return_inverse=True)
    return np.array([walk.sd(close, window) for close, window in pairs], dtype=float)[where.ravel()]

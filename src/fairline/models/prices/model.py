"""Ladders of a price: a random walk with the volatility that it had of late, or that options imply."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import polars as pl

from fairline.errors import InputError
from fairline.models.answer import answered, unpriced, unsure
from fairline.models.linking import link, subjects
from fairline.models.prices.diffusion import Floats, doubt, probability
from fairline.models.prices.feeds import Walk, coin_requests, coin_walk, index_requests, index_walk
from fairline.sources import Payload, Request

_LONGEST_S = 86_400.0 * 3
_FEEDS = {"price": (coin_requests, coin_walk), "index": (index_requests, index_walk)}


class DiffusionModel:
    """Price ladders (BTC, ETH, S&P 500, Nasdaq-100): a random walk with fat tails from the last price that is known.

    It knows nothing of news to come. It prices nothing in the minute that settles, from prices that are stale, or of an
    index while the stock exchanges are closed.
    """

    name, version = "diffusion", "2"

    def __init__(self) -> None:
        self._subjects = {series: s for series, s in subjects().items() if s.kind in _FEEDS}

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        return pl.col("series_ticker").is_in(list(self._subjects)) & (pl.col("status") == "active")

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        """What those series need that are among the markets; without any market, what all do."""
        there = set(markets["series_ticker"].unique())
        wanted = sorted({(s.kind, s.subject) for series, s in self._subjects.items() if series in there or not there})
        return [request for kind, subject in wanted for request in _FEEDS[kind][0](subject)]

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """PREDICTIONS of the markets whose link is sure; a `note` says of the others why they have none."""
        linked = link(markets, self._subjects)
        made = list[pl.DataFrame]()
        for (kind, subject), rows in linked.group_by("kind", "subject", maintain_order=True):
            try:
                made += _priced(rows, _FEEDS[str(kind)][1](str(subject), payloads, asof), asof.timestamp())
            except InputError as error:
                # The others have their own prices.
                made.append(unpriced(rows.with_columns(note=pl.lit(error.message))))
        return answered(made, self.name, asof)


def _priced(rows: pl.DataFrame, walk: Walk, now: float) -> list[pl.DataFrame]:
    """One subject's markets, of which it is known where its price stood. Raises `InputError`."""
    ahead = pl.col("at_ts").dt.epoch("us") / 1e6 - now
    why = pl.coalesce(
        unsure(),
        pl.when(ahead <= pl.col("window_s")).then(pl.lit("it settles within the minute")),
        pl.when((walk.late > 0) & (ahead <= now - walk.at_s)).then(
            pl.lit("it settles before its price of now is seen")
        ),
        pl.when(ahead > _LONGEST_S).then(pl.lit("it settles in more than three days")),
    )
    judged = rows.with_columns(note=why)
    left, sound = judged.filter(pl.col("note").is_not_null()), judged.filter(pl.col("note").is_null())
    closes = sound["at_ts"].dt.epoch("us").to_numpy() / 1e6
    sd = _spread(walk, closes, sound["window_s"].to_numpy())
    low, high = (sound[name].fill_null(float("nan")).to_numpy() for name in ("low", "high"))
    spot = np.full(sound.height, walk.spot)
    p = np.clip(probability(low, high, spot, sd), 0.0, 1.0)
    doubted = doubt(low, high, spot, sd, error=walk.error, basis=walk.basis, late=walk.late)
    p_sd = np.minimum(doubted, np.sqrt(p * (1 - p)))
    there = ~np.isnan(sd)
    priced = sound.select("ticker", p=pl.Series(p), p_sd=pl.Series(p_sd), note="note").filter(there)
    closed = sound.filter(~there).with_columns(note=pl.lit("there is no price when it settles"))
    return [priced, unpriced(left), unpriced(closed)]


def _spread(walk: Walk, closes: Floats, windows: Floats) -> Floats:
    """Standard deviations, each closing time worked out once."""
    pairs, where = np.unique(np.column_stack([closes, windows]), axis=0, return_inverse=True)
    return np.array([walk.sd(close, window) for close, window in pairs], dtype=float)[where.ravel()]

"""Ladders of a price: a random walk with the volatility that it had of late, or that options imply."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import polars as pl

from fairline.diffusion import Floats, doubt, probability
from fairline.errors import InputError
from fairline.linking import SURE, link, subjects
from fairline.models.answer import answered, unpriced
from fairline.models.walks import Walk, coin_requests, coin_walk, index_requests, index_walk
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
                walk = _FEEDS[str(kind)][1](str(subject), payloads, asof)
            except InputError as error:
                # The others have their own prices.
                made.append(unpriced(rows.with_columns(note=pl.lit(error.message))))
                continue
            made.append(_priced(rows, walk, asof.timestamp()))
        return answered(made, self.name, asof)


def _priced(rows: pl.DataFrame, walk: Walk, now: float) -> pl.DataFrame:
    """One subject's markets, of which it is known where its price stood."""
    closes = rows["at_ts"].dt.epoch("us").to_numpy() / 1e6
    sd = _spread(walk, closes, rows["window_s"].to_numpy())
    low, high = (rows[name].fill_null(float("nan")).to_numpy() for name in ("low", "high"))
    spot = np.full(rows.height, walk.spot)
    p = np.clip(probability(low, high, spot, sd), 0.0, 1.0)
    doubted = doubt(low, high, spot, sd, error=walk.error, basis=walk.basis, late=walk.late)
    unsure = np.minimum(doubted, np.sqrt(p * (1 - p)))
    made = rows.select("ticker", "confidence", "reason").with_columns(
        p=pl.Series(p), p_sd=pl.Series(unsure), ahead=pl.Series(closes - now), window=rows["window_s"]
    )
    why = pl.coalesce(
        # Without the days and hours in it, so that all of a kind are one line.
        pl.col("reason").str.replace_all(r"\d[\d-]*", "…"),
        pl.when(pl.col("confidence") < SURE).then(pl.lit("what it is about is not sure enough")),
        pl.when(pl.col("ahead") <= pl.col("window")).then(pl.lit("it settles within the minute")),
        pl.when((walk.late > 0) & (pl.col("ahead") <= now - walk.at_s)).then(
            pl.lit("it settles before its price of now is seen")
        ),
        pl.when(pl.col("ahead") > _LONGEST_S).then(pl.lit("it settles in more than three days")),
    )
    judged = made.with_columns(note=why)
    priced = judged.filter(pl.col("note").is_null()).select("ticker", "p", "p_sd", "note")
    return pl.concat([priced, unpriced(judged.filter(pl.col("note").is_not_null()))])


def _spread(walk: Walk, closes: Floats, windows: Floats) -> Floats:
    """Standard deviations, each closing time worked out once."""
    pairs, where = np.unique(np.column_stack([closes, windows]), axis=0, return_inverse=True)
    return np.array([walk.sd(close, window) for close, window in pairs])[where.ravel()]

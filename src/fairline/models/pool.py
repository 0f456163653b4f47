"""Pool several opinions with the market's price: its log-odds plus a weighted sum of how far each opinion differs.

logit p = logit m + Σ w · (logit q − logit m), where m is the market's midpoint, q an opinion's probability, and the
weights w ≥ 0 are fitted by `scoring/blending.py`. An opinion that does not price a market adds nothing, and neither
does one without a record: with no record at all the blend equals the price."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from fairline.errors import InputError

Floats = NDArray[np.float64]
CLIP = 1e-4
"""Probabilities are kept this far from 0 and 1 before their log-odds are taken."""
DEFAULT_SD = 0.5
"""Standard deviation, in log-odds, of an opinion that does not report one."""


class Opinion(msgspec.Struct, frozen=True):
    """Models that share an input count as one opinion: the mean of their log-odds. `error` is the weight's standard
    error.
    """

    models: list[str]
    weight: float
    error: float


class Pool(msgspec.Struct, frozen=True, rename={"opinions": "voices"}):
    """Weights from `n` markets of `events` events.

    `gain` is the log loss saved per market against the price on events left out of the fit; `low` and `high` are its
    95 % interval. `exchange` is the one whose markets it was fitted on.
    """

    fitted_ts: datetime
    opinions: list[Opinion]
    n: int
    events: int
    gain: float
    low: float
    high: float
    exchange: str = ""

    @property
    def beats_price(self) -> bool:
        """Whether the gain on events left out of the fit is significantly above zero."""
        return self.low > 0

    @property
    def weighted_models(self) -> list[str]:
        """Names of the models whose opinion has a weight above zero, none if the pool does not beat the price."""
        if not self.beats_price:
            return []
        return [name for opinion in self.opinions if opinion.weight > 0 for name in opinion.models]


def pool_opinions(
    market: Floats, predictions: Mapping[str, tuple[Floats, Floats]], opinions: Sequence[Opinion]
) -> tuple[Floats, Floats]:
    """Return pooled probabilities and their standard deviations.

    `market` holds midpoints, `predictions` each model's `(p, p_sd)`, NaN where it has none. The deviation combines that
    of the opinions and that of the weights.
    """
    base = log_odds(market)
    shift = np.zeros_like(base)
    variance = np.zeros_like(base)
    for opinion in opinions:
        members = [predictions[name] for name in opinion.models if name in predictions]
        if members:
            difference, sd = combine(base, [p for p, _ in members], [p_sd for _, p_sd in members])
            shift += opinion.weight * difference
            variance += (opinion.weight * sd) ** 2 + (opinion.error * difference) ** 2
    p = from_log_odds(base + shift)
    return p, p * (1 - p) * np.sqrt(variance)


def combine(base: Floats, p: Sequence[Floats], p_sd: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Return how far the mean log-odds of models lie from `base` (0 where no model has a probability), and their mean
    standard deviation: models that share an input err together.
    """
    clipped = np.clip(np.stack(p), CLIP, 1 - CLIP)
    priced = np.isfinite(clipped)
    count = np.maximum(priced.sum(axis=0), 1)
    difference = np.where(priced, log_odds(clipped) - base, 0.0).sum(axis=0) / count
    in_log_odds = np.stack(p_sd) / (clipped * (1 - clipped))
    sd = np.where(np.isfinite(np.stack(p_sd)), in_log_odds, DEFAULT_SD)
    return difference, np.where(priced, sd, 0.0).sum(axis=0) / count


def log_odds(p: Floats) -> Floats:
    """Return log(p / (1 − p)) of probabilities clipped to [CLIP, 1 − CLIP]."""
    clipped = np.clip(p, CLIP, 1 - CLIP)
    odds: Floats = np.log(clipped / (1 - clipped))
    return odds


def from_log_odds(x: Floats) -> Floats:
    """Return probabilities from log-odds."""
    p: Floats = 0.5 * (1.0 + np.tanh(x / 2.0))
    return p


def read_pool(body: bytes, name: str) -> Pool:
    """Return the weights in a blend file. Raises `InputError`."""
    try:
        return msgspec.json.decode(body, type=Pool)
    except msgspec.MsgspecError as error:
        message = f"{name} is not a file of blend weights ({error})"
        raise InputError(message, remedy="Create it with: fairline blend") from error

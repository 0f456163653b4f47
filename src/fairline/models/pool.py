"""Several opinions and the market's own price as one: its log-odds, moved by what each voice adds to them.

logit p = logit m + Σ w · (logit q − logit m), with m the market's midpoint, q a voice's probability, and weights w not
below 0, as fitted by `blending`. A voice that says nothing of a market adds nothing, and so does one without a record:
where there is none at all, the blend is the price.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from fairline.errors import InputError

Floats = NDArray[np.float64]
_FLOOR = 1e-4
_UNKNOWN = 0.5
"""Standard deviation, in log-odds, of an opinion that does not say how sure it is."""


class Voice(msgspec.Struct, frozen=True):
    """Models that rest on the same input speak with one voice: the mean of their log-odds. `error` is the weight's
    standard error.
    """

    models: list[str]
    weight: float
    error: float


class Pool(msgspec.Struct, frozen=True):
    """Weights from `n` markets of `events` events. `gain` is by how much its log loss was better than the price's on
    events left out of the fit, `low` and `high` its 95 % interval.
    """

    fitted_ts: datetime
    voices: list[Voice]
    n: int
    events: int
    gain: float
    low: float
    high: float

    @property
    def better(self) -> bool:
        """Whether it was better than the price where it had to prove it."""
        return self.low > 0


def pooled(
    market: Floats, opinions: Mapping[str, tuple[Floats, Floats]], voices: Sequence[Voice]
) -> tuple[Floats, Floats]:
    """Probability and its standard deviation, by the market's midpoints and each model's `(p, p_sd)`, NaN where it has
    none. The deviation is that of the opinions and of the weights.
    """
    base = log_odds(market)
    move, variance = np.zeros_like(base), np.zeros_like(base)
    for voice in voices:
        said = [opinions[name] for name in voice.models if name in opinions]
        if not said:
            continue
        away, doubt = joined(base, [p for p, _ in said], [sd for _, sd in said])
        move += voice.weight * away
        variance += (voice.weight * doubt) ** 2 + (voice.error * away) ** 2
    p: Floats = expit(base + move)
    return p, p * (1 - p) * np.sqrt(variance)


def joined(base: Floats, p: Sequence[Floats], sd: Sequence[Floats]) -> tuple[Floats, Floats]:
    """How far the mean of the log-odds that are there lies from `base`, 0 where none is, and their mean deviation: what
    rests on one input errs together.
    """
    inside = np.clip(np.stack(p), _FLOOR, 1 - _FLOOR)
    there = np.isfinite(inside)
    count = np.maximum(there.sum(axis=0), 1)
    away = np.where(there, log_odds(inside) - base, 0.0).sum(axis=0) / count
    known = np.where(np.isfinite(np.stack(sd)), np.stack(sd) / (inside * (1 - inside)), _UNKNOWN)
    doubt = np.where(there, known, 0.0).sum(axis=0) / count
    return away, doubt


def log_odds(p: Floats) -> Floats:
    made: Floats = logit(np.clip(p, _FLOOR, 1 - _FLOOR))
    return made


def read_pool(body: bytes, where: str) -> Pool:
    """Raises `InputError` for what is no file of weights."""
    try:
        return msgspec.json.decode(body, type=Pool)
    except msgspec.MsgspecError as error:
        raise InputError(f"{where} is no file of weights ({error})", remedy="Make it with: fairline blend") from None

"""Models that learn, fitted on what was known at an instant and on nothing later.

`calibrated` and `blend` are fitted as their commands fit them; a model with a method `fit` fits itself. Each training
row counts from the instant at which its settlement was published.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import msgspec
import polars as pl

from fairline.backtesting.decide import Inputs
from fairline.errors import FairlineError
from fairline.models import Model, group_by_evidence
from fairline.models.blend import BlendModel
from fairline.models.calibrated import FILE as CURVES
from fairline.models.calibrated import CalibratedModel
from fairline.models.protocol import Learner
from fairline.scoring.blending import fit_pool, read_opinions
from fairline.scoring.calibration import fit_curves, price_history
from fairline.sources import Payload, Request
from fairline.store.store import Store


def fit_models(models: Sequence[Model], store: Store, until: datetime) -> list[Model]:
    """Return the models, those that learn fitted on what had been recorded by an instant. Raises `StoreError`."""
    return [_fit(model, models, store, until) for model in models]


def _fit(model: Model, models: Sequence[Model], store: Store, until: datetime) -> Model:
    if isinstance(model, BlendModel):
        others = [other for other in models if other is not model]
        groups = group_by_evidence(others, store.asof(until), until)
        pool = fit_pool(read_opinions(store, until), groups, until)
        return BlendModel(others, msgspec.structs.replace(pool, exchange=store.exchange), exchange=store.exchange)
    if isinstance(model, Learner):
        return model.fit(_history(store.folder, until), until)
    return model


@lru_cache(maxsize=4)
def _history(folder: Path, until: datetime) -> pl.DataFrame:
    """Return `price_history` of a store; blocks of one fold in one process share it."""
    return price_history(Store(folder), until)


@dataclass(frozen=True, slots=True)
class FittedCurves:
    """The curves of `calibrated` as a payload, fitted on what had been recorded by `until`."""

    until: datetime
    body: bytes


def fit_calibration(models: Sequence[Model], store: Store, until: datetime) -> FittedCurves | None:
    """Return the curves that `calibrated` reads, None if it is not among the models. Raises `StoreError`."""
    if not any(isinstance(model, CalibratedModel) for model in models):
        return None
    curves = fit_curves(_history(store.folder, until), until)
    return FittedCurves(until, msgspec.json.encode(msgspec.structs.replace(curves, exchange=store.exchange)))


@dataclass(frozen=True, slots=True)
class FittedInputs:
    """Recorded inputs, with the user's own calibration file replaced by walk-forward curves.

    The user's file may rest on the markets under test.
    """

    recorded: Inputs
    curves: FittedCurves | None

    def known_at(self, requests: Sequence[Request], at: datetime) -> Mapping[Request, Payload | FairlineError]:
        """Return what had been received for these requests by an instant, or why there is nothing."""
        known = dict(self.recorded.known_at(requests, at))
        if self.curves is not None:
            fitted = {request for request in requests if _is_calibration(request)}
            known |= {request: Payload(request, self.curves.until, self.curves.body) for request in fitted}
        return known


def _is_calibration(request: Request) -> bool:
    return request.source == "user" and request.key.rpartition("/")[2] == CURVES

"""Run models on markets: their requests, their usable predictions, and what went wrong."""

import contextlib
import traceback
from collections.abc import Sequence
from datetime import datetime

import polars as pl

from fairline.errors import FairlineError, InputError, UsageError
from fairline.market.fees import COEFFICIENTS
from fairline.market.frame import PREDICTIONS
from fairline.market.problem import Problem
from fairline.models.checks import split_usable
from fairline.models.protocol import Model
from fairline.sources import Payload, Request
from fairline.sources.inputs import Payloads


def predict(
    markets: pl.DataFrame,
    models: Sequence[Model],
    payloads: Payloads,
    *,
    asof: datetime,
    requested: datetime | None = None,
    strict: bool = False,
) -> tuple[pl.DataFrame, list[Problem]]:
    """Return the models' PREDICTIONS without notes, and what went wrong.

    `requested`: when the payloads were requested (defaults to `asof`); a model's requests may depend on it.
    Raises `UsageError` if two models have the same name.
    """
    names = [model.name for model in models]
    duplicates = {name for name in names if names.count(name) > 1}
    if duplicates:
        raise UsageError(f"two models are called {min(duplicates)}", remedy="Give each its own name")
    predictions = [PREDICTIONS.to_frame().with_columns(knows_play=False)]
    problems = _unknown_fee_types(markets)
    for model in models:
        try:
            rows, model_problems = _run_model(model, markets, payloads, asof, requested or asof)
        except (Exception, SystemExit) as error:  # models are third-party code; one must not stop the others
            if strict:
                raise
            problems.append(_model_failure(model, error))
            continue
        predictions.append(rows.with_columns(knows_play=bool(getattr(model, "knows_play", False))))
        problems += model_problems
    return pl.concat(predictions).drop("note"), problems


def model_requests(models: Sequence[Model], markets: pl.DataFrame, asof: datetime) -> list[Request]:
    """Return the models' requests. A model that fails here fails again in `predict`, which reports it."""
    wanted: list[Request] = []
    for model in models:
        with contextlib.suppress(Exception, SystemExit):
            covered = _select_covered(model, markets)
            wanted += model.requests(covered, asof) if covered.height else []
    return wanted


def _select_covered(model: Model, markets: pl.DataFrame) -> pl.DataFrame:
    """Return the markets that a model covers; without a copy if those are all."""
    mask = markets.select(covered=model.covers(markets))["covered"]
    if mask.all(ignore_nulls=False):
        return markets
    return markets.filter(mask) if mask.len() == markets.height else markets.clear()


def _unknown_fee_types(markets: pl.DataFrame) -> list[Problem]:
    """Return a problem for each fee type that this version does not know."""
    unknown = markets.filter(pl.col("fee_type").is_not_null() & ~pl.col("fee_type").is_in(list(COEFFICIENTS)))
    message = "unknown fee type {!r} of {:,} markets; the usual taker fee is assumed"
    counts = unknown.group_by("fee_type").len().sort("fee_type")
    return [Problem(message.format(name, count), stage="fees") for name, count in counts.iter_rows()]


class _ModelPayloads(dict[Request, Payload]):
    """The payloads of one model.

    Raises the fetch error when a failed payload is accessed; a model catches it if the input is optional.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failed: dict[Request, FairlineError] = {}
        self.accessed: set[Request] = set()

    def __missing__(self, request: Request) -> Payload:
        self.accessed.add(request)
        raise self.failed.get(request) or KeyError(request.shown)

    def unreported_errors(self) -> list[str]:
        """Return the errors of payloads that the model never accessed, so that they were not raised."""
        return [error.message for request, error in self.failed.items() if request not in self.accessed]


def _model_failure(model: Model, error: BaseException) -> Problem:
    if isinstance(error, FairlineError):
        return Problem(str(error), model=model.name, silent=True)
    message = f"{type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))
    return Problem(message, model=model.name, traceback=trace, silent=True)


def _run_model(
    model: Model, markets: pl.DataFrame, payloads: Payloads, asof: datetime, requested: datetime
) -> tuple[pl.DataFrame, list[Problem]]:
    """Return a model's usable PREDICTIONS, and a problem for each prediction that is not usable."""
    covered = _select_covered(model, markets)
    if covered.is_empty():
        return PREDICTIONS.to_frame(), []
    inputs = _ModelPayloads()
    for request in model.requests(covered, requested):
        payload = payloads.get(request)
        if payload is None:
            raise InputError(f"no payload for {request.source} {request.shown}", remedy="Fetch what the model requests")
        if isinstance(payload, FairlineError):
            inputs.failed[request] = payload
        else:
            inputs[request] = payload
    valid, invalid = split_usable(model.predict(covered, inputs, asof))
    problems = [Problem(text, model=model.name, ticker=ticker or "") for ticker, text in invalid.iter_rows()]
    problems += [Problem(message, model=model.name) for message in inputs.unreported_errors()]
    return valid, problems

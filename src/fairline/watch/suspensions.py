"""Suspend models that fail, for longer the more often they fail in a row."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from fairline.market.problem import Problem
from fairline.models import Model
from fairline.scanner import Evaluation
from fairline.watch.health import Health
from fairline.watch.state import State, Suspension

log = logging.getLogger("fairline.watch")

MAX_PAUSE = timedelta(hours=1)


def active_models(models: Sequence[Model], state: State, now: datetime) -> list[Model]:
    """Return the models that are not suspended now."""
    # A longer suspension was written before the clock was set back.
    suspended = {name for name, each in state.suspensions().items() if now < each.until_ts <= now + MAX_PAUSE}
    return [model for model in models if model.name not in suspended]


def update_suspensions(
    evaluation: Evaluation, models: Sequence[Model], state: State, health: Health, *, every: timedelta, now: datetime
) -> None:
    """Suspend those of the scan's `models` that gave no answer, and resume the others. Raises `StoreError`."""
    failed = _find_failed(evaluation, {model.name for model in models})
    previous = state.suspensions()
    state.resume(model.name for model in models if model.name in previous and model.name not in failed)
    for model in models:
        problem = failed.get(model.name)
        if problem is None:
            health.failing.pop(model.name, None)
            health.failures.pop(model.name, None)
            continue
        failures = previous[model.name].failures + 1 if model.name in previous else 1
        pause = min(MAX_PAUSE, every * 2 ** min(failures - 1, 12))
        state.suspend(Suspension(model.name, failures, now + pause, problem.message))
        health.failing[model.name] = problem.message
        health.failures[model.name] = failures
        log.warning("model %s is suspended for %.0f s: %s", model.name, pause.total_seconds(), problem.message)
        if problem.traceback:
            log.debug("%s", problem.traceback)


def _find_failed(evaluation: Evaluation, names: set[str]) -> dict[str, Problem]:
    """Return the problem of each model that gave no usable answer."""
    failed = {problem.model: problem for problem in evaluation.problems if problem.silent}
    priced = set(evaluation.rows["model"].unique())
    for problem in evaluation.problems:
        if problem.ticker and problem.model in names and problem.model not in priced:
            failed.setdefault(problem.model, problem)
    return failed

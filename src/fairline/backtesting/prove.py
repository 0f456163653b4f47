"""Proof that a backtest has no look-ahead: what is decided at an instant does not change when the future is deleted.

A sample of instants is evaluated twice, on the store and on a copy that ends at that instant, with the models isolated
from files and the network. Predictions and edges must be equal bit for bit, and so must the trades filled by then.
"""

import os
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from fairline.backtesting.decide import Grid, InstantResult, Terms, evaluate_instant, wanted_inputs
from fairline.backtesting.run import ModelSource, Progress
from fairline.errors import FairlineError, StoreError
from fairline.models import Model
from fairline.models.isolation import isolate
from fairline.sources import Payload, Request
from fairline.store import parquet
from fairline.store.datasets import DATASETS
from fairline.store.store import Store

SAMPLE = 200
"""Instants that a proof compares, if the grid has as many."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A difference that the deleted future made: in which model, at which instant, and through what."""

    model: str
    instant: datetime
    source: str

    def __str__(self) -> str:
        return f"{self.model} at {self.instant:%Y-%m-%d %H:%M} UTC: {self.source}"


@dataclass(frozen=True, slots=True)
class Proof:
    """How many instants were compared, and the first leak if there is one."""

    instants: int
    leak: Leak | None = None


def prove(
    store: Store,
    source: ModelSource,
    grid: Grid,
    terms: Terms,
    folder: Path,
    *,
    allowed: Sequence[Path] = (),
    sample: int = SAMPLE,
    seed: int = 0,
    progress: Progress | None = None,
) -> Proof:
    """Compare a sample of instants with and without their future, the latest first; stop at the first leak.

    `folder` receives the shrinking copy and is deleted afterwards. Models may read the `allowed` folders, such as the
    user's settings, when they are loaded. Raises `StoreError`.
    """
    numbers = random.Random(seed).sample(range(len(grid)), min(sample, len(grid)))
    instants = [grid.since + number * grid.every for number in sorted(numbers, reverse=True)]
    copy_files(store.folder, folder)
    try:
        for done, instant in enumerate(instants):
            truncate(folder, instant)
            leak = _compare(store, Store(folder), source, instant, terms, allowed=allowed)
            if progress is not None:
                progress(done + 1, len(instants))
            if leak is not None:
                return Proof(done + 1, leak)
        return Proof(len(instants))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def copy_files(store: Path, folder: Path) -> None:
    """Copy a store's files by hard link where the file system allows it. Raises `StoreError`."""
    try:
        shutil.copytree(store, folder, copy_function=_link, ignore=shutil.ignore_patterns("backtests", "lock", ".*"))
    except (OSError, shutil.Error) as error:
        raise StoreError(f"{store} cannot be copied to {folder} ({error})", remedy="Check the disk") from error


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def truncate(folder: Path, at: datetime) -> None:
    """Delete every row of a copied store that was recorded after an instant. Files are replaced, never changed."""
    for dataset in DATASETS:
        for path in sorted((folder / dataset).glob("day=*/[0-9]*.parquet")):
            file = parquet.File.parse(path)
            if dataset == "inputs" and file is not None:
                _shorten(file, at, "known_ts")
            elif file is None or file.first > at:
                path.unlink()
            elif file.last > at:
                _shorten(file, at, "seen_ts")


def _shorten(file: parquet.File, at: datetime, known: str) -> None:
    rows = pl.read_parquet(file.path, glob=False, hive_partitioning=False)
    past = rows.filter(pl.col(known) <= at)
    if past.height == rows.height:
        return
    file.path.unlink()
    if past.height:
        parquet.write_parquet(file.path.with_name(parquet.file_name(file.first, max(file.first, at))), past.lazy())


def _compare(
    full: Store, past: Store, source: ModelSource, instant: datetime, terms: Terms, *, allowed: Sequence[Path]
) -> Leak | None:
    """Return the leak at one instant, if there is one."""
    with isolate(*allowed) as violations:
        models = _load(source)
    if violations:
        return Leak("loading the models", instant, violations[0])
    views = [_view(store, models, source, instant) for store in (full, past)]
    for view in views:
        leak = _outside(view, models, instant, terms)
        if leak is not None:
            return leak
    return _difference(views[0], views[1], models, instant, terms)


def _load(source: ModelSource) -> Sequence[Model]:
    """Return the models; one that cannot be loaded because it was isolated is reported by its violation."""
    try:
        return source.load()
    except FairlineError:
        return []


@dataclass(frozen=True, slots=True)
class _View:
    """What a store shows of an instant."""

    markets: pl.DataFrame
    inputs: "_Given"


class _Given:
    """Inputs that were read before."""

    def __init__(self, payloads: Mapping[Request, Payload | FairlineError]) -> None:
        self.payloads = payloads

    def known_at(self, requests: Sequence[Request], at: datetime) -> Mapping[Request, Payload | FairlineError]:
        """Return what was read for these requests."""
        return {request: self.payloads[request] for request in requests if request in self.payloads}


def _view(store: Store, models: Sequence[Model], source: ModelSource, instant: datetime) -> _View:
    markets = store.asof(instant).sort("ticker")
    wanted = wanted_inputs(markets, models, instant)
    return _View(markets, _Given(source.inputs(store).known_at(wanted, instant)))


def _outside(view: _View, models: Sequence[Model], instant: datetime, terms: Terms) -> Leak | None:
    """Return the first model that used something that it was not given."""
    for model in models:
        with isolate() as violations:
            evaluate_instant(view.markets, [model], view.inputs, instant, terms)
        if violations:
            return Leak(model.name, instant, violations[0])
    return None


def _difference(full: _View, past: _View, models: Sequence[Model], instant: datetime, terms: Terms) -> Leak | None:
    """Return the first model whose predictions or edges the future changed, and through what."""
    for model in models:
        with_future, without = (evaluate_instant(v.markets, [model], v.inputs, instant, terms) for v in (full, past))
        if _same(with_future, without):
            continue
        return Leak(model.name, instant, _cause(full, past))
    return None


def _same(one: InstantResult, other: InstantResult) -> bool:
    predictions = one.predictions.equals(other.predictions, null_equal=True)
    return predictions and one.evaluation.edges.equals(other.evaluation.edges, null_equal=True)


def _cause(full: _View, past: _View) -> str:
    """Return what differs between two views of an instant."""
    if not full.markets.equals(past.markets, null_equal=True):
        return "the markets differ: the store shows rows that were recorded later"
    for request, payload in full.inputs.payloads.items():
        if past.inputs.payloads.get(request) != payload:
            return f"the input {request.shown} differs: it was recorded later"
    return "its answer does not depend only on the markets and its inputs"

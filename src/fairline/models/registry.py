"""Find and load models: those installed under the entry-point group, and single Python files."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl

from fairline.config.model_settings import ModelSettings
from fairline.errors import InputError, UsageError
from fairline.kalshi.redaction import show_value
from fairline.market.frame import empty_markets, with_probabilities
from fairline.models.protocol import Model
from fairline.sources import Request, Sources

ENTRY_POINTS = "fairline.models"


@dataclass(frozen=True, slots=True)
class Entry:
    """An installed model: its name, the distribution it comes with, and how to load it (which may fail)."""

    name: str
    origin: str
    load: Callable[[], Model]


def list_models(settings: ModelSettings | None = None) -> list[Entry]:
    """Return all installed models, sorted by name, without importing any of them."""
    points = sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)
    return [_entry(point, _rival_origins(point, points), settings) for point in points]


def load(name: str, settings: ModelSettings | None = None) -> Model:
    """Return the installed model of that name, or the one named by `path/to/file.py:Name`.

    Built-in models are built from `settings`; without them they use only the tables that ship. Raises `UsageError` for
    an unknown or broken model.
    """
    path, _, attribute = name.rpartition(":")
    if path.endswith(".py"):
        return _build(name, f"the file {path}", lambda: getattr(_import_file(Path(path)), attribute))
    if name.endswith(".py"):
        raise UsageError(f"{name} does not name a model in the file", remedy=f"For example --model {name}:MyModel")
    # Of two models with the same name the built-in one comes last and wins.
    entries = {
        entry.name: entry
        for entry in sorted(list_models(settings), key=lambda entry: entry.origin.startswith("fairline "))
    }
    if name not in entries:
        known = ", ".join(entries) or "none"
        raise UsageError(
            f"unknown model {show_value(name)}", remedy=f"Installed models: {known}; or path/to/file.py:Name"
        )
    return entries[name].load()


def _entry(point: EntryPoint, rivals: list[str], settings: ModelSettings | None) -> Entry:
    origin = _origin(point)

    def load_model() -> Model:
        # A third-party model must not silently replace another one of the same name.
        if rivals:
            message = f"the model {point.name!r} is provided by {origin} and by {' and '.join(rivals)}"
            raise UsageError(message, remedy="Uninstall one of them")
        return _build(point.name, origin, lambda: _factory(point, settings))

    return Entry(point.name, origin, load_model)


def _factory(point: EntryPoint, settings: ModelSettings | None) -> Callable[[], object]:
    """Return what builds the model: `from_settings` of a built-in that has it, else the class itself."""
    model_class: Any = point.load()
    if settings is not None and _is_built_in(point) and hasattr(model_class, "from_settings"):
        return lambda: model_class.from_settings(settings)
    return model_class  # type: ignore[no-any-return]


def _is_built_in(point: EntryPoint) -> bool:
    return point.value.startswith("fairline.")


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"


def _rival_origins(point: EntryPoint, points: Sequence[EntryPoint]) -> list[str]:
    """Other distributions that provide a model of the same name; a built-in model has none."""
    same_name = [other for other in points if other.name == point.name and other.value != point.value]
    return [] if _is_built_in(point) else [_origin(other) for other in same_name]


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    spec = spec_from_file_location(f"fairline_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _build(name: str, origin: str, find_factory: Callable[[], Callable[[], object]]) -> Model:
    try:
        model = find_factory()()
    except (Exception, SystemExit) as error:  # third-party code can fail in any way; the error names it
        reason = f"{type(error).__name__}: {error}"
        message = f"the model {show_value(name)} of {origin} cannot be loaded ({reason})"
        raise UsageError(message, remedy="Repair or uninstall it") from error
    if not isinstance(model, Model):
        raise UsageError(
            f"the model {show_value(name)} of {origin} lacks name, version, covers, requests or predict",
            remedy="See docs/write-a-model.md for what a model must have",
        )
    return model


@dataclass(frozen=True, slots=True)
class Input:
    """An input that a model may read, and the age in seconds of the oldest copy available, None if there is none.

    `path` is where a file is on this machine, None for an address.
    """

    source: str
    key: str
    age_s: float | None
    path: str | None = None


def list_inputs(model: Model, asof: datetime, sources: Sources | None = None) -> list[Input]:
    """Return what a model requests when it is given no market. A model that fails at this has no inputs.

    Addresses that differ only in parts that may not be shown are one input.
    """
    sources = Sources() if sources is None else sources
    inputs: dict[tuple[str, str], Input] = {}
    for request in _requests(model, with_probabilities(empty_markets()), asof):
        shown = (request.source, request.shown.removeprefix("user:"))
        age_s, known = sources.age_s(request, asof), inputs.get(shown)
        if known is not None and known.age_s is not None:
            age_s = max(known.age_s, age_s or 0.0)
        inputs[shown] = Input(*shown, age_s, _path(request, sources))
    return list(inputs.values())


def _path(request: Request, sources: Sources) -> str | None:
    if request.source == "https":
        return None
    with suppress(InputError):
        return str(sources.path_of(request))
    return None


def _requests(model: Model, markets: pl.DataFrame, asof: datetime) -> list[Request]:
    """Return the valid requests of a model. Its faults are reported when it predicts."""
    with suppress(Exception):
        return [request for request in model.requests(markets, asof) if isinstance(request, Request)]
    return []


def group_by_evidence(models: Sequence[Model], markets: pl.DataFrame, asof: datetime) -> list[list[str]]:
    """Return names of models in groups that share an input, without models that use only the exchange's prices.

    Models that rest on the same evidence are one opinion. Addresses count as the same if their hosts end alike.
    """
    groups: list[tuple[set[str], list[str]]] = []
    for model in models:
        if getattr(model, "from_prices", False):
            continue
        evidence, names = _evidence(model, markets, asof), [model.name]
        separate = []
        for other_evidence, other_names in groups:
            if other_evidence & evidence:
                evidence, names = evidence | other_evidence, [*other_names, *names]
            else:
                separate.append((other_evidence, other_names))
        groups = [*separate, (evidence, names)]
    return [names for _, names in groups]


def _evidence(model: Model, markets: pl.DataFrame, asof: datetime) -> set[str]:
    """Return what a model reads for these markets and in general."""
    requests: list[Request] = []
    for rows in (markets, markets.clear()):
        with suppress(Exception):  # third-party code; the failure is reported when it predicts
            requests += _requests(model, rows.filter(model.covers(rows)), asof)
    return {_origin_of(request) for request in requests}


def _origin_of(request: Request) -> str:
    if request.source == "file":
        with suppress(ValueError, OSError):
            return str(Path(request.key).resolve())
        return request.key
    if request.source != "https":
        return request.shown
    host = request.shown.partition("://")[2].partition("/")[0]
    return host if host.rpartition(".")[2].isdigit() else ".".join(host.split(".")[-2:])


def summary_of(model: Model) -> str:
    """Return the first line of a model's docstring."""
    return (type(model).__doc__ or "").strip().partition("\n")[0]

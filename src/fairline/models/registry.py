"""Finding models: whatever is installed under the entry-point group, loaded only when used."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import polars as pl

from fairline.errors import UsageError
from fairline.market.frame import empty_markets, with_probabilities
from fairline.models.protocol import Model
from fairline.sources import Request, Shelf

ENTRY_POINTS = "fairline.models"


@dataclass(frozen=True, slots=True)
class Entry:
    """A model on offer: its name, the distribution that brings it, and how to get it (which may fail)."""

    name: str
    origin: str
    load: Callable[[], Model]


def installed() -> list[Entry]:
    """All models on offer, sorted by name. Nothing is imported yet."""
    points = sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)
    return [_entry(point, _rivals(point, points)) for point in points]


def load(name: str) -> Model:
    """The model of that name, or `path/to/file.py:Name` for one that is not installed.

    Raises `UsageError` naming those there are, or what is broken.
    """
    path, _, attribute = name.rpartition(":")
    if path.endswith(".py"):
        return _checked(name, f"the file {path}", lambda: getattr(_module(Path(path)), attribute))
    if name.endswith(".py"):
        raise UsageError(f"{name} does not say which model of the file", remedy=f"Such as --model {name}:MyModel")
    entries = {
        entry.name: entry for entry in sorted(installed(), key=lambda entry: entry.origin.startswith("fairline "))
    }
    if name not in entries:
        known = ", ".join(entries) or "none installed"
        raise UsageError(f"there is no model {name!r}", remedy=f"Installed models: {known}; or path/to/file.py:Name")
    return entries[name].load()


def _entry(point: EntryPoint, rivals: list[str]) -> Entry:
    origin = _origin(point)

    def made() -> Model:
        # A stranger's model must not stand in for another of the same name unseen.
        if rivals:
            where = f"the model {point.name!r} comes with {origin} and with {' and '.join(rivals)}"
            raise UsageError(where, remedy="Remove one of them")
        return _checked(point.name, origin, point.load)

    return Entry(point.name, origin, made)


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"


def _rivals(point: EntryPoint, points: Sequence[EntryPoint]) -> list[str]:
    """Where else a model of that name comes from; one that comes along with Fairline has none."""
    same = [other for other in points if other.name == point.name and other.value != point.value]
    own = point.value.startswith("fairline.")
    return [] if own else [_origin(other) for other in same]


def _module(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    spec = spec_from_file_location(f"fairline_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _checked(name: str, origin: str, find: Callable[[], Callable[[], object]]) -> Model:
    try:
        made = find()()
    except (
        Exception,
        SystemExit,
    ) as error:  # a stranger's code can fail in any way; it is named and stops nothing else
        raise UsageError(
            f"the model {name!r} of {origin} cannot be loaded ({type(error).__name__}: {error})",
            remedy="Repair or remove it",
        ) from error
    if not isinstance(made, Model):
        raise UsageError(
            f"the model {name!r} of {origin} has no name, version, covers, requests and predict",
            remedy="See docs/write-a-model.md for what a model must have",
        )
    return made


@dataclass(frozen=True, slots=True)
class Input:
    """Something that a model may read: how old what there is of it is at most, in seconds, None if nothing is there."""

    source: str
    key: str
    age_s: float | None


def inputs(model: Model, asof: datetime, cache: Shelf | None = None) -> list[Input]:
    """What a model asks for when it is given no market. One that cannot say is taken to ask for nothing.

    Addresses that differ only in what is not shown of them are one; how old they are is what the `cache` has.
    """
    wanted = _asked(model, with_probabilities(empty_markets()), asof)
    ages: dict[tuple[str, str], float | None] = {}
    for request in wanted:
        one, age = (request.source, request.shown), _age_s(request, asof, cache)
        known = ages.get(one)
        ages[one] = age if known is None else max(known, age or 0.0)
    return [Input(source, key, age) for (source, key), age in ages.items()]


def _age_s(request: Request, asof: datetime, cache: Shelf | None) -> float | None:
    if request.source != "file":
        kept = cache and cache.get(request)
        return (asof - kept.fetched_ts).total_seconds() if kept else None
    try:
        return asof.timestamp() - Path(request.key).stat().st_mtime
    except (OSError, ValueError):
        return None


def _asked(model: Model, markets: pl.DataFrame, asof: datetime) -> list[Request]:
    """What a model asks for, as far as it is that: a stranger's faults show when it is asked to predict."""
    with suppress(Exception):
        return [request for request in model.requests(markets, asof) if isinstance(request, Request)]
    return []


def voices(models: Sequence[Model], markets: pl.DataFrame, asof: datetime) -> list[list[str]]:
    """Names of the models that are opinions beside the price, those together that read some of the same for these
    markets: what rests on the same evidence is one voice. Of addresses the vendor counts, the end of the host's name.
    """
    groups: list[tuple[set[str], list[str]]] = []
    for model in models:
        if getattr(model, "from_prices", False):
            continue
        wanted: list[Request] = []
        for some in (markets, markets.clear()):
            with suppress(Exception):  # a stranger's code; it shows again when it is asked to predict
                wanted += _asked(model, some.filter(model.covers(some)), asof)
        reads = {_evidence(request) for request in wanted}
        shared = [group for group in groups if group[0] & reads]
        groups = [group for group in groups if group not in shared]
        groups.append((reads.union(*(group[0] for group in shared)), [*(n for g in shared for n in g[1]), model.name]))
    return [names for _, names in groups]


def _evidence(request: Request) -> str:
    if request.source == "file":
        with suppress(ValueError, OSError):
            return str(Path(request.key).resolve())
        return request.key
    host = request.shown.partition("://")[2].partition("/")[0]
    return host if host.rpartition(".")[2].isdigit() else ".".join(host.split(".")[-2:])


def about(model: Model) -> str:
    """The first line of what a model says of itself."""
    return (type(model).__doc__ or "").strip().partition("\n")[0]

"""Finding models: whatever is installed under the entry-point group, loaded only when used."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from fairline.errors import UsageError
from fairline.models.protocol import Model

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
    return [_entry(point) for point in points]


def load(name: str) -> Model:
    """The model of that name. Raises `UsageError` naming those there are, or the distribution that is broken."""
    entries = {entry.name: entry for entry in installed()}
    if name not in entries:
        known = ", ".join(entries) or "none installed"
        raise UsageError(f"there is no model {name!r}", remedy=f"Installed models: {known}")
    return entries[name].load()


def _entry(point: EntryPoint) -> Entry:
    origin = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"

    def load() -> Model:
        try:
            made = point.load()()
        except Exception as error:  # a stranger's package can fail in any way; it is named and stops nothing else
            raise UsageError(
                f"the model {point.name!r} of {origin} cannot be loaded ({type(error).__name__}: {error})",
                remedy="Repair or remove that package",
            ) from error
        if not isinstance(made, Model):
            raise UsageError(
                f"the model {point.name!r} of {origin} has no name, version, covers, requests and predict",
                remedy="See docs/models.md for what a model must have",
            )
        return made

    return Entry(point.name, origin, load)

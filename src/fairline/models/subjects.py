"""What each series is about: a price, an index or a station's daily extreme. The built-in list is `subjects.toml`."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from fairline.config.model_settings import UserFile
from fairline.models.stations import Station
from fairline.models.tables import load_table

FILE = "subjects.toml"
PRICE_KINDS = ("price", "index")
WEATHER_KINDS = ("high", "low")
STEPS = {"price": 0.01, "index": 0.01, "high": 1.0, "low": 1.0}
"""The unit in which each kind of quantity is published."""

Kind = Literal["price", "index", "high", "low"]


class Subject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The quantity that settles a series.

    `window_s` is the length in seconds of the average that settles it, `utc_offset` the local standard time in hours,
    `step` the unit in which the quantity is published (by default that of its kind). A series that is not `enabled` is
    linked but not priced.
    """

    series: str
    kind: Kind
    subject: str
    window_s: float = 0.0
    utc_offset: int = 0
    step: float | None = None
    enabled: bool = True

    @property
    def published_step(self) -> float:
        """The unit in which the quantity is published."""
        return STEPS[self.kind] if self.step is None else self.step


def load_subjects(user: UserFile | None = None, stations: Mapping[str, Station] | None = None) -> dict[str, Subject]:
    """Return the built-in subjects and those of the user's file, by series. Raises `ConfigError`.

    A subject at one of the `stations` uses that station's local standard time.
    """
    subjects = load_table("fairline.models", FILE, Subject, key="series", user=user)
    return {name: _at_station(subject, stations or {}) for name, subject in subjects.items()}


def _at_station(subject: Subject, stations: Mapping[str, Station]) -> Subject:
    station = stations.get(subject.subject)
    if station is None or subject.utc_offset:
        return subject
    return msgspec.structs.replace(subject, utc_offset=station.utc_offset)

"""Weather stations: where they stand and their local standard time. The list is in `stations.toml`."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Station:
    """Where a weather station stands, and its local standard time."""

    name: str
    latitude: float
    longitude: float
    utc_offset: int


def stations() -> dict[str, Station]:
    content = tomllib.loads(files("fairline.models").joinpath("stations.toml").read_text())
    return {name: Station(name, **table) for name, table in content.items()}

"""Weather stations: location and local standard time. The built-in list is `stations.toml`."""

import msgspec

from fairline.config.model_settings import UserFile
from fairline.models.tables import load_table

FILE = "stations.toml"


class Station(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A weather station: ICAO code, degrees of latitude and longitude, and hours of local standard time from UTC."""

    name: str
    latitude: float
    longitude: float
    utc_offset: int


def load_stations(user: UserFile | None = None) -> dict[str, Station]:
    """Return the built-in stations and those of the user's file. Raises `ConfigError`."""
    return load_table("fairline.models", FILE, Station, user=user)

"""States of the United States and their electors (`states.toml`)."""

import msgspec

from fairline.errors import InputError
from fairline.models.tables import load_table

NATION = "US"
FIRST_YEAR, NEW_CENSUS_YEAR, LAST_YEAR = 2012, 2024, 2028


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A state or district: its name in files of polls, and its electors by the censuses of 2010 and 2020."""

    code: str
    name: str
    electors_2012: int
    electors_2024: int


_STATES = load_table("fairline.models.politics", "states.toml", State, key="code")


def place_codes() -> dict[str, str]:
    """Return the code of every place by its name and by the code itself; the nation also by an empty name."""
    codes = {state.name: code for code, state in _STATES.items()} | {code: code for code in _STATES}
    return codes | {"": NATION, "National": NATION, NATION: NATION}


def electors(year: int) -> dict[str, int]:
    """Return electors by place in the election of a year, 2012 to 2028. Raises `InputError`."""
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise InputError(f"the electors of {year} are unknown", remedy=f"Known: {FIRST_YEAR} to {LAST_YEAR}")
    if year < NEW_CENSUS_YEAR:
        return {code: state.electors_2012 for code, state in _STATES.items()}
    return {code: state.electors_2024 for code, state in _STATES.items()}

"""States of the United States and their electors (`states.toml`)."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from fairline.errors import InputError

NATION = "US"
_FIRST, _NEW, _LAST = 2012, 2024, 2028


def place_codes() -> dict[str, str]:
    """The code of every place by its name and by itself; the nation also by no name at all."""
    names = {table["name"]: code for code, table in _table().items()}
    return names | {code: code for code in names.values()} | {"": NATION, "National": NATION, NATION: NATION}


def electors(year: int) -> dict[str, int]:
    """Electors by place in the election of that year, 2012 to 2028. Raises `InputError`."""
    if not _FIRST <= year <= _LAST:
        raise InputError(f"the electors of {year} are not known", remedy=f"Known: {_FIRST} to {_LAST}")
    census = "electors_2012" if year < _NEW else "electors_2024"
    return {code: table[census] for code, table in _table().items()}


@cache
def _table() -> dict[str, dict[str, Any]]:
    return tomllib.loads(files("fairline.models.politics").joinpath("states.toml").read_text(encoding="utf-8"))

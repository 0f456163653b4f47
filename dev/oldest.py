"""Print the oldest version of each dependency that pyproject.toml allows, as constraints for pip.

`python -m dev.oldest > constraints-oldest.txt`; `make test-oldest` installs these and runs the tests with them.
"""

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def list_oldest(project: dict[str, object]) -> list[str]:
    """Return `name==version` for each requirement `name>=version`, those of the extras included."""
    requirements = list(project["dependencies"])  # type: ignore[call-overload]
    for extra in project["optional-dependencies"].values():  # type: ignore[attr-defined]
        requirements += extra
    pins = [re.sub(r">=", "==", requirement) for requirement in requirements]
    return sorted(pin for pin in pins if "==" in pin)


if __name__ == "__main__":
    print("\n".join(list_oldest(tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"])))
